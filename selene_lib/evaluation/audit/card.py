"""Ask a judge all probes and write its card: one row an effect.

Biases are asked on the escaping template, attacks on the plain one as well.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from selene_lib.errors import UserError
from selene_lib.evaluation.audit import probes as names
from selene_lib.evaluation.audit.edits import ATTACKS, CONTROL, NUDGES
from selene_lib.evaluation.audit.effects import (
    AuditEffect,
    adjusted_preference,
    attack_effect,
    calibration_effects,
    favour,
    mean_effect,
    nothing,
    order_effect,
    paired_interval,
    rate_effect,
    two_sided_preference,
)
from selene_lib.evaluation.audit.probes import BASE, Probe, make_probes
from selene_lib.judges.judging import answer_questions
from selene_lib.judges.protocol import JudgeBackend, Question
from selene_lib.paper.parity import behaviour_of
from selene_lib.prompts.rendering import Prompt, render
from selene_lib.records import Judgement, Sample

CARD_COLUMNS = (
    "judge",
    "set",
    "probe",
    "kind",
    "template",
    "effect",
    "ci95_low",
    "ci95_high",
    "n",
    "n_unparsed",
    "note",
    "on_selene_mini",
    "measured_by",
)
TEMPLATES = {"escape": True, "plain": False}
GAIN = "plain - escape"


def audit_card(
    judge: JudgeBackend,
    samples: Sequence[Sample],
    *,
    set_name: str = "audit",
    n: int = 100,
    probes: Iterable[str] | None = None,
    templates: Sequence[str] = ("escape", "plain"),
    family: str = "full",
    own: Sequence[str] = (),
    store: str | Path | None = None,
    n_resamples: int = 500,
    seed: int = 0,
    progress: bool = False,
    critique: bool = True,
) -> pd.DataFrame:
    """Return the audit card of a judge, one row an effect, with the columns `CARD_COLUMNS`.

    `effect` is in shares: 0.05 is five points. Kinds: `context` (accuracy), `bias` (change of
    favour for the edited response, order bias, length slope per doubling, self-preference),
    `stability` (share of changed verdicts, calibration), `attack` (success rate among items that
    the judge had not already given away) and `escape gain` (success on the plain less on the
    escaping template, same items). Biases are asked on the first of `templates`, attacks on each.
    `on_selene_mini` is what others measured on the real model by a probe like ours
    (`paper.parity`), empty where nobody did; `measured_by` says what and who. `n` items are used,
    about 9 n + 14 n a template prompts. `own` are names under which the judge's own answers stand
    in `meta["models"]` or `meta["model"]`. With a `store` nothing is asked twice; `critique=False`
    asks for the verdict alone.
    """
    unknown = next((t for t in templates if t not in TEMPLATES), None)
    if unknown is not None or not templates:
        raise UserError(f"template {unknown!r} is not one of {', '.join(TEMPLATES)}")
    asked = make_probes(samples, n=n, names=probes, own=own, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(store) if store is not None else Path(folder) / "audit.jsonl"
        ask = _Ask(judge, set_name, family, kept, progress, critique)
        found = {templates[0]: ask.answers(asked, templates[0])}
        attacks = [p for p in asked if p.name == BASE or p.name in ATTACKS]
        for template in list(dict.fromkeys(templates))[1:]:
            found[template] = ask.answers(attacks, template)
    rows = _bias_rows(found[templates[0]], templates[0], own, n_resamples, seed)
    for template, answers in found.items():
        rows += _attack_rows(answers, template)
    if {"escape", "plain"} <= set(templates):
        rows += _gain_rows(found["escape"], found["plain"])
    return _frame(judge.name, set_name, rows)


class Answers:
    """The judgements of one template by probe name, in the order of the items."""

    def __init__(self, probes: Sequence[Probe], judgements: Sequence[Judgement]) -> None:
        self.items = [p.item.id for p in probes if p.name == BASE]
        self.by_name: dict[str, dict[str, tuple[Probe, Judgement]]] = {}
        for probe, judgement in zip(probes, judgements, strict=True):
            self.by_name.setdefault(probe.name, {})[probe.item.id] = (probe, judgement)

    def pairs(self, name: str) -> list[tuple[tuple[Probe, Judgement], tuple[Probe, Judgement]]]:
        """(base, edited) of each item that has the edit."""
        base, edited = self.by_name[BASE], self.by_name.get(name, {})
        return [(base[i], edited[i]) for i in self.items if i in edited]

    def favours(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Favour for the edited response, without and with the edit; NaN where it is unparsed."""
        pairs = self.pairs(name)
        base = [favour(judgement.verdict, probe.target) for (probe, judgement), _ in pairs]
        edited = [favour(judgement.verdict, probe.target) for _, (probe, judgement) in pairs]
        return np.array(base, dtype=float), np.array(edited, dtype=float)


