"""The map as Nomic Atlas makes it: upload, wait, read topics and projection back (nomic 3.9).

The texts leave this machine, into a private data set of the account that the token belongs to.
Nomic's own client takes its token from a file that `nomic login` writes; here it comes from the
environment variable NOMIC_API_KEY alone and is written nowhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import Counter
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


CONSENT_VARIABLE = "SELENE_ATLAS_CONSENT"
PART_ROWS = 1_000


def upload_notice(samples: Sequence[Sample]) -> str:
    """Say what would leave this machine: rows by source, with their licences."""
    rows = Counter((s.source, s.licence or "no licence stated") for s in samples)
    listed = [
        f"{n:,} rows of {source} ({licence})" for (source, licence), n in sorted(rows.items())
    ]
    return f"{len(samples):,} texts leave this machine for Nomic Atlas: {'; '.join(listed)}"


def _ask_consent(samples: Sequence[Sample], consent: bool) -> None:
    """Raise UserError unless somebody agreed to the upload; name what leaves."""
    if not consent and os.environ.get(CONSENT_VARIABLE, "") != "yes":
        raise UserError(
            f"{upload_notice(samples)}. Where their licences allow it, agree with "
            f"{CONSENT_VARIABLE}=yes (in a run: --set 01.atlas_consent=true); "
            "backend='local' keeps them here"
        )
    print(upload_notice(samples))


def map_with_atlas(
    samples: Sequence[Sample],
    texts: Sequence[str],
    *,
    consent: bool = False,
    sleep: Callable[[float], None] = time.sleep,
    part_rows: int = PART_ROWS,
) -> TopicMap:
    """Upload one row a sample (text, source, task) and read the map back.

    It comes in the order of the samples, once the index is there. Nothing leaves this machine
    before somebody agreed: `consent`, or SELENE_ATLAS_CONSENT=yes. The data set has a name made of
    its rows and is uploaded in parts of `part_rows`: after a break the same call goes on with the
    part that is missing. Raises UserError without a token, without consent (naming rows and
    licences), without network, when the service refuses or loses rows, and when the map is not
    ready after three hours.
    """
    token = _token()
    _ask_consent(samples, consent)
    rows = []
    for i, (sample, text) in enumerate(zip(samples, texts)):
        about = {"source": sample.source, "task": sample.task}
        rows.append({ID_FIELD: f"r{i:07d}", "text": text or " ", **about})
    with _signed_in(token), _in_plain_words():
        topic_map = _build(rows, sleep, part_rows)
        places, topics = topic_map.embeddings.df, topic_map.topics.df
        link = str(topic_map.map_link)
    names = [row[ID_FIELD] for row in rows]
    return _read_back(samples, texts, names, places, topics, link)


def _build(rows: list[dict[str, str]], sleep: Callable[[float], None], part_rows: int) -> Any:
    """Return nomic's map of the rows: created, or gone on with where an earlier call stopped."""
    from nomic import AtlasDataset

    digest = hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()[:12]
    name = f"selene-topic-map-{digest}"
    dataset = AtlasDataset(name, description="topic map", unique_id_field=ID_FIELD, is_public=False)
    if not dataset.indices:
        _upload(dataset, rows, sleep, part_rows)
        dataset.create_index(
            name=name,
            indexed_field="text",
            topic_model={"build_topic_model": True, "topic_label_field": "text"},
            duplicate_detection=False,
        )
    _wait(dataset, sleep)
    return dataset.maps[0]


def _upload(
    dataset: Any, rows: list[dict[str, str]], sleep: Callable[[float], None], part_rows: int
) -> None:
    """Send the parts that are not there yet; each is one request, whole or not at all.

    nomic's client only logs a part that the service refused, so the count is read after each.
    """
    _wait(dataset, sleep)
    done = int(dataset.total_datums)
    for begin in range(done, len(rows), part_rows):
        part = rows[begin : begin + part_rows]
        dataset.add_data(data=part)
        _wait(dataset, sleep)
        found = int(dataset.total_datums)
        if found != begin + len(part):
            raise UserError(
                f"Nomic Atlas took {found:,} of {len(rows):,} rows and then refused a part; "
                "the same command goes on with the others"
            )


@contextmanager
def _in_plain_words() -> Iterator[None]:
    """Turn what nomic's client raises into one line that says what to do.

    For most refusals it raises a bare `Exception`, which no narrower clause catches.
    """
    import requests

    instead = "or use backend='local'"
    try:
        yield
    except UserError:
        raise
    except TimeoutError as error:
        raise UserError(f"{error}: look at it in the web page, {instead}") from error
    except requests.RequestException as error:
        raise UserError(
            f"Nomic Atlas cannot be reached ({error}): check the network, {instead}"
        ) from error
    except BaseException as error:
        if type(error) not in (Exception, ValueError, RuntimeError):
            raise
        raise UserError(
            f"Nomic Atlas refused ({error}): check {TOKEN_VARIABLE}, {instead}"
        ) from error


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
