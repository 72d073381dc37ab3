"""`torchrun --nproc_per_node 2 -m selene_lib.training FILE`: train what a training file says.

Without `torchrun` it trains in one process, or starts `torchrun` itself with `--processes`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from selene_lib.errors import UserError
from selene_lib.models.lifetimes import end_with_parent
from selene_lib.training.several import read_training_file, torchrun_arguments


def main(arguments: Sequence[str] | None = None) -> int:
    """Train a file; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m selene_lib.training", description=__doc__)
    parser.add_argument("file", type=Path, help="training file (YAML), as notebook 04 writes it")
    parser.add_argument("--processes", type=int, help="start so many, one a GPU")
    asked = parser.parse_args(arguments)
    is_started = "WORLD_SIZE" in os.environ
    if is_started or asked.processes:
        end_with_parent(os.getppid())
    try:
        found = read_training_file(asked.file)
        if asked.processes and not is_started:
            from torch.distributed.run import main as torchrun

            torchrun(torchrun_arguments(asked.file, asked.processes))
            return 0
        results = found.train()
    except UserError as error:
        print(f"selene: {error}", file=sys.stderr)
        return 2
    _leave()
    if int(os.environ.get("RANK", "0")) == 0:
        for result in results:
            print(f"{result.adapter_dir}: {result.n_steps} steps, {result.n_pairs} pairs")
    return 0


def _leave() -> None:
    """Leave the process group, if this process is in one."""
    import torch.distributed

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    sys.exit(main())
