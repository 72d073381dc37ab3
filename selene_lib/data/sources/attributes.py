"""Sources that score named aspects of a response.

One absolute sample per aspect, with this project's rubric for it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from selene_lib.data.sources.rubrics import ASPECTS
from selene_lib.data.sources.scale import label_of, to_five
from selene_lib.data.spec import DropRow, Row
from selene_lib.records import Sample

NOT_RATED = "aspect not rated"


def aspect_samples(
    row: Row,
    instruction: str,
    response: str,
    scores: Mapping[str, float | None],
    low: float,
    high: float,
    *,
    meta: Mapping[str, Any] | None = None,
) -> Iterator[Sample | DropRow]:
    """Yield a sample per aspect, its score brought from [low, high] to 1-5.

    An aspect without a score is dropped and counted.
    """
    for aspect, value in scores.items():
        if value is None:
            yield DropRow(NOT_RATED)
            continue
        score = to_five(value, low, high)
        yield row.sample(
            "absolute",
            instruction,
            response,
            rubric=ASPECTS[aspect],
            label=label_of(score),
            score=score,
            meta={**(meta or {}), "aspect": aspect},
        )


def rating_or_none(row: Row, column: str) -> float | None:
    """Return a rating 1-5 published as text; `N/A` is None."""
    return None if row.get(column, "1..5 or N/A") == "N/A" else row.number(column, 1, 5)
