"""Critiques from a generator: one for the gold verdict, one for another, both checked before use.

Two ways. `argue` asks for each verdict by name: the gold one, and a wrong one (for absolute scores
drawn by distance, near ones more often, and recorded). `sample` is rejection sampling as in
SFR-Judge (arXiv 2409.14664): the judge prompt itself is answered k times at a temperature; a reply
with the gold verdict is a chosen one, any other a rejected one. A critique whose verdict is not
what was asked, that contradicts itself, or that says that it was told the answer is asked again
with a new seed, then dropped and counted.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from selene_lib.curation.critique_checks import check_reply
from selene_lib.curation.generators.protocol import Generation, Generator, Request
from selene_lib.curation.orders import FIXED_ORDER
from selene_lib.errors import UserError
from selene_lib.ledger import Ledger
from selene_lib.models.reply_store import ReplyStore, open_store
from selene_lib.prompts.rendering import TEMPLATE_FOLDER, render
from selene_lib.records import LABELS, TIE, Critique, Sample, unit_hash

if TYPE_CHECKING:
    from selene_lib.models.client import RequestPlan

Method = Literal["argue", "sample"]
STAGE = "critiques"


@dataclass(frozen=True)
class CritiqueResult:
    """Verified critiques and the ledger of their generation.

    Two a sample, chosen then rejected, in the order of the samples; by `sample` up to as many such
    couples as were asked for.
    """

    critiques: list[Critique]
    ledger: Ledger


def as_shown(sample: Sample, seed: int) -> Sample:
    """The sample as generator and judge see it: pairs change places by a coin of their own id."""
    return sample.swap() if is_swapped(sample, seed) else sample


def is_swapped(sample: Sample, seed: int) -> bool:
    """Whether `as_shown` exchanges the two responses; never those of a sample in both orders."""
    if sample.meta.get(FIXED_ORDER):
        return False
    return sample.task == "pairwise" and unit_hash(seed, "position", sample.id) < 0.5


def wrong_verdict(sample: Sample, seed: int) -> str:
    """A verdict other than the gold one.

    An absolute score is drawn with weight 1 / distance, by a hash of the item.
    """
    others = [label for label in LABELS[sample.task] if label != sample.label]
    weights = [1.0] * len(others)
    if sample.task == "absolute":
        weights = [1 / abs(int(label) - int(str(sample.label))) for label in others]
    point = unit_hash(seed, "wrong", sample.id) * sum(weights)
    for label, weight in zip(others, weights):
        point -= weight
        if point < 0:
            return label
    return others[-1]


def no_gold(sample: Sample) -> str:
    """Why no verdict can be argued for, or an empty string.

    The label is missing, or it is a tie, which no judge may answer.
    """
    if sample.label == TIE:
        return "the gold label is a tie"
    return "" if sample.label is not None else "no gold label"


def argue_prompt(sample: Sample, verdict: str, *, family: str = "full", escape: bool = True) -> str:
    """The message that asks a generator to argue for `verdict`.

    It is the judge's own prompt inside `templates/generate/argue.txt`.
    """
    # one pass, so that a sample that spells out "{verdict}" stays as it is
    values = {"{prompt}": render(sample, family=family, escape=escape).text, "{verdict}": verdict}
    marks = re.compile(r"\{(?:prompt|verdict)\}")
    return marks.sub(lambda match: values[match.group(0)], _argue_template())


@functools.cache
def _argue_template() -> str:
    return (TEMPLATE_FOLDER / "generate" / "argue.txt").read_text(encoding="utf-8").rstrip("\n")


def generate_critiques(
    samples: Sequence[Sample],
    generator: Generator,
    *,
    store: str | Path | None,
    seed: int = 0,
    max_attempts: int = 3,
    family: str = "full",
    method: Method = "argue",
    n_samples: int = 20,
    temperature: float = 0.7,
    max_pairs: int = 1,
) -> CritiqueResult:
    """Return two verified critiques for every sample that gets them.

    All others stand in the ledger with the reason. `store` is the append-only file of replies (None
    keeps nothing). `max_attempts` is for `argue`, `n_samples` and `max_pairs` for `sample`: up to
    `max_pairs` right replies are each put beside a wrong one of other words. A pairwise sample is
    put in the order of `as_shown(sample, seed)`; `settings["swapped"]` of its critiques says which.
    """
    if method not in ("argue", "sample"):
        raise UserError(f"method {method!r} is not one of argue, sample")
    reasons = {s.id: why for s in samples if (why := no_gold(s))}
    usable = [as_shown(s, seed) for s in samples if s.id not in reasons]
    job = _Job(generator, seed, family, temperature)
    replies = open_store(store)
    if method == "argue":
        found = job.argue(usable, max_attempts, replies)
    else:
        found = job.sample(usable, n_samples, replies)
    critiques: list[Critique] = []
    for sample in usable:
        chosen, rejected = found[sample.id, "chosen"], found[sample.id, "rejected"]
        if isinstance(chosen, str):
            reasons[sample.id] = f"chosen: {chosen}"
        elif isinstance(rejected, str):
            reasons[sample.id] = f"rejected: {rejected}"
        else:
            for right, wrong in islice(zip(chosen, rejected), max_pairs):
                critiques += [right, wrong]
    return CritiqueResult(critiques, _ledger(samples, reasons))


def plan_critiques(
    samples: Sequence[Sample],
    generator: Generator,
    *,
    store: str | Path | None,
    seed: int = 0,
    family: str = "full",
    method: Method = "argue",
    n_samples: int = 20,
    temperature: float = 0.7,
) -> RequestPlan | None:
    """The dry run of `generate_critiques`: requests, tokens and cost of its first attempt.

    Nobody is asked. None where nothing is paid. Retries come on top: at most `max_attempts - 1`
    times the share of replies that fail their check.
    """
    plan = getattr(generator, "plan", None)
    if plan is None:
        return None
    usable = [as_shown(s, seed) for s in samples if not no_gold(s)]
    job = _Job(generator, seed, family, temperature)
    if method == "argue":
        requests = [job.request(s, asked, 0) for s, _, asked in job.sides(usable)]
    else:
        requests = [job.request(s, None, i) for s in usable for i in range(n_samples)]
    return plan(requests, store=open_store(store))


def _ledger(samples: Sequence[Sample], reasons: dict[str, str]) -> Ledger:
    ledger = Ledger()
    ledger.add_records(
        STAGE, samples, [s for s in samples if s.id not in reasons], reasons, "generation"
    )
    return ledger


Written = dict[tuple[str, str], list[Critique] | str]
"""What was written for (sample, side): verified critiques, or why there is none."""


@dataclass(frozen=True)
class _Job:
    """One generation over a set of samples: what both ways share."""

    generator: Generator
    seed: int
    family: str
    temperature: float

    def sides(self, samples: Sequence[Sample]) -> list[tuple[Sample, str, str]]:
        """Both sides of every sample, each with the verdict that is to be argued for."""
        wanted = []
        for sample in samples:
            wanted.append((sample, "chosen", str(sample.label)))
            wanted.append((sample, "rejected", wrong_verdict(sample, self.seed)))
        return wanted

    def argue(self, samples: Sequence[Sample], max_attempts: int, store: ReplyStore) -> Written:
        """Ask for both sides of every sample, then again for what failed.

        The value is one critique or the last reason.
        """
        wanted = self.sides(samples)
        found: Written = {}
        for attempt in range(max_attempts):
            requests = [self.request(s, asked, attempt) for s, _, asked in wanted]
            replies = self.generator.generate(requests, store=store)
            for (sample, side, _), request, reply in zip(wanted, requests, replies, strict=True):
                read = self._verify(request, reply)
                found[sample.id, side] = read if isinstance(read, str) else [read]
            wanted = [w for w in wanted if isinstance(found[w[0].id, w[1]], str)]
            if not wanted:
                break
        return found

    def sample(self, samples: Sequence[Sample], n_samples: int, store: ReplyStore) -> Written:
        """Answer each judge prompt `n_samples` times.

        The verified replies of either kind are taken in their order, equal texts once.
        """
        requests = [self.request(s, None, i) for s in samples for i in range(n_samples)]
        replies = self.generator.generate(requests, store=store)
        kept: dict[tuple[str, str], dict[str, Critique]] = {}
        failures: dict[str, Counter[str]] = {s.id: Counter() for s in samples}
        for request, reply in zip(requests, replies, strict=True):
            read = self._verify(request, reply)
            if isinstance(read, str):
                failures[request.sample.id][read] += 1
            else:
                side = "chosen" if read.agrees else "rejected"
                kept.setdefault((request.sample.id, side), {}).setdefault(read.text, read)
        found: Written = {key: list(texts.values()) for key, texts in kept.items()}
        for sample in samples:
            failed = failures[sample.id]
            missing = {
                "chosen": "no sample has the gold verdict",
                "rejected": "every sample has the gold verdict",
            }
            if failed and failed.total() == n_samples:
                missing = dict.fromkeys(missing, failed.most_common(1)[0][0])
            for side, reason in missing.items():
                found.setdefault((sample.id, side), reason)
        return found

    def request(self, sample: Sample, asked: str | None, attempt: int) -> Request:
        """One request: to argue for `asked`, or (None) the judge prompt itself."""
        if asked is None:
            text = render(sample, family=self.family).text
        else:
            text = argue_prompt(sample, asked, family=self.family)
        return Request(sample, asked, text, self.seed, attempt, self.temperature)

    def _verify(self, request: Request, reply: Generation) -> Critique | str:
        """The critique that the reply is, or why it is none."""
        verdict, reason = check_reply(reply, request.asked, request.sample.task)
        if reason:
            return reason
        sample, asked = request.sample, request.asked if request.asked is not None else str(verdict)
        settings = {
            "attempt": request.attempt,
            "seed": request.seed,
            "temperature": request.temperature,
            **self.generator.settings,
        }
        settings["method"] = "argue" if request.asked is not None else "sample"
        settings["swapped"] = is_swapped(sample, self.seed)
        if sample.task == "absolute" and verdict != sample.label:
            settings["distance"] = abs(int(str(verdict)) - int(str(sample.label)))
        key = hashlib.sha256("\x1f".join([sample.id, asked, reply.text]).encode()).hexdigest()[:16]
        return Critique(
            f"{sample.id}-{key}",
            sample.id,
            reply.text,
            asked,
            verdict,
            verdict == sample.label,
            self.generator.name,
            settings,
        )
