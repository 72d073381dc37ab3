"""A served judge against every fault that was seen, budgets, and kills; it prints its counts.

`make test` runs it on few rows; the marker `faults` is the long part.
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

sys.path.insert(0, str(Path(__file__).parent))
from faulty_server import ALL, FaultyServer, expected_status, serving

from selene_lib.data.tables import read_table
from selene_lib.errors import UserError
from selene_lib.files import read_jsonl
from selene_lib.judge import Judge, judge_file
from selene_lib.judges.judging import plan_questions
from selene_lib.models.limits import BudgetReached
from selene_lib.records import Judgement, Sample

RUBRIC = "Is it right?\n" + "\n".join(f"Score {n}: level {n}" for n in range(1, 6))
COST = 120  # tokens of one answer


def write_rows(path: Path, n: int) -> Path:
    rows = [{"instruction": f"do {i}", "response": f"done {i}", "rubric": RUBRIC} for i in range(n)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def prompts_of(n: int) -> list[str]:
    samples = [
        Sample(f"s{i}", "t", "absolute", f"do {i}", f"done {i}", rubric=RUBRIC) for i in range(n)
    ]
    return [q.prompt.text for q in plan_questions(samples)]


def judge(server: FaultyServer, source: Path, output: Path, **options):
    return judge_file(
        source,
        output,
        task="absolute",
        model=f"{server.base_url}#m",
        progress=False,
        **{"max_concurrency": 16, **options},
    )


def check_faults(tmp_path: Path, n: int, share: float) -> None:
    source, output = write_rows(tmp_path / "in.jsonl", n), tmp_path / "out.jsonl"
    with serving(FaultyServer(share)) as server:
        done = judge(server, source, output)
        n_requests = sum(server.asked.values())
        found = read_table(output)
        wanted = [expected_status(prompt, share) for prompt in prompts_of(n)]
        assert [row["status"] for row in found] == wanted
        assert all(row["reason"] for row in found if row["status"] != "value")
        assert max(server.paid.values()) == 1
        again = judge(server, source, output)
        assert (again.n_failed, again.n_unparsed) == (done.n_failed, done.n_unparsed)
        # what the server refused for good is not asked again; an answer that was no reply is
        asked_again = sum(server.asked.values()) - n_requests
        n_transient = sum("error" in r["reason"] or "HTML" in r["reason"] for r in found)
        assert asked_again <= 2 * n_transient and max(server.paid.values()) == 1
        print(
            f"{share:.0%} of {n} rows faulty in {len(ALL)} ways: {n_requests} requests, "
            f"{done.n_failed} failed, {done.n_unparsed} without a verdict, 0 paid twice"
        )
    if share <= 0.1:
        assert n_requests / n <= 1.15


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.1, 0.3])
def test_every_row_ends_as_a_value_or_a_counted_reason(tmp_path, share):
    check_faults(tmp_path, 200, share)


@pytest.mark.faults
@pytest.mark.parametrize("share", [0.1, 0.3])
def test_two_thousand_rows_end_as_values_or_counted_reasons(tmp_path, share):
    check_faults(tmp_path, 2000, share)


@pytest.mark.slow
@pytest.mark.parametrize("connections", [1, 16, 64])
def test_a_budget_is_passed_by_one_request_at_most(tmp_path, connections):
    source = write_rows(tmp_path / "in.jsonl", 80)
    with serving(FaultyServer(0.3, delay_seconds=0.01)) as server:
        for _ in range(2):  # a second run does not start from zero
            with pytest.raises(BudgetReached, match="of 2400 tokens"):
                judge(
                    server,
                    source,
                    tmp_path / "out.jsonl",
                    max_concurrency=connections,
                    budget_tokens=2400,
                )
            spent = sum(
                j.n_prompt_tokens + j.n_reply_tokens
                for j in read_jsonl(tmp_path / "out.jsonl.replies.jsonl", Judgement)
            )
            # replies without a count are estimated, so that the server's own sum may differ
            assert 2400 <= spent <= 2400 + 1500
            assert server.tokens <= 2400 + COST + 1500
        print(f"{connections} connections: budget 2400, spent {spent}, billed {server.tokens}")


@pytest.mark.slow
@pytest.mark.parametrize("connections", [1, 16, 64])
def test_a_budget_of_counted_replies_is_kept_to_one_request(tmp_path, connections):
    source = write_rows(tmp_path / "in.jsonl", 80)
    with serving(FaultyServer(delay_seconds=0.01)) as server:
        with pytest.raises(BudgetReached):
            judge(
                server,
                source,
                tmp_path / "out.jsonl",
                max_concurrency=connections,
                budget_tokens=1200,
            )
        assert 1200 <= server.tokens < 1200 + COST


STOPS = [
    (401, {"error": {"message": "no"}}, "refuses the key"),
    (404, {"error": {"message": "no"}}, "knows no model 'm'"),
    (402, {"error": {"message": "no credit left"}}, "credit or quota .* is used up"),
    (429, {"error": {"message": "x", "code": "insufficient_quota"}}, "credit or quota"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("status", "payload", "words"), STOPS)
def test_what_concerns_all_rows_stops_at_once_and_all_paid_is_stored(
    tmp_path, status, payload, words
):
    source, output = write_rows(tmp_path / "in.jsonl", 120), tmp_path / "out.jsonl"
    with serving(FaultyServer()) as server:
        server.stop_after = (40, status, payload)
        with pytest.raises(UserError, match=words) as caught:
            judge(server, source, output)
        assert "\n" not in str(caught.value)
        assert sum(server.asked.values()) <= 40 + 16
        rows = read_jsonl(tmp_path / "out.jsonl.replies.jsonl", Judgement)
        assert len(rows) == len(server.paid) == 40
        server.stop_after = None
        assert judge(server, source, output).n_unparsed == 0
        assert max(server.paid.values()) == 1 and len(server.paid) == 120


def test_a_wrong_key_or_address_costs_one_request(tmp_path):
    source = write_rows(tmp_path / "in.jsonl", 50)
    with serving(FaultyServer()) as server:
        server.stop_after = (0, 401, {"error": {"message": "no"}})
        with pytest.raises(UserError, match="refuses the key"):
            judge(server, source, tmp_path / "out.jsonl", max_concurrency=64)
        assert sum(server.asked.values()) == 1
    with pytest.raises(UserError, match="is the server up"):
        judge(server, source, tmp_path / "out.jsonl")


@pytest.mark.slow
def test_a_second_run_of_failing_rows_alone_ends_with_those_rows_counted(tmp_path, monkeypatch):
    """Many rows fail for good although the server is up: that it answered stands in the store."""
    from selene_lib.models import asking

    monkeypatch.setattr(asking, "_HOPELESS", 2)
    source, output = write_rows(tmp_path / "in.jsonl", 200), tmp_path / "out.jsonl"
    with serving(FaultyServer(0.6)) as server:
        first = judge(server, source, output)
        again = judge(server, source, output)
        assert again.n_failed == first.n_failed > 20
        assert max(server.paid.values()) == 1


def test_one_judge_asks_nothing_twice_and_its_budget_holds_over_all_calls(tmp_path):
    with serving(FaultyServer()) as server:
        model = f"{server.base_url}#m"
        mine = Judge(model, budget_tokens=3 * COST)
        for text in ("one", "one", "two", "one"):
            assert mine.score(text, rubric=RUBRIC).verdict == 4
        assert sum(server.asked.values()) == 2
        mine.score("three", rubric=RUBRIC)
        with pytest.raises(BudgetReached):
            mine.score("four", rubric=RUBRIC)
        assert mine.score("two", rubric=RUBRIC).verdict == 4
        assert server.tokens == 3 * COST
        for budget in (2 * COST, COST):  # a store's replies count in the budget of a later session
            kept = Judge(model, store=tmp_path / "store.jsonl", budget_tokens=budget)
            assert kept.score("five", rubric=RUBRIC).verdict == 4
            kept.judge.client.opened().close()
        with pytest.raises(BudgetReached):
            kept.score("six", rubric=RUBRIC)
        assert server.tokens == 4 * COST


def kill_and_go_on(tmp_path: Path, n_rows: int, n_kills: int) -> None:
    source, output = write_rows(tmp_path / "in.jsonl", n_rows), tmp_path / "out.jsonl"
    signals = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
    connections, killed = 8, 0
    with serving(FaultyServer(delay_seconds=0.02)) as server:
        command = [sys.executable, "-m", "selene_lib.cli", "judge", "--task", "absolute"]
        command += ["--input", str(source), "--output", str(output)]
        command += ["--model", f"{server.base_url}#m", "--concurrency", str(connections)]
        step = n_rows // (n_kills + 1)
        for round_ in range(n_kills):
            process = subprocess.Popen(
                command,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            while process.poll() is None and len(server.paid) < step * (round_ + 1):
                time.sleep(0.002)
            if process.poll() is None:
                process.send_signal(signals[round_ % len(signals)])
                killed += 1
            error = process.communicate()[1].decode()
            assert "Traceback" not in error, error
            with pytest.raises(ProcessLookupError):
                os.killpg(process.pid, 0)
        done = judge(server, source, output, max_concurrency=connections)
    n_twice = sum(n - 1 for n in server.paid.values())
    print(f"{killed} kills of {n_rows} rows at {connections} connections: {n_twice} paid twice")
    assert killed and n_twice <= connections * killed and done.n_unparsed == 0
    assert not list(tmp_path.glob("*.tmp")) + list(tmp_path.glob(".*.tmp"))
    undisturbed = tmp_path / "undisturbed.jsonl"
    with serving(FaultyServer()) as other:
        judge(other, source, undisturbed)
    assert undisturbed.read_bytes() == output.read_bytes()


@pytest.mark.slow
def test_killed_it_pays_again_at_most_what_was_in_flight(tmp_path):
    kill_and_go_on(tmp_path, 120, 3)


@pytest.mark.faults
def test_twenty_kills_pay_again_at_most_what_was_in_flight(tmp_path):
    kill_and_go_on(tmp_path, 1000, 20)