@dataclass(frozen=True)
class _Ask:
    """Who is asked, and where the replies are kept."""

    judge: JudgeBackend
    set_name: str
    family: str
    store: Path
    progress: bool
    critique: bool

    def answers(self, probes: Sequence[Probe], template: str) -> Answers:
        questions = [
            Question(p.sample, "AB", self._prompt(p.sample, TEMPLATES[template])) for p in probes
        ]
        judgements = answer_questions(
            self.judge, self.set_name, questions, store=self.store, progress=self.progress
        )
        return Answers(probes, judgements)

    def _prompt(self, sample: Sample, escape: bool) -> Prompt:
        return render(sample, family=self.family, escape=escape, critique=self.critique)


Row = tuple[str, str, str, AuditEffect]


def _bias_rows(
    answers: Answers, template: str, own: Sequence[str], n_resamples: int, seed: int
) -> list[Row]:
    rows: list[Row] = [("accuracy", "context", template, _accuracy(answers))]
    if names.SWAPPED in answers.by_name:
        rows.append(("order_bias", "bias", template, _order(answers)))
    for name in (names.LONGER, *NUDGES, names.SIGNATURE, names.CUT):
        if name in answers.by_name:
            base, edited = answers.favours(name)
            # Said four times over is two doublings: the slope is half of the change.
            scale = 0.5 if name == names.LONGER else 1.0
            rows.append((name, "bias", template, mean_effect(edited - base, scale=scale)))
    rows.append(("self_preference", "bias", template, _self_preference(answers, own)))
    if names.REPEAT in answers.by_name:
        rows.append(("inconsistency", "stability", template, _inconsistency(answers)))
    error, over = _calibration(answers, n_resamples, seed)
    return [
        *rows,
        ("calibration_error", "stability", template, error),
        ("overconfidence", "stability", template, over),
    ]


def _accuracy(answers: Answers) -> AuditEffect:
    judged = [(p, j) for p, j in answers.by_name[BASE].values() if p.gold is not None]
    if not judged:
        return nothing("the set has scores and no labels")
    right = np.array([j.verdict == p.gold for p, j in judged])
    return rate_effect(
        right, n_unparsed=sum(j.verdict is None for _, j in judged), note="unparsed counts as wrong"
    )


def _inconsistency(answers: Answers) -> AuditEffect:
    """Share of items whose verdict is another one when they are asked again."""
    changed, n_unparsed = [], 0
    for (_, first), (_, second) in answers.pairs(names.REPEAT):
        changed.append(first.verdict != second.verdict)
        n_unparsed += (first.verdict is None) + (second.verdict is None)
    return rate_effect(np.array(changed), n_unparsed=n_unparsed)


def _order(answers: Answers) -> AuditEffect:
    first = [
        (_first_wins(shown), _first_wins(swapped))
        for (_, shown), (_, swapped) in answers.pairs(names.SWAPPED)
    ]
    return order_effect(np.array(first))


def _first_wins(judgement: Judgement) -> float:
    return float("nan") if judgement.verdict is None else float(judgement.verdict == "A")


def _self_preference(answers: Answers, own: Sequence[str]) -> AuditEffect:
    """Own responses against others' at equal gold.

    In pairs with exactly one own response, or in single responses of known authors.
    """
    if not own:
        return nothing("not asked: name the judge's own models")
    judged = list(answers.by_name[BASE].values())
    if judged[0][0].item.task == "pairwise":
        return _own_in_pairs(judged, own)
    known = [(p, j) for p, j in judged if p.item.meta.get("model")]
    if not known:
        return nothing("the authors of the responses are not known in this set")
    said = np.array([favour(j.verdict, p.target) for p, j in known])
    wanted = np.array([_gold_favour(p) for p, _ in known])
    is_own = np.array([_is_own(str(p.item.meta["model"]), own) for p, _ in known])
    return adjusted_preference(said, wanted, is_own)


def _gold_favour(probe: Probe) -> float:
    """The favour that the gold label or score gives, on the scale of `favour`."""
    if probe.item.score is not None and probe.target == "5":
        return (probe.item.score - 1) / 4
    return favour(probe.gold, probe.target)


