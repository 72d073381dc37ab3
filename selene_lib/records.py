"""The nouns of the project: what flows from a source to a score.

`Sample -> Critique -> PreferencePair` on the training side, `Sample -> Judgement -> Score` on the
judging side. Records are frozen; a change makes a new record. Files of records are read and written
by `selene_lib.files`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Task = Literal["absolute", "classification", "pairwise"]
TASKS: tuple[Task, ...] = ("absolute", "classification", "pairwise")
LABELS: dict[str, tuple[str, ...]] = {
    "absolute": ("1", "2", "3", "4", "5"),
    "classification": ("Yes", "No"),
    "pairwise": ("A", "B"),
}
TIE = "tie"
USUAL_SCALE = "1-5"
VerdictStatus = Literal["value", "malformed", "truncated", "refused", "abstained", "failed"]
Order = Literal["AB", "BA"]
_FLIP = {"A": "B", "B": "A"}


def stable_id(source: str, *parts: object) -> str:
    """Return `source-<16 hex>`.

    It is the same for the same parts on every machine and in every order of reading.
    """
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()
    return f"{source}-{digest[:16]}"


def labels_of(kind: str) -> tuple[str, ...]:
    """Return the labels of a task, or of `absolute LOW-HIGH`: the whole scores of that scale."""
    task, _, scale = kind.partition(" ")
    if not scale:
        return LABELS[task]
    low, _, high = scale.partition("-")
    return tuple(str(score) for score in range(int(low), int(high) + 1))


def unit_hash(seed: int, *parts: object) -> float:
    """Map `(seed, parts)` to [0, 1).

    This randomness belongs to the item, not to the order in which items come.
    """
    digest = hashlib.sha256("\x1f".join(map(str, (seed, *parts))).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def swap_verdict(verdict: str | None) -> str | None:
    """Name the same response after A and B changed places; other verdicts stay."""
    return _FLIP.get(verdict, verdict) if verdict is not None else None


@dataclass(frozen=True)
class Sample:
    """One item to be judged.

    `label` is the gold verdict in the task's own words (`LABELS`, or `tie` for a pairwise draw;
    None where only `score` is known). `score` is the numeric gold of an absolute item on its
    rubric's 1-5 scale before rounding (a mean of annotators may be 3.67). `group` names what shares
    a prompt: splits and clustered intervals never part a group. `meta` holds JSON values only; the
    prompt shows its `context` (what the response was to be drawn from) and its `scale` (`1-10`; a
    number is the highest score of a scale from 1).
    """

    id: str
    source: str
    task: Task
    instruction: str
    response: str
    response_b: str | None = None
    rubric: str = ""
    reference: str | None = None
    label: str | None = None
    score: float | None = None
    licence: str = ""
    group: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ValueError(
                f"sample {self.id}: task {self.task!r} is not one of {', '.join(TASKS)}"
            )
        if (self.task == "pairwise") != (self.response_b is not None):
            raise ValueError(f"sample {self.id}: a pairwise sample, and only that, has response_b")
        allowed = (*LABELS[self.task], TIE) if self.task == "pairwise" else labels_of(self.kind)
        if self.label is not None and self.label not in allowed:
            raise ValueError(
                f"sample {self.id}: label {self.label!r} is not one of {', '.join(allowed)}"
            )

    @property
    def kind(self) -> str:
        """The task, with its scale where that is not the usual one: what `labels_of` reads."""
        scale = self.meta.get("scale") if self.task == "absolute" else None
        name = USUAL_SCALE if scale is None else f"1-{scale}" if isinstance(scale, int) else scale
        return self.task if name == USUAL_SCALE else f"{self.task} {name}"

    def swap(self) -> Sample:
        """Exchange the two responses **and** the label of a pairwise sample.

        The id stays, since the item is the same.
        """
        if self.response_b is None:
            raise ValueError(f"sample {self.id}: only a pairwise sample can be swapped")
        return replace(
            self, response=self.response_b, response_b=self.response, label=swap_verdict(self.label)
        )


@dataclass(frozen=True)
class Critique:
    """A free text that argues for `asked` and ends in a verdict, as `generator` wrote it.

    `text` is the whole reply (`**Reasoning:** ... **Result:** ...`); `verdict` is what the parser
    read in it, None if nothing. `agrees` says whether that verdict is the gold label. `reward` is a
    reward model's scalar, None before it was scored.
    """

    id: str
    sample_id: str
    text: str
    asked: str
    verdict: str | None
    agrees: bool
    generator: str
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    reward: float | None = None


@dataclass(frozen=True)
class PreferencePair:
    """One training example: a prompt (the user message), a better and a worse reply.

    `with_critique` is False where both replies hold the judgement only. `label` is the gold verdict
    the chosen side ends in.
    """

    id: str
    sample_id: str
    source: str
    task: Task
    prompt: str
    chosen: str
    rejected: str
    with_critique: bool
    label: str
    rejected_verdict: str
    group: str = ""
    licence: str = ""
    chosen_reward: float | None = None
    rejected_reward: float | None = None
    meta: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def to_trl(self) -> dict[str, list[dict[str, str]]]:
        """Return the pair in TRL's conversational preference format.

        `prompt`, `chosen` and `rejected` are lists of messages.
        """
        return {
            "prompt": [{"role": "user", "content": self.prompt}],
            "chosen": [{"role": "assistant", "content": self.chosen}],
            "rejected": [{"role": "assistant", "content": self.rejected}],
        }


@dataclass(frozen=True)
class Judgement:
    """What one judge replied to one prompt, kept for ever.

    A re-score reads it again and asks nobody. `order` is `AB` as the sample stands and `BA` after
    `Sample.swap()`; `verdict` is in the words of the prompt that was shown (so `A` under `BA` means
    the sample's `response_b`). `status` is `failed` where there is no reply: the request was
    refused for good, and `meta["reason"]` says why. `verdict_probs` are probabilities over the
    task's labels, if the judge gives them.
    """

    judge: str
    set: str
    sample_id: str
    task: Task
    order: Order
    template: str
    prompt_sha256: str
    reply: str
    finish_reason: str
    status: VerdictStatus
    verdict: str | None
    verdict_probs: Mapping[str, float] | None = field(default=None, hash=False)
    n_prompt_tokens: int = 0
    n_reply_tokens: int = 0
    meta: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """What makes this judgement one of its kind: asked once, never twice."""
        asked = f"{self.prompt_sha256}#{self.draw}" if self.draw else self.prompt_sha256
        return (self.judge, self.set, self.sample_id, self.order, asked)

    @property
    def draw(self) -> int:
        """Which sample of the judge's replies to one prompt this is, from 1; 0 for the only one."""
        return int(self.meta.get("draw", 0))

    @property
    def kind(self) -> str:
        """The task, with its scale where that is not the usual one; see `Sample.kind`."""
        scale = self.meta.get("scale")
        return f"{self.task} {scale}" if scale else self.task

    @property
    def verdict_of_sample(self) -> str | None:
        """The verdict in the words of the sample: under `BA` the letters change places."""
        return swap_verdict(self.verdict) if self.order == "BA" else self.verdict

    @property
    def verdict_probability(self) -> float | None:
        """The probability of the verdict that was given; None where either is not known."""
        if self.verdict is None or self.verdict_probs is None:
            return None
        return self.verdict_probs.get(self.verdict)


@dataclass(frozen=True)
class Score:
    """One metric of one judge on one set.

    `bound_low` and `bound_high` are the metric with every unparsed reply counted wrong and right;
    `ci95_*` a bootstrap interval. `status` is one of matches / within interval / differs /
    undefined / not comparable / not run / no published value, and speaks of `published` only.
    """

    judge: str
    set: str
    task: Task
    metric: str
    convention: str
    value: float | None
    n: int
    n_unparsed: int
    ci95_low: float | None = None
    ci95_high: float | None = None
    bound_low: float | None = None
    bound_high: float | None = None
    baseline_majority: float | None = None
    baseline_random: float | None = None
    published: float | None = None
    published_note: str = ""
    status: str = "no published value"
    meta: Mapping[str, Any] = field(default_factory=dict, hash=False)
