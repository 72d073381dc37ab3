"""Scores on other scales brought to the 1-5 of the judge: one visible rule, our own choice.

The published recipe does not say how ten-point scores are used. Here the ends of the scales are
laid on each other and what is between moves in proportion; the label is the nearest whole score.
For whole ten-point scores this pairs them: 1-2, 3-4, 5-6, 7-8, 9-10.
"""


def to_five(score: float, low: float, high: float) -> float:
    """Map a score in [low, high] linearly onto [1, 5]."""
    return 1 + 4 * (score - low) / (high - low)


def label_of(score_of_five: float) -> str:
    """Return the label `1`..`5` nearest to a score in [1, 5]; halves go up."""
    return str(min(5, max(1, int(score_of_five + 0.5))))
