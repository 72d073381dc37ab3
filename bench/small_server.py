"""An OpenAI-compatible server of a small model on a CPU, for trying what is written for vLLM.

    python bench/small_server.py --model embedded --port 8000

It answers `/v1/models` and `/v1/chat/completions`, one request after the other, greedily.
"""

from __future__ import annotations

import argparse
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from selene_lib.judges.local import LocalJudge
from selene_lib.prompts.rendering import Prompt

ROOM_TOKENS = 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--adapter")
    parser.add_argument("--port", type=int, default=8000)
    args = parser.parse_args()
    judge = LocalJudge(args.model, adapter=args.adapter, max_new_tokens=ROOM_TOKENS, device="cpu")
    ThreadingHTTPServer(("127.0.0.1", args.port), handler(judge)).serve_forever()


def handler(judge: LocalJudge) -> type[BaseHTTPRequestHandler]:
    one_at_a_time = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send({"object": "list", "data": [{"id": "judge", "object": "model"}]})

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with one_at_a_time:
                # the task decides nothing of the reply; probabilities are not sent
                prompt = Prompt(asked["messages"][-1]["content"], "classification", "served")
                (reply,) = judge.judge([prompt])
            self._send(completion(asked["model"], reply))

        def _send(self, body: dict[str, Any]) -> None:
            text = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


def completion(model: str, reply: Any) -> dict[str, Any]:
    """A reply in the words of the protocol."""
    message = {"role": "assistant", "content": reply.text}
    n_prompt, n_reply = reply.n_prompt_tokens, reply.n_reply_tokens
    return {
        "id": "small",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": reply.finish_reason}],
        "usage": {
            "prompt_tokens": n_prompt,
            "completion_tokens": n_reply,
            "total_tokens": n_prompt + n_reply,
        },
    }


if __name__ == "__main__":
    main()
