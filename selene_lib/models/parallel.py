"""Computing side by side: one job a core for a small model, one after the other for a large one."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from selene_lib.files import size_bytes
from selene_lib.models.lifetimes import end_with_parent
from selene_lib.models.names import is_embedded, resolve_model

T = TypeVar("T")
# What a job of a small model needs at most, counted from its folder: weights in float32, an
# optimiser, activations and the interpreter (measured: 3.4 GB for 270 MB of bfloat16 weights).
BYTES_A_WEIGHT_BYTE = 8
BYTES_BESIDE = 1_500_000_000
SMALL_MODEL_BYTES = 1_000_000_000


def use_one_thread() -> None:
    """Compute on one thread from here on.

    That is fastest for a model this small, and gives the same sums on every machine.
    """
    import torch

    torch.set_num_threads(1)


def side_by_side(
    jobs: Sequence[tuple[Callable[..., T], tuple[Any, ...]]], model: str, what: str
) -> list[T]:
    """Run `function(*arguments)` jobs and return their results in order.

    The embedded model runs one job a core, another small one as many as memory holds, anything else
    one after the other. `LOKY_MAX_CPU_COUNT=1` in the environment keeps them all in this process,
    one after the other. Several jobs of a small model have one thread each wherever they run, so
    that the memory that happens to be free changes no sum.
    """
    from joblib import Parallel, cpu_count, delayed
    from tqdm.auto import tqdm

    me = os.getpid()
    n_jobs = jobs_at_once(len(jobs), model, cpu_count())
    alone = len(jobs) > 1 and is_small(model)
    running = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(_run)(me, alone, function, arguments) for function, arguments in jobs
    )
    return list(tqdm(running, total=len(jobs), desc=what))


def jobs_at_once(n_jobs: int, model: str, n_cores: int) -> int:
    """Return how many of `n_jobs` run at once: at most one a core, and what memory holds."""
    if is_embedded(model):
        return min(n_jobs, n_cores)
    if not is_small(model):
        return 1
    needed = BYTES_A_WEIGHT_BYTE * size_bytes(Path(resolve_model(model))) + BYTES_BESIDE
    return max(1, min(n_jobs, n_cores, free_bytes() // needed))


def is_small(model: str) -> bool:
    """Tell whether a model is a local folder of at most `SMALL_MODEL_BYTES`, and no GPU is here
    that its jobs would share.
    """
    import torch

    folder = Path(resolve_model(model))
    if torch.cuda.is_available() or not folder.is_dir():
        return False
    return size_bytes(folder) <= SMALL_MODEL_BYTES


def free_bytes() -> int:
    """Return the memory that can be had without swapping; 0 where the system does not say."""
    path = Path("/proc/meminfo")
    if path.is_file():
        for line in path.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 0


def _run(parent: int, alone: bool, function: Callable[..., T], arguments: tuple[Any, ...]) -> T:
    """Run one job; in a worker, only for as long as the process that asked for it is there."""
    end_with_parent(parent)
    if alone:
        use_one_thread()
    return function(*arguments)
