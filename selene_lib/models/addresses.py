"""Addresses of servers: a secret inside one would go into every file that names the server."""

from __future__ import annotations

import re

from selene_lib.errors import UserError

# user:password@host, with or without the scheme
_LOGIN = re.compile(r"(?:^|//)[^/\s?#@]*:[^/\s?#@]*@|//[^/\s?#]*@")
# ?api_key=... and the like
_QUERY = re.compile(
    r"[?&;](?:[\w.-]*(?:key|token|secret|passw(?:or)?d|pwd|auth|sig(?:nature)?|credential)s?)="
    r"[^&\s]+",
    re.IGNORECASE,
)


def holds_secret(text: str) -> bool:
    """Whether a text is an address with a user, a password or a key in it."""
    return bool(_LOGIN.search(text) or _QUERY.search(text))


def refuse_secrets(value: object, what: str) -> None:
    """Raise UserError where `value` is an address that holds a secret; the message does not repeat
    it. `what` says where it was given.
    """
    if isinstance(value, str) and holds_secret(value):
        raise UserError(
            f"{what}: the address holds a password or key, which would be written into results; "
            "take it out and set the environment variable OPENAI_API_KEY instead"
        )
