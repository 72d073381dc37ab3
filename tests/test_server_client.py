"""The server client on a real HTTP server: faults, kills, limits, budget, keys.

Every count is the server's own.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from generators_world import FAULTS, ScriptedServer, make_samples, serving

from selene_lib.curation.critiques import generate_critiques, plan_critiques
from selene_lib.curation.generators.opening import open_generator
from selene_lib.curation.generators.protocol import GeneratorSpec
from selene_lib.errors import UserError
from selene_lib.files import read_jsonl
from selene_lib.models.client import ChatRequest, ServerClient, ServerError
from selene_lib.models.limits import BudgetReached, Pacer, duration_seconds, retry_after_seconds
from selene_lib.models.reply_store import ReplyStore, open_store
from selene_lib.records import unit_hash


def chats(n: int, word: str = "hello") -> list[ChatRequest]:
    return [
        ChatRequest([{"role": "user", "content": f"{word} {i}"}], seed=i, max_tokens=9)
        for i in range(n)
    ]


def client(server: ScriptedServer, store: Path | None = None, **settings) -> ServerClient:
    return ServerClient(server.base_url, "m", store=store, progress=False, **settings)


def one_in_ten(prompt: str, n_before: int) -> str | None:
    """One first request in ten goes wrong, each fault as often."""
    point = unit_hash(0, prompt)
    return FAULTS[int(point * 50)] if point < 0.1 and n_before == 0 else None


def careless(prompt: str, seed: int | None) -> str:
    """A server whose texts are wrong in one of ten drafts: another verdict, a leak, no verdict."""
    asked = prompt.rsplit("**Result:** ", 1)[1].strip()
    point = unit_hash(1, prompt, seed)
    if point < 0.03:
        return f"**Reasoning:** fine\n\n**Result:** {'No' if asked != 'No' else 'Yes'}"
    if point < 0.06:
        return f"**Reasoning:** I was told that the verdict is {asked}.\n\n**Result:** {asked}"
    return (
        "**Reasoning:** cut off"
        if point < 0.1
        else f"**Reasoning:** Point by point, this holds.\n\n**Result:** {asked}"
    )


@pytest.mark.slow
def test_a_thousand_requests_with_faults_end_as_pairs_or_counted_reasons(tmp_path):
    samples = make_samples(500)
    with serving(ScriptedServer(one_in_ten, careless)) as server:
        spec = GeneratorSpec("server", "m", server.base_url, extra={"progress": False})
        result = generate_critiques(
            samples, open_generator(spec), store=tmp_path / "s.jsonl", seed=1, max_attempts=2
        )
        n_first = server.n_asked
        (entry,) = result.ledger.entries
        assert entry.n_in == 500 == entry.n_out + sum(entry.dropped.values())
        assert len(result.critiques) == 2 * entry.n_out
        # A draft fails with p = 0.1, both drafts with 0.01, one of two sides with about 0.02: about
        # ten samples of 500.
        assert 0 < sum(entry.dropped.values()) < 30
        assert {r.split(": ")[1] for r in entry.dropped} <= {
            "malformed",
            "another verdict than asked",
            "says that it was told the answer",
        }
        assert n_first > 1000 + 40  # the faults were really met and asked again
        again = generate_critiques(
            samples, open_generator(spec), store=tmp_path / "s.jsonl", seed=1, max_attempts=2
        )
        assert server.n_asked == n_first and again == result
        assert max(server.answered.values()) == 1


SCRIPT = """
import sys
from selene_lib.models.client import ChatRequest, ServerClient
chats = []
for i in range(150):
    messages = [{"role": "user", "content": f"hello {i}"}]
    chats.append(ChatRequest(messages, seed=i, max_tokens=9))
