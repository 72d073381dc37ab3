"""Published replies and labels of real judges, replayed through our prompts, parser and scores: the
numbers must not move.

Files are the publishers' own (see the `data_dir` fixture); the values below were computed from them
once, independently of our scoring.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from replayed import replay_judge

from selene_lib.data import load
from selene_lib.data.benchmarks import BENCHMARKS
from selene_lib.evaluation.scoring import headline, score_set
from selene_lib.evaluation.scoring.lenient import lenient_scores
from selene_lib.files import read_jsonl
from selene_lib.judges.judging import Asking, judge_samples
from selene_lib.prompts.rendering import format_reply
from selene_lib.records import Sample


def rows_of(folder: Path, *names: str) -> list[dict]:
    if not all((folder / name).is_file() for name in names):
        pytest.skip(f"{folder.name} is not among the published files here")
    return [row for name in names for row in read_jsonl(folder / name)]


def replayed(name: str, samples: list[Sample], texts: dict, store: Path):
    judge = replay_judge(name, samples, texts)
    kept = [s for s in samples if (s.id, "AB") in texts]
    asking = Asking(orders="AB")
    return kept, judge_samples(judge, "anchor", kept, asking, store=store, progress=False)


@pytest.fixture(scope="module")
def biggen(data_dir):
    files = [f"human_eval_{part}.jsonl" for part in ("grounding", "refinement", "safety")]
    rows = [row for row in rows_of(data_dir / "biggen_bench", *files) if row["human_score"] != -1]
    samples = load(BENCHMARKS["biggen_bench"], data_dir=data_dir).samples
    by_key = {(row["id"], row["model_name"]): row for row in rows}
    assert len(by_key) == len(rows) == len(samples) == 1017
    return samples, [by_key[s.meta["item"], s.meta["model"]] for s in samples]


@pytest.mark.parametrize(
    ("field", "n", "expected"),
    [
        ("gpt4_score", 1017, 0.632464),
        ("gpt4_04_turbo_score", 1017, 0.643034),
        ("claude_score", 1017, 0.579560),
        ("prometheus_8x7b_bgb_score", 945, None),
    ],
)
def test_judges_of_biggen_bench_against_its_human_scores(biggen, tmp_path, field, n, expected):
    samples, rows = biggen
    scores = {
        s.id: row[field][0] if isinstance(row[field], list) else row[field]
        for s, row in zip(samples, rows)
        if row[field] is not None
    }
    texts = {
        (i, "AB"): format_reply("as published", str(int(score))) for i, score in scores.items()
    }
    kept, judgements = replayed(field, samples, texts, tmp_path / "store.jsonl")
    (main,) = headline(score_set(kept, judgements, judge=field, set_name="anchor", n_resamples=300))
    human = np.array([s.score for s in kept])
    direct = np.corrcoef([scores[s.id] for s in kept], human)[0, 1]
    assert (main.n, main.n_unparsed) == (n, 0) and main.value == pytest.approx(direct, abs=1e-9)
    assert main.bound_low == main.bound_high == main.value
    assert main.ci95_low < main.value < main.ci95_high and main.meta["n_groups"] < n
    if expected is not None:
        assert main.value == pytest.approx(expected, abs=1e-6)


def test_gpt4_answers_on_infobench_give_its_requirement_ratio(data_dir, tmp_path):
    rows = rows_of(data_dir / "infobench", "GPT4_DecomposeEval.jsonl")
    samples, texts = [], {}
    for row in rows:
        for i, (question, answer) in enumerate(
            zip(row["decomposed_questions"], row["eval"], strict=True)
        ):
            s = Sample(
                f"{row['id']}-{i}",
                "infobench",
                "classification",
                row["instruction"],
                row["output"],
                rubric=question,
                label="Yes",
                group=row["id"],
                meta={"subset": row["subset"]},
            )
            samples.append(s)
            texts[s.id, "AB"] = format_reply(None, "Yes" if answer else "No")
    kept, judgements = replayed("GPT-4", samples, texts, tmp_path / "store.jsonl")
    (main,) = headline(
        score_set(kept, judgements, judge="GPT-4", set_name="anchor", n_resamples=300)
    )
    assert (main.n, main.n_unparsed) == (2250, 0) and main.value == pytest.approx(1971 / 2250)
    assert main.meta["n_groups"] == 500
    for subset, n_yes, n in (("Easy_set", 610, 690), ("Hard_set", 1361, 1560)):
        part = [s for s in kept if s.meta["subset"] == subset]
        (row,) = headline(
            score_set(part, judgements, judge="GPT-4", set_name="anchor", n_resamples=50)
        )
        assert (row.n, row.value) == (n, pytest.approx(n_yes / n))


def test_gpt4_comparing_critiques_gives_the_published_win_rate_of_auto_j(data_dir, tmp_path):
    """Published beside Auto-J (project page, critique generation): win 73.7, tie 2.2, lose 24.1
    against ChatGPT's critiques.
    """
    folder = data_dir / "auto_j"
    replies = rows_of(folder, "gpt-4-Eval_auto-j_vs_chatgpt.jsonl")
    items = rows_of(folder, "testdata_critique.jsonl")
    others = rows_of(folder, "reference_chatgpt_critique.jsonl")
    samples, texts = [], {}
    for i, (reply, item, other) in enumerate(zip(replies, items, others, strict=True)):
        first, second = item["critiques"]["autoj"], other["output"]
        shown = (second, first) if reply["meta"]["exchange"] else (first, second)
        samples.append(
            Sample(
                f"c{i}",
                "auto_j",
                "pairwise",
                item["prompt"],
                *shown,
                label="B" if reply["meta"]["exchange"] else "A",
            )
        )
        choice = reply["output"].split(":")[0].strip()
        texts[f"c{i}", "AB"] = format_reply(
            reply["output"], choice if choice in "AB" else "neither"
        )
    kept, judgements = replayed("GPT-4", samples, texts, tmp_path / "store.jsonl")
    (main,) = headline(
        score_set(kept, judgements, judge="GPT-4", set_name="anchor", n_resamples=300)
    )
    assert main.n == 232 and main.meta["statuses"] == {"abstained": 5}
    win, tie = main.value, main.n_unparsed / main.n
    assert [round(100 * share, 1) for share in (win, tie, 1 - win - tie)] == [73.7, 2.2, 24.1]
    assert main.bound_high == pytest.approx(win + tie)


def test_what_half_a_point_would_claim_for_the_same_replies(data_dir, tmp_path):
    replies = rows_of(data_dir / "auto_j", "gpt-4-Eval_auto-j_vs_chatgpt.jsonl")
    samples = [
        Sample(
            f"c{i}",
            "auto_j",
            "pairwise",
            f"which, {i}",
            "one",
            "two",
            label="AB"[row["meta"]["exchange"]],
        )
        for i, row in enumerate(replies)
    ]
    texts = {(s.id, "AB"): f"**Result:** {row['output'][0]}" for s, row in zip(samples, replies)}
    kept, judgements = replayed("GPT-4", samples, texts, tmp_path / "store.jsonl")
    rows, items = lenient_scores(kept, judgements, judge="GPT-4", set_name="anchor")
    half = next(row for row in rows if row.rule == "RewardBench")
    assert half.n_differ == 5 and half.gain == pytest.approx(2.5 / 232, abs=1e-9)
    assert {json.loads(json.dumps(i.reply)) for i in items if i.rule == "RewardBench"} == {
        "**Result:** C"
    }
