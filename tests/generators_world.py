"""Samples, a stub teacher and a scripted HTTP server on loopback that speaks the OpenAI protocol,
for the tests of generation.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from selene_lib.records import LABELS, TASKS, Sample

FAULTS = ("delay", "429", "500", "truncated", "malformed")


def make_samples(n: int, source: str = "made") -> list[Sample]:
    """`n` samples of all tasks with rotating labels; every second one shares its group with the one
    before.
    """
    samples = []
    for i in range(n):
        task = TASKS[i % 3]
        label = LABELS[task][(i // 3) % len(LABELS[task])]
        other = f"answer number {i} of the second writer" if task == "pairwise" else None
        text = f"answer number {i} of the first writer"
        samples.append(
            Sample(
                f"{source}-{i}",
                source,
                task,
                f"task {i}",
                text,
                other,
                "is it good",
                None,
                label,
                group=f"{source}-g{i // 2}",
            )
        )
    return samples


def stub_teacher(sample: Sample, verdict: str, *, seed: int) -> str:
    """A critique that names the sample it is about and ends in the verdict asked for."""
    reason = f"The text '{sample.response}' speaks for it (draft {seed})."
    return f"**Reasoning:** {reason}\n\n**Result:** {verdict}"


def obey(prompt: str, seed: int | None) -> str:
    """What a good server replies: it argues for the verdict that the prompt asks for, or says Yes,
    A or 3 to a plain judge prompt.
    """
    asked = re.findall(r"came to this verdict: (\w+)", prompt)
    verdict = asked[0] if asked else "Yes"
    return f"**Reasoning:** Point by point, this holds up.\n\n**Result:** {verdict}"


class ScriptedServer:
    """Counts and answers requests: `script(prompt, n_before)` names a fault or None, `reply(prompt,
    seed)` writes the text.
    """

    def __init__(
        self,
        script: Callable[[str, int], str | None] = lambda *_: None,
        reply: Callable[[str, int | None], str] = obey,
    ) -> None:
        self.script, self.reply = script, reply
        self.asked: Counter = Counter()  # requests by (prompt, seed)
        self.answered: Counter = Counter()  # whole, well-formed answers sent, by (prompt, seed)
        self.headers: list[dict[str, str]] = []
        self.extra_headers: dict[str, str] = {}
        self.in_flight = self.most_in_flight = 0
        self.delay_seconds = 0.02
        self.lock = threading.Lock()
        self.base_url = ""

    @property
    def n_asked(self) -> int:
        return sum(self.asked.values())


def _handler(server: ScriptedServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            return

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            prompt = body["messages"][-1]["content"]
            key = (prompt, body.get("seed"))
            with server.lock:
                n_before = server.asked[key]
                server.asked[key] += 1
                server.headers.append(dict(self.headers))
                server.in_flight += 1
                server.most_in_flight = max(server.most_in_flight, server.in_flight)
            try:
                self.answer(server.script(prompt, n_before), prompt, key)
            finally:
                with server.lock:
                    server.in_flight -= 1

        def answer(self, fault: str | None, prompt: str, key: tuple) -> None:
            if fault == "delay":
                time.sleep(server.delay_seconds)
            if fault in ("429", "500", "401", "400", "404"):
                self.send(
                    int(fault),
                    b'{"error": {"message": "as scripted, your key was sk-very-secret"}}',
                    {"Retry-After": "0.05"},
                )
                return
            text = server.reply(prompt, key[1])
            payload = {
                "id": "x",
                "object": "chat.completion",
                "created": 0,
                "model": "m",
                "choices": [
                    {
                        "index": 0,
                        "message": {"role": "assistant", "content": text},
                        "finish_reason": "stop",
                    }
                ],
                "usage": {
                    "prompt_tokens": len(prompt.split()),
                    "completion_tokens": len(text.split()),
                    "total_tokens": 0,
                },
            }
            raw = json.dumps(payload).encode()
            if fault == "malformed":
                self.send(200, raw[: len(raw) // 2])
            elif fault == "truncated":
                self.send(200, raw[: len(raw) // 2], {"Content-Length": str(len(raw))})
                self.close_connection = True
            else:
                self.send(200, raw, server.extra_headers)
                with server.lock:
                    server.answered[key] += 1

        def send(self, status: int, raw: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in (
                {"Content-Type": "application/json", "Content-Length": str(len(raw))}
                | (headers or {})
            ).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(raw)

    return Handler


@contextmanager
def serving(server: ScriptedServer) -> Iterator[ScriptedServer]:
    """Run a scripted server on a free port of this machine."""

    class Quiet(ThreadingHTTPServer):
        request_queue_size = 256
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            return

    http = Quiet(("127.0.0.1", 0), _handler(server))
    thread = threading.Thread(
        target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    )
    thread.start()
    server.base_url = f"http://127.0.0.1:{http.server_address[1]}/v1"
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
