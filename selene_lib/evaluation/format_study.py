"""Ask a judge the same samples in every format: how much of its accuracy does the format decide?"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from selene_lib.errors import UserError
from selene_lib.evaluation.metrics import SAME, share_difference_interval, share_interval
from selene_lib.judges.judging import (
    Asking,
    Orders,
    answer_questions,
    plan_questions,
)
from selene_lib.judges.protocol import JudgeBackend, Question
from selene_lib.prompts.formats import FORMATS, PromptFormat
from selene_lib.records import TIE, Judgement, Sample

N_RESAMPLES = 1000


def judge_formats(
    judge: JudgeBackend,
    set_name: str,
    samples: Sequence[Sample],
    *,
    store: str | Path | None = None,
    formats: Iterable[str] | None = None,
    wording: str = "full",
    escape: bool = True,
    orders: Orders = "both",
    max_text_characters: int | None = None,
    seed: int = 0,
    progress: bool = True,
) -> list[Judgement]:
    """Ask every sample in every format; return the judgements in a fixed order, format by format.

    Formats: names of `FORMATS`, all by default. `wording`: `full`, or `nano` for the embedded
    judge. `orders` and `store` as in `judging.judge_samples`; `store=None` keeps nothing. Each
    reply is read by its own format's parser, named in `meta["format"]`. `max_text_characters` cuts
    the middle out of longer instructions, responses and references, alike in all formats;
    `meta["n_cut_characters"]` says how much.
    """
    cut = {s.id: _cut(s, max_text_characters) for s in samples}
    asking = Asking(wording, escape=escape, orders=orders, seed=seed)
    planned = plan_questions([short for short, _ in cut.values()], asking)
    asked = [(form, question) for form in _chosen(formats) for question in planned]
    questions = [
        replace(q, prompt=form.render(_shown(q), wording=wording, escape=escape))
        for form, q in asked
    ]
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(store) if store is not None else Path(folder) / "judgements.jsonl"
        judgements = answer_questions(judge, set_name, questions, store=kept, progress=progress)
    return [
        _read_again(form, judgement, wording, cut[judgement.sample_id][1])
        for (form, _), judgement in zip(asked, judgements)
    ]


def _cut(sample: Sample, limit: int | None) -> tuple[Sample, int]:
    """Cut the middle out of texts of more than `limit` characters; return how many went in all.

    The rubric stays whole.
    """
    instruction, n_instruction = _shortened(sample.instruction, limit)
    response, n_response = _shortened(sample.response, limit)
    response_b, n_response_b = _shortened(sample.response_b, limit)
    reference, n_reference = _shortened(sample.reference, limit)
    short = replace(
        sample,
        instruction=instruction or "",
        response=response or "",
        response_b=response_b,
        reference=reference,
    )
    return short, n_instruction + n_response + n_response_b + n_reference


def _shortened(text: str | None, limit: int | None) -> tuple[str | None, int]:
    if text is None or limit is None or len(text) <= limit:
        return text, 0
    half = limit // 2
    n_cut = len(text) - 2 * half
    return f"{text[:half]}\n[... {n_cut} characters left out ...]\n{text[-half:]}", n_cut


def _shown(question: Question) -> Sample:
    return question.sample if question.order == "AB" else question.sample.swap()


def _chosen(formats: Iterable[str] | None) -> list[PromptFormat]:
    names = list(FORMATS) if formats is None else list(formats)
    unknown = [name for name in names if name not in FORMATS]
    if unknown:
        raise UserError(f"unknown prompt format {unknown[0]!r}; known: {', '.join(FORMATS)}")
    return [FORMATS[name] for name in names]


def _read_again(form: PromptFormat, judgement: Judgement, wording: str, n_cut: int) -> Judgement:
    """The same reply, read by the format's own parser: replies are kept, so reading is free."""
    verdict = form.parse(
        judgement.reply, judgement.task, finish_reason=judgement.finish_reason, wording=wording
    )
    meta = {**{k: v for k, v in judgement.meta.items() if k != "reason"}, "format": form.name}
    meta |= {"reason": verdict.reason} if verdict.reason else {}
    meta |= {"n_cut_characters": n_cut} if n_cut else {}
    return replace(judgement, status=verdict.status, verdict=verdict.value, meta=meta)


@dataclass(frozen=True, eq=False)
class _Judged:
    """`correct` and `parsed` are [n_items, n_formats, n_orders]; unparsed is not correct."""

    formats: list[str]
    items: list[str]
    correct: np.ndarray
    parsed: np.ndarray

    @property
    def accuracy(self) -> np.ndarray:
        """Mean over the orders, [n_items, n_formats]."""
        return self.correct.mean(axis=2)


