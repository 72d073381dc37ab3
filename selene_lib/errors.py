"""The one error a user can mend, whose message names the thing and the remedy; notices.

The command line prints the error and exits 2.
"""

from __future__ import annotations

import sys


class UserError(ValueError):
    """Something the user gave (a path, a name, a parameter, a key) is missing or wrong."""


def tell(notice: str) -> None:
    """Tell the user, in one line on stderr, what was done other than asked."""
    print(f"selene: {notice}", file=sys.stderr)
