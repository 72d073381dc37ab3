"""Judge an answer once: what was said is kept in a file that several processes may fill."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selene_lib.errors import UserError
from selene_lib.judge import Judge
from selene_lib.judges.items import NAMES, sample_of
from selene_lib.models.reply_store import append_shared, read_shared
from selene_lib.records import LABELS, Sample, labels_of, stable_id

KEPT = ("label", "score", "status", "reason", "reasoning", "raw", "confidence")
AT_LEAST = 0.75  # of the way from the lowest to the highest score: 4 of 1 to 5


@dataclass(frozen=True)
class Judged:
    """What a judge said of one answer, and whether that was what was wanted."""

    label: str | None
    score: float | None
    status: str
    reason: str
    reasoning: str
    raw: str
    confidence: float | None
    wanted: str
    passed: bool

    @property
    def words(self) -> str:
        """Why it did not pass."""
        said = self.label if self.status == "value" else f"nothing ({self.status}: {self.reason})"
        return f"the judge says {said}, {self.wanted} was wanted\n{self.raw}"


class JudgeOnce:
    """A judge that is opened when it is first needed; `kept` is a JSON Lines file (None: memory).

    A verdict is kept under the judge's fingerprint and the prompt, so that other weights, another
    rubric or another answer are judged anew. A failed request is not kept.
    """

    def __init__(self, model: str, kept: Path | None) -> None:
        self.model, self._path = model, kept
        self._judge: Judge | None = None
        rows = read_shared(kept, _is_row) if kept is not None and kept.is_file() else []
        self._known = {row["key"]: row["result"] for row in rows}
        self.n_asked = self.n_cached = 0

    def score(
        self, response: Any, expect: Any, at_least: float | None, item: Mapping[str, Any]
    ) -> Judged:
        """Judge one answer; raises UserError for an argument that no item has."""
        sample = self._sample(response, expect, item)
        expect, at_least = _wanted(sample.kind, expect, at_least)
        said = self._said(sample)
        if expect is not None:
            return Judged(**said, wanted=expect, passed=said["label"] == expect)
        passed = said["score"] is not None and said["score"] >= at_least
        return Judged(**said, wanted=f"at least {at_least:g}", passed=passed)

    def _sample(self, response: Any, expect: Any, item: Mapping[str, Any]) -> Sample:
        texts = {"response": response, **item}
        task = texts.pop("task", None)
        unknown = sorted(set(texts) - set(NAMES))
        if unknown:
            names = ", ".join(["expect", "at_least", "task", *NAMES])
            raise UserError(f"assert_judged has no argument {unknown[0]!r} (it has: {names})")
        if task is None and _label(expect) in LABELS["classification"]:
            task = "classification"
        return sample_of(texts, {}, task, self._opened().asked)

    def _said(self, sample: Sample) -> dict[str, Any]:
        judge = self._opened()
        asked = [question.prompt.sha256 for question in judge.asked.opinion.questions([sample])]
        key = stable_id("judged", *(one.fingerprint for one in judge.judges), sample.kind, *asked)
        if key in self._known:
            self.n_cached += 1
            return dict(self._known[key])
        (result,) = judge.score_samples([sample])
        self.n_asked += 1
        said = {name: getattr(result, name) for name in KEPT}
        if result.status != "failed":
            self._known[key] = said
            if self._path is not None:
                append_shared(self._path, [{"key": key, "result": said}])
        return said

    def _opened(self) -> Judge:
        if self._judge is None:
            self._judge = Judge(self.model)
        return self._judge


def _is_row(row: Mapping[str, Any]) -> bool:
    result = row.get("result")
    return isinstance(row.get("key"), str) and isinstance(result, dict) and set(result) == set(KEPT)


def _label(expect: Any) -> str | None:
    """A wanted verdict as a label: True is Yes, 4 is `4`."""
    if isinstance(expect, bool):
        return "Yes" if expect else "No"
    return None if expect is None else str(expect)


def _wanted(kind: str, expect: Any, at_least: float | None) -> tuple[str | None, float]:
    """The label that is wanted, or the lowest score; one that the kind has not is a UserError."""
    label, labels = _label(expect), labels_of(kind)
    is_score = kind.startswith("absolute")
    if label is not None and label not in labels:
        raise UserError(f"expect {expect!r} is no verdict of {kind}: {', '.join(labels)}")
    if at_least is not None and not is_score:
        raise UserError(f"at_least is for scores; a {kind} item has expect=")
    if label is None and not is_score:
        label = labels[0]
    low, high = (float(labels[0]), float(labels[-1])) if is_score else (0.0, 1.0)
    return label, low + AT_LEAST * (high - low) if at_least is None else at_least
