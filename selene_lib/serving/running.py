"""Run a judge's server until it is told to stop, and finish what it took."""

from __future__ import annotations

import os
import signal
from ipaddress import ip_address

import uvicorn
from fastapi import FastAPI

from selene_lib.errors import UserError

KEY_ENV = "SELENE_SERVE_KEY"


def key_for(host: str, key_env: str = KEY_ENV) -> str:
    """Return the key that clients must give, from the environment; empty for none.

    A server that others can reach needs one: without it is a UserError.
    """
    key = os.environ.get(key_env, "").strip()
    if not key and not is_loopback(host):
        raise UserError(
            f"{host} can be reached by others: set a key in the environment variable {key_env}, "
            "or listen on 127.0.0.1"
        )
    return key


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def serve_app(app: FastAPI, host: str, port: int) -> None:
    """Serve until SIGTERM or Ctrl-C; then no connection is taken, and what was taken is answered.

    A second Ctrl-C ends it at once. Raises UserError where the address cannot be had.
    """
    config = uvicorn.Config(app, host=host, port=port, log_level="warning", access_log=False)
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn handles them while it runs, and sends them again at its end
        signal.signal(number, signal.SIG_IGN)
    server = uvicorn.Server(config)
    try:
        server.run()
    except SystemExit as error:  # uvicorn has said why on stderr
        raise UserError(f"cannot listen on {host}:{port}; give another --port") from error