def _judged(samples: Sequence[Sample], judgements: Sequence[Judgement]) -> _Judged:
    gold = {s.id: s.label for s in samples if s.label is not None and s.label != TIE}
    rows = [j for j in judgements if j.sample_id in gold]
    if not rows:
        raise ValueError(
            "no judgement of a sample with a label other than tie: "
            "nothing to compare between formats"
        )
    formats = list(dict.fromkeys(j.meta["format"] for j in rows))
    items = list(dict.fromkeys(j.sample_id for j in rows))
    cells: dict[tuple[str, str], list[Judgement]] = {}
    for j in rows:
        cells.setdefault((j.sample_id, j.meta["format"]), []).append(j)
    n_orders = {len(cells.get((item, name), ())) for item in items for name in formats}
    if len(n_orders) != 1:
        raise ValueError(
            "each sample must be judged equally often in each format; "
            f"found {sorted(n_orders)} times: judge the missing ones"
        )
    shape = (len(items), len(formats), n_orders.pop())
    correct, parsed = np.zeros(shape), np.zeros(shape, dtype=bool)
    for i, item in enumerate(items):
        for k, name in enumerate(formats):
            for order, j in enumerate(cells[item, name]):
                correct[i, k, order] = j.verdict_of_sample == gold[item]
                parsed[i, k, order] = j.verdict is not None
    return _Judged(formats, items, correct, parsed)


