"""The interactive topic map of a report, in the colours and places of Fig. 4."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from selene_lib.embeddings import TopicMap, map_text
from selene_lib.embeddings.page import render_page
from selene_lib.figures import results as files
from selene_lib.files import iterate_parquet
from selene_lib.records import Sample

MAX_POINTS = 4000
MAX_CHARACTERS = 160


def topic_page(result_dir: Path) -> str | None:
    """Return the map as a page of its own, with the beginning of each text; None without a map.

    Of more than 4,000 samples every k-th is shown, and the page says so.
    """
    table = files.run_table(result_dir, f"{files.EXPLORE}/topic_map.csv")
    if table is None or table.empty:
        return None
    step = -(-len(table) // MAX_POINTS)
    shown = table.iloc[::step]
    found = _topic_map(shown, _texts(result_dir, set(shown["id"].astype(str))))
    return render_page(
        found,
        with_text=any(found.text),
        note=f"Every {step}th of {len(table):,} samples." if step > 1 else "",
        max_characters=MAX_CHARACTERS,
    )


def _texts(result_dir: Path, wanted: set[str]) -> dict[str, str]:
    path = result_dir / files.EXPLORE / "samples.parquet"
    if not path.is_file():
        return {}
    return {s.id: map_text(s) for s in iterate_parquet(path, Sample) if s.id in wanted}


def _topic_map(shown: pd.DataFrame, texts: dict[str, str]) -> TopicMap:
    topics = shown.drop_duplicates("topic").set_index("topic")["topic_name"].sort_index()
    place = {topic: i for i, topic in enumerate(topics.index)}
    return TopicMap(
        ids=shown["id"].astype(str).tolist(),
        x=shown["x"].to_numpy(dtype=float),
        y=shown["y"].to_numpy(dtype=float),
        topic_index=np.array([place[topic] for topic in shown["topic"]]),
        topic_names=topics.astype(str).tolist(),
        source=shown["source"].astype(str).tolist(),
        task=shown["task"].astype(str).tolist(),
        text=[texts.get(i, "") for i in shown["id"].astype(str)],
    )
