"""Every reading of a domain set by its name: which items count, and whose label is gold.

None is silently chosen. The published results do not say which of these they stand on. CRAFT-MD:
each annotator, the adjudicated label, the undisputed conversations, every annotation as a row of
its own. FinanceBench: refusals as "No" or left out, pooled and per configuration. A reading follows
from what stands in `Sample.meta` (`question`, `votes`, `refusal`, `model`, `eval_mode`), so any set
may have them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from selene_lib.evaluation.metrics import interval, wilson_interval
from selene_lib.evaluation.metrics.counts import COUNT_METRICS, CountMetric
from selene_lib.evaluation.scoring import score_set
from selene_lib.evaluation.scoring.rows import against, known
from selene_lib.paper import values as paper
from selene_lib.records import Judgement, Sample, Score

TIE_BREAK = "tie_break"
OVERALL = "overall"
METRICS = ("accuracy", "balanced_accuracy", "cohens_kappa")
_CODES = {"Yes": 1, "No": 0}
# Cells of the table of (said, gold): said -1 is an unparsed reply, which equals no gold label.
_SAID, _GOLD = np.repeat([-1.0, 0.0, 1.0], 2), np.tile([0.0, 1.0], 3)


@dataclass(frozen=True)
class Reading:
    """`items` are (sample id, gold label) in sample order; `part` is their question or model."""

    name: str
    part: str
    items: tuple[tuple[str, str], ...]


def select_readings(samples: Sequence[Sample]) -> list[Reading]:
    """Return every reading of a classification set, part by part.

    The first reading of a part is the one shown first, not the true one. Parts: the questions
    (`meta["question"]`), then `overall`, the mean over the questions; or the whole set, then its
    configurations (`meta["model"]` and `meta["eval_mode"]`). The tie-breaker's few votes enter the
    adjudicated label and are no reading of their own.
    """
    wrong = next((s for s in samples if s.task != "classification" or s.label is None), None)
    if wrong is not None:
        raise ValueError(
            f"sample {wrong.id}: readings are of classification samples with a label, "
            f"this is {wrong.task} {wrong.label!r}"
        )
    return [
        reading
        for part, members in _parts(samples).items()
        for reading in _readings_of(part, members)
        if reading.items
    ]


def _parts(samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    parts: dict[str, list[Sample]] = {}
    if any("question" in s.meta for s in samples):
        for sample in samples:
            parts.setdefault(str(sample.meta["question"]), []).append(sample)
        return parts
    parts = {"all": list(samples)}
    if any("eval_mode" in s.meta for s in samples):
        for sample in samples:
            configuration = f"{sample.meta['model']} {sample.meta['eval_mode']}"
            parts.setdefault(configuration, []).append(sample)
    return parts


def _votes_of(sample: Sample) -> dict[str, str]:
    """Label by annotator, the tie-breaker left out."""
    votes = sample.meta.get("votes", {})
    return {who: vote for who, vote in sorted(votes.items()) if who != TIE_BREAK}


def _readings_of(part: str, samples: Sequence[Sample]) -> list[Reading]:
    as_labelled = tuple((s.id, str(s.label)) for s in samples)
    if any("refusal" in s.meta for s in samples):
        answered = {s.id for s in samples if not s.meta["refusal"]}
        kept = tuple(item for item in as_labelled if item[0] in answered)
        return [
            Reading("refusals as No", part, as_labelled),
            Reading("refusals left out", part, kept),
        ]
    if not any(map(_votes_of, samples)):
        return [Reading("as labelled", part, as_labelled)]
    return [
        Reading("adjudicated", part, as_labelled),
        *_readings_of_annotators(part, samples),
    ]


def _readings_of_annotators(part: str, samples: Sequence[Sample]) -> list[Reading]:
    """One reading an annotator, then the undisputed items, then every annotation as an item."""
    by_annotator: dict[str, list[tuple[str, str]]] = {}
    undisputed, every = [], []
    for sample in samples:
        votes = _votes_of(sample)
        for who, vote in votes.items():
            by_annotator.setdefault(who, []).append((sample.id, vote))
            every.append((sample.id, vote))
        if len(set(votes.values())) == 1:
            undisputed.append((sample.id, str(sample.label)))
    return [
        *(
            Reading(f"annotator {who}", part, tuple(items))
            for who, items in sorted(by_annotator.items())
        ),
        Reading("undisputed", part, tuple(undisputed)),
        Reading("every annotation", part, tuple(every)),
    ]


def readings(
    name: str,
    samples: Sequence[Sample],
    judgements: Sequence[Judgement],
    *,
    published_as: str | None = None,
    n_resamples: int = 2000,
    seed: int = 0,
) -> list[Score]:
    """Score one judge on a domain set in every reading.

    Metrics are accuracy, balanced accuracy and Cohen's kappa; `convention` is `part, reading`. An
    unparsed reply counts as wrong; the bounds count all of them wrong and all right. Intervals
    resample whole groups (a case, a question). `published_as` names the judge of `paper.PUBLISHED`
    to stand beside (default: the judge's own name); its value stands beside every reading of its
    part, since nobody knows which one it was. A set of another task than classification has one
    reading, that of `scoring.score_set`. Raises ValueError where a sample of the set was not
    judged.
    """
    said = {j.sample_id: j for j in judgements}
    missing = next((s.id for s in samples if s.id not in said), None)
    if missing is not None:
        raise ValueError(
            f"{name}: sample {missing} was not judged; run the judge on the whole set first"
        )
    judge = judgements[0].judge
    if any(s.task != "classification" for s in samples):
        scores = score_set(
            samples,
            judgements,
            judge=judge,
            set_name=name,
            published_as=published_as,
            seed=seed,
            n_resamples=n_resamples,
        )
        return [replace(s, meta={**s.meta, "part": "all", "reading": s.convention}) for s in scores]
    tables = _tables(samples, {key: j.verdict for key, j in said.items()})
    weights = _cluster_weights(len({s.group or s.id for s in samples}), n_resamples, seed)
    rows: list[Score] = []
    for reading, parts in _by_reading(tables, any("question" in s.meta for s in samples)).items():
        for part, stack in parts.items():
            found = _score_rows(judge, name, part, reading, stack, weights)
            rows += _against_published(found, name, part, published_as or judge)
    return rows


def _against_published(rows: list[Score], name: str, part: str, judge: str) -> list[Score]:
    """Put the published accuracy of the part beside ours."""
    cell = paper.published(judge, name if part in (OVERALL, "all") else f"{name}:{part}")
    if cell is None:
        return rows
    return [against(row, cell) if row.metric == "accuracy" else row for row in rows]


def _tables(
    samples: Sequence[Sample], verdicts: Mapping[str, str | None]
) -> dict[tuple[str, str], np.ndarray]:
    groups = {s.id: s.group or s.id for s in samples}
    return {(r.part, r.name): _table(r, verdicts, groups) for r in select_readings(samples)}


def _by_reading(
    tables: dict[tuple[str, str], np.ndarray], with_overall: bool
) -> dict[str, dict[str, np.ndarray]]:
    """Reading -> part -> tables [n_parts, n_clusters, 6]: one for a part, all for `overall`."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for (part, name), table in tables.items():
        found.setdefault(name, {})[part] = table[None]
    if with_overall:
        for parts in found.values():
            parts[OVERALL] = np.concatenate(list(parts.values()))
    return found


def _table(
    reading: Reading, verdicts: Mapping[str, str | None], groups: Mapping[str, str]
) -> np.ndarray:
    """Count (said, gold) cells by cluster, [n_clusters, 6].

    Clusters are those of the whole set, so that parts share them.
    """
    index = {group: i for i, group in enumerate(dict.fromkeys(groups.values()))}
    table = np.zeros((len(index), len(_SAID)))
    for key, gold in reading.items:
        said = _CODES.get(verdicts[key] or "", -1)
        table[index[groups[key]], 2 * (said + 1) + _CODES[gold]] += 1
    return table


def _cluster_weights(n_clusters: int, n_resamples: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    equal = np.full(n_clusters, 1 / n_clusters)
    return rng.multinomial(n_clusters, equal, size=n_resamples).astype(float)


FIRST_READINGS = ("adjudicated", "refusals as No", "as labelled")


def _score_rows(
    judge: str, name: str, part: str, reading: str, tables: np.ndarray, weights: np.ndarray
) -> list[Score]:
    """One row a metric; over several tables the metric is the mean over them."""
    totals = tables.sum(axis=1)
    n, n_unparsed = int(totals.sum()), int(totals[:, :2].sum())
    replicates = np.stack([weights @ table for table in tables])
    baselines = {
        "accuracy": (_majority_share(totals), 0.5),
        "balanced_accuracy": (0.5, 0.5),
        "cohens_kappa": (0.0, 0.0),
    }
    stands_for_set = part in (OVERALL, "all") and reading in FIRST_READINGS
    rows = []
    for metric in METRICS:
        function = COUNT_METRICS[metric]
        value = _mean_metric(function, totals)
        drawn = np.mean([function(r, _SAID, _GOLD) for r in replicates], axis=0)
        low, high = _interval(drawn, value, n, metric)
        majority, random = baselines[metric]
        headline = stands_for_set and metric == "accuracy"
        rows.append(
            Score(
                judge=judge,
                set=name,
                task="classification",
                metric=metric,
                convention=f"{part}, {reading}",
                value=known(value),
                n=n,
                n_unparsed=n_unparsed,
                ci95_low=known(low),
                ci95_high=known(high),
                bound_low=known(_mean_metric(function, _moved(totals, wrong=True))),
                bound_high=known(_mean_metric(function, _moved(totals, wrong=False))),
                baseline_majority=known(majority),
                baseline_random=random,
                meta={"part": part, "reading": reading, "headline": headline},
            )
        )
    return rows


def _majority_share(totals: np.ndarray) -> float:
    """Accuracy of always giving the commoner gold label, mean over the tables."""
    shares = []
    for table in totals:
        n_no, n_yes = table[_GOLD == 0].sum(), table[_GOLD == 1].sum()
        shares.append(max(n_no, n_yes) / table.sum())
    return float(np.mean(shares))


def _mean_metric(function: CountMetric, tables: np.ndarray) -> float | None:
    with np.errstate(invalid="ignore"):
        values = [float(function(table[None], _SAID, _GOLD)[0]) for table in tables]
    return None if any(math.isnan(v) for v in values) else float(np.mean(values))


def _moved(totals: np.ndarray, *, wrong: bool) -> np.ndarray:
    """The counts with every unparsed reply counted wrong, or right."""
    moved = totals.copy()
    for gold in (0, 1):
        said = 1 - gold if wrong else gold
        moved[:, 2 * (said + 1) + gold] += moved[:, gold]
        moved[:, gold] = 0
    return moved


def _interval(
    replicates: np.ndarray, value: float | None, n: int, metric: str
) -> tuple[float | None, float | None]:
    """Percentiles of the replicates.

    An accuracy of 0 or 1, whose resamples have no width, gets Wilson's interval.
    """
    if value is None:
        return None, None
    if metric == "accuracy" and value in (0.0, 1.0):
        return wilson_interval(round(value * n), n)
    found = interval(replicates)
    return (None, None) if math.isnan(found.low) else (found.low, found.high)


def ceilings(
    name: str, samples: Sequence[Sample], *, n_resamples: int = 2000, seed: int = 0
) -> list[Score]:
    """Agreement of two annotators where both saw the item: what a judge can hope for.

    Empty without two annotators.
    """
    scores: list[Score] = []
    for part, members in _parts(samples).items():
        both = [s for s in members if len(_votes_of(s)) == 2]
        if not both:
            continue
        pairs = {s.id: tuple(_votes_of(s).values()) for s in both}
        first = {key: votes[0] for key, votes in pairs.items()}
        second = {key: votes[1] for key, votes in pairs.items()}
        reading = Reading("annotator agreement", part, tuple(first.items()))
        groups = {s.id: s.group or s.id for s in both}
        table = _table(reading, second, groups)[None]
        weights = _cluster_weights(table.shape[1], n_resamples, seed)
        scores += _score_rows("second annotator", name, part, reading.name, table, weights)
    return scores


_CELLS = ("accuracy", "balanced_accuracy", "cohens_kappa")
_ENDS = ("", "_ci95_low", "_ci95_high")
DOMAIN_COLUMNS = (
    *("judge", "set", "part", "reading", "n", "n_unparsed"),
    *(f"{metric}{end}" for metric in _CELLS for end in _ENDS),
    *("majority", "published", "status"),
)
"""What every domain table has, also one without a row."""


def domain_table(scores: Sequence[Score]) -> pd.DataFrame:
    """Scores as Table 2 wants them: one row a judge, set, part and reading.

    Columns: judge, set, part, reading, n, n_unparsed, accuracy, accuracy_ci95_low,
    accuracy_ci95_high, majority, published, status, balanced_accuracy, cohens_kappa (each with its
    interval).
    """
    rows: dict[tuple[str, str, str, str], dict[str, object]] = {}
    for s in scores:
        part, reading = s.meta["part"], s.meta["reading"]
        row = rows.setdefault((s.judge, s.set, part, reading), {})
        if not row:
            row |= {"judge": s.judge, "set": s.set, "part": part, "reading": reading}
            row |= {"n": s.n, "n_unparsed": s.n_unparsed}
        row[s.metric] = s.value
        row[f"{s.metric}_ci95_low"] = s.ci95_low
        row[f"{s.metric}_ci95_high"] = s.ci95_high
        if s.metric == "accuracy":
            row |= {"majority": s.baseline_majority, "published": s.published, "status": s.status}
    found = pd.DataFrame(list(rows.values()))
    return found.reindex(columns=list(dict.fromkeys([*found.columns, *DOMAIN_COLUMNS])))
