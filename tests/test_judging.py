"""Judging a set: nothing asked twice, whatever kills the process; the probe of the second order;
judging one's own files.
"""

from __future__ import annotations

import csv
import json
import os
import random
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path

import pytest

from selene_lib.data.table_writing import write_table
from selene_lib.data.tables import read_table
from selene_lib.errors import UserError
from selene_lib.evaluation.audit.swap_probe import (
    is_doubtful,
    judge_with_swap_probe,
    measure_swap_probe,
)
from selene_lib.evaluation.scoring.rescore import read_judgements, read_samples, rescore
from selene_lib.files import PathLock, read_jsonl, write_jsonl
from selene_lib.judge import Judge, item_results, judge_file
from selene_lib.judges.judging import Asking, judge_samples, plan_questions, random_order
from selene_lib.judges.protocol import Reply
from selene_lib.prompts.rubrics import read_rubric
from selene_lib.records import Judgement, Sample

BA = Asking(orders="BA")


class RuleJudge:
    """Answers by a rule on the prompt's text, and remembers what it was asked."""

    name, fingerprint = "rule", "f1"

    def __init__(self, rule=lambda prompt: "**Result:** A") -> None:
        self.rule, self.asked = rule, []

    def judge(self, prompts):
        self.asked += [p.sha256 for p in prompts]
        return [
            Reply(self.rule(p), n_prompt_tokens=len(p.text.split()), n_reply_tokens=3)
            for p in prompts
        ]


def pair(i: int, **changes) -> Sample:
    return Sample(
        **{
            "id": f"p{i}",
            "source": "t",
            "task": "pairwise",
            "instruction": f"do {i}",
            "response": f"one {i}",
            "response_b": f"two {i}",
            **changes,
        }
    )


def test_both_orders_in_a_fixed_order_and_nothing_asked_twice(tmp_path):
    samples, judge = [pair(i) for i in range(5)], RuleJudge()
    found = judge_samples(judge, "toy", samples, store=tmp_path / "s.jsonl", progress=False)
    assert [(j.sample_id, j.order) for j in found] == [
        (s.id, order) for s in samples for order in ("AB", "BA")
    ]
    assert (
        len(judge.asked) == 10
        and judge_samples(judge, "toy", samples, store=tmp_path / "s.jsonl", progress=False)
        == found
    )
    more = judge_samples(
        judge, "toy", [pair(9), *samples], store=tmp_path / "s.jsonl", progress=False
    )
    assert (
        len(judge.asked) == 12
        and more[2:] == found
        and read_jsonl(tmp_path / "s.jsonl", Judgement) == [*found, *more[:2]]
    )


def test_one_order_each_by_the_items_hash(tmp_path):
    samples = [pair(i) for i in range(40)]
    found = judge_samples(
        RuleJudge(),
        "toy",
        samples,
        Asking(orders="random", seed=7),
        store=tmp_path / "s.jsonl",
        progress=False,
    )
    assert [j.order for j in found] == [random_order(s.id, 7) for s in samples]
    assert 8 < Counter(j.order for j in found)["AB"] < 32
    with pytest.raises(UserError, match="orders 'backwards'"):
        plan_questions(samples, Asking(orders="backwards"))
    with pytest.raises(ValueError, match="'p0' occurs 2 times"):
        plan_questions([pair(0), pair(0)])


def test_a_changed_wording_is_another_question(tmp_path):
    judge = RuleJudge()
    judge_samples(judge, "toy", [pair(0)], store=tmp_path / "s.jsonl", progress=False)
    judge_samples(
        judge, "toy", [pair(0, rubric="be kind")], store=tmp_path / "s.jsonl", progress=False
    )
    assert len(judge.asked) == 4


def test_a_store_of_other_weights_is_refused_and_half_a_line_costs_one_question(tmp_path):
    store, judge = tmp_path / "s.jsonl", RuleJudge()
    found = judge_samples(judge, "toy", [pair(i) for i in range(3)], store=store, progress=False)
    store.write_bytes(store.read_bytes()[:-40])
    assert (
        judge_samples(judge, "toy", [pair(i) for i in range(3)], store=store, progress=False)
        == found
    )
    assert len(judge.asked) == 7
    judge.fingerprint = "f2"
    with pytest.raises(UserError, match="another judge of the name 'rule'"):
        judge_samples(judge, "toy", [pair(i) for i in range(3)], store=store, progress=False)


