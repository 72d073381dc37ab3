"""Light paraphrases by the cosine of TF-IDF weighted character n-grams: works offline, in any language, without a model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

N_FEATURES = 1 << 18
BATCH_TEXTS = 512


def cosine_matches(left: Sequence[str], right: Sequence[str], *, threshold: float) -> list[tuple[int, int, float]]:
    """Pairs (i, j, cosine) of texts whose TF-IDF vectors of character 3- to 5-grams have a cosine of at least `threshold`.

    Inverse document frequencies come from both sides together; term frequencies are sublinear.
    """
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

    if not left or not right:
        return []
    hasher = HashingVectorizer(analyzer="char_wb", ngram_range=(3, 5), n_features=N_FEATURES, alternate_sign=False, norm=None)
    counts = hasher.transform([*left, *right])
    vectors = TfidfTransformer(sublinear_tf=True).fit_transform(counts).astype(np.float32)
    a, b = vectors[: len(left)], vectors[len(left) :].T.tocsc()
    found = []
    for begin in range(0, len(left), BATCH_TEXTS):
        block = (a[begin : begin + BATCH_TEXTS] @ b).tocoo()
        keep = block.data >= threshold
        found.extend(zip((block.row[keep] + begin).tolist(), block.col[keep].tolist(), block.data[keep].tolist()))
    return sorted(found)
