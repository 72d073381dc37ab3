"""Notebook 05: base and trained judges over all sets of a run, scored as often as you like."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from selene_lib.contamination import METHODS, REMOVING, Overlap, clean_part
from selene_lib.data.collection import SCORED_ROLES
from selene_lib.evaluation.scoring import (
    TaskMean,
    compare,
    headline,
    not_run_score,
    score_set,
    scores_table,
)
from selene_lib.evaluation.scoring.lenient import LenientRow, lenient_scores
from selene_lib.files import read_parquet
from selene_lib.judges.names import BASE, loss_of, main_arm
from selene_lib.paper.values import BASE_MODEL, SELENE_MINI, marked, published
from selene_lib.records import TASKS, Judgement, PreferencePair, Sample, Score

CLEAN = "clean part"
STRICTLY_CLEAN = "clean part, no 13 words and no short text in common"


@dataclass(frozen=True)
class _Scoring:
    """How every set of a run is scored."""

    judge: str
    n_resamples: int
    seed: int

    def score(
        self, samples: Sequence[Sample], judgements: Sequence[Judgement], name: str
    ) -> list[Score]:
        return score_set(
            samples,
            judgements,
            judge=self.judge,
            set_name=name,
            published_as=published_name(self.judge),
            n_resamples=self.n_resamples,
            seed=self.seed,
        )


def score_sets(
    sets: Mapping[str, Sequence[Sample]],
    judgements: Sequence[Judgement],
    catalogue: pd.DataFrame,
    overlaps: Sequence[Overlap],
    *,
    n_resamples: int,
    seed: int,
) -> list[Score]:
    """Score every judge on every set, and on the part of it that no training text repeats.

    `catalogue` is the table of sets of notebook 01 (name, role, task, status); sets that are not
    there are `not run` rows.
    """
    by_cell: dict[tuple[str, str], list[Judgement]] = {}
    for judgement in judgements:
        by_cell.setdefault((judgement.judge, judgement.set), []).append(judgement)
    judges = list(dict.fromkeys(judge for judge, _ in by_cell))
    scores: list[Score] = []
    for judge in judges:
        scoring = _Scoring(judge, n_resamples, seed)
        for row in catalogue.to_dict("records"):
            name = row["name"]
            if row["role"] not in SCORED_ROLES:
                continue
            if name not in sets:
                scores.append(_absent(judge, row))
                continue
            cell = by_cell[judge, name]
            scores += scoring.score(sets[name], cell, name)
            scores += _clean_scores(scoring, sets[name], cell, name, overlaps)
    return scores


def published_name(judge: str) -> str:
    """Return whose published values stand beside this judge: the base's or Selene Mini's."""
    return BASE_MODEL if judge == BASE else SELENE_MINI


def _absent(judge: str, row: Mapping[str, Any]) -> Score:
    metric = "pearson" if row["task"] == "absolute" else "accuracy"
    return not_run_score(
        judge,
        row["name"],
        row["task"],
        metric,
        published(published_name(judge), row["name"]),
        row["status"],
    )


def _clean_scores(
    scoring: _Scoring,
    samples: Sequence[Sample],
    cell: Sequence[Judgement],
    name: str,
    overlaps: Sequence[Overlap],
) -> list[Score]:
    """The headline rows over the clean part, where that is neither nothing nor the whole set.

    By the findings that take training items out, then strictly: no 13 words and no short text in
    common with any training text.
    """
    found: list[Score] = []
    sizes = {0, len(samples)}
    for convention, methods in ((CLEAN, REMOVING), (STRICTLY_CLEAN, METHODS)):
        clean = clean_part(samples, overlaps, methods=methods)
        if len(clean) in sizes:
            continue
        sizes.add(len(clean))
        kept = {s.id for s in clean}
        for row in headline(scoring.score(clean, [j for j in cell if j.sample_id in kept], name)):
            meta = {**row.meta, "headline": False}
            found.append(replace(row, convention=convention, meta=meta))
    return found


CONVENTION_METRICS = ("accuracy", "section_mean", "pearson", "consistent_accuracy", "best_of_four")
SHOWN = (
    "judge",
    "set",
    "task",
    "metric",
    "value",
    "ci95_low",
    "ci95_high",
    "consistency",
    "n",
    "n_unparsed",
    "baseline_majority",
    "published",
    "status",
)


def shown_scores(scores: Sequence[Score]) -> pd.DataFrame:
    """Return the headline scores of base and main arm, then a row a set that was not run.

    `consistency` is the share of pairs with the same verdict in both orders. `published` is text: a
    value that nobody read at its source says so in its cell.
    """
    table = scores_table(headline(scores))
    notes = table["published_note"].fillna("")
    table["published"] = [marked(v, note) for v, note in zip(table["published"], notes)]
    same = {(s.judge, s.set): s.value for s in scores if s.metric == "consistency"}
    cells = zip(table["judge"], table["set"], table["task"])
    table["consistency"] = [same.get((j, s)) if t == "pairwise" else None for j, s, t in cells]
    table = table[list(SHOWN)]
    main = main_arm(dict.fromkeys(table["judge"]))
    run = table[table["judge"].isin([BASE, main]) & table["n"].gt(0)].sort_values(
        ["task", "set", "judge"], kind="stable"
    )
    return pd.concat([run, table[table["judge"].eq(main) & table["n"].eq(0)]], ignore_index=True)


def convention_table(scores: Sequence[Score]) -> pd.DataFrame:
    """Return what each way of counting gives the main arm: a row a set, metric and convention.

    Columns: set, metric, convention, value, selection_gain (what choosing the better order adds to
    the mean over both, NaN where nothing is chosen), published (text, marked where unverified),
    status. Subsets and the rows of a set's clean part are left out.
    """
    main = main_arm(dict.fromkeys(score.judge for score in scores))
    rows = []
    for score in scores:
        is_whole = "subset" not in score.meta and score.convention not in (CLEAN, STRICTLY_CLEAN)
        if score.judge == main and is_whole and score.metric in CONVENTION_METRICS and score.n:
            row: dict[str, Any] = {
                "set": score.set,
                "metric": score.metric,
                "convention": score.convention,
            }
            row["value"] = score.value
            row["selection_gain"] = score.meta.get("selection_gain", float("nan"))
            row["published"] = marked(score.published, score.published_note)
            rows.append({**row, "status": score.status})
    return pd.DataFrame(rows)


def seed_table(means: Sequence[TaskMean]) -> pd.DataFrame:
    """Return the task means of base and every trained arm, with the gain over the base in points.

    `intervals_apart` says whether the arm's overall interval lies above that of the base. A gain is
    a success only where `above_majority` is True too: the arm's interval lies above what always
    giving the commonest label scores (`majority`; both None where that is not known).
    """
    found = {(row.judge, row.task): row for row in means}
    base = found[BASE, "overall"]
    rows = []
    for judge in dict.fromkeys(row.judge for row in means):
        tasks = [task for task in (*TASKS, "overall") if (judge, task) in found]
        overall = found[judge, "overall"]
        rows.append(
            {
                "judge": judge,
                **{task: found[judge, task].value for task in tasks},
                "gain_points": 100 * (overall.value - base.value),
                "intervals_apart": bool(overall.ci95_low > base.ci95_high),
                "majority": overall.majority,
                "above_majority": (
                    None if overall.majority is None else overall.ci95_low > overall.majority
                ),
            }
        )
    return pd.DataFrame(rows)


def lenient_table(
    sets: Mapping[str, Sequence[Sample]], judgements: Sequence[Judgement], *, orders: str, seed: int
) -> pd.DataFrame:
    """Return the main arm's replies counted strictly and by each lenient published rule.

    A row a set and task, a column a rule (`scoring.lenient`). Empty where each pair was judged in
    one random order only: the rules need one order for all items.
    """
    main = main_arm(dict.fromkeys(j.judge for j in judgements))
    rows: list[LenientRow] = []
    for name, samples in sets.items():
        if orders == "random":
            continue
        mine = [j for j in judgements if j.judge == main and j.set == name]
        rows += lenient_scores(samples, mine, judge=main, set_name=name, seed=seed)[0]
    table = pd.DataFrame([vars(row) for row in rows], columns=list(LenientRow.__dataclass_fields__))
    index = ["set", "task", "metric", "n"]
    rules = list(dict.fromkeys(table["rule"]))
    counted = table.pivot(index=index, columns="rule", values="as_published")[rules]
    strict = table.groupby(index)["strict"].first().to_frame()
    return strict.join(counted).reset_index()


def loss_table(seeds: pd.DataFrame) -> pd.DataFrame:
    """Return mean, lowest and highest gain over the base of each loss over its seeds, in points."""
    trained = seeds[seeds["judge"] != BASE]
    loss = trained["judge"].map(loss_of).rename("loss")
    return trained.groupby(loss, sort=False)["gain_points"].agg(
        n_seeds="count", mean="mean", lowest="min", highest="max"
    )


def paired_gains(
    sets: Mapping[str, Sequence[Sample]],
    judgements: Sequence[Judgement],
    *,
    n_resamples: int,
    seed: int,
) -> pd.DataFrame:
    """Return trained minus base per set, paired by item, with interval, p and q.

    q is Benjamini and Hochberg's; `smallest_gap` is the smallest gap that the set resolves.
    """
    names = list(dict.fromkeys(j.judge for j in judgements))
    rows = compare(sets, judgements, [(main_arm(names), BASE)], seed=seed, n_resamples=n_resamples)
    return pd.DataFrame([row.__dict__ for row in rows])


def read_overlaps(path: Path) -> list[Overlap]:
    """Read the overlaps that notebook 01 wrote."""
    with open(path, encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [
        Overlap(r["train_id"], r["bench_id"], r["method"], float(r["similarity"])) for r in rows
    ]


def in_distribution(scores: Sequence[Score], catalogue: pd.DataFrame) -> list[Score]:
    """Return the scores that the task means are taken over.

    Those of the benchmarks: neither sets made to lie out of the training distribution nor what is
    no part of the paper's averages (components, extra sets, sets after the paper).
    """
    others = set(catalogue.loc[catalogue["role"] != "benchmark", "name"])
    return [score for score in scores if score.set not in others]


def means_table(means: Sequence[TaskMean]) -> pd.DataFrame:
    """Return task means with the columns of `TaskMean`."""
    return pd.DataFrame([row.__dict__ for row in means])


def training_items(samples: Path, pairs: Path) -> list[Sample]:
    """Return the samples of notebook 01 that stand in a file of pairs, by id."""
    used = {pair.sample_id for pair in read_parquet(pairs, PreferencePair)}
    return [sample for sample in read_parquet(samples, Sample) if sample.id in used]


def three_judgements(
    sets: Mapping[str, Sequence[Sample]], judgements: Sequence[Judgement]
) -> pd.DataFrame:
    """Return two judgements of the main arm that are right and one that is wrong, to be read.

    Where it made no mistake, or no hit, there are fewer rows.
    """
    main = main_arm(dict.fromkeys(j.judge for j in judgements))
    items = {(name, s.id): s for name, samples in sets.items() for s in samples}
    right: list[dict[str, Any]] = []
    wrong: list[dict[str, Any]] = []
    for judgement in judgements:
        sample = items.get((judgement.set, judgement.sample_id))
        if judgement.judge != main or sample is None or sample.label is None:
            continue
        is_right = judgement.verdict_of_sample == sample.label
        (right if is_right else wrong).append(_read_out(sample, judgement, is_right))
    return pd.DataFrame([*right[:1], *right[len(right) // 2 :][:1], *wrong[:1]])


def _read_out(sample: Sample, judgement: Judgement, is_right: bool) -> dict[str, Any]:
    texts = [sample.instruction, f"Response: {sample.response}"]
    texts += [f"Response B: {sample.response_b}"] if sample.response_b else []
    texts += [f"Reference: {sample.reference}"] if sample.reference else []
    return {
        "set": judgement.set,
        "item": "\n".join(texts),
        "label": sample.label,
        "verdict": judgement.verdict_of_sample or judgement.status,
        "right": "yes" if is_right else "NO",
        "what the judge wrote": judgement.reply,
    }