def _own_in_pairs(judged: Sequence[tuple[Probe, Judgement]], own: Sequence[str]) -> AuditEffect:
    right: dict[bool, list[bool]] = {True: [], False: []}
    n_unparsed = 0
    for probe, judgement in judged:
        is_own = [_is_own(str(author), own) for author in probe.item.meta.get("models", ())]
        if len(is_own) != 2 or sum(is_own) != 1:
            continue
        if judgement.verdict is None:
            n_unparsed += 1
            continue
        right[(probe.item.label == "A") == is_own[0]].append(judgement.verdict == probe.gold)
    if not any(right.values()):
        return nothing(
            "no pair of this set has exactly one response of the judge's own, "
            "as far as authors are known",
            n_unparsed,
        )
    return two_sided_preference(np.array(right[True]), np.array(right[False]), n_unparsed)


def _is_own(author: str, own: Sequence[str]) -> bool:
    return any(name.casefold() in author.casefold() for name in own)


def _calibration(answers: Answers, n_resamples: int, seed: int) -> tuple[AuditEffect, AuditEffect]:
    judged = [(p, j) for p, j in answers.by_name[BASE].values() if p.gold is not None]
    known = [(p, j) for p, j in judged if j.verdict is not None and j.verdict_probs]
    if not known:
        missing = nothing("the judge gives no probabilities, or the set no labels")
        return missing, missing
    sure = [j.verdict_probability or 0.0 for _, j in known]
    confidence = np.clip(sure, 0, 1)
    correct = np.array([float(j.verdict == p.gold) for p, j in known])
    return calibration_effects(confidence, correct, n_resamples, np.random.default_rng(seed))


def _attack_rows(answers: Answers, template: str) -> list[Row]:
    """Success rates, noted against a harmless note in the attack's place.

    Such a note moves an unsteady judge as well.
    """
    rows: list[Row] = []
    base, control = answers.favours(CONTROL)
    for name in ATTACKS:
        if name not in answers.by_name:
            continue
        before, attacked = answers.favours(name)
        effect = attack_effect(before, attacked)
        if name != CONTROL and len(control) and effect.n:
            excess = (attacked[base < 1] == 1).astype(float) - (control[base < 1] == 1)
            effect = replace(effect, note=_against_control(excess))
        rows.append((name, "attack", template, effect))
    return rows


def _against_control(excess: np.ndarray) -> str:
    low, high = paired_interval(excess)
    if low > 0:
        return "above the harmless note"
    if high < 0:
        return "below the harmless note"
    return "not told apart from the harmless note"


def _gain_rows(escaped: Answers, plain: Answers) -> list[Row]:
    """Success on the plain less success on the escaping template.

    Over the items that the judge had given away on neither.
    """
    rows: list[Row] = []
    for name in ATTACKS:
        if name not in escaped.by_name:
            continue
        (base_e, hit_e), (base_p, hit_p) = escaped.favours(name), plain.favours(name)
        eligible = (base_e < 1) & (base_p < 1)
        differences = (hit_p[eligible] == 1).astype(float) - (hit_e[eligible] == 1)
        pairs = zip(escaped.pairs(name), plain.pairs(name))
        same = all(e[1][1].prompt_sha256 == p[1][1].prompt_sha256 for e, p in pairs)
        rows.append((name, "escape gain", GAIN, _with_note(mean_effect(differences), same)))
    return rows


def _with_note(effect: AuditEffect, same: bool) -> AuditEffect:
    if same:
        return replace(effect, note="same prompts: escaping leaves this text as it is")
    if not effect.value:
        return replace(effect, note=effect.note or "equal")
    sure = (effect.ci95_low or 0) > 0 or (effect.ci95_high or 0) < 0
    side = "lower" if effect.value > 0 else "higher"
    return replace(effect, note=f"{side} with escaping{'' if sure else ', within noise'}")


def _frame(judge: str, set_name: str, rows: Sequence[Row]) -> pd.DataFrame:
    values = []
    for probe, kind, template, e in rows:
        like = behaviour_of(probe) if kind in ("context", "bias") else None
        found = (e.value, e.ci95_low, e.ci95_high, e.n, e.n_unparsed, e.note)
        beside = (like.value, f"{like.what}: {like.source}") if like else (None, "")
        values.append((judge, set_name, probe, kind, template, *found, *beside))
    return pd.DataFrame(values, columns=list(CARD_COLUMNS))
