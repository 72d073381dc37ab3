"""Computing side by side: one job a core for a tiny model, one after the other for any other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from selene_lib.models.names import is_embedded

T = TypeVar("T")


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

    The embedded model runs one job a core, any other one after the other. `LOKY_MAX_CPU_COUNT=1` in
    the environment keeps them all in this process, one after the other.
    """
    from joblib import Parallel, cpu_count, delayed
    from tqdm.auto import tqdm

    n_jobs = min(len(jobs), cpu_count()) if is_embedded(model) else 1
    running = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(function)(*arguments) for function, arguments in jobs
    )
    return list(tqdm(running, total=len(jobs), desc=what))
