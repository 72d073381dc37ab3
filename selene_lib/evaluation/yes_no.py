"""Yes/No sets: judges calibrated on held-out items, beside yardsticks that saw the same training
items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from selene_lib.evaluation.binary import (
    JUDGE,
    METRICS,
    YARDSTICK,
    Answers,
    answers_at,
    answers_of,
    binary_table,
    difference,
    value_of,
)
from selene_lib.evaluation.scoring.rows import Settings
from selene_lib.evaluation.yardsticks import TFIDF, yardsticks
from selene_lib.judges.calibration import Calibration, fit_calibration
from selene_lib.judges.names import BASE, main_judge
from selene_lib.records import Judgement, Sample

HELD_OUT = "held_out"  # the set of validation items that calibration is fitted on
BEFORE = "before calibration"
AGAINST = (BASE, TFIDF, "majority")


@dataclass(frozen=True)
class Calibrated:
    """Judgements with scaled probabilities and the verdicts those name, what they were before, and
    the calibration of each judge. Without held-out items both are what the judges said.
    """

    judgements: list[Judgement]
    before: list[Judgement]
    calibrations: dict[str, Calibration]

    def write(self, folder: Path) -> Path:
        """Write one JSON file a judge into `folder`, which is made even where there is none."""
        folder.mkdir(parents=True, exist_ok=True)
        for judge, calibration in self.calibrations.items():
            calibration.write(folder / f"{judge}.json")
        return folder


def with_held_out(
    sets: Mapping[str, Sequence[Sample]], held_out: Sequence[Sample], calibrate: bool
) -> dict[str, Sequence[Sample]]:
    """Return the sets to be judged: with the held-out items as one more where they are needed."""
    yes_no = [sample for sample in held_out if sample.task == "classification"]
    return {**sets, HELD_OUT: yes_no} if calibrate and yes_no else dict(sets)


def calibrate_judges(
    sets: Mapping[str, Sequence[Sample]],
    held_out: Sequence[Sample],
    judgements: Sequence[Judgement],
) -> Calibrated:
    """Fit each judge's calibration on its judgements of the held-out items, and apply it to the
    sets. Yes and No weigh alike in the fit: how many of each are held out is curation's doing. The
    held-out judgements themselves are left out of the result.
    """
    before = [j for j in judgements if j.set != HELD_OUT]
    calibrations = {}
    for judge in dict.fromkeys(j.judge for j in judgements):
        mine = [j for j in judgements if j.judge == judge and j.set == HELD_OUT]
        if mine:
            calibrations[judge] = fit_calibration(held_out, mine, balanced=True)
    items = {(name, s.id): s for name, samples in sets.items() for s in samples}
    after = []
    for judgement in before:
        calibration = calibrations.get(judgement.judge, Calibration())
        sample = items[judgement.set, judgement.sample_id]
        after.append(calibration.apply(judgement, sample))
    return Calibrated(after, before, calibrations)


@dataclass(frozen=True)
class YesNo:
    """The tables of the Yes/No sets: one row a judge or yardstick (`scores`), the main judge less
    others on the same items (`against`), and what calibration did (`calibration`).
    """

    scores: pd.DataFrame
    against: pd.DataFrame
    calibration: pd.DataFrame


def score_yes_no(
    sets: Mapping[str, Sequence[Sample]],
    calibrated: Calibrated,
    training: Sequence[Sample],
    *,
    n_resamples: int,
    seed: int,
) -> YesNo:
    """Score every judge and yardstick on every set of Yes/No items; the tables are empty where
    there is none.
    """
    settings = Settings(seed, n_resamples)
    scores, against, calibration = [], [], []
    main = main_judge(j.judge for j in calibrated.judgements)
    for name, samples in sets.items():
        items = [s for s in samples if s.task == "classification" and s.label is not None]
        if not items:
            continue
        after = _by_judge(name, items, calibrated.judgements)
        before = _by_judge(name, items, calibrated.before) if calibrated.calibrations else {}
        rules = yardsticks(_same_question(training, items), items, seed)
        found = {judge: (JUDGE, answers) for judge, answers in after.items()}
        found |= {f"{judge}, {BEFORE}": (JUDGE, answers) for judge, answers in before.items()}
        found |= {rule: (YARDSTICK, answers_at(items, p)) for rule, p in rules.items()}
        scores.append(binary_table(name, items, found, settings))
        if main in after:
            against += _against(name, main, found, settings)
        for judge in before:
            calibration.append(
                _what_calibration_did(name, judge, before[judge], after[judge], settings)
            )
    return YesNo(
        pd.concat(scores, ignore_index=True) if scores else pd.DataFrame(columns=SCORE_COLUMNS),
        pd.DataFrame(against, columns=AGAINST_COLUMNS),
        pd.DataFrame(calibration, columns=CALIBRATION_COLUMNS),
    )


SCORE_COLUMNS = ("set", "who", "kind", "n", "n_groups", "n_unparsed", "majority", *METRICS)
AGAINST_COLUMNS = ("set", "judge", "less", "metric", "n", "value", "ci95_low", "ci95_high")
CALIBRATION_COLUMNS = (
    "set",
    "judge",
    "n",
    "brier_before",
    "brier_after",
    "brier_change",
    "ci95_low",
    "ci95_high",
    "calibration_error_before",
    "calibration_error_after",
)


def _by_judge(
    name: str, items: Sequence[Sample], judgements: Sequence[Judgement]
) -> dict[str, Answers]:
    ids = {sample.id for sample in items}
    mine: dict[str, list[Judgement]] = {}
    for judgement in judgements:
        if judgement.set == name and judgement.sample_id in ids:
            mine.setdefault(judgement.judge, []).append(judgement)
    return {judge: answers_of(items, found) for judge, found in mine.items()}


def _same_question(training: Sequence[Sample], items: Sequence[Sample]) -> list[Sample]:
    """The Yes/No training items of the same rubrics; all of them where the rubrics are new."""
    yes_no = [s for s in training if s.task == "classification" and s.label is not None]
    rubrics = {sample.rubric for sample in items}
    return [sample for sample in yes_no if sample.rubric in rubrics] or yes_no


def _against(
    name: str,
    main: str,
    found: Mapping[str, tuple[str, Answers]],
    settings: Settings,
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for other in (who for who in AGAINST if who in found and who != main):
        for metric in ("accuracy", "balanced_accuracy", "auc"):
            gain = difference(name, metric, found[main][1], found[other][1], settings)
            values = (gain.n, gain.value, gain.ci95_low, gain.ci95_high)
            rows.append(dict(zip(AGAINST_COLUMNS, (name, main, other, metric, *values))))
    return rows


def _what_calibration_did(
    name: str, judge: str, before: Answers, after: Answers, settings: Settings
) -> dict[str, object]:
    change = difference(name, "brier", after, before, settings)
    errors = [value_of("calibration_error", a) for a in (before, after)]
    briers = [value_of("brier", a) for a in (before, after)]
    interval = (change.ci95_low, change.ci95_high)
    row = (name, judge, change.n, *briers, change.value, *interval, *errors)
    return dict(zip(CALIBRATION_COLUMNS, row))


SHOWN = ("set", "who", "n", "accuracy", "accuracy_low", "accuracy_high", "balanced_accuracy", "auc")


def shown_yes_no(found: YesNo) -> pd.DataFrame:
    """Return the columns that a reader needs first; no row where there is no Yes/No set."""
    return found.scores[[*(c for c in SHOWN if c in found.scores)]]