def _item_weights(n_items: int, n_resamples: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.multinomial(n_items, np.full(n_items, 1 / n_items), size=n_resamples) / n_items


FORMAT_COLUMNS = (
    "judge",
    "format",
    "description",
    "n",
    "n_unparsed",
    "value",
    "ci95_low",
    "ci95_high",
    "bound_low",
    "bound_high",
    "value_parsed",
    "difference",
    "difference_ci95_low",
    "difference_ci95_high",
)


def format_table(
    samples: Sequence[Sample],
    judgements: Sequence[Judgement],
    *,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> pd.DataFrame:
    """Accuracy by format, as a DataFrame in the order of `FORMATS`.

    Columns: `judge`, `format`, `description`, `n` (judgements), `n_unparsed`, `value` (unparsed
    counts as wrong), `ci95_low`, `ci95_high` (items resampled, the same in all formats),
    `bound_low`, `bound_high` (unparsed all wrong, all right), `value_parsed` (among parsed replies,
    None if there are none), `difference` from `default` (None without it) with
    `difference_ci95_low/high`.
    """
    judged = _judged(samples, judgements)
    by_item = judged.accuracy
    resampled = _item_weights(len(judged.items), n_resamples, seed) @ by_item
    n_items, _, n_orders = judged.correct.shape
    n_unparsed = (~judged.parsed).sum(axis=(0, 2))
    frame = pd.DataFrame(
        {
            "judge": judgements[0].judge,
            "format": judged.formats,
            "description": [FORMATS[name].description for name in judged.formats],
            "n": n_items * n_orders,
            "n_unparsed": n_unparsed,
            "value": by_item.mean(axis=0),
        }
    )
    frame["ci95_low"], frame["ci95_high"] = _interval(by_item, resampled)
    frame["bound_low"] = frame["value"]
    frame["bound_high"] = frame["value"] + frame["n_unparsed"] / frame["n"]
    n_parsed = frame["n"] - frame["n_unparsed"]
    value_parsed = judged.correct.sum(axis=(0, 2)) / n_parsed.where(n_parsed > 0)
    frame["value_parsed"] = value_parsed.astype(object).where(n_parsed > 0, None)
    base = judged.formats.index("default") if "default" in judged.formats else None
    for name, values in _differences(by_item, resampled, base).items():
        frame[name] = values
    return frame


def _differences(by_item: np.ndarray, resampled: np.ndarray, base: int | None) -> dict[str, object]:
    if base is None:
        return {"difference": None, "difference_ci95_low": None, "difference_ci95_high": None}
    differences = resampled - resampled[:, [base]]
    low, high = np.percentile(differences, [2.5, 97.5], axis=0)
    gap = by_item.mean(axis=0) - by_item.mean(axis=0)[base]
    for column in np.flatnonzero(differences.std(axis=0) < SAME):
        if column != base:  # which differs from itself by 0
            found = share_difference_interval(float(gap[column]), len(by_item))
            low[column], high[column] = found.low, found.high
    return {"difference": gap, "difference_ci95_low": low, "difference_ci95_high": high}


def _interval(by_item: np.ndarray, resampled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Percentiles; Wilson's where a format was right on all items alike, or on none."""
    low, high = np.percentile(resampled, [2.5, 97.5], axis=0)
    for column in np.flatnonzero(resampled.std(axis=0) < SAME):
        found = share_interval(float(by_item[:, column].mean()), len(by_item))
        low[column], high[column] = found.low, found.high
    return low, high


def format_spread(
    samples: Sequence[Sample],
    judgements: Sequence[Judgement],
    *,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> dict[str, float | int | str]:
    """How far apart the formats lie, as one row.

    `best` and `worst` format with their accuracy, `range` (with interval), `sd` over formats,
    `share_items_right_in_all` and `share_items_same_in_all` (the same correctness whatever the
    format), `n_items`, `n_unparsed`.
    """
    judged = _judged(samples, judgements)
    formats, by_item = judged.formats, judged.accuracy
    means = by_item.mean(axis=0)
    resampled = _item_weights(len(judged.items), n_resamples, seed) @ by_item
    low, high = np.percentile(np.ptp(resampled, axis=1), [2.5, 97.5])
    return {
        "n_items": len(judged.items),
        "n_unparsed": int((~judged.parsed).sum()),
        "best": formats[int(means.argmax())],
        "best_value": float(means.max()),
        "worst": formats[int(means.argmin())],
        "worst_value": float(means.min()),
        "range": float(np.ptp(means)),
        "range_ci95_low": float(low),
        "range_ci95_high": float(high),
        "sd": float(means.std(ddof=1)) if len(formats) > 1 else 0.0,
        "share_items_right_in_all": float((judged.correct.min(axis=(1, 2)) == 1).mean()),
        "share_items_same_in_all": float((np.ptp(by_item, axis=1) == 0).mean()),
    }


def variance_decomposition(
    samples: Sequence[Sample],
    judgements: Sequence[Judgement],
    *,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> pd.DataFrame:
    """Split the variance of being right into format, item, format x item and noise.

    Two-way random-effects analysis of variance over the items x formats table, orders as replicates
    (expected mean squares: Searle, Casella and McCulloch 1992, ch. 4). With one order only, `format
    x item` cannot be told from noise and stands in `noise`. Estimates below zero are shown as 0.
    Returns a DataFrame `component, variance, share, ci95_low, ci95_high` (interval of the share,
    items resampled); shares add to 1, and are None where nothing varies.
    """
    correct = _judged(samples, judgements).correct
    n_items = len(correct)
    point = _components(correct, np.ones((1, n_items)))
    drawn = _components(correct, _item_weights(n_items, n_resamples, seed) * n_items)
    names = list(point)
    variances = np.array([point[name][0] for name in names])
    total = variances.sum()
    frame = pd.DataFrame(
        {
            "component": names,
            "variance": variances,
            "share": variances / total if total > 0 else None,
        }
    )
    resampled = np.stack([drawn[name] for name in names], axis=1)
    sums = resampled.sum(axis=1, keepdims=True)
    shares = np.divide(resampled, sums, out=np.zeros_like(resampled), where=sums > 0)
    frame["ci95_low"], frame["ci95_high"] = np.percentile(shares, [2.5, 97.5], axis=0)
    return frame


def _components(correct: np.ndarray, weights: np.ndarray) -> Mapping[str, np.ndarray]:
    """Variance components of weighted items, each [n_sets].

    `correct` is [n_items, n_formats, n_orders], `weights` [n_sets, n_items] counts of each item.
    """
    n_items, n_formats, n_orders = correct.shape
    cell, item = correct.mean(axis=2), correct.mean(axis=(1, 2))
    by_format = weights @ cell / n_items
    grand = by_format.mean(axis=1)
    square = {
        "format": n_items * n_orders * ((by_format - grand[:, None]) ** 2).sum(axis=1),
        "item": n_formats * n_orders * (weights @ item**2 - n_items * grand**2),
        "cell": n_orders * ((weights @ (cell**2).sum(axis=1)) - n_items * n_formats * grand**2),
        "error": weights @ ((correct - cell[..., None]) ** 2).sum(axis=(1, 2)),
    }
    both = square["cell"] - square["format"] - square["item"]
    ms_format = square["format"] / max(n_formats - 1, 1)
    ms_item = square["item"] / max(n_items - 1, 1)
    ms_both = both / max((n_formats - 1) * (n_items - 1), 1)
    parts = {
        "format": (ms_format - ms_both) / (n_items * n_orders),
        "item": (ms_item - ms_both) / (n_formats * n_orders),
    }
    if n_orders > 1:
        ms_error = square["error"] / (n_items * n_formats * (n_orders - 1))
        parts |= {"format x item": (ms_both - ms_error) / n_orders, "noise": ms_error}
    else:
        parts["noise"] = ms_both
    return {name: np.maximum(value, 0) for name, value in parts.items()}
