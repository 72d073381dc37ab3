"""The map drawn here, without a network.

TF-IDF and truncated SVD, UMAP or PCA to the plane, k-means topics, names by class-based TF-IDF. No
download, no network, one thread where threads would change a sum, so that a seed gives the same map
again.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from selene_lib.embeddings.encoder import ENCODERS
from selene_lib.embeddings.topic_map import order_topics, scale_points

N_DIMENSIONS = 50
MAX_TERMS = 20_000
MAX_TOPICS = 24
N_NEIGHBOURS = 15
ROUNDED_DIGITS = 8
MAX_EXACT_NEIGHBOURS = 60_000
WORD = r"(?u)\b[^\W\d_][\w'-]{2,}\b"


def term_counts(texts: Sequence[str]) -> tuple[Any, np.ndarray]:
    """Return counts of words, CSR, and the words themselves.

    English stop words are out, and words of one text only where there are many.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    least = 1 if len(texts) < 200 else 2
    counter = CountVectorizer(
        token_pattern=WORD,
        stop_words="english",
        min_df=least,
        max_features=MAX_TERMS,
        dtype=np.float32,
    )
    try:
        counts = counter.fit_transform(texts)
    except ValueError as error:
        raise ValueError("the texts to map hold no words: nothing to embed") from error
    return counts, counter.get_feature_names_out()