def test_a_batch_bound_judge_computes_a_half_stored_batch_whole_again(tmp_path):
    store, judge, samples = tmp_path / "s.jsonl", RuleJudge(), [pair(i) for i in range(3)]
    found = judge_samples(judge, "toy", samples, store=store, progress=False)
    write_jsonl(store, found[:2])
    judge.asked, judge.batch_bound = [], True
    assert judge_samples(judge, "toy", samples, store=store, progress=False) == found
    assert len(judge.asked) == 6 and len(read_jsonl(store, Judgement)) == 6


def test_two_writers_of_one_store_are_refused(tmp_path):
    store = tmp_path / "s.jsonl"
    with (
        PathLock(store, busy="not this one"),
        pytest.raises(UserError, match="being written by another process"),
    ):
        judge_samples(RuleJudge(), "toy", [pair(0)], store=store, progress=False)


SCRIPT = """
    import sys, time
    from pathlib import Path
    from selene_lib.judges.protocol import Reply
    from selene_lib.judges.judging import judge_samples
    from selene_lib.records import Sample

    store, log = Path(sys.argv[1]), Path(sys.argv[2])

    class Slow:
        name, fingerprint = "slow", "f"
        def batches(self, prompts):
            return [list(range(i, min(i + 4, len(prompts)))) for i in range(0, len(prompts), 4)]
        def judge(self, prompts):
            with open(log, "a") as out:
                out.writelines(p.sha256 + "\\n" for p in prompts)
            time.sleep(0.02)
            return [Reply("**Result:** " + "AB"[len(p.text) % 2]) for p in prompts]

    samples = [Sample(f"p{i}", "t", "pairwise", "do" * i, "one", "two") for i in range(60)]
    judge_samples(Slow(), "toy", samples, store=store, progress=False)
"""


