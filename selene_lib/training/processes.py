"""Several processes of one run (`torchrun`): who am I, and wait for the others.

One process is the normal case and costs nothing.
"""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Process:
    """This process's place among `n_processes`."""

    rank: int = 0
    n_processes: int = 1

    def wait_for_others(self) -> None:
        """Return when every process has come here."""
        if self.n_processes > 1:
            import torch.distributed

            torch.distributed.barrier()


def join(device: str) -> Process:
    """Join the process group that `torchrun` announced in the environment, else stay alone.

    It is gloo on the CPU and nccl on GPUs.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Process()
    from accelerate import PartialState

    state = PartialState(cpu=True, backend="gloo") if device == "cpu" else PartialState()
    return Process(state.process_index, state.num_processes)


def local_rank() -> int:
    """The GPU this process takes on its machine."""
    return int(os.environ.get("LOCAL_RANK", "0"))
