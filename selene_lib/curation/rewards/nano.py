"""The reward model of the embedded world: does a critique keep to its prompt's evidence?

Logistic regression on hashed evidence features. A line of a critique is sound when what it says of
a thing is what the prompt says of it, so the features are the critique's neighbouring words,
whether the prompt holds them side by side, and the verdict they lead to. It is trained on critiques
of **held-out** generated items, both for the gold verdict (sound) and for another one (not sound).
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from selene_lib.curation.critique_checks import reasoning_of
from selene_lib.prompts.verdicts import MARKER

if TYPE_CHECKING:
    from selene_lib.curation.generators.protocol import Generator
    from selene_lib.records import Sample

_WORD = re.compile(r"\w+|[^\w\s]")
N_FEATURES = 2**17


class NanoReward:
    """Log-odds that a critique is sound.

    `revision` is the hash of the weights. Make one with `fit` or `fit_teacher`.
    """

    name = "nano-reward"

    def __init__(self, weights: np.ndarray, intercept: float) -> None:
        self._weights = np.asarray(weights, dtype=float)
        self._intercept = float(intercept)
        self.revision = hashlib.sha256(self._weights.round(6).tobytes()).hexdigest()[:12]

    @classmethod
    def fit(
        cls,
        prompts: Sequence[str],
        replies: Sequence[str],
        sound: Sequence[bool],
        *,
        regularisation: float = 1.0,
    ) -> NanoReward:
        """Fit on labelled critiques; the same each time. Raises ValueError where a kind lacks."""
        from sklearn.linear_model import LogisticRegression

        labels = np.asarray(sound, dtype=int)
        if len(set(labels.tolist())) != 2:
            raise ValueError("fitting a reward model needs sound and unsound critiques")
        model = LogisticRegression(C=1 / regularisation, max_iter=300, solver="liblinear").fit(
            _matrix(prompts, replies), labels
        )
        return cls(model.coef_[0], model.intercept_[0])

    @classmethod
    def fit_teacher(
        cls,
        samples: Sequence[Sample],
        generator: Generator | None = None,
        *,
        family: str = "nano",
        seed: int = 0,
    ) -> NanoReward:
        """Fit on the teacher's critiques of trusted samples, one right and one wrong each."""
        return cls.fit(*teacher_examples(samples, generator, family=family, seed=seed))

    def score(self, prompts: Sequence[str], replies: Sequence[str]) -> np.ndarray:
        """Return the log-odds of each reply, [n]; they do not depend on the rest of the batch."""
        if len(prompts) == 0:
            return np.empty(0)
        return _matrix(prompts, replies) @ self._weights + self._intercept


def teacher_examples(
    samples: Sequence[Sample],
    generator: Generator | None = None,
    *,
    family: str = "nano",
    seed: int = 0,
) -> tuple[list[str], list[str], list[bool]]:
    """Return prompts, critiques and whether each is sound, two a sample."""
    from selene_lib.curation.critiques import as_shown, generate_critiques
    from selene_lib.curation.generators.teacher import TeacherGenerator
    from selene_lib.prompts.rendering import render

    by_id = {s.id: s for s in samples}
    found = generate_critiques(
        samples, generator or TeacherGenerator(), store=None, seed=seed, family=family
    ).critiques
    prompts = [render(as_shown(by_id[c.sample_id], seed), family=family).text for c in found]
    return prompts, [c.text for c in found], [c.agrees for c in found]


def _matrix(prompts: Sequence[str], replies: Sequence[str]) -> Any:
    from scipy.sparse import csr_matrix

    columns: list[int] = []
    starts = [0]
    for prompt, reply in zip(prompts, replies, strict=True):
        columns += sorted({_column(feature) for feature in evidence_features(prompt, reply)})
        starts.append(len(columns))
    return csr_matrix((np.ones(len(columns)), columns, starts), shape=(len(starts) - 1, N_FEATURES))


def _column(feature: str) -> int:
    return zlib.crc32(feature.encode()) % N_FEATURES


def evidence_features(prompt: str, reply: str) -> Iterator[str]:
    """Yield the features of one critique.

    Its neighbouring words, with and without whether the prompt has them, and the verdict.
    """
    said, shown = _WORD.findall(reasoning_of(reply).lower()), _WORD.findall(prompt.lower())
    known, beside, skips = Counter(shown), set(pairwise(shown)), set(zip(shown, shown[2:]))
    ends = [match.end() for match in MARKER.finditer(reply)]
    verdict = reply[ends[-1] :].strip() if ends else ""
    yield f"verdict {verdict}"
    for first, second, third in zip(said, [*said[1:], ""], [*said[2:], "", ""]):
        yield f"word {first} {first in known}"
        yield f"seen {second} {min(known[first], 4)} {verdict in ('A', 'B')}"
        yield f"pair {first} {second}"
        side, skip = (first, second) in beside, (first, second) in skips
        yield f"kind {first} {side} {skip} {second in known}"
        yield f"triple {first} {second} {third}"
        yield f"held {side} {(first, third) in skips} {verdict}"
