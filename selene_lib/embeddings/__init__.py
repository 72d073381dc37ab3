"""The map of a data set (Fig. 4 of the paper).

`map_dataset(samples)` gives each sample a place and a topic. Two backends of one result type:
`local` needs nothing but this machine; `nomic` uploads the texts to Nomic Atlas, which the paper
used.
"""

from __future__ import annotations

from collections.abc import Sequence

from selene_lib.embeddings.topic_map import TopicMap
from selene_lib.records import Sample

MAX_TEXT_CHARS = 2_000
BACKENDS = ("local", "nomic")
EMBEDDINGS = ("tfidf", "encoder", "nomic-embed-text")

__all__ = ["BACKENDS", "EMBEDDINGS", "TopicMap", "map_dataset", "map_text"]


def map_text(sample: Sample) -> str:
    """Return what of a sample is embedded: instruction and responses, at most 2,000 characters.

    That is our choice; the rubric is left out.
    """
    parts = (sample.instruction[: MAX_TEXT_CHARS // 2], sample.response, sample.response_b or "")
    return "\n".join(part for part in parts if part)[:MAX_TEXT_CHARS]


def map_dataset(
    samples: Sequence[Sample],
    *,
    backend: str = "local",
    seed: int,
    n_topics: int | None = None,
    projection: str = "umap",
    embedding: str = "tfidf",
    consent: bool = False,
    progress: bool = False,
) -> TopicMap:
    """Place samples in the plane and name their topics.

    `backend="local"`: computed here, the same for the same samples and seed; `n_topics` and
    `projection` ("umap" or "pca") are its own, and so is `embedding`: "tfidf", "encoder" (a
    sentence encoder, where the extra `encoder` is installed) or "nomic-embed-text" (computed here
    by nomic's client). `backend="nomic"`: Nomic Atlas, token from the environment variable
    NOMIC_API_KEY; the texts leave this machine, for which `consent` is needed, and seed, topics and
    projection are the service's. `progress` shows bars (UMAP first compiles itself for some
    seconds). Raises ValueError for fewer than two samples, an unknown backend or embedding.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend {backend!r} is not one of {', '.join(BACKENDS)}")
    if len(samples) < 2:
        raise ValueError(f"{len(samples)} samples: a map needs at least two")
    texts = [map_text(sample) for sample in samples]
    if backend == "nomic":
        from selene_lib.embeddings.atlas import map_with_atlas

        return map_with_atlas(samples, texts, consent=consent)
    if embedding not in EMBEDDINGS:
        raise ValueError(f"embedding {embedding!r} is not one of {', '.join(EMBEDDINGS)}")
    from selene_lib.embeddings.local import map_texts

    x, y, topics, names = map_texts(
        texts,
        seed=seed,
        n_topics=n_topics,
        projection=projection,
        embedding=embedding,
        progress=progress,
    )
    settings = {"seed": seed, "n_topics": len(names), "projection": projection}
    if embedding != "tfidf":
        settings["embedding"] = embedding
    return TopicMap(
        ids=[sample.id for sample in samples],
        source=[sample.source for sample in samples],
        task=[sample.task for sample in samples],
        x=x,
        y=y,
        topic_index=topics,
        topic_names=names,
        text=texts,
        backend="local",
        settings=settings,
    )