@pytest.mark.slow
def test_killed_at_random_points_it_goes_on_and_asks_nothing_again_that_was_answered(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(textwrap.dedent(SCRIPT))
    store, log = tmp_path / "s.jsonl", tmp_path / "asked.txt"
    command = [sys.executable, str(script), str(store), str(log)]
    rng, n_kills = random.Random(4), 0
    for _ in range(4):
        process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
        answered = len(log.read_text().splitlines()) if log.exists() else 0
        deadline = time.monotonic() + 20
        while process.poll() is None and time.monotonic() < deadline:
            if log.exists() and len(log.read_text().splitlines()) > answered + 8:
                time.sleep(rng.random() * 0.1)
                process.send_signal(signal.SIGKILL)
                n_kills += 1
                break
            time.sleep(0.005)
        process.wait()
    subprocess.run(command, check=True)
    asked = Counter(log.read_text().split())
    assert n_kills >= 2 and len(asked) == 120
    assert sum(asked.values()) - 120 <= 4 * n_kills  # only a batch in flight when it was killed
    rows = read_jsonl(store, Judgement, skip_broken=True)
    assert len(rows) == len({r.key for r in rows}) == 120
    undisturbed = tmp_path / "u.jsonl"
    subprocess.run(
        [sys.executable, str(script), str(undisturbed), str(tmp_path / "log2")], check=True
    )
    assert undisturbed.read_bytes() == store.read_bytes()


def probabilities(value: str, p: float) -> dict[str, float]:
    return {value: p, {"A": "B", "B": "A"}[value]: 1 - p}


class ProbeJudge(RuleJudge):
    """Prefers `one`; on odd pairs it prefers whatever comes first when it writes a critique, and
    doubts itself in the probe.
    """

    def judge(self, prompts):
        replies = []
        for prompt in prompts:
            number = int(re.search(r"\bdo (\d+)", prompt.text).group(1))
            one_first = prompt.text.index(f"one {number}") < prompt.text.index(f"two {number}")
            verdict = "A" if one_first else "B"
            probe = "Reasoning" not in prompt.text
            if number % 2 and not probe:
                verdict = "A"
            self.asked.append((number, probe))
            probs = probabilities(verdict, 0.6 if number % 2 else 0.97)
            text = (
                f"**Result:** {verdict}" if probe else f"**Reasoning:** so\n\n**Result:** {verdict}"
            )
            replies.append(Reply(text, "stop", 100, 3 if probe else 50, probs))
        return replies


def test_the_swap_probe_asks_again_only_where_it_doubts(tmp_path):
    samples = [pair(i) for i in range(8)]
    judge = ProbeJudge()
    probed = judge_with_swap_probe(
        judge, "toy", samples, store=tmp_path / "s.jsonl", threshold=0.9, progress=False
    )
    assert Counter(probe for _, probe in judge.asked) == {False: 12, True: 8}
    assert {j.sample_id for j in probed.second} == {"p1", "p3", "p5", "p7"} and len(
        probed.judgements
    ) == 16
    full = judge_samples(
        ProbeJudge(), "toy", samples, BA, store=tmp_path / "full.jsonl", progress=False
    )
    loose, tight = measure_swap_probe(probed.first, probed.probes, full, thresholds=(0.5, 0.9))
    assert (tight.n_flips, tight.n_caught, tight.n_asked_again, tight.share_caught) == (
        4,
        4,
        4,
        1.0,
    )
    assert (loose.n_caught, loose.n_asked_again) == (0, 0)
    assert (
        tight.reply_token_ratio == pytest.approx((8 * 50 + 8 * 3 + 4 * 50) / (8 * 50))
        and tight.reply_token_ratio_both == 2
    )
    with pytest.raises(ValueError, match="lacks its second order"):
        measure_swap_probe(probed.first, probed.probes, probed.second)
    with pytest.raises(UserError, match="pairwise samples only"):
        judge_with_swap_probe(
            judge, "toy", [Sample("x", "t", "absolute", "i", "r")], store=tmp_path / "x.jsonl"
        )


def test_a_probe_without_probabilities_is_doubted_for_its_verdict_alone(tmp_path):
    samples = [pair(0), pair(1)]
    first = judge_samples(
        RuleJudge(), "toy", samples, Asking(orders="AB"), store=tmp_path / "a.jsonl", progress=False
    )
    agree = judge_samples(
        RuleJudge(lambda p: "**Result:** B"),
        "toy",
        samples,
        BA,
        store=tmp_path / "b.jsonl",
        progress=False,
    )
    differ = judge_samples(
        RuleJudge(), "toy", samples, BA, store=tmp_path / "c.jsonl", progress=False
    )
    assert not is_doubtful(first[0], agree[0], 0.99) and is_doubtful(first[0], differ[0], 0.0)


RUBRIC = """Is the answer right?
1: wrong
2: mostly wrong
3: half right
Score 4: mostly right
5: right
"""


@pytest.fixture
def replay(tmp_path, monkeypatch):
    """Any judge name opens a rule judge: odd rows get 4, others nonsense."""
    judge = RuleJudge(
        lambda p: "**Reasoning:** ok\n\n**Result:** 4" if "odd" in p.text else "**Result:** maybe"
    )
    monkeypatch.setattr("selene_lib.judge.open_judge", lambda model, **options: judge)
    return judge


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_a_file_is_judged_in_its_own_format(tmp_path, replay, ending):
    rows = [
        {
            "instruction": f"do, {i}",
            "response": "odd" if i % 2 else "even",
            "note": "k",
            "label": "4",
        }
        for i in range(6)
    ]
    source, target = write_table(tmp_path / f"in{ending}", rows), tmp_path / f"out{ending}"
    (tmp_path / "rubric.txt").write_text(RUBRIC)
    result = judge_file(
        source,
        target,
        task="absolute",
        rubric=tmp_path / "rubric.txt",
        model="rule",
        progress=False,
    )
    assert (result.n, result.n_unparsed, result.n_inconsistent) == (6, 3, 0) and result.usage[
        "reply_tokens"
    ] == 18
    found = read_table(target)
    assert [r["status"] for r in found] == ["malformed", "value"] * 3 and {
        r["note"] for r in found
    } == {"k"}
    assert (
        found[1]["verdict"] == "4"
        and found[1]["reasoning"] == "ok"
        and float(found[1]["score"]) == 4
        and found[1]["judge"] == "rule"
        and found[0]["reason"]
    )
    accuracy = next(s for s in result.scores if s.metric == "accuracy")
    assert (accuracy.value, accuracy.bound_high) == (0.5, 1.0)
    before = len(replay.asked)
    judge_file(
        source,
        tmp_path / f"again{ending}",
        task="absolute",
        rubric=tmp_path / "rubric.txt",
        model="rule",
        store=result.store,
        progress=False,
    )
    kept = read_samples(target.with_name(f"{target.name}.samples.parquet"))
    assert rescore(kept, read_judgements(result.store))[0].n == len(kept)
    assert (
        len(replay.asked) == before
        and (tmp_path / f"again{ending}").read_bytes() == target.read_bytes()
    )


def test_pairs_of_a_file_are_judged_in_both_orders(tmp_path, monkeypatch):
    rule = RuleJudge(
        lambda p: (
            "**Result:** A"
            if "fickle" in p.text or p.text.index("good") < p.text.index("bad")
            else "**Result:** B"
        )
    )
    monkeypatch.setattr("selene_lib.judge.open_judge", lambda model, **options: rule)
    rows = [
        {"instruction": "go", "response": "bad", "response_b": "good"},
        {"instruction": "fickle", "response": "bad", "response_b": "good"},
    ]
    result = judge_file(
        write_table(tmp_path / "in.csv", rows),
        tmp_path / "out.csv",
        model="rule",
        progress=False,
    )
    found = read_table(tmp_path / "out.csv")
    assert [(r["verdict"], r["status"], r["verdict_ab"], r["verdict_ba"]) for r in found] == [
        ("B", "value", "B", "B"),
        ("", "inconsistent", "A", "B"),
    ]
    assert (result.n_inconsistent, result.n_unparsed) == (1, 0)


def test_one_line_judges_one_response(replay):
    finding = Judge("anything").score("an odd answer", instruction="do", rubric="good?")
    assert (finding.verdict, finding.status, finding.confidence) == (4, "value", None)
    assert (finding.label, finding.score, finding.reasoning) == ("4", 4.0, "ok")
    assert Judge("anything").score("even", rubric="good?").status == "malformed"
    assert item_results([], []) == []


def error_of(tmp_path: Path, content: str, name: str = "in.csv", **changes) -> str:
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError) as caught:
        judge_file(
            tmp_path / name,
            tmp_path / "out.csv",
            **{"task": "absolute", "model": "rule", "progress": False, **changes},
        )
    message = str(caught.value)
    assert "\n" not in message and not (tmp_path / "out.csv").exists()
    return message


