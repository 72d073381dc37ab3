"""The reference's summed log-probabilities: computed once, kept on disk, checked by samples.

A value belongs to (base weights in their precision, prompt ids, completion ids) and to nothing
else, so one cache serves all arms, seeds and subsets of the data. On the CPU each pair is computed
alone (above kept states: in fixed groups), so a value never depends on what else is missing, and a
run that found the cache full and one that filled it have the same numbers to the last bit.
"""

from __future__ import annotations

import hashlib
import math
import os
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from selene_lib.errors import UserError, tell
from selene_lib.files import move_aside
from selene_lib.models.reply_store import append_shared, read_shared
from selene_lib.training.batching import micro_batches
from selene_lib.training.counting import fitting_forward_tokens
from selene_lib.training.decision import look_at_hardware
from selene_lib.training.encoding import EncodedPair
from selene_lib.training.forward import adapter_off, autocast, lay_out_for
from selene_lib.training.model import Loaded
from selene_lib.training.processes import Process

ALONE = Process()
N_SPOT_CHECKS = 8
_FLUSH_EVERY = 64
_READ_AGAIN = 1.05  # times as large as when it was read: all reading together stays linear
# On a CPU a pair is computed alone; above states that are kept anyway (one pair at a time as well)
# eight together take two thirds of the time on two threads.
_ABOVE_KEPT_STATES = 8


