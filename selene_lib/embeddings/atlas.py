"""The map as Nomic Atlas makes it: upload, wait, read topics and projection back (nomic 3.9).

The texts leave this machine, into a private data set of the account that the token belongs to.
Nomic's own client takes its token from a file that `nomic login` writes; here it comes from the
environment variable NOMIC_API_KEY alone and is written nowhere.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from selene_lib.embeddings.topic_map import TopicMap, order_topics, scale_points
from selene_lib.errors import UserError
from selene_lib.records import Sample

if TYPE_CHECKING:
    import pandas as pd

TOKEN_VARIABLE = "NOMIC_API_KEY"
ID_FIELD = "row"
WAIT_SECONDS = 3 * 3600
POLL_SECONDS = 10


def map_with_atlas(
    samples: Sequence[Sample], texts: Sequence[str], *, sleep: Callable[[float], None] = time.sleep
) -> TopicMap:
    """Upload one row a sample (text, source, task) and read the map back.

    It comes in the order of the samples, once the index is there. Raises UserError without a token,
    without network, when the service refuses, and when the map is not ready after three hours.
    """
    token = _token()
    import requests
    from nomic import atlas

    rows = []
    for i, (sample, text) in enumerate(zip(samples, texts)):
        about = {"source": sample.source, "task": sample.task}
        rows.append({ID_FIELD: f"r{i:07d}", "text": text or " ", **about})
    with _signed_in(token):
        try:
            dataset = atlas.map_data(
                data=rows,
                indexed_field="text",
                id_field=ID_FIELD,
                is_public=False,
                duplicate_detection=False,
                description="topic map",
            )
            _wait(dataset, sleep)
            topic_map = dataset.maps[0]
            places, topics = topic_map.embeddings.df, topic_map.topics.df
        except TimeoutError as error:
            raise UserError(
                f"{error}: look at it in the web page, or use backend='local'"
            ) from error
        except requests.RequestException as error:
            raise UserError(
                f"Nomic Atlas cannot be reached ({error}): "
                "check the network, or use backend='local'"
            ) from error
        except ValueError as error:
            raise UserError(
                f"Nomic Atlas refused ({error}): check {TOKEN_VARIABLE}, or use backend='local'"
            ) from error
    names = [row[ID_FIELD] for row in rows]
    link = getattr(topic_map, "map_link", "")
    return _read_back(samples, texts, names, places, topics, link)


def _token() -> str:
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if not token:
        raise UserError(
            f"backend='nomic' needs a Nomic API key in the environment variable {TOKEN_VARIABLE}; "
            "backend='local' needs none"
        )
    if not token.startswith("nk-"):
        raise UserError(
            f"{TOKEN_VARIABLE} does not hold a Nomic API key (they start with nk-); "
            "make one in the Atlas account settings"
        )
    return token


@contextmanager
def _signed_in(token: str) -> Iterator[None]:
    """Give nomic's client the token for the time of the block.

    It would read a file in the home folder otherwise.
    """
    from nomic.dataset import AtlasClass

    credentials = {"token": token, "tenant": "production", "expires": None, "refresh_token": None}
    original = AtlasClass.credentials
    setattr(AtlasClass, "credentials", property(lambda _: credentials))  # noqa: B010 - a property
    try:
        yield
    finally:
        setattr(AtlasClass, "credentials", original)  # noqa: B010


def _wait(dataset: Any, sleep: Callable[[float], None]) -> None:
    """Poll until the data set is no longer locked.

    Atlas builds the index after the upload returned.
    """
    for _ in range(WAIT_SECONDS // POLL_SECONDS):
        if not dataset.is_locked:
            return
        sleep(POLL_SECONDS)
    raise TimeoutError(f"Nomic Atlas has not built the map after {WAIT_SECONDS // 3600} hours")


def _read_back(
    samples: Sequence[Sample],
    texts: Sequence[str],
    rows: list[str],
    places: pd.DataFrame,
    topics: pd.DataFrame,
    link: str,
) -> TopicMap:
    points = _by_row(places, rows)[["x", "y"]].to_numpy(dtype=float)
    labels = _by_row(topics, rows)["topic_depth_1"].fillna("no topic").astype(str).to_numpy()
    index = order_topics(labels)
    names = [""] * (int(index.max()) + 1)
    for position, label in zip(index.tolist(), labels.tolist()):
        names[position] = label
    x, y = scale_points(points)
    return TopicMap(
        ids=[sample.id for sample in samples],
        source=[sample.source for sample in samples],
        task=[sample.task for sample in samples],
        x=x,
        y=y,
        topic_index=np.asarray(index),
        topic_names=names,
        text=list(texts),
        backend="nomic",
        settings={"link": link},
    )


def _by_row(frame: pd.DataFrame, rows: list[str]) -> pd.DataFrame:
    """The frame in the order of the upload; Atlas gives it back in the order of its tiles."""
    column = ID_FIELD if ID_FIELD in frame.columns else frame.columns[0]
    missing = sorted(set(rows) - set(frame[column].astype(str)))
    if missing:
        raise UserError(
            f"Nomic Atlas gave back no place for {len(missing)} of {len(rows)} rows "
            f"(first: {missing[0]}): build the map again"
        )
    named = frame.assign(**{column: frame[column].astype(str)})
    return named.drop_duplicates(column).set_index(column).loc[rows]
