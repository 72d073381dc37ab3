"""`train_judge`: from a labelled table to an adapter that says how far it agrees with the labels.

Steps, each in the folder `out`: the table is read and checked before anything is written; items are
split by group; one pair an item is built and balanced; base and trained judge are measured on the
held-out items, beside rules; the adapter is written last, whole, with its settings. A killed call
goes on where it stopped (checkpoints and judgements lie in `out/work`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from selene_lib.curation.pairs import build_pairs
from selene_lib.errors import UserError
from selene_lib.evaluation.agreement.summary import Agreement, agreement
from selene_lib.evaluation.agreement.verdicts import Verdicts, verdicts_of
from selene_lib.files import PathLock, check_folder, read_json, write_csv, write_json
from selene_lib.judges.calibration import Calibration, fit_calibration
from selene_lib.judges.judging import Asking, judge_arms
from selene_lib.judges.opening import Limits
from selene_lib.judges.results import item_results
from selene_lib.judges.trained import CALIBRATION, TrainedJudge, write_trained
from selene_lib.labels.comparing import AFTER, BEFORE, compare, gain, rule_verdicts, sentence
from selene_lib.labels.overlap import benchmark_overlap
from selene_lib.labels.page import write_agreement
from selene_lib.labels.recipe import JudgeRecipe, balance, spec_of
from selene_lib.labels.splitting import Parts, split_labels
from selene_lib.labels.table import LabelTable, read_labels
from selene_lib.models.adapters import CONFIG, RECORD, WEIGHTS
from selene_lib.models.names import resolve_model
from selene_lib.records import Judgement, PreferencePair, Sample, unit_hash
from selene_lib.training.planner import mean_lengths, plan_training
from selene_lib.training.run import TrainResult, train
from selene_lib.training.spec import TrainSpec

CLAIM = "labels.json"
HELD_OUT = "held_out.csv"
NEW_TOKENS = {True: 128, False: 12}  # room of a reply, with reasons and without
CURVE_SHARES = (0.25, 0.5)


@dataclass(frozen=True)
class JudgeOfLabels:
    """What `train_judge` made: the adapter's folder, agreement on the held-out items, a row for
    each judge and rule (`labels.comparing.compare`), the gain in accuracy with its interval, the
    learning curve (`n_labels` and the same columns; empty where none was asked for).
    """

    out: Path
    parts: Parts
    agreement: Agreement
    compared: tuple[dict[str, Any], ...]
    gain: dict[str, float]
    curve: tuple[dict[str, Any], ...]
    report: Path


def train_judge(
    input_path: str | Path,
    out: str | Path,
    *,
    task: str,
    rubric: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    recipe: JudgeRecipe | None = None,
    data_dir: str | Path | None = None,
    curve: bool = False,
    say: Callable[[str], None] = print,
) -> JudgeOfLabels:
    """Train a judge on the labels of a table and measure it on groups it was not trained on.

    `task`, `rubric`, `columns` and `labels` as in `labels.table.read_labels`; `data_dir` holds
    benchmark files that the labels are compared with. `curve` trains on a quarter and a half of the
    labels too. `out` becomes an adapter folder that `selene judge --adapter` needs nothing beside.
    The same call again goes on where it stopped; a folder of other labels or settings is a
    UserError, as is every fault of the table, before anything is written.
    """
    recipe, out = recipe or JudgeRecipe(), Path(out)
    table = read_labels(input_path, task, rubric=rubric, columns=columns, labels=labels)
    parts = split_labels(
        table.samples, holdout=recipe.holdout, validation=recipe.validation, seed=recipe.seed
    )
    check_out(out, fingerprint_of(table, recipe))
    for line in (*table.describe(), parts.describe(), benchmark_overlap(table.samples, data_dir)):
        say(line)
    with PathLock(out, busy=f"{out} is being trained by another process; wait for it or end it"):
        write_json(out / CLAIM, {"fingerprint": fingerprint_of(table, recipe)})
        job = _Job(table, parts, recipe, out, dict(columns or {}), dict(labels or {}), say)
        return job.run(curve)


def fingerprint_of(table: LabelTable, recipe: JudgeRecipe) -> str:
    """SHA-256 of the labelled items and of the settings."""
    items = [[s.id, s.group, s.label, s.instruction, s.response, s.rubric] for s in table.samples]
    text = json.dumps([items, recipe.to_dict()], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def check_out(out: Path, fingerprint: str) -> None:
    """Raise UserError where `out` cannot become this judge's folder."""
    check_folder(out)
    if not out.is_dir() or not any(out.iterdir()):
        return
    claim = out / CLAIM
    if not claim.is_file():
        raise UserError(f"{out} holds something else already; give another --out")
    try:
        found = read_json(claim)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("fingerprint"), str):
        raise UserError(
            f"{claim} is damaged, so what {out} was made of is not known; give another --out, or "
            "remove it"
        )
    if found["fingerprint"] != fingerprint:
        raise UserError(
            f"{out} was made of other labels or settings; give another --out, or remove it"
        )