def test_every_mistake_of_a_user_is_one_line(tmp_path, replay):
    good = "instruction,response,rubric\ngo,odd,r\n"
    assert "no column 'response' (there are: instruction, answer" in error_of(
        tmp_path, "instruction,answer\ngo,x\n"
    )
    assert "no column 'rubric'" in error_of(tmp_path, "instruction,response\ngo,x\n")
    assert "no column 'response_b'" in error_of(tmp_path, good, task="pairwise")
    assert "is empty" in error_of(tmp_path, "instruction,response\n")
    assert "is empty" in error_of(tmp_path, "")
    assert "is not one of .csv, .tsv, .jsonl" in error_of(tmp_path, good, name="in.txt")
    assert "not a workbook" in error_of(tmp_path, good, name="in.xlsx")
    assert "cannot read" in error_of(tmp_path, "not parquet", name="in.parquet")
    assert "line 2: not JSON" in error_of(
        tmp_path,
        '{"instruction": "a", "response": "x", "rubric": "r"}\n{oops\n',
        name="in.jsonl",
    )
    assert "not an object" in error_of(tmp_path, "[1]\n", name="in.jsonl")
    assert "row 2: response is missing" in error_of(
        tmp_path,
        "".join(
            json.dumps({"instruction": "a", "response": r, "rubric": "r"}) + "\n"
            for r in ("x", None)
        ),
        name="in.jsonl",
    )
    assert "task 'ranking'" in error_of(tmp_path, good, task="ranking")
    assert "has more fields than the header" in error_of(
        tmp_path, "instruction,response,rubric\na,b,c,d\n"
    )
    assert "label '9' is not one of" in error_of(
        tmp_path, "instruction,response,rubric,label\na,odd,c,9\n"
    )
    assert "no rubric at" in error_of(tmp_path, good, rubric=tmp_path / "none.txt")
    (tmp_path / "short.txt").write_text("Right?\n1: no\n5: yes\n")
    short = error_of(tmp_path, good, rubric=tmp_path / "short.txt")
    assert "line 3: level 5 follows level 1" in short
    assert "describes no Yes, No" in error_of(
        tmp_path, good, task="classification", rubric=tmp_path / "short.txt"
    )
    (tmp_path / "blank.txt").write_text("\n")
    assert "is empty" in error_of(tmp_path, good, rubric=tmp_path / "blank.txt")
    (tmp_path / "latin.csv").write_bytes("instruction,response\ncaf\xe9,x\n".encode("latin-1"))
    with pytest.raises(UserError, match="not UTF-8"):
        read_table(tmp_path / "latin.csv")
    with pytest.raises(UserError, match="no file"):
        judge_file(tmp_path / "absent.csv", tmp_path / "out.csv", task="absolute")


