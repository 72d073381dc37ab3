"""What a judge of Yes/No items must beat: rules and a bag of words on the same training items.

| yardstick          | says Yes                                                              |
|--------------------|-----------------------------------------------------------------------|
| majority           | always, or never: the commoner label of the test items themselves     |
| random             | by a coin of the item                                                 |
| length             | by the response's length (logistic regression on its logarithm)       |
| keyword rule       | where the response opens by declining (or: where it does not)         |
| word overlap       | by the share of the response's words that request or reference holds  |
| TF-IDF + regression| by words and word pairs of all texts of the item                      |

The majority knows the test, so it is the best that a constant can do. Each of the others is fitted
on the training items of one rubric; all give a probability for each test item.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from selene_lib.prompts.verdicts import declines
from selene_lib.records import Sample, unit_hash

Predict = Callable[[Sequence[Sample]], np.ndarray]
TFIDF = "TF-IDF + regression"
_WORD = re.compile(r"\w+")


def yardsticks(
    training: Sequence[Sample], test: Sequence[Sample], seed: int = 0
) -> dict[str, np.ndarray]:
    """Return each yardstick's probability of Yes for the test items, [n_test].

    `training` are the labelled Yes/No items the judge was trained on (of the test's own rubric);
    with one label only, or none, everything that is learnt falls back on the commoner one.
    """
    answers = np.array([sample.label == "Yes" for sample in training])
    commoner = np.full(len(test), float(answers.mean() >= 0.5 if len(answers) else 1.0))
    share = float(np.mean([sample.label == "Yes" for sample in test]))
    found = {
        "majority": np.full(len(test), float(share >= 0.5)),
        "random": np.array([unit_hash(seed, "random yardstick", s.id) for s in test]),
    }
    learnable = len(set(answers.tolist())) == 2
    for name, fit in FITTED.items():
        found[name] = fit(training, answers)(test) if learnable else commoner
    return found


def _texts(sample: Sample) -> str:
    return "\n".join((sample.instruction, sample.reference or "", sample.response))


def _fit_tfidf(training: Sequence[Sample], answers: np.ndarray) -> Predict:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=1)
    model = make_pipeline(words, LogisticRegression(C=10.0, max_iter=1000))
    model.fit([_texts(sample) for sample in training], answers)
    return lambda test: model.predict_proba([_texts(sample) for sample in test])[:, 1]


def _fit_length(training: Sequence[Sample], answers: np.ndarray) -> Predict:
    return _regression(training, answers, lambda s: float(np.log1p(len(s.response))))


def _fit_overlap(training: Sequence[Sample], answers: np.ndarray) -> Predict:
    return _regression(training, answers, overlap)


def _fit_keyword(training: Sequence[Sample], answers: np.ndarray) -> Predict:
    """A rule, not a fit: which way round it is read is all that the training items decide."""
    opens_so = np.array([declines(sample.response) for sample in training])
    upright = (opens_so == answers).mean() >= 0.5

    def predict(test: Sequence[Sample]) -> np.ndarray:
        said = np.array([declines(sample.response) for sample in test])
        return (said if upright else ~said).astype(float)

    return predict


def _regression(
    training: Sequence[Sample], answers: np.ndarray, feature: Callable[[Sample], float]
) -> Predict:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1e3)
    model.fit(np.array([[feature(sample)] for sample in training]), answers)
    return lambda test: model.predict_proba(np.array([[feature(s)] for s in test]))[:, 1]


def overlap(sample: Sample) -> float:
    """Share of the response's distinct words that stand in the reference, or else the request."""
    known = set(_words(sample.reference or sample.instruction))
    mine = set(_words(sample.response))
    return len(mine & known) / len(mine) if mine else 0.0


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]


FITTED: dict[str, Callable[[Sequence[Sample], np.ndarray], Predict]] = {
    "length": _fit_length,
    "keyword rule": _fit_keyword,
    "word overlap": _fit_overlap,
    TFIDF: _fit_tfidf,
}
