"""Several processes of one run (`torchrun`): who am I, and wait for the others.

One process is the normal case and costs nothing.
"""

from __future__ import annotations

import datetime
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

    # the others wait while the first one encodes half a million pairs: nccl's ten minutes are short
    patience = datetime.timedelta(hours=6)
    if device == "cpu":
        state = PartialState(cpu=True, backend="gloo", timeout=patience)
    else:
        state = PartialState(timeout=patience)
    return Process(state.process_index, state.num_processes)


def local_rank() -> int:
    """The GPU this process takes on its machine."""
    return int(os.environ.get("LOCAL_RANK", "0"))
