"""What a GPU makes of a training step: equality first, then a table of sides, then real training.

    python bench/train_step_gpu.py                       # all stages, on a CUDA GPU
    python bench/train_step_gpu.py --only look,attention # some of them
    python bench/train_step_gpu.py --seconds 420         # later stages are skipped by the clock
    python bench/train_step_gpu.py --dry                 # tiny shapes on a CPU: proves the script

Every stage is a process of its own (Unsloth rewrites the libraries that the others use) with a cap
in seconds. Its row goes to `rows.jsonl` below `--out` the moment it ends, so a machine that is
taken away keeps what was measured; `gpu_table.py` makes a page of them. Of a side, six steps of
the trainer's own loop are timed as a user runs it (autocast, clipping, optimiser, schedule); the
first two are for warming up and are reported apart. Weights are random and have the shape of
Llama-3.1-8B, trained as NF4 QLoRA r=16 on prompts of 1,500 and completions of 250 tokens.

`useful_tflops` counts forward and backward of the tokens that a side computes (frozen weights: 2
and 2 FLOPs a weight), and not what is computed again. Without Unsloth or a GPU, `--dry` lets the
transformers backend or another attention stand in and says so in the row.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
DRY_PATIENCE = 10  # a CPU may take so many times as long


@dataclass(frozen=True)
class Stage:
    """One child process: what it does, and the seconds it may take."""

    name: str
    cap_seconds: float
    options: dict[str, Any] = field(default_factory=dict)


UNSLOTH = {"backend": "unsloth"}
# what decides most comes first
STAGES = (
    Stage("look", 45),
    Stage("attention", 90),
    Stage("equal", 60),
    Stage("equal-unsloth", 90, UNSLOTH),
    Stage("make-8b", 110),
    Stage("unsloth-shared", 90, UNSLOTH | {"attention": "varlen", "pairs": 8}),
    Stage("unsloth-dpo", 90, UNSLOTH | {"trainer": "trl", "pairs": 4}),
    Stage("trl", 70, {"trainer": "trl", "pairs": 4}),
    Stage("selene-varlen", 60, {"attention": "varlen", "pairs": 8}),
    Stage("unsloth-shared-keep", 80, UNSLOTH | {"attention": "varlen", "pairs": 4, "keep": True}),
    Stage("train", 240, UNSLOTH | {"seconds": 120}),
    Stage("selene-varlen-keep", 60, {"attention": "varlen", "pairs": 4, "keep": True}),
    Stage("selene-segments", 60, {"attention": "segments", "pairs": 8}),
    Stage("trl-chunked", 70, {"trainer": "trl", "pairs": 8, "chunked": True}),
    Stage("selene-flex", 100, {"attention": "flex", "pairs": 8}),
)


def main() -> None:
    args = parse_arguments()
    if args.child:
        from gpu_stages import run_stage

        run_stage(by_name(args.child), args)
        return
    rows = run_all(args)
    unfinished = [row["stage"] for row in rows if row["status"] != "run"]
    if unfinished:
        sys.exit(f"not run to their end: {', '.join(unfinished)}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("artefacts/gpu"), help="a folder")
    parser.add_argument("--seconds", type=float, default=1500, help="for all stages together")
    parser.add_argument("--only", help="names of stages, with commas")
    parser.add_argument("--dry", action="store_true", help="tiny shapes on a CPU")
    parser.add_argument("--prompt", type=int, default=1500, help="tokens")
    parser.add_argument("--completion", type=int, default=250, help="tokens of each")
    parser.add_argument(
        "--pairs-folder", type=Path, help="pairs and validation.parquet to train on"
    )
    parser.add_argument("--weights", type=Path, help="where the 8B weights are kept")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.weights = args.weights or default_weights(args.dry, args.out)
    if args.dry:
        args.prompt, args.completion = 48, 8
    return args


def default_weights(dry: bool, out: Path) -> Path:
    """In memory where there is a file system for that: every side loads 5.7 GB."""
    memory = Path("/dev/shm")
    return memory / "selene-llama-8b-nf4" if memory.is_dir() and not dry else out / "weights"


def by_name(name: str) -> Stage:
    return next(stage for stage in STAGES if stage.name == name)


def run_all(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Run the stages in turn; one that the clock has no time for is a row that says so."""
    args.out.mkdir(parents=True, exist_ok=True)
    wanted = set(args.only.split(",")) if args.only else {stage.name for stage in STAGES}
    unknown = sorted(wanted - {stage.name for stage in STAGES})
    if unknown:
        names = ", ".join(stage.name for stage in STAGES)
        sys.exit(f"no stage {unknown[0]!r}; there are {names}")
    began, rows = time.monotonic(), []
    for stage in (stage for stage in STAGES if stage.name in wanted):
        left = args.seconds - (time.monotonic() - began)
        if left < min(30, stage.cap_seconds):
            row = {"status": "not run", "reason": f"{left:.0f} s left"}
        else:
            row = run_child(stage, args, left)
        rows.append({"stage": stage.name, **row})
        with (args.out / "rows.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(rows[-1]) + "\n")
            file.flush()
            os.fsync(file.fileno())
        print(json.dumps(rows[-1]), flush=True)
    return rows


def run_child(stage: Stage, args: argparse.Namespace, left: float) -> dict[str, Any]:
    """Run one stage in a process of its own; its row is what it says on lines that begin so."""
    log = args.out / f"{stage.name}.log"
    command = [sys.executable, str(HERE / "train_step_gpu.py"), "--child", stage.name]
    for name in ("out", "weights", "prompt", "completion"):
        command += [f"--{name}", str(getattr(args, name))]
    if args.dry:
        command.append("--dry")
    cap = stage.cap_seconds * DRY_PATIENCE if args.dry else min(stage.cap_seconds, left)
    started = time.monotonic()
    with log.open("w", encoding="utf-8") as file:
        try:
            done = subprocess.run(
                command, stdout=file, stderr=subprocess.STDOUT, timeout=cap, env=settings(args)
            )
            status = "run" if done.returncode == 0 else "failed"
        except subprocess.TimeoutExpired:
            status = f"stopped after {cap:.0f} s"
    row: dict[str, Any] = {"status": status, "wall_seconds": round(time.monotonic() - started, 1)}
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    for line in lines:
        if line.startswith("ROW "):
            row |= json.loads(line.removeprefix("ROW "))
    if status != "run":
        row["reason"] = (lines or ["it printed nothing"])[-1][:300]
    return row


def settings(args: argparse.Namespace) -> dict[str, str]:
    """The environment of a stage: this checkout's library; Triton's interpreter on a dry run."""
    root = HERE.parent
    path = [str(root), str(root / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])]
    more = {"PYTHONPATH": os.pathsep.join(path), "HF_HUB_OFFLINE": "1"}
    if args.dry:
        more |= {"CUDA_VISIBLE_DEVICES": "", "UNSLOTH_ALLOW_CPU": "1", "TRITON_INTERPRET": "1"}
    return os.environ | more


if __name__ == "__main__":
    main()
