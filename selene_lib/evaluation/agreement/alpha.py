"""Krippendorff's alpha: agreement of any number of people, some labels missing.

alpha = 1 - observed / expected disagreement over all pairs of labels given to one item
(Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability"). Written here because the Python
package of that name is under the GPL.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def coincidences(codes: np.ndarray, n_values: int) -> np.ndarray:
    """Return the coincidence matrix of labels, [n_values, n_values].

    `codes` is [n_people, n_items], -1 where a person gave none. An item with m labels gives each of
    its m (m - 1) ordered pairs the weight 1 / (m - 1); with one label it gives nothing.
    """
    found = np.zeros((n_values, n_values))
    for item in codes.T:
        given = item[item >= 0]
        if len(given) > 1:
            counts = np.bincount(given, minlength=n_values).astype(float)
            found += (np.outer(counts, counts) - np.diag(counts)) / (len(given) - 1)
    return found


def krippendorff_alpha(
    people: Sequence[Sequence[str]], values: Sequence[str], level: str = "nominal"
) -> float:
    """Return alpha of the labels that people gave to the same items, `""` where one gave none.

    `level` is `nominal`, or `ordinal` or `interval` for scales (`values` in their order; of an
    interval scale they are numbers). NaN where nothing can be compared, or everybody said the same.
    """
    place = {value: i for i, value in enumerate(values)}
    codes = np.array([[place.get(label, -1) for label in labels] for labels in people])
    found = coincidences(codes, len(values))
    totals = found.sum(0)
    n = totals.sum()
    distance = _distances(totals, values, level)
    expected = (np.outer(totals, totals) * distance).sum() / (n - 1) if n > 1 else 0.0
    return float(1 - (found * distance).sum() / expected) if expected > 0 else float("nan")


def _distances(totals: np.ndarray, values: Sequence[str], level: str) -> np.ndarray:
    n = len(values)
    if level == "nominal":
        return 1.0 - np.eye(n)
    if level == "interval":
        numbers = np.array([float(value) for value in values])
        return np.asarray((numbers[:, None] - numbers[None, :]) ** 2)
    # ordinal: the labels given between two values, their own counted half
    upto = totals.cumsum()
    middle = upto - totals / 2
    return np.asarray((middle[:, None] - middle[None, :]) ** 2)
