"""A map of a data set: a place in the plane and a topic for each sample, whoever computed them."""

from __future__ import annotations

import html
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from selene_lib.embeddings.page import render_page
from selene_lib.files import write_text

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class TopicMap:
    """Points in the order of the samples, with their topics.

    `x`, `y` are float64 in [-1, 1], `topic_index` points into `topic_names`; `source`, `task`.
    Topics are numbered by size, the largest first. `text` holds what was embedded; it is kept in
    memory for hovering and is never written unless asked for. `backend` and `settings` say how the
    map was made. In a notebook it shows itself as the interactive page.
    """

    ids: list[str]
    x: np.ndarray
    y: np.ndarray
    topic_index: np.ndarray
    topic_names: list[str]
    source: list[str]
    task: list[str]
    text: list[str] = field(repr=False)
    backend: str = "local"
    settings: dict[str, object] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"TopicMap of {len(self)} samples in {len(self.topic_names)} topics ({self.backend})"

    def _repr_html_(self) -> str:
        page = html.escape(render_page(self), quote=True)
        look = 'sandbox="allow-scripts" style="width:100%;height:38rem;border:0"'
        return f'<iframe title="Interactive topic map" {look} srcdoc="{page}"></iframe>'

    def to_frame(self) -> pd.DataFrame:
        """One row a sample: id, x, y, topic, topic_name, source, task. No text."""
        import pandas as pd

        names = [self.topic_names[t] for t in self.topic_index.tolist()]
        columns = {
            "id": self.ids,
            "x": self.x,
            "y": self.y,
            "topic": self.topic_index,
            "topic_name": names,
        }
        return pd.DataFrame({**columns, "source": self.source, "task": self.task})

    def topic_table(self) -> pd.DataFrame:
        """Return one row a topic, largest first.

        Columns: topic, topic_name, n, share, then counts by task and by source (under their names).
        """
        import pandas as pd

        frame = self.to_frame()
        table = pd.DataFrame(
            {"topic": range(len(self.topic_names)), "topic_name": self.topic_names}
        )
        table["n"] = np.bincount(self.topic_index, minlength=len(self.topic_names))
        table["share"] = table["n"] / max(len(self), 1)
        for column in ("task", "source"):
            counts = pd.crosstab(frame["topic"], frame[column]).reindex(
                table["topic"], fill_value=0
            )
            for name in sorted(counts.columns):
                table[f"{column}:{name}"] = counts[name].to_numpy()
        return table

    def write_html(
        self, path: str | os.PathLike, *, with_text: bool = False, title: str = "Topic map"
    ) -> Path:
        """Write one self-contained interactive page (no network): hover, zoom, pan, legend, search.

        Texts only `with_text=True`.
        """
        return write_text(path, render_page(self, with_text=with_text, title=title))


def scale_points(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre points on the middle of their range and scale both axes alike into [-1, 1].

    Shape (n, 2) in, x and y out, rounded to 1e-6.
    """
    if not len(points):
        return np.zeros(0), np.zeros(0)
    middle = (points.max(axis=0) + points.min(axis=0)) / 2
    half = np.abs(points - middle).max() or 1.0
    scaled = np.round((points - middle).astype(np.float64) / half, 6) + 0.0
    return scaled[:, 0], scaled[:, 1]


def order_topics(labels: Sequence[int] | np.ndarray) -> np.ndarray:
    """Renumber cluster labels by size (largest first, then by first appearance), without gaps."""
    values, first, inverse, counts = np.unique(
        labels, return_index=True, return_inverse=True, return_counts=True
    )
    rank = np.empty(len(values), dtype=np.int64)
    rank[np.lexsort((first, -counts))] = np.arange(len(values))
    return rank[inverse]
