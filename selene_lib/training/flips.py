"""Do two forms of one judge say the same? Verdicts on a golden set, side by side, and the gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import NormalDist
from typing import TYPE_CHECKING

from selene_lib.errors import UserError
from selene_lib.prompts.rendering import render
from selene_lib.prompts.verdicts import parse_verdict
from selene_lib.records import Sample

if TYPE_CHECKING:
    from selene_lib.judges.protocol import JudgeBackend


@dataclass(frozen=True)
class Flip:
    """One golden sample on which an export and the reference form of its judge differ."""

    sample_id: str
    form: str
    reference_verdict: str | None
    verdict: str | None
    label: str | None = None

    def __str__(self) -> str:
        gold = f" (gold {self.label})" if self.label else ""
        return f"{self.sample_id}: {self.reference_verdict} -> {self.verdict}{gold}"


@dataclass(frozen=True)
class VerdictComparison:
    """Verdicts of several forms of one judge on `n` samples.

    `flips` are against the first form, `n_flips` counts them by form. `n_readable` is, by form, how
    many samples both it and the reference gave a verdict on, and `n_compared` how many at least one
    of them did: a reply that neither side can be read in is no agreement.
    """

    reference: str
    n: int
    n_flips: dict[str, int]
    flips: tuple[Flip, ...]
    n_readable: dict[str, int] = field(default_factory=dict)
    n_compared: dict[str, int] = field(default_factory=dict)

    def only(self, form: str) -> VerdictComparison:
        """The comparison of one form."""
        return replace(self, n_flips={form: self.n_flips[form]})

    def describe(self, form: str) -> str:
        """Say how one form compares, with the 95 % interval of its flip rate."""
        n_flips, n = self.n_flips[form], self.n_compared[form]
        low, high = flip_interval(n_flips, n)
        return (
            f"{form}: {n_flips} of {n} verdicts differ ({low:.1%} to {high:.1%} with 95 % "
            f"confidence), {self.n_readable[form]} of {self.n} golden items read on both sides"
        )


def flip_interval(n_flips: int, n: int) -> tuple[float, float]:
    """Wilson's (1927) 95 % interval of a flip rate; (0, 1) without any item."""
    if not n:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.975)
    centre = (n_flips + z * z / 2) / (n + z * z)
    half = z * (n_flips * (n - n_flips) / n + z * z / 4) ** 0.5 / (n + z * z)
    return max(0.0, centre - half), min(1.0, centre + half)


def golden_verdicts(
    judge: JudgeBackend, samples: Sequence[Sample], *, family: str = "full", critique: bool = True
) -> dict[str, str | None]:
    """Ask one judge about the golden set; verdict by sample id, None where there is none."""
    prompts = [render(sample, family=family, critique=critique) for sample in samples]
    replies = judge.judge(prompts)
    return {
        sample.id: parse_verdict(reply.text, sample.task, finish_reason=reply.finish_reason).value
        for sample, reply in zip(samples, replies)
    }


def compare_verdicts(
    verdicts: Mapping[str, Mapping[str, str | None]],
    *,
    labels: Mapping[str, str | None] | None = None,
) -> VerdictComparison:
    """Compare forms of one judge, `{form: {sample id: verdict}}`.

    The first form is the reference, and all must cover the same samples.
    """
    forms = list(verdicts)
    reference = verdicts[forms[0]]
    flips: list[Flip] = []
    for form in forms[1:]:
        missing = set(reference) ^ set(verdicts[form])
        if missing:
            raise ValueError(
                f"{form} and {forms[0]} were not asked the same samples: "
                f"{sorted(missing)[0]} is in one of them only"
            )
        differing = [i for i in reference if verdicts[form][i] != reference[i]]
        flips += [
            Flip(i, form, reference[i], verdicts[form][i], (labels or {}).get(i)) for i in differing
        ]
    counts = {form: sum(flip.form == form for flip in flips) for form in forms[1:]}
    readable, compared = {}, {}
    for form in forms[1:]:
        read = [sum(v[i] is not None for v in (reference, verdicts[form])) for i in reference]
        readable[form], compared[form] = read.count(2), len(read) - read.count(0)
    return VerdictComparison(forms[0], len(reference), counts, tuple(flips), readable, compared)


def refuse_unreadable(n_readable: int, n: int, *, at_least: int) -> None:
    """Raise UserError where too few golden items could be read to say anything."""
    if n_readable < at_least:
        raise UserError(
            f"export refused: {n_readable} of {n} golden items gave a verdict that can be read, "
            f"{at_least} are needed: give more golden items or more new tokens, check that the "
            "prompt family is the one it was trained with, or lower the minimum"
        )


def refuse_flips(comparison: VerdictComparison, *, allowed_share: float) -> None:
    """Raise UserError with the list of flips when a form differs from the reference on more than
    `allowed_share` of the samples that either could be read on.
    """
    for form, n_flips in comparison.n_flips.items():
        if n_flips > allowed_share * comparison.n_compared[form]:
            listed = "; ".join(str(flip) for flip in comparison.flips if flip.form == form)
            raise UserError(
                f"export refused: {form} differs from {comparison.reference} on {n_flips} of "
                f"{comparison.n_compared[form]} golden verdicts, more than {allowed_share:.1%}: "
                f"{listed}. Merge onto the other base, export in higher precision, or allow more"
            )


def choose_merge(
    comparison: VerdictComparison,
    forms: Sequence[str] = ("merged onto base", "merged onto dequantised"),
) -> str:
    """The merge that flips fewer verdicts of the trained adapter; the first on a tie."""
    return min(forms, key=lambda form: (comparison.n_flips[form], forms.index(form)))
