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

from selene_lib.embeddings.look import COLOURS, stretch

if TYPE_CHECKING:
    from selene_lib.embeddings.topic_map import TopicMap

MAX_HOVER_CHARS = 280


def render_page(
    topic_map: TopicMap,
    *,
    with_text: bool = False,
    title: str = "Topic map",
    note: str = "",
    max_characters: int = MAX_HOVER_CHARS,
) -> str:
    """The whole page as text.

    Places are stretched and colours chosen as in Fig. 4 (`embeddings.look`). Texts are left out, or
    cut to `max_characters` each `with_text=True`. `note` is said below the map.
    """
    page = resources.files("selene_lib.embeddings").joinpath("page.html")
    template = Template(page.read_text(encoding="utf-8"))
    content = page_data(topic_map, with_text=with_text, max_characters=max_characters)
    content["note"] = f"{note} {content['note']}".strip()
    data = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return template.substitute(title=html.escape(title), data=data.replace("<", "\\u003c"))


def _note(topic_map: TopicMap, with_text: bool) -> str:
    """What stands below the map: where it lies on Nomic Atlas, and whether texts are in it."""
    link = topic_map.settings.get("link")
    said = ["Crowds are stretched; only neighbourhood has a meaning."]
    said += [f"The same map on Nomic Atlas (private): {link}"] if link else []
    if not with_text:
        said.append("Texts are not part of this page.")
    return " ".join(said)


def page_data(
    topic_map: TopicMap, *, with_text: bool, max_characters: int = MAX_HOVER_CHARS
) -> dict[str, object]:
    """Return what the script reads.

    Integer places, 1e-4 of [-1, 1] each, an index into `names` for topic, source and task, counts,
    topic centres and colours.
    """
    source_names, source = _coded(topic_map.source)
    task_names, task = _coded(topic_map.task)
    topic = topic_map.topic_index.astype(int)
    topic_names = list(topic_map.topic_names)
    x, y = (_whole(places) for places in (topic_map.x, topic_map.y))
    data = {
        "id": topic_map.ids,
        "x": x.tolist(),
        "y": y.tolist(),
        "topic": topic.tolist(),
        "source": source.tolist(),
        "task": task.tolist(),
        "names": {"topic": topic_names, "source": source_names, "task": task_names},
        "counts": {
            "topic": np.bincount(topic, minlength=len(topic_names)).tolist(),
            "source": np.bincount(source, minlength=len(source_names)).tolist(),
            "task": np.bincount(task, minlength=len(task_names)).tolist(),
        },
        "centre": [_centre(x[topic == t], y[topic == t]) for t in range(len(topic_names))],
        "colours": list(COLOURS),
        "note": _note(topic_map, with_text),
    }
    if with_text:
        data["text"] = [text[:max_characters] for text in topic_map.text]
    return data


def _whole(places: np.ndarray) -> np.ndarray:
    """Stretched places as whole numbers in [-10,000, 10,000]."""
    if not len(places):
        return np.zeros(0, int)
    return np.round((2 * stretch(places) - 1) * 10_000).astype(int)


def _coded(values: Sequence[str]) -> tuple[list[str], np.ndarray]:
    names, codes = np.unique(np.asarray(values, dtype=str), return_inverse=True)
    return names.tolist(), codes


def _centre(x: np.ndarray, y: np.ndarray) -> list[int] | None:
    return [int(np.median(x)), int(np.median(y))] if len(x) else None
