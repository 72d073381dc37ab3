"""A server of chat completions on loopback that answers at once, by a rule on the prompt."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Rule = Callable[[dict[str, Any]], Any]
GOOD = "**Reasoning:** It settles the request.\n\n**Result:** 4"


class Stub:
    """What was asked of the server, and what it answers: a text, or `(status, body)`."""

    def __init__(self, rule: Rule | str = GOOD) -> None:
        self.rule: Rule = rule if callable(rule) else lambda _: rule
        self.asked: list[dict[str, Any]] = []
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        self.address = ""

    @property
    def prompts(self) -> list[str]:
        return [asked["messages"][0]["content"] for asked in self.asked]

    def answer(self, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        with self.lock:
            self.asked.append(asked)
        found = self.rule(asked)
        if isinstance(found, tuple):
            return found
        choice = {"index": 0, "message": {"content": found}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 100, "completion_tokens": 20}
        return 200, {"choices": [choice], "usage": usage}


@contextmanager
def stub_server(rule: Rule | str = GOOD) -> Iterator[Stub]:
    """Serve until the context ends; `address` is what `--model` takes before the `#`."""
    stub = Stub(rule)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with stub.lock:
                stub.at_once += 1
                stub.most_at_once = max(stub.most_at_once, stub.at_once)
            status, body = stub.answer(asked)
            with stub.lock:
                stub.at_once -= 1
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    stub.address = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
