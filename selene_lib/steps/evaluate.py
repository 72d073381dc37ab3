"""Base and trained judges over all sets of a run: judge once, score as often as you like (notebook
05).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from selene_lib.contamination import Overlap, clean_part
from selene_lib.data.collection import SHIFTED
from selene_lib.evaluation.scoring import (
    TaskMean,
    compare,
    headline,
    not_run,
    score_set,
    scores_table,
)
from selene_lib.evaluation.scoring.twin import TwinRow, twin_scores
from selene_lib.judges.names import BASE, loss_of, main_arm
from selene_lib.paper.values import BASE_MODEL, SELENE_MINI, published
from selene_lib.records import TASKS, Judgement, Sample, Score


def score_sets(
    sets: Mapping[str, Sequence[Sample]],
    judgements: Sequence[Judgement],
    catalogue: Any,
    overlaps: Sequence[Overlap],
    *,
    n_resamples: int,
    seed: int,
) -> list[Score]:
    """Score every judge on every set, and on the part of it that no training text repeats; sets
    that are not there are `not run` rows.

    `catalogue` is the table of sets of notebook 01 (name, role, task, status).
    """
    by_cell: dict[tuple[str, str], list[Judgement]] = {}
    for judgement in judgements:
        by_cell.setdefault((judgement.judge, judgement.set), []).append(judgement)
    judges = list(dict.fromkeys(judge for judge, _ in by_cell))
    scores: list[Score] = []
    for judge in judges:
        options = {"published_as": published_name(judge), "n_resamples": n_resamples, "seed": seed}
        for row in catalogue.to_dict("records"):
            if row["role"] not in ("benchmark", SHIFTED):
                continue
            samples = sets.get(row["name"])
            if samples is None:
                scores.append(_absent(judge, row))
                continue
            cell = by_cell[judge, row["name"]]
            scores += score_set(samples, cell, judge=judge, set_name=row["name"], **options)
            scores += _clean_scores(samples, cell, judge, row["name"], overlaps, options)
    return scores


def published_name(judge: str) -> str:
    """Return the judge of `selene_lib.paper.values` whose published values stand beside this one:
    the base's or Selene Mini's.
    """
    return BASE_MODEL if judge == BASE else SELENE_MINI


def _absent(judge: str, row: Mapping[str, Any]) -> Score:
    metric = "pearson" if row["task"] == "absolute" else "accuracy"
    return not_run(
        judge,
        row["name"],
        row["task"],
        metric,
        published(published_name(judge), row["name"]),
        row["status"],
    )


def _clean_scores(
    samples: Sequence[Sample],
    cell: Sequence[Judgement],
    judge: str,
    name: str,
    overlaps: Sequence[Overlap],
    options: dict[str, Any],
) -> list[Score]:
    clean = clean_part(samples, overlaps)
    if len(clean) in (0, len(samples)):
        return []
    kept = {s.id for s in clean}
    rows = score_set(
        clean, [j for j in cell if j.sample_id in kept], judge=judge, set_name=name, **options
    )
    return [
        replace(row, convention="clean part", meta={**row.meta, "headline": False})
        for row in rows
        if row.meta.get("headline")
    ]


SHOWN = (
    "judge",
    "set",
    "task",
    "metric",
    "value",
    "ci95_low",
    "ci95_high",
    "n",
    "n_unparsed",
    "baseline_majority",
    "published",
    "status",
)


def shown_scores(scores: Sequence[Score]) -> Any:
    """Return the headline scores of base and main arm in the columns a reader needs, then one row
    for every set that was not run.
    """
    import pandas as pd

    table = scores_table(headline(scores))[list(SHOWN)]
    main = main_arm(dict.fromkeys(table["judge"]))
    run = table[table["judge"].isin([BASE, main]) & table["n"].gt(0)].sort_values(
        ["task", "set", "judge"], kind="stable"
    )
    return pd.concat([run, table[table["judge"].eq(main) & table["n"].eq(0)]], ignore_index=True)


def seed_table(means: Sequence[TaskMean]) -> Any:
    """Return base and every trained arm with its gain over the base per task and overall, in
    points.
    """
    import pandas as pd

    value = {(row.judge, row.task): row for row in means}
    judges = list(dict.fromkeys(row.judge for row in means))
    rows = []
    for judge in judges:
        cells = {
            task: value[judge, task].value for task in (*TASKS, "overall") if (judge, task) in value
        }
        gain = 100 * (cells["overall"] - value[BASE, "overall"].value)
        apart = value[judge, "overall"].ci95_low > value[BASE, "overall"].ci95_high
        rows.append({"judge": judge, **cells, "gain_points": gain, "intervals_apart": bool(apart)})
    return pd.DataFrame(rows)


def twin_table(
    sets: Mapping[str, Sequence[Sample]], judgements: Sequence[Judgement], *, orders: str, seed: int
) -> Any:
    """Return the main arm's replies counted strictly and as others publish: a row a set and task, a
    column a rule (`scoring.twin`).

    Empty where each pair was judged in one random order only: the rules need one order for all
    items.
    """
    import pandas as pd

    main = main_arm(dict.fromkeys(j.judge for j in judgements))
    rows = []
    for name, samples in sets.items() if orders != "random" else ():
        mine = [j for j in judgements if j.judge == main and j.set == name]
        rows += twin_scores(samples, mine, judge=main, set_name=name, seed=seed)[0]
    table = pd.DataFrame([vars(row) for row in rows], columns=list(TwinRow.__dataclass_fields__))
    index = ["set", "task", "metric", "n"]
    counted = table.pivot(index=index, columns="rule", values="as_published").reindex(
        columns=list(dict.fromkeys(table["rule"]))
    )
    return table.groupby(index)["strict"].first().to_frame().join(counted).reset_index()


def loss_table(seeds: Any) -> Any:
    """Return, for each loss, how many seeds were trained and the mean, lowest and highest gain over
    the base, in points.
    """
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
) -> Any:
    """Return trained minus base per set, paired by item, with interval, p, q (Benjamini-Hochberg)
    and the smallest gap the set resolves.
    """
    import pandas as pd

    names = list(dict.fromkeys(j.judge for j in judgements))
    rows = compare(sets, judgements, [(main_arm(names), BASE)], seed=seed, n_resamples=n_resamples)
    return pd.DataFrame([row.__dict__ for row in rows])


def read_overlaps(path: Path) -> list[Overlap]:
    """Read the overlaps that notebook 01 wrote."""
    import csv

    with open(path, encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [
        Overlap(r["train_id"], r["bench_id"], r["method"], float(r["similarity"])) for r in rows
    ]


def in_distribution(scores: Sequence[Score], catalogue: Any) -> list[Score]:
    """Return the scores of the sets that the task means are taken over: all but those made to lie
    out of the training distribution.
    """
    shifted = set(catalogue.loc[catalogue["role"] == SHIFTED, "name"])
    return [score for score in scores if score.set not in shifted]


def means_table(means: Sequence[TaskMean]) -> Any:
    """Return task means as a table: judge, task, n, n_unparsed, value, ci95_low, ci95_high, n_sets."""
    import pandas as pd

    return pd.DataFrame([row.__dict__ for row in means])
