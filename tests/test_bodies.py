"""What a server's body says: whose text is the answer, which numbers are none, what was damaged."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from selene_lib.errors import UserError
from selene_lib.judges.probabilities import label_probabilities
from selene_lib.models.bodies import Unreadable, read_body, read_logprobs
from selene_lib.models.client import ChatRequest, ServerClient
from selene_lib.models.limits import retry_after_seconds

ASKED = [{"role": "user", "content": "x" * 40}]
GOOD = "**Result:** 4"
USAGE = {"prompt_tokens": 9, "completion_tokens": 5}
HUGE = 10**400


def body(message: dict | None = None, usage: object = USAGE, **choice: object) -> str:
    first = {"index": 0, "message": message or {"content": GOOD}, "finish_reason": "stop", **choice}
    return json.dumps({"choices": [first], "usage": usage})


def read(text: str, *, logprobs: bool = False) -> dict:
    return read_body(text, ASKED, logprobs=logprobs)


PARTS = [
    ({"type": "text", "text": GOOD}, GOOD, ""),
    ({"type": "output_text", "text": GOOD}, GOOD, ""),
    (GOOD, GOOD, ""),
    ({"text": GOOD}, GOOD, ""),
    ({"type": "text", "text": "draft", "thought": True}, "", "draft"),
    ({"type": "reasoning_text", "text": "draft"}, "", "draft"),
    ({"type": "summary_text", "text": "draft"}, "", "draft"),
    ({"type": "reasoning_content", "reasoning_content": "draft"}, "", "draft"),
    ({"type": "analysis", "text": "draft"}, "", "draft"),
    ({"type": "thought", "text": "draft"}, "", "draft"),
    ({"type": "text", "text": GOOD, "channel": "commentary"}, "", ""),
    ({"type": "image_url", "image_url": GOOD}, "", ""),
    ({"type": "of another kind", "text": GOOD}, "", ""),
]


@pytest.mark.parametrize(("part", "text", "reasoning"), PARTS)
def test_only_parts_known_as_answers_are_the_answer(part, text, reasoning):
    row = read(body({"content": [part]}))
    assert (row["text"], row.get("reasoning", "")) == (text, reasoning)


def choices(*pairs: tuple[object, str]) -> str:
    made = [{"index": index, "message": {"content": text}} for index, text in pairs]
    return json.dumps({"choices": made, "usage": USAGE})


def test_of_several_choices_the_one_of_index_zero_is_taken():
    assert read(choices((1, "1"), (0, "4")))["text"] == "4"
    for odd in (((None, "1"), (None, "4")), ((0, "1"), (0, "4")), ((1, "1"), (2, "4"))):
        with pytest.raises(Unreadable, match="2 choices, and which is first"):
            read(choices(*odd))


def test_a_body_that_says_two_things_is_no_reply():
    message = '{"content": "**Result:** 1", "content": "**Result:** 5"}'
    with pytest.raises(Unreadable, match="two values of 'content'"):
        read(f'{{"choices": [{{"message": {message}}}]}}')
    for refused in (
        {"content": GOOD, "refusal": "I will not."},
        {
            "content": [
                {"type": "text", "text": GOOD},
                {"type": "refusal", "refusal": "I will not."},
            ]
        },
    ):
        row = read(body(refused))
        assert (row["text"], row["note"]) == ("I will not.", "refused")


def test_an_error_inside_a_choice_is_the_servers_own():
    with pytest.raises(Unreadable, match="provider fell over") as caught:
        read(body(finish_reason="error", error={"code": 502, "message": "provider fell over"}))
    assert caught.value.error["code"] == 502


@pytest.mark.parametrize("front", ["\ufeff", "\n\n \r\n", ": keep-alive\n\n: keep-alive\n\n"])
def test_what_stands_in_front_of_a_body_is_passed_over(front):
    assert read(front + body())["text"] == GOOD


@pytest.mark.parametrize("count", [HUGE, 10**25, -1, True, "9", 0, 2.5, None])
def test_a_count_that_no_reply_can_have_is_estimated(count):
    row = read(body(usage={"prompt_tokens": count, "completion_tokens": 5}))
    assert (row["usage"], row["n_prompt_tokens"]) == ("estimated", 10)
    assert read(body(usage={"prompt_tokens": 9, "completion_tokens": 0}))["n_reply_tokens"] > 0
    assert "usage" not in read(body())


@pytest.mark.parametrize("value", [800, HUGE, -HUGE, float("nan"), float("inf"), 0.5, "-1", True])
def test_a_list_with_an_impossible_log_probability_is_left_out(value):
    good = {"token": "4", "logprob": -0.1}
    for first, other in ((value, -1.0), (-0.1, value)):
        top = [{"token": "5", "logprob": other}]
        entry = {"token": "4", "logprob": first, "top_logprobs": top}
        row = read(body(logprobs={"content": [entry]}), logprobs=True)
        assert row["logprobs"] is None and row["text"] == GOOD
    rounded = {**good, "logprob": 1e-7, "top_logprobs": [{"token": "5", "logprob": -float("inf")}]}
    (step,) = read_logprobs({"logprobs": {"content": [rounded]}})
    assert step == {"token": "4", "logprob": 0.0, "top": {}}


def test_stored_log_probabilities_that_are_none_give_no_probabilities():
    for value in (800.0, float("nan")):
        steps = [("**Result:** ", {}), ("A", {"A": value, "B": -1.0})]
        assert label_probabilities("pairwise", steps) is None


@pytest.mark.parametrize("text", ["²", "1e3", "-1", "١", "9" * 9 + "x", "Fri, 31 Dec 9999"])
def test_a_wait_that_is_no_number_is_none(text):
    assert retry_after_seconds({"retry-after": text}) == 0.0
    assert retry_after_seconds({"retry-after-ms": text, "retry-after": "2"}) == 2.0


@contextmanager
def answering(raw: bytes, length: int, **headers: str) -> Iterator[tuple[str, list[str]]]:
    """A server that sends these bytes with this length to all who ask, and notes each request."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            return

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(self.path)
            self.send_response(200)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(raw)
            self.close_connection = True

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{http.server_address[1]}/v1", asked
    finally:
        http.shutdown()
        http.server_close()


ZIPPED = gzip.compress(body().encode(), mtime=0)
DAMAGED = [
    (ZIPPED[:-12] + b"x" * 12, 0, {"Content_Encoding": "gzip"}),
    (body().encode(), 50, {}),
    (body().encode(), -7, {}),
]


@pytest.mark.parametrize(("raw", "more", "headers"), DAMAGED)
def test_a_damaged_answer_is_asked_for_once_more_and_counts_against_the_budget(
    raw, more, headers, monkeypatch
):
    sleep = asyncio.sleep
    monkeypatch.setattr(asyncio, "sleep", lambda _: sleep(0))
    with answering(raw, len(raw) + more, **headers) as (address, asked):
        client = ServerClient(address, "m", progress=False, budget_tokens=40, max_concurrency=1)
        requests = [ChatRequest(ASKED, seed=i, max_tokens=9) for i in range(9)]
        with pytest.raises(UserError, match="budget reached"):
            client.complete(requests)
        assert len(asked) <= 4
        reply = ServerClient(address, "m", progress=False).complete(
            requests[:1], on_failure="return"
        )[0]
        assert reply.text == "" and reply.error.startswith("malformed reply")
        assert len(asked) <= 6
