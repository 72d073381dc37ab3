"""Do two forms of one judge say the same? Verdicts on a golden set, side by side, and the gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from selene_lib.errors import UserError
from selene_lib.prompts.rendering import render
from selene_lib.prompts.verdicts import parse_verdict
from selene_lib.records import Sample

if TYPE_CHECKING:
    from selene_lib.judges.protocol import JudgeBackend


@dataclass(frozen=True)
class Flip:
    """One golden sample on which an export says something else than the reference form of the same
    judge.
    """

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
    """Verdicts of several forms of one judge: `flips` against the first form, `n_flips` by form, of
    `n` samples.
    """

    reference: str
    n: int
    n_flips: dict[str, int]
    flips: tuple[Flip, ...]


def golden_verdicts(
    judge: JudgeBackend, samples: Sequence[Sample], *, family: str = "full"
) -> dict[str, str | None]:
    """Ask one judge about the golden set; verdict by sample id, None where there is none."""
    prompts = [render(sample, family=family) for sample in samples]
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
    """Compare forms of one judge, `{form: {sample id: verdict}}`; the first form is the reference,
    and all must cover the same samples.
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
    return VerdictComparison(forms[0], len(reference), counts, tuple(flips))


def refuse_flips(comparison: VerdictComparison, *, allowed_share: float) -> None:
    """Raise UserError with the list of flips when a form differs from the reference on more than
    `allowed_share` of the samples.
    """
    for form, n_flips in comparison.n_flips.items():
        if n_flips > allowed_share * comparison.n:
            listed = "; ".join(str(flip) for flip in comparison.flips if flip.form == form)
            raise UserError(
                f"export refused: {form} differs from {comparison.reference} on {n_flips} of "
                f"{comparison.n} golden verdicts, more than {allowed_share:.1%}: {listed}. "
                "Merge onto the other base, export in higher precision, or allow more"
            )


def choose_merge(
    comparison: VerdictComparison,
    forms: Sequence[str] = ("merged onto base", "merged onto dequantised"),
) -> str:
    """The merge that flips fewer verdicts of the trained adapter; the first on a tie."""
    return min(forms, key=lambda form: (comparison.n_flips[form], forms.index(form)))
