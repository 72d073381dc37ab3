"""A judge's server on loopback that goes wrong in every way that was seen, by the row's hash."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from selene_lib.records import unit_hash

GOOD = "**Reasoning:** It holds.\n\n**Result:** 4"
USAGE = {"prompt_tokens": 100, "completion_tokens": 20}


def body(message: dict[str, Any], **changes: Any) -> dict[str, Any]:
    finish = changes.pop("finish_reason", "stop")
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return {"choices": [{**choice, **changes.pop("choice", {})}], "usage": USAGE, **changes}


# Faults of one row, each time it is asked: what is sent, and the status the row must end with.
LASTING: dict[str, tuple[int, Any, str]] = {
    "content length": (400, {"error": {"message": "maximum context length is 9"}}, "failed"),
    "content filter": (400, {"error": {"message": "content_filter triggered"}}, "failed"),
    "unprocessable": (422, {"error": {"message": "odd prompt"}}, "failed"),
    "null, cut": (
        200,
        body({"content": None, "reasoning_content": "hm"}, finish_reason="length"),
        "truncated",
    ),
    "null, reasoning": (200, body({"content": None, "reasoning_content": "hm"}), "malformed"),
    "no content": (200, body({}), "malformed"),
    "refusal": (200, body({"content": None, "refusal": "I will not."}), "refused"),
    "tool call": (200, body({"content": None, "tool_calls": [{"id": "1"}]}), "malformed"),
    "empty": (200, body({"content": ""}), "malformed"),
    "error inside": (200, {"error": {"message": "Provider returned error"}}, "failed"),
    "html": (200, "<html><body>busy</body></html>", "failed"),
}
# Odd replies that still hold a verdict.
ODD: dict[str, Any] = {
    "surrogate": body({"content": "\ud800 " + GOOD}),
    "usage text": body({"content": GOOD}, usage="many"),
    "usage list": body({"content": GOOD}, usage=[1, 2]),
    "usage below zero": body(
        {"content": GOOD}, usage={"prompt_tokens": -9, "completion_tokens": 2}
    ),
    "logprobs list": body({"content": GOOD}, choice={"logprobs": [1]}),
    "logprobs bare": body({"content": GOOD}, choice={"logprobs": {"content": [{"token": "x"}]}}),
    "parts": body({"content": [{"type": "text", "text": GOOD}]}),
    "finish odd": body({"content": GOOD}, finish_reason=7),
}
# Faults that pass: the second time the row is answered.
PASSING = ("429", "500", "503", "cut", "half")
ALL = (*LASTING, *ODD, *PASSING)


def fault_of(prompt: str, share: float) -> str | None:
    """The fault of a row: `share` of all rows have one, each kind as often."""
    point = unit_hash(0, "fault", prompt)
    return ALL[int(point / share * len(ALL))] if point < share else None


def expected_status(prompt: str, share: float) -> str:
    """How a row must end."""
    fault = fault_of(prompt, share)
    return LASTING[fault][2] if fault in LASTING else "value"


class FaultyServer:
    """Counts what it is asked and what it was paid for (whole answers that were sent)."""

    def __init__(self, share: float = 0.0, delay_seconds: float = 0.0) -> None:
        self.share, self.delay_seconds = share, delay_seconds
        self.asked: Counter[str] = Counter()
        self.paid: Counter[str] = Counter()
        self.tokens = 0
        self.stop_after: tuple[int, int, Any] | None = None  # requests, then status and body
        self.lock = threading.Lock()
        self.base_url = ""

    def answer(self, prompt: str) -> tuple[int, Any, str | None]:
        with self.lock:
            n_before = self.asked[prompt]
            self.asked[prompt] += 1
            if self.stop_after and sum(self.asked.values()) > self.stop_after[0]:
                return self.stop_after[1], self.stop_after[2], "stop"
        time.sleep(self.delay_seconds)
        fault = fault_of(prompt, self.share) if self.share else None
        if fault in LASTING:
            status, payload, _ = LASTING[fault]
            return status, payload, fault
        if fault in PASSING and n_before == 0:
            if fault.isdigit():
                return int(fault), {"error": {"message": "wait"}}, fault
            return 200, body({"content": GOOD}), fault
        return 200, ODD.get(fault or "", body({"content": GOOD})), fault if n_before == 0 else None

    def count(self, prompt: str, payload: Any) -> None:
        with self.lock:
            self.paid[prompt] += 1
            self.tokens += sum(USAGE.values())


def _handler(server: FaultyServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            return

        def do_POST(self) -> None:
            sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            prompt = sent["messages"][-1]["content"]
            status, payload, fault = server.answer(prompt)
            raw = (payload if isinstance(payload, str) else json.dumps(payload)).encode()
            length = len(raw)
            if fault in ("cut", "half") and status == 200:
                raw = raw[: len(raw) // 2]
                length = length if fault == "cut" else len(raw)
            elif status == 200 and isinstance(payload, dict) and "choices" in payload:
                server.count(prompt, payload)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(raw)
            self.close_connection = fault == "cut"

    return Handler


@contextmanager
def serving(server: FaultyServer) -> Iterator[FaultyServer]:
    """Run the server on a free port of this machine."""

    class Quiet(ThreadingHTTPServer):
        request_queue_size = 256
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            return

    http = Quiet(("127.0.0.1", 0), _handler(server))
    thread = threading.Thread(
        target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
    )
    thread.start()
    server.base_url = f"http://127.0.0.1:{http.server_address[1]}/v1"
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
