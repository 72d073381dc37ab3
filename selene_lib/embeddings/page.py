"""The topic map as one HTML page that needs no network.

Data as JSON, drawn on a canvas by the page's own script.
"""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from importlib import resources
from string import Template
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from selene_lib.embeddings.topic_map import TopicMap

MAX_HOVER_CHARS = 280


def render_page(topic_map: TopicMap, *, with_text: bool = False, title: str = "Topic map") -> str:
    """The whole page as text.

    Places are rounded to 1e-4; texts are left out, or cut to 280 characters each `with_text=True`.
    """
    template = Template(
        resources.files("selene_lib.embeddings").joinpath("page.html").read_text(encoding="utf-8")
    )
    data = json.dumps(
        page_data(topic_map, with_text=with_text), ensure_ascii=False, separators=(",", ":")
    )
    return template.substitute(title=html.escape(title), data=data.replace("<", "\\u003c"))


def page_data(topic_map: TopicMap, *, with_text: bool) -> dict[str, object]:
    """Return what the script reads.

    Integer places, an index into `names` for topic, source and task, counts, and topic centres.
    """
    source_names, source = _coded(topic_map.source)
    task_names, task = _coded(topic_map.task)
    topic = topic_map.topic_index.astype(int)
    x, y = (np.round(axis * 10_000).astype(int) for axis in (topic_map.x, topic_map.y))
    codes = {"topic": topic, "source": source, "task": task}
    names = {"topic": list(topic_map.topic_names), "source": source_names, "task": task_names}
    data = {
        "id": topic_map.ids,
        "x": x.tolist(),
        "y": y.tolist(),
        **{key: code.tolist() for key, code in codes.items()},
        "names": names,
        "counts": {
            key: np.bincount(code, minlength=len(names[key])).tolist()
            for key, code in codes.items()
        },
        "centre": [_centre(x[topic == t], y[topic == t]) for t in range(len(names["topic"]))],
        "note": "" if with_text else "Texts are not part of this page.",
    }
    if with_text:
        data["text"] = [text[:MAX_HOVER_CHARS] for text in topic_map.text]
    return data


def _coded(values: Sequence[str]) -> tuple[list[str], np.ndarray]:
    names, codes = np.unique(np.asarray(values, dtype=str), return_inverse=True)
    return names.tolist(), codes


def _centre(x: np.ndarray, y: np.ndarray) -> list[int] | None:
    return [int(np.median(x)), int(np.median(y))] if len(x) else None