def reference_logps(
    loaded: Loaded,
    pairs: Sequence[EncodedPair],
    cache_dir: Path,
    *,
    progress: bool = False,
    process: Process = ALONE,
) -> np.ndarray:
    """Summed log-probabilities under the base model, in nats; what is missing is computed.

    float64 [n_pairs, 2]: chosen, rejected. Several processes share the missing pairs, each
    appending to a file of its own, and read each other's. Up to eight values that come from disk
    are computed again; a difference beyond rounding is a UserError (the base changed, or another
    machine wrote it).
    """
    name = loaded.base_fingerprint[:32]
    known = _read_cache(cache_dir, name)
    keys = [pair_key(pair) for pair in pairs]
    stored = [i for i, key in enumerate(keys) if key in known]
    checked = stored[:: max(1, len(stored) // N_SPOT_CHECKS)][:N_SPOT_CHECKS]
    _spot_check(loaded, pairs, keys, checked, known, cache_dir)
    first_of: dict[str, int] = {}  # equal pairs are computed once
    for i, key in enumerate(keys):
        first_of.setdefault(key, i)
    missing = {i for key, i in first_of.items() if key not in known}
    parts = _parts(loaded, pairs, sorted(first_of.values()), missing, process)
    process.wait_for_others()  # nobody writes before everybody has read
    path = cache_dir / (f"{name}.jsonl" if process.rank == 0 else f"{name}.{process.rank}.jsonl")
    if os.path.lexists(path) and not path.is_file():
        tell(f"{path} is no file; it is kept as {move_aside(path)}")
    _compute(loaded, pairs, keys, missing, parts, path, progress and process.rank == 0)
    process.wait_for_others()
    known = _read_cache(cache_dir, name)
    return np.array([known[key] for key in keys], dtype=np.float64).reshape(-1, 2)


def _read_cache(cache_dir: Path, name: str) -> dict[str, tuple[float, float]]:
    rows = [
        row
        for path in sorted(cache_dir.glob(f"{name}*.jsonl"))
        if path.is_file()
        for row in read_shared(path, _is_value)
    ]
    return {row["key"]: (row["chosen"], row["rejected"]) for row in rows}


def _is_value(row: Mapping[str, Any]) -> bool:
    numbers = (row.get("chosen"), row.get("rejected"))
    return isinstance(row.get("key"), str) and all(
        isinstance(n, float) and math.isfinite(n) for n in numbers
    )


def pair_key(pair: EncodedPair) -> str:
    """SHA-256 of a pair's token ids: they are what the model saw, however the text is spelled."""
    text = ";".join(",".join(map(str, ids.tolist())) for ids in pair.parts)
    return hashlib.sha256(text.encode()).hexdigest()


def _parts(
    loaded: Loaded,
    pairs: Sequence[EncodedPair],
    firsts: list[int],
    missing: set[int],
    process: Process,
) -> list[list[list[int]]]:
    """The groups that are computed at once, in parts that are written together.

    On a CPU a group is the same whatever is missing of it, so a resumed run and one that was never
    stopped have the same values to the last bit.
    """
    parts: list[list[list[int]]] = []
    if loaded.decision.device == "cpu":
        size = 1 if loaded.frozen is None else _ABOVE_KEPT_STATES
        groups = [firsts[start : start + size] for start in range(0, len(firsts), size)]
        groups = [group for group in groups if missing.intersection(group)]
        groups = groups[process.rank :: process.n_processes]
        n_groups = _FLUSH_EVERY // size
        return [groups[start : start + n_groups] for start in range(0, len(groups), n_groups)]
    mine = sorted(missing)[process.rank :: process.n_processes]
    decision = loaded.decision
    max_tokens = _tokens_at_once(loaded) if mine else 0
    for start in range(0, len(mine), _FLUSH_EVERY):
        part = mine[start : start + _FLUSH_EVERY]
        cut = micro_batches(
            [pairs[i] for i in part],
            decision.layout,
            max_tokens=max_tokens,
            packing=decision.packing,
        )
        parts.append([[part[g] for g in group] for group in cut])
    return parts


def _compute(
    loaded: Loaded,
    pairs: Sequence[EncodedPair],
    keys: list[str],
    missing: set[int],
    parts: list[list[list[int]]],
    path: Path,
    progress: bool,
) -> None:
    """Compute the parts and append what was missing of each to the file.

    Arms that train side by side fill one cache: each takes the parts in an order of its own, and
    leaves out what another has written by then.
    """
    from tqdm.auto import tqdm

    n_pairs = sum(len(missing.intersection(group)) for part in parts for group in part)
    bar = tqdm(
        total=n_pairs, desc="reference log-probs", unit="pair", disable=not progress or not n_pairs
    )
    n_read, stored = _n_bytes(path), set[int]()
    for part in random.Random(os.getpid()).sample(parts, len(parts)):
        if _n_bytes(path) > _READ_AGAIN * n_read:
            n_read, known = _n_bytes(path), _read_cache(path.parent, _base_of(path))
            stored = {i for i in missing if keys[i] in known}
        rows = []
        with adapter_off(loaded.model):
            for group in part:
                wanted = missing.intersection(group)
                if wanted - stored:
                    values = _logps_that_fit(loaded, [pairs[i] for i in group])
                    for i, (chosen, rejected) in zip(group, values):
                        if i in wanted:
                            row = {"chosen": float(chosen), "rejected": float(rejected)}
                            rows.append({"key": keys[i], **row})
                bar.update(len(wanted))
        _refuse_non_finite(rows)
        if rows:
            append_shared(path, rows)
    bar.close()


def _base_of(path: Path) -> str:
    return path.name.partition(".")[0]


def _n_bytes(path: Path) -> int:
    """Bytes of all files of the cache that `path` belongs to."""
    return sum(file.stat().st_size for file in path.parent.glob(f"{_base_of(path)}*.jsonl"))


def _tokens_at_once(loaded: Loaded) -> int:
    """Tokens of one forward: more than in training, since nothing is kept for a backward pass."""
    decision = loaded.decision
    memory = look_at_hardware(decision.device).memory_bytes
    return max(
        decision.micro_batch_tokens, fitting_forward_tokens(loaded.spec, decision.device, memory)
    )


def _logps_that_fit(loaded: Loaded, pairs: Sequence[EncodedPair]) -> np.ndarray:
    """The values of one group; where it runs out of memory, of its halves."""
    import torch

    try:
        return _logps(loaded, pairs)
    except torch.OutOfMemoryError:
        if len(pairs) == 1:
            raise
    torch.cuda.empty_cache()
    middle = len(pairs) // 2
    halves = (pairs[:middle], pairs[middle:])
    return np.concatenate([_logps_that_fit(loaded, half) for half in halves])


def _refuse_non_finite(rows: list[dict[str, Any]]) -> None:
    """A value that is not finite is never kept: every later run would read it."""
    for row in rows:
        if not np.isfinite([row["chosen"], row["rejected"]]).all():
            raise UserError(
                "a reference log-probability is not finite: the base model's weights hold NaN or "
                "infinity, or their precision overflows; check its files, or set dtype float32"
            )


def live_logps(loaded: Loaded, pairs: Sequence[EncodedPair]) -> np.ndarray:
    """Summed log-probabilities with the adapter off, computed now: float64 [n_pairs, 2]."""
    with adapter_off(loaded.model):
        return _logps(loaded, pairs)


def logps_now(loaded: Loaded, pairs: Sequence[EncodedPair]) -> np.ndarray:
    """Summed log-probabilities under the weights as they are, dropout off: float64 [n_pairs, 2]."""
    import torch

    loaded.model.eval()
    with torch.no_grad():
        found = _logps(loaded, pairs)
    loaded.model.train()
    return found


def _logps(loaded: Loaded, pairs: Sequence[EncodedPair]) -> np.ndarray:
    from selene_lib.training.logprobs import logp_sums

    device = next(loaded.model.parameters()).device
    batch = lay_out_for(loaded.decision, pairs, pad_token_id=loaded.tokenizer.pad_token_id).to(
        device
    )
    with autocast(loaded.decision):
        kept = {} if loaded.frozen is None else loaded.frozen.inputs(pairs, batch)
        return logp_sums(loaded.model, batch, loaded.decision.attention, kept)


def _spot_check(
    loaded: Loaded,
    pairs: Sequence[EncodedPair],
    keys: list[str],
    chosen: list[int],
    known: dict[str, tuple[float, float]],
    cache_dir: Path,
) -> None:
    relative = 1e-4 if loaded.decision.dtype == "float32" else 0.02
    for i in chosen:
        live, stored = live_logps(loaded, [pairs[i]])[0], np.array(known[keys[i]])
        if not np.allclose(live, stored, rtol=relative, atol=100 * relative):
            raise UserError(
                f"reference cache {cache_dir}: pair {pairs[i].id} is stored as {stored.tolist()} "
                f"but computes to {live.tolist()} now; delete the folder, it will be made again"
            )