def embed_counts(counts: Any, seed: int) -> np.ndarray:
    """Return rows of unit length, float32, shape (n, <= 50).

    By sublinear TF-IDF and a truncated SVD (latent semantic analysis).
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.preprocessing import normalize

    # In double precision, then rounded: libraries with another number of threads add up in another
    # order, and what differs in the last bits must not reach the layout.
    weights = TfidfTransformer(sublinear_tf=True).fit_transform(counts).astype(np.float64)
    n_dimensions = min(N_DIMENSIONS, min(weights.shape) - 1)
    if n_dimensions < 2:
        return np.pad(weights.toarray()[:, :2], ((0, 0), (0, max(0, 2 - weights.shape[1]))))
    with np.errstate(invalid="ignore"):  # texts that are all the same have no variance to explain
        reduced = TruncatedSVD(n_dimensions, random_state=seed, n_iter=4).fit_transform(weights)
    return np.round(normalize(reduced), ROUNDED_DIGITS).astype(np.float32)


def project(vectors: np.ndarray, *, method: str, seed: int, progress: bool = False) -> np.ndarray:
    """Lay vectors out in the plane, shape (n, 2).

    `method` is `umap` (seeded, one thread) or `pca` (linear, at once). UMAP compiles itself for
    some five seconds in each new process. Up to 15 points are always laid out by `pca`.
    """
    if method not in ("umap", "pca"):
        raise ValueError(f"projection {method!r} is not umap or pca")
    if method == "pca" or len(vectors) <= N_NEIGHBOURS:
        return _pca(vectors)
    return _umap(vectors, seed, progress)


def _pca(vectors: np.ndarray) -> np.ndarray:
    exact = vectors.astype(np.float64)
    centred = exact - exact.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    # Each axis points where its largest entry is positive: a singular vector has no sign.
    axes = axes * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
    flat = np.round(centred @ axes[:2].T, ROUNDED_DIGITS)
    return np.pad(flat, ((0, 0), (0, 2 - flat.shape[1])))


def _umap(vectors: np.ndarray, seed: int, progress: bool = False) -> np.ndarray:
    """Lay out by UMAP (McInnes, Healy & Melville 2018) on exact neighbours.

    At 50,000 points that is quicker than the approximate search, and nothing is compiled.
    """
    import umap
    from sklearn.neighbors import NearestNeighbors

    known: tuple[Any, ...] = (None, None, None)
    is_exact = len(vectors) <= MAX_EXACT_NEIGHBOURS
    if is_exact:
        search = NearestNeighbors(n_neighbors=N_NEIGHBOURS, algorithm="brute").fit(vectors)
        distances, indices = search.kneighbors(vectors)
        known = (indices, distances)
    layout = umap.UMAP(
        n_neighbors=N_NEIGHBOURS,
        min_dist=0.1,
        init="pca",
        random_state=seed,
        n_jobs=1,
        precomputed_knn=known,
        force_approximation_algorithm=is_exact,
        tqdm_kwds={"disable": not progress, "desc": "layout"},
    )
    with warnings.catch_warnings():
        # New points are never added to a map.
        warnings.filterwarnings("ignore", message="precomputed_knn", category=UserWarning)
        return layout.fit_transform(vectors)


def default_n_topics(n: int) -> int:
    """Our choice: one topic for about 2 * sqrt(n) samples, between 2 and 24."""
    return int(min(MAX_TOPICS, max(2, round(np.sqrt(n) / 2)), max(n, 1)))


def cluster(vectors: np.ndarray, n_topics: int, seed: int) -> np.ndarray:
    """Topic of each vector by k-means, numbered by size."""
    from sklearn.cluster import KMeans, MiniBatchKMeans

    n_topics = min(n_topics, len(np.unique(vectors, axis=0)))
    kind = KMeans if len(vectors) <= 10_000 else MiniBatchKMeans
    return order_topics(kind(n_topics, random_state=seed, n_init=3).fit_predict(vectors))


def name_topics(
    counts: Any, terms: np.ndarray, topics: np.ndarray, *, n_terms: int = 3
) -> list[str]:
    """Return the words that tell each topic from the others.

    By class-based TF-IDF (Grootendorst 2022, arXiv 2203.05794, eq. 2). `W(t, c) = tf(t, c) * log(1
    + A / f(t))`: tf the word's share of topic c, f its count over all topics, A the mean count of
    words a topic. Two topics with the same words are told apart by further words.
    """
    from scipy.sparse import csr_matrix

    n_topics = int(topics.max()) + 1
    member = csr_matrix(
        (np.ones(len(topics), np.float32), (topics, np.arange(len(topics)))),
        shape=(n_topics, len(topics)),
    )
    by_topic = np.asarray((member @ counts).todense(), dtype=np.float64)
    share = by_topic / np.maximum(by_topic.sum(axis=1, keepdims=True), 1)
    weight = share * np.log1p(by_topic.sum() / n_topics / np.maximum(by_topic.sum(axis=0), 1))
    ranked = []
    for row in weight:
        best_first = np.lexsort((terms, -row))
        ranked.append([str(terms[t]) for t in best_first if row[t] > 0])
    return _distinct_names(ranked, n_terms)


def _distinct_names(ranked: list[list[str]], n_terms: int) -> list[str]:
    names: list[str] = []
    for words in ranked:
        n = n_terms
        while (name := ", ".join(words[:n]) or "no words") in names and n < len(words):
            n += 1
        names.append(name if name not in names else f"{name} ({len(names) + 1})")
    return names


def _load_libraries(projection: str) -> None:
    """Load everything that brings threads of its own, so that one limit binds all of it."""

    if projection == "umap":
        import umap  # noqa: F401 - loaded for its libraries


def map_texts(
    texts: Sequence[str],
    *,
    seed: int,
    n_topics: int | None,
    projection: str,
    embedding: str = "tfidf",
    progress: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """x, y, topic of each text and the topics' names.

    The same for the same texts and seed, whatever the number of threads a process is given.
    """
    from threadpoolctl import threadpool_limits
    from tqdm.auto import tqdm

    stages = ("load libraries", "count words", "embed", "find topics", "lay out", "done")
    with tqdm(total=len(stages) - 1, desc="map", disable=not progress) as bar:
        bar.set_postfix_str(stages[0])
        _load_libraries(projection)  # a limit binds only what is loaded when it is set
        with threadpool_limits(limits=1):
            _next(bar, stages)
            counts, terms = term_counts(texts)
            _next(bar, stages)
            vectors = (
                ENCODERS[embedding](texts) if embedding in ENCODERS else embed_counts(counts, seed)
            )
            _next(bar, stages)
            topics = cluster(vectors, n_topics or default_n_topics(len(texts)), seed)
            _next(bar, stages)
            flat = project(vectors, method=projection, seed=seed, progress=progress)
            _next(bar, stages)
    x, y = scale_points(flat)
    return x, y, topics, name_topics(counts, terms, topics)


def _next(bar: Any, stages: Sequence[str]) -> None:
    """Count one more stage of a bar, and name the one that follows."""
    bar.update()
    bar.set_postfix_str(stages[min(bar.n, len(stages) - 1)])
