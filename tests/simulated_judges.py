"""Judges with known faults, and items for them, to check that the audit finds the faults.

They know each probe's gold label and err on purpose. They answer prompts like any judge, so that
rendering, parsing and storing are checked along with the arithmetic. Randomness belongs to the item
and the seed: asked the same, they answer the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from selene_lib.evaluation.audit import audit_card
from selene_lib.evaluation.audit.edits import ATTACKS
from selene_lib.evaluation.audit.probes import REPEAT, Probe, make_probes
from selene_lib.judges.protocol import Reply
from selene_lib.prompts.rendering import Prompt, format_reply, render
from selene_lib.records import LABELS, Sample, unit_hash


class SimulatedJudge:
    """Right on a share `accuracy` of the items, and then biased as told.

    `shifts[probe]` is the share of items by which that edit raises the favour for the edited
    response (0.1 is ten points); `shifts` of an attack is its success rate, on the plain template
    only if `escape_holds`. `order_bias` is the excess share of verdicts for the response shown
    first, `flip_rate` the share of repeats answered otherwise, `unparsed_rate` the share of replies
    without a verdict. `noise` flips verdicts independently of all else. For pairwise and
    classification probes.
    """

    def __init__(
        self,
        probes: Sequence[Probe],
        *,
        family: str = "full",
        accuracy: float = 0.8,
        shifts: Mapping[str, float] | None = None,
        order_bias: float = 0.0,
        flip_rate: float = 0.0,
        unparsed_rate: float = 0.0,
        noise: float = 0.0,
        escape_holds: bool = True,
        seed: int = 0,
        name: str = "simulated",
    ) -> None:
        self.name, self.seed, self.accuracy, self.noise = name, seed, accuracy, noise
        self.shifts, self.order_bias = dict(shifts or {}), order_bias
        self.flip_rate, self.unparsed_rate = flip_rate, unparsed_rate
        self.escape_holds = escape_holds
        self.fingerprint = f"simulated-{seed}"
        self._times: dict[str, int] = {}
        self._probes: dict[str, list[tuple[Probe, bool]]] = {}
        for escape in (True, False):
            for probe in probes:
                self._probes.setdefault(
                    render(probe.sample, family=family, escape=escape).sha256, []
                ).append((probe, escape))

    def judge(self, prompts: Sequence[Prompt]) -> list[Reply]:
        """Answer each prompt; asked for the n-th time, it is the n-th probe that looks like it."""
        return [self._reply(prompt) for prompt in prompts]

    def _reply(self, prompt: Prompt) -> Reply:
        looks_like = self._probes[prompt.sha256]
        time = self._times.get(prompt.sha256, 0)
        self._times[prompt.sha256] = time + 1
        probe, escape = looks_like[min(time, len(looks_like) - 1)]
        if self._chance(probe, "unparsed", probe.name) < self.unparsed_rate:
            return Reply("I would rather not say.")
        return Reply(format_reply("as simulated", self._verdict(probe, escape)))

    def _chance(self, probe: Probe, *parts: str) -> float:
        return unit_hash(self.seed, probe.item.id, *parts)

    def _verdict(self, probe: Probe, escape: bool) -> str:
        labels = LABELS[probe.item.task]
        gold = probe.gold or labels[0]
        wrong = next(label for label in labels if label != gold)
        verdict = gold if self._chance(probe, "error") < self.accuracy else wrong
        if self._chance(probe, "order") < 2 * self.order_bias:
            verdict = "A"
        shift = self.shifts.get(probe.name, 0.0)
        is_held = self.escape_holds and escape and probe.name in ATTACKS
        if (
            verdict != probe.target
            and not is_held
            and self._chance(probe, "shift", probe.name) * self._reach(probe) < shift
        ):
            verdict = probe.target
        if probe.name == REPEAT and self._chance(probe, "flip") < self.flip_rate:
            verdict = next(label for label in labels if label != verdict)
        if self._chance(probe, "noise", probe.name) < self.noise:
            verdict = next(label for label in labels if label != verdict)
        return verdict

    def _reach(self, probe: Probe) -> float:
        """The share of items that an edit can move.

        Attacks are counted among these, biases among all items.
        """
        return 1.0 if probe.name in ATTACKS else self.accuracy


class QuotingJudge:
    """Always right, and then quotes both responses as shown.

    So shows what a planted verdict does to a parser without a model's help.
    """

    name, fingerprint = "quoting", "quoting"

    def __init__(self, probes: Sequence[Probe], *, family: str = "full") -> None:
        self._gold = {
            render(p.sample, family=family, escape=e).sha256: p.gold
            for p in probes
            for e in (True, False)
        }

    def judge(self, prompts: Sequence[Prompt]) -> list[Reply]:
        """Reply `**Result:** gold`, then the responses word for word."""
        return [
            Reply(
                format_reply("see below", self._gold[p.sha256] or "")
                + "\n\nI read:\n"
                + self._quotes(p)
            )
            for p in prompts
        ]

    @staticmethod
    def _quotes(prompt: Prompt) -> str:
        return "\n".join(prompt.text[start:end] for start, end in prompt.elastic)


def pair(i, label="A", **meta):
    response, other = f"Right {i}. It is good.", f"Wrong {i}. It is bad."
    texts = (
        {"response": response, "response_b": other}
        if label == "A"
        else {"response": other, "response_b": response}
    )
    return Sample(
        id=f"i{i}",
        source="s",
        task="pairwise",
        instruction=f"Question {i}?",
        rubric="right?",
        label=label,
        meta=meta,
        **texts,
    )


PAIRS = [pair(i, "A" if i % 3 else "B") for i in range(300)]


GRADED = [
    Sample(
        id=f"g{i}",
        source="s",
        task="absolute",
        instruction="q",
        response=f"Text {i}. More.",
        rubric="r",
        label=str(1 + i % 5),
    )
    for i in range(60)
]


CHECKED = [
    replace(s, task="classification", label="Yes" if i % 2 else "No") for i, s in enumerate(GRADED)
]


def simulated(samples, n, seed=0, names=None, own=(), **faults):
    return SimulatedJudge(
        make_probes(samples, n=n, names=names, own=own, seed=seed), seed=seed, **faults
    )


def card_of(samples, n, seed=0, names=None, templates=("escape",), **faults):
    judge = simulated(samples, n, seed, names, **faults)
    return audit_card(judge, samples, n=n, probes=names, templates=templates, seed=seed).set_index(
        ["probe", "template"]
    )