@dataclass
class _Job:
    """One training with all that it is made of."""

    table: LabelTable
    parts: Parts
    recipe: JudgeRecipe
    out: Path
    columns: dict[str, str]
    labels: dict[str, str]
    say: Callable[[str], None]

    @property
    def work(self) -> Path:
        return self.out / "work"

    @property
    def reasons(self) -> bool:
        """Whether replies hold reasons: only where somebody wrote them."""
        return bool(self.recipe.generator)

    def run(self, curve: bool) -> JudgeOfLabels:
        training, validation = (
            self._pairs(part) for part in (self.parts.training, self.parts.validation)
        )
        spec = self._spec(len(training))
        self._say_plan(spec, training)
        done = train(spec, training, self.work / "training", validation)
        before, after = self._judged({BEFORE: None, AFTER: done.adapter_dir})
        calibration = self._calibrate(after)
        said = self._verdicts(after, calibration)
        first = self._verdicts(before, Calibration())
        rows = self._compare(first, said)
        points = self._curve(training) if curve else []
        if points:
            points.append({"n_labels": len(self.parts.training), **rows[1]})
        return self._write(done, calibration, first, said, rows, points)

    def _spec(self, n_pairs: int) -> TrainSpec:
        """The training's settings; of fewer pairs than a batch, as many passes in smaller ones."""
        batch_size = min(self.recipe.batch_size, max(1, n_pairs))
        return spec_of(replace(self.recipe, batch_size=batch_size), n_pairs)

    def _pairs(self, samples: Sequence[Sample]) -> list[PreferencePair]:
        """One balanced pair an item; with critiques where a generator writes them."""
        critiques = []
        if self.reasons and samples:
            from selene_lib.labels.critiques import write_critiques

            critiques = write_critiques(
                samples, self.recipe.generator, self.work, self.recipe.templates, self.recipe.seed
            )
            written = {critique.sample_id for critique in critiques}
            samples = [sample for sample in samples if sample.id in written]
        share = 1.0 if self.reasons else 0.0
        family, seed = self.recipe.templates, self.recipe.seed
        pairs = build_pairs(samples, critiques, critique_share=share, family=family, seed=seed)
        return balance(pairs, seed)

    def _say_plan(self, spec: Any, pairs: Sequence[PreferencePair]) -> None:
        prompt, reply = mean_lengths(spec, pairs)
        plan = plan_training(
            spec, n_pairs=len(pairs), prompt_tokens=prompt, completion_tokens=reply
        )
        self.say(
            f"{len(pairs)} balanced pairs of about {plan.tokens_per_pair} tokens, {spec.n_steps} "
            f"steps of {spec.batch_size} on {self.recipe.base} ({plan.device}): some "
            f"{max(1, round(60 * plan.hours))} minutes and {plan.peak_memory_bytes / 1e9:.1f} GB"
        )

    def _judged(self, adapters: Mapping[str, Path | None]) -> list[list[Judgement]]:
        """Judge validation and held-out items with each adapter; replies are kept in `work`."""
        sets = {"held_out": self.parts.held_out, "validation": self.parts.validation}
        sets = {name: samples for name, samples in sets.items() if samples}
        found = judge_arms(
            resolve_model(self.recipe.base),
            adapters,
            sets,
            self.work / "judgements",
            Asking(self.recipe.templates, critique=self.reasons),
            Limits(
                NEW_TOKENS[self.reasons],
                self.recipe.max_length_tokens,
                "greedy" if self.reasons else "logprob",
                "native",
            ),
        )
        return [[j for j in found if j.judge == name] for name in adapters]

    def _calibrate(self, judgements: Sequence[Judgement]) -> Calibration:
        mine = [j for j in judgements if j.set == "validation"]
        return fit_calibration(self.parts.validation, mine)

    def _verdicts(self, judgements: Sequence[Judgement], calibration: Calibration) -> Verdicts:
        by_id = {sample.id: sample for sample in self.parts.held_out}
        mine = [calibration.apply(j, by_id[j.sample_id]) for j in judgements if j.set == "held_out"]
        results = item_results(self.parts.held_out, mine)
        return verdicts_of(
            self.parts.held_out, [r.label for r in results], [r.confidence for r in results]
        )

    def _compare(self, before: Verdicts, after: Verdicts) -> list[dict[str, Any]]:
        rules = rule_verdicts(self.parts.training, self.parts.held_out, self.recipe.seed)
        said = {BEFORE: list(before.verdict), AFTER: list(after.verdict), **rules}
        return compare(self.parts.held_out, said, seed=self.recipe.seed)

    def _curve(self, training: Sequence[PreferencePair]) -> list[dict[str, Any]]:
        """Train on nested shares of the groups; each point is measured on the same items."""
        points = []
        for share in CURVE_SHARES:
            name = f"share{round(100 * share)}"
            mine = [
                pair
                for pair in training
                if unit_hash(self.recipe.seed, "curve", pair.group) < share
            ]
            n_labels = len({pair.sample_id for pair in mine})
            if len({pair.label for pair in mine}) < 2:
                continue
            self.say(f"learning curve: training on {n_labels} labels")
            done = train(self._spec(len(mine)), mine, self.work / name)
            (found,) = self._judged({name: done.adapter_dir})
            said = self._verdicts(found, self._calibrate(found))
            row = compare(self.parts.held_out, {name: list(said.verdict)}, seed=self.recipe.seed)[0]
            points.append({"n_labels": n_labels, **row})
        return points

    def _write(
        self,
        done: TrainResult,
        calibration: Calibration,
        before: Verdicts,
        after: Verdicts,
        rows: list[dict[str, Any]],
        points: list[dict[str, Any]],
    ) -> JudgeOfLabels:
        found, change = agreement(after, seed=self.recipe.seed), gain(before, after)
        write_csv(self.out / HELD_OUT, held_out_table(before, after))
        page, _ = write_agreement(found, self.out / "agreement", str(self.out.name), rows)
        measured = {"rows": rows, **change, "n": found.n, "sentence": sentence(rows)}
        write_json(self.out / "comparison.json", {**measured, "curve": points})
        if calibration.overall is not None:
            calibration.write(self.out / CALIBRATION)
        self._write_adapter(done, measured)
        self.say(sentence(rows))
        return JudgeOfLabels(self.out, self.parts, found, tuple(rows), change, tuple(points), page)

    def _write_adapter(self, done: TrainResult, measured: Mapping[str, Any]) -> None:
        """Copy the adapter's files, the configuration last: without it the folder is no adapter."""
        (self.out / CONFIG).unlink(missing_ok=True)
        for name in (WEIGHTS, RECORD):
            (self.out / name).write_bytes((done.adapter_dir / name).read_bytes())
        settings = TrainedJudge(
            base=self.recipe.base,
            task=self.table.task,
            rubric=self.table.rubric,
            family=self.recipe.templates,
            reply="critique" if self.reasons else "verdict",
            read="greedy" if self.reasons else "logprob",
            max_prompt_tokens=self.recipe.max_length_tokens,
            columns=self.columns,
            labels=self.labels,
            agreement={**measured, "recipe": asdict(self.recipe)},
        )
        write_trained(self.out, settings)
        (self.out / CONFIG).write_bytes((done.adapter_dir / CONFIG).read_bytes())


def held_out_table(before: Verdicts, after: Verdicts) -> pd.DataFrame:
    """Return the held-out items with both verdicts, as `selene agree` reads them."""
    return pd.DataFrame(
        {
            "id": [s.id for s in after.samples],
            "group": after.groups,
            "instruction": [s.instruction for s in after.samples],
            "response": [s.response for s in after.samples],
            "response_b": [s.response_b or "" for s in after.samples],
            "label": after.gold,
            "verdict_before": before.verdict,
            "verdict": after.verdict,
            "confidence": after.confidence,
        }
    )
