"""A server that answers every chat with the same reply after a moment, at little cost: what stands
between two clients of it is their own work.

    python bench/stub_server.py [--delay 0.05] [--logprobs]     prints its port, serves until killed
"""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import Any

REPLY = "**Reasoning:** " + "The answer was read twice and holds up. " * 15 + "\n\n**Result:** Yes"


def response(*, logprobs: bool) -> bytes:
    """One HTTP response; with `logprobs` ten alternatives a token, as servers send them."""
    choice: dict[str, Any] = {
        "index": 0,
        "message": {"role": "assistant", "content": REPLY},
        "finish_reason": "stop",
    }
    if logprobs:
        top = [{"token": f"t{i}", "logprob": -0.1 - i, "bytes": None} for i in range(10)]
        steps = [{"token": word, "logprob": -0.1, "bytes": None} for word in REPLY.split()]
        choice["logprobs"] = {"content": [step | {"top_logprobs": top} for step in steps]}
    usage = {"prompt_tokens": 250, "completion_tokens": 130, "total_tokens": 380}
    answer = {"id": "x", "object": "chat.completion", "created": 0, "model": "m"}
    body = json.dumps(answer | {"choices": [choice], "usage": usage}).encode()
    head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class Stub(asyncio.Protocol):
    """Reads a request by its length and nothing else."""

    def __init__(self, answer: bytes, delay_seconds: float) -> None:
        self._answer, self._delay = answer, delay_seconds
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = self._data[:end].lower()
            begin = head.find(b"content-length:")
            n_bytes = int(head[begin + 15 :].split(b"\r\n", 1)[0]) if begin >= 0 else 0
            if len(self._data) < end + 4 + n_bytes:
                return
            self._data = self._data[end + 4 + n_bytes :]
            asyncio.get_running_loop().call_later(self._delay, self._send)

    def _send(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(self._answer)  # type: ignore[attr-defined]


async def serve(delay_seconds: float, logprobs: bool) -> None:
    answer = response(logprobs=logprobs)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Stub(answer, delay_seconds), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--delay", type=float, default=0.05)
    parser.add_argument("--logprobs", action="store_true")
    given = parser.parse_args()
    asyncio.run(serve(given.delay, given.logprobs))