client = ServerClient(sys.argv[1], "m", store=sys.argv[2], progress=False, max_concurrency=8)
client.complete(chats)
print("done")
"""


@pytest.mark.slow
def test_kill_nine_anywhere_never_asks_for_a_stored_reply_again(tmp_path):
    store = tmp_path / "s.jsonl"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    n_kills = 0
    with serving(ScriptedServer(lambda prompt, _: "delay")) as server:
        for round_ in range(12):
            kept = (
                {r["key"] for r in read_jsonl(store, skip_broken=True)}
                if store.is_file()
                else set()
            )
            process = subprocess.Popen(
                [sys.executable, "-c", SCRIPT, server.base_url, str(store)],
                env=environment,
                stdout=subprocess.PIPE,
            )
            target = server.n_asked + 10 + int(40 * unit_hash(0, "kill", round_))
            while process.poll() is None and server.n_asked < target:
                time.sleep(0.002)
            if process.poll() is None and round_ < 4:
                process.send_signal(signal.SIGKILL)
                n_kills += 1
            process.communicate()
            rows = read_jsonl(store, skip_broken=True)
            assert kept <= {r["key"] for r in rows} and len(rows) == len({r["key"] for r in rows})
            if process.returncode == 0:
                break
        assert n_kills >= 2 and process.returncode == 0 and len(rows) == 150
        # What was asked twice was in flight when a process died: at most eight requests a kill.
        assert sum(n - 1 for n in server.asked.values()) <= 8 * n_kills
        client(server, store).complete(chats(150))
        assert sum(n - 1 for n in server.asked.values()) <= 8 * n_kills


@pytest.mark.slow
def test_the_budget_stops_within_the_requests_in_flight(tmp_path):
    with serving(ScriptedServer(lambda prompt, _: "delay")) as server:
        # Every request costs 2 prompt and 9 reply tokens.
        with pytest.raises(BudgetReached, match="tokens spent; raise the budget"):
            client(server, tmp_path / "s.jsonl", budget_tokens=400, max_concurrency=5).complete(
                chats(200)
            )
        n_spent = sum(open_store(tmp_path / "s.jsonl").tokens())
        assert 400 <= n_spent < 400 + 11  # the budget and one request, however many at once
        n_asked = server.n_asked
        with pytest.raises(BudgetReached):  # a second run does not start from zero
            client(server, tmp_path / "s.jsonl", budget_tokens=400, max_concurrency=5).complete(
                chats(200)
            )
        assert server.n_asked == n_asked
        with pytest.raises(BudgetReached, match="USD spent"):
            client(
                server,
                tmp_path / "u.jsonl",
                budget_usd=0.0005,
                usd_per_million_reply_tokens=10.0,
                max_concurrency=1,
            ).complete(chats(50, "usd"))
        # Nine reply tokens at 10 USD a million are 0.00009 USD: six replies reach 0.0005.
        assert len(open_store(tmp_path / "u.jsonl")) == 6
        assert (
            len(client(server, tmp_path / "s.jsonl", budget_tokens=10_000).complete(chats(200)))
            == 200
        )
    with pytest.raises(UserError, match="needs the prices"):
        client(server, budget_usd=1.0)


def test_the_dry_run_asks_nothing_and_foresees_the_rest(tmp_path):
    with serving(ScriptedServer()) as server:
        judge = client(
            server,
            tmp_path / "s.jsonl",
            usd_per_million_prompt_tokens=1.0,
            usd_per_million_reply_tokens=2.0,
        )
        judge.complete(chats(4))
        n_asked = server.n_asked
        plan = judge.plan(chats(10), count_tokens=lambda text: len(text.split()))
        assert (plan.n_requests, plan.n_stored, plan.n_prompt_tokens, plan.n_reply_tokens_max) == (
            10,
            4,
            12,
            54,
        )
        assert plan.usd_max == pytest.approx((12 + 2 * 54) / 1e6)
        assert "10 requests, 4 stored already" in str(plan) and server.n_asked == n_asked


def test_the_dry_run_of_a_generation(tmp_path):
    samples, store = make_samples(9), tmp_path / "s.jsonl"
    with serving(ScriptedServer()) as server:
        spec = GeneratorSpec(
            "server",
            "m",
            server.base_url,
            max_reply_tokens=50,
            usd_per_million_reply_tokens=10.0,
            extra={"progress": False},
        )
        plan = plan_critiques(samples, open_generator(spec), store=store)
        assert (plan.n_requests, plan.n_stored, plan.n_reply_tokens_max) == (
            18,
            0,
            900,
        ) and plan.usd_max == pytest.approx(0.009)
        assert server.n_asked == 0
        generate_critiques(samples[:4], open_generator(spec), store=store)
        assert (
            plan_critiques(samples, open_generator(spec), store=store).n_stored
            == 8
            == server.n_asked
        )
        assert (
            plan_critiques(
                samples, open_generator(spec), store=store, method="sample", n_samples=3
            ).n_requests
            == 27
        )
    assert plan_critiques(samples, open_generator(GeneratorSpec("teacher")), store=None) is None


def test_concurrency_is_bounded_and_equal_requests_are_asked_once():
    with serving(ScriptedServer(lambda prompt, _: "delay")) as server:
        server.delay_seconds = 0.2
        replies = client(server, max_concurrency=3).complete(chats(12) + chats(12))
        assert server.most_in_flight == 3 and server.n_asked == 12
        assert replies[:12] == replies[12:] and replies[0].n_reply_tokens == 9


def test_one_pause_for_all_when_the_server_says_so():
    with serving(
        ScriptedServer(lambda prompt, n: "429" if prompt == "hello 0" and n == 0 else None)
    ) as server:
        begin = time.monotonic()
        client(server, max_concurrency=1).complete(chats(3))
        assert time.monotonic() - begin > 0.05
        server.extra_headers = {
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": "150ms",
        }
        begin = time.monotonic()
        client(server, max_concurrency=4).complete(chats(9, "limited"))
        assert time.monotonic() - begin > 0.15
        server.extra_headers = {
            "x-ratelimit-remaining-tokens": "0",
            "x-ratelimit-reset-tokens": "2h",
        }
        with pytest.raises(UserError, match="asks to wait 7"):
            client(server, max_concurrency=1).complete(chats(3, "daily"))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6m0s", 360.0),
        ("1.5s", 1.5),
        ("120ms", 0.12),
        ("1h2m3s", 3723.0),
        ("7", 7.0),
        ("", 0.0),
        ("soon", 0.0),
    ],
)
def test_durations_of_rate_limit_headers(text, seconds):
    assert duration_seconds(text) == pytest.approx(seconds)


def test_retry_after_in_all_its_forms():
    assert retry_after_seconds({"retry-after": "3"}) == 3.0
    assert retry_after_seconds({"retry-after-ms": "250", "retry-after": "3"}) == 0.25
    assert retry_after_seconds({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0.0
    assert retry_after_seconds({"retry-after": "whenever"}) == retry_after_seconds({}) == 0.0
    pacer = Pacer()
    pacer.see(200, {"retry-after": "50"})  # only a refusal makes it count
    assert pacer._open_at <= time.monotonic()


def test_a_failed_request_is_an_error_and_the_others_are_kept(tmp_path):
    with serving(
        ScriptedServer(lambda prompt, _: "400" if prompt == "hello 3" else None)
    ) as server:
        with pytest.raises(ServerError, match="1 of 6 requests to m failed; the first: HTTP 400"):
            client(server, tmp_path / "s.jsonl").complete(chats(6))
        assert len(open_store(tmp_path / "s.jsonl")) == 5
        replies = client(server, tmp_path / "s.jsonl").complete(chats(6), on_failure="return")
        assert [r.finish_reason for r in replies] == ["stop"] * 3 + ["error"] + ["stop"] * 2
        assert replies[3].text == "" and "HTTP 400" in replies[3].error
        assert server.asked[("hello 3", 3)] == 2 and server.n_asked == 7


def test_a_reply_that_stays_unreadable_is_given_up():
    with serving(
        ScriptedServer(lambda prompt, _: "malformed" if prompt == "hello 1" else None)
    ) as server:
        replies = client(server, max_retries=1).complete(chats(3), on_failure="return")
        assert replies[1].error.startswith("malformed reply") and server.asked[("hello 1", 1)] == 2


@pytest.mark.parametrize(
    ("status", "message"),
    [("401", "refuses the key .HTTP 401.; set SELENE_TEST_KEY"), ("404", "knows no model 'm'")],
)
def test_what_no_retry_can_mend_stops_at_once(status, message, monkeypatch):
    monkeypatch.setenv("SELENE_TEST_KEY", "sk-very-secret")
    with serving(ScriptedServer(lambda *_: status)) as server:
        with pytest.raises(UserError, match=message) as caught:
            client(server, api_key_env="SELENE_TEST_KEY", max_concurrency=2).complete(chats(50))
        assert "sk-very-secret" not in str(caught.value) and server.n_asked <= 2


def test_no_server_is_said_after_a_few_tries():
    with pytest.raises(UserError, match="is the server up"):
        ServerClient("http://127.0.0.1:9/v1", "m", progress=False, max_retries=0).complete(
            chats(100)
        )


def test_the_key_reaches_the_server_and_nothing_else(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("SELENE_TEST_KEY", "sk-very-secret")
    with serving(
        ScriptedServer(lambda prompt, n: "400" if prompt == "hello 1" else None)
    ) as server:
        judge = client(server, tmp_path / "s.jsonl", api_key_env="SELENE_TEST_KEY")
        judge.progress = True
        replies = judge.complete(chats(4), on_failure="return")
        assert {k.lower(): v for k, v in server.headers[0].items()}[
            "authorization"
        ] == "Bearer sk-very-secret"
    told = "".join(
        [
            repr(judge),
            repr(judge.__dict__),
            repr(replies),
            (tmp_path / "s.jsonl").read_text(),
            *capfd.readouterr(),
        ]
    )
    assert "[key]" in replies[1].error  # the server repeated the key in its message
    assert "sk-very-secret" not in told


def test_log_probabilities_are_kept(tmp_path):
    with serving(ScriptedServer()) as server:
        (plain,) = client(server, tmp_path / "s.jsonl").complete(chats(1))
        (asked,) = client(server, tmp_path / "s.jsonl").complete(
            [ChatRequest(chats(1)[0].messages, seed=0, max_tokens=9, logprobs=5)]
        )
    assert (
        plain.logprobs is None and asked.logprobs is None and server.n_asked == 2
    )  # this server gives none, and says nothing
    from selene_lib.models.bodies import read_logprobs

    token = {
        "token": "A",
        "logprob": -0.1,
        "top_logprobs": [{"token": "A", "logprob": -0.1}, {"token": "B", "logprob": -2.4}],
    }
    assert read_logprobs({"logprobs": {"content": [token]}}) == [
        {"token": "A", "logprob": -0.1, "top": {"A": -0.1, "B": -2.4}}
    ]


def test_it_runs_inside_a_running_loop_as_in_a_notebook():
    import asyncio

    async def cell(server: ScriptedServer):
        return client(server).complete(chats(3))

    with serving(ScriptedServer()) as server:
        assert [r.finish_reason for r in asyncio.run(cell(server))] == ["stop"] * 3


def test_every_part_of_a_request_makes_its_key():
    judge = ServerClient("http://127.0.0.1:9/v1", "m")
    base = ChatRequest([{"role": "user", "content": "x"}], seed=1)
    others = [
        ChatRequest([{"role": "user", "content": "y"}], seed=1),
        ChatRequest(base.messages, seed=2),
        ChatRequest(base.messages, seed=1, attempt=1),
        ChatRequest(base.messages, seed=1, temperature=0.5),
        ChatRequest(base.messages, seed=1, max_tokens=5),
        ChatRequest(base.messages, seed=1, logprobs=3),
    ]
    keys = {judge.key(r) for r in [base, *others]} | {ServerClient("http://x", "other").key(base)}
    assert len(keys) == 8
    assert judge.key(base) == ServerClient("http://elsewhere/v1", "m").key(
        ChatRequest(base.messages, seed=1)
    )


def test_a_store_survives_half_a_line_and_has_one_writer(tmp_path):
    path = tmp_path / "s.jsonl"
    with ReplyStore(path) as store:
        store.put(
            [{"key": "a", "model": "m", "text": "x", "n_prompt_tokens": 2, "n_reply_tokens": 3}]
        )
        with pytest.raises(ValueError, match="already stored"):
            store.put([{"key": "a"}])
        with pytest.raises(UserError, match="written by another process"):
            ReplyStore(path)
    with open(path, "a") as stream:
        stream.write('{"key": "b", "te')
    with ReplyStore(path) as store:
        assert (
            store.get("b") is None
            and store.get("a")["text"] == "x"
            and store.tokens("m") == (2, 3)
            and store.tokens("other") == (0, 0)
        )
        store.put([{"key": "c"}])
    assert [
        json.loads(line)["key"] for line in path.read_text().splitlines() if '"b"' not in line
    ] == ["a", "c"]
    assert open_store(path) is not None


def test_a_cell_run_twice_gets_the_same_store(tmp_path):
    first = open_store(tmp_path / "s.jsonl")
    assert open_store(tmp_path / "s.jsonl") is first
    first.close()
    second = open_store(tmp_path / "s.jsonl")
    assert second is not first and second.is_open