def test_rubrics_in_text_and_yaml_read_alike(tmp_path):
    (tmp_path / "r.txt").write_text(RUBRIC)
    (tmp_path / "r.yaml").write_text(
        "criterion: Is the answer right?\n"
        "scores: {1: wrong, 2: mostly wrong, 3: half right, 4: mostly right, 5: right}\n"
    )
    text = read_rubric(tmp_path / "r.txt", "absolute")
    assert (
        text == read_rubric(tmp_path / "r.yaml", "absolute")
        and text.splitlines()[4] == "Score 4: mostly right"
    )
    (tmp_path / "c.yaml").write_text(
        "criterion: Is it true?\nscores:\n  Yes: it is\n  No: it is not\n"
    )
    assert (
        read_rubric(tmp_path / "c.yaml", "classification")
        == "Is it true?\nYes: it is\nNo: it is not"
    )
    assert read_rubric(tmp_path / "r.txt", "pairwise") == "Is the answer right?"
    (tmp_path / "bad.yaml").write_text("criterion: [")
    with pytest.raises(UserError, match="not YAML"):
        read_rubric(tmp_path / "bad.yaml", "absolute")
    (tmp_path / "odd.yaml").write_text("- 1\n")
    with pytest.raises(UserError, match="needs the keys"):
        read_rubric(tmp_path / "odd.yaml", "absolute")


def test_tables_keep_what_csv_can_break(tmp_path):
    rows = [{"a": 'quote " comma, line\nbreak', "b": "ünï"}, {"a": "", "b": "x"}]
    for ending in (".csv", ".jsonl", ".parquet"):
        assert read_table(write_table(tmp_path / f"t{ending}", rows)) == rows
    assert next(csv.reader((tmp_path / "t.csv").read_text(encoding="utf-8").splitlines())) == [
        "a",
        "b",
    ]


def test_stored_judgements_keep_tokens_and_reasons(tmp_path):
    found = judge_samples(
        RuleJudge(lambda p: "**Result:** both"),
        "toy",
        [pair(0)],
        store=tmp_path / "s.jsonl",
        progress=False,
    )
    assert (
        found[0].status == "abstained" and found[0].meta["reason"] and found[0].n_reply_tokens == 3
    )
    write_jsonl(tmp_path / "copy.jsonl", found)
    assert read_jsonl(tmp_path / "copy.jsonl", Judgement) == found
