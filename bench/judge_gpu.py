"""What a GPU makes of judging: the same prompts through transformers, Unsloth and vLLM.

    python bench/judge_gpu.py --model Qwen/Qwen2.5-0.5B-Instruct --adapter DIR --samples FILE
    python bench/judge_gpu.py --dry        # the embedded model on a CPU: proves the script

Stages: `local` (transformers, what every other verdict is compared with), `unsloth` (its fast
generation), `vllm` (in process), `served` (a vLLM server started for the judge, as notebooks 05 and
06 use one; `--dry` starts `small_server.py` in its place). Each is a process of its own with a cap
in seconds; its row goes to `rows.jsonl` below `--out` the moment it ends, and later stages are
skipped by the clock. Loading is timed apart. What cannot run here is a row "not run" with the
reason. `same_verdicts` is the share of prompts on which a stage says what `local` said.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
STAGES = {"local": 400, "served": 500, "vllm": 400, "unsloth": 300}  # caps in seconds
DRY_PATIENCE = 3
MAX_NEW_TOKENS, MAX_PROMPT_TOKENS = 512, 3072


def main() -> None:
    args = parse_arguments()
    if args.child:
        print("ROW " + json.dumps(measure(args)), flush=True)
        return
    rows = run_all(args)
    if not args.dry and all(row["status"] != "run" for row in rows):
        sys.exit("no stage was run")
    if args.dry and {row["stage"] for row in rows if row["status"] == "run"} != {"local", "served"}:
        sys.exit("a stage that a CPU can run was not run to its end")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--adapter", type=Path)
    parser.add_argument("--samples", type=Path, help="samples to judge, Parquet or JSON Lines")
    parser.add_argument("--family", default=None, help="prompt templates")
    parser.add_argument("-n", type=int, default=512, help="prompts, at most")
    parser.add_argument("--out", type=Path, default=Path("artefacts/gpu-judging"))
    parser.add_argument("--seconds", type=float, default=1500, help="for all stages together")
    parser.add_argument("--dry", action="store_true", help="the embedded model on a CPU")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.dry:
        args.model, args.adapter, args.n = "embedded", None, min(args.n, 12)
    return args


def run_all(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Run the stages in turn, writing each row when it ends."""
    args.out.mkdir(parents=True, exist_ok=True)
    path, began, rows = args.out / "rows.jsonl", time.monotonic(), []
    path.unlink(missing_ok=True)
    for stage, cap in STAGES.items():
        left = args.seconds - (time.monotonic() - began)
        reason = why_not(stage, args.dry) or ("no time was left" if left < 30 else "")
        cap = min(cap * (DRY_PATIENCE if args.dry else 1), left)
        row = {"status": "not run", "reason": reason} if reason else run_stage(args, stage, cap)
        rows.append({"stage": stage, "model": args.model, **row})
        with path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(rows[-1]) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        print(as_text(rows[-1]), flush=True)
    return rows


def why_not(stage: str, dry: bool) -> str:
    """Why a stage cannot run here, empty if it can."""
    if stage == "local" or (dry and stage == "served"):
        return ""
    import torch

    if not torch.cuda.is_available():
        return "no CUDA GPU on this machine"
    package = "unsloth" if stage == "unsloth" else "vllm"
    missing = importlib.util.find_spec(package) is None
    return f"{package} is not installed" if missing else ""


def run_stage(args: argparse.Namespace, stage: str, cap: float) -> dict[str, Any]:
    """Run one stage in a child process; a crash is a row with the end of its error."""
    command = [sys.executable, __file__, "--child", stage, "--out", str(args.out), "-n"]
    command += [str(args.n), "--model", args.model]
    for name in ("adapter", "samples", "family"):
        if getattr(args, name):
            command += [f"--{name}", str(getattr(args, name))]
    try:
        done = subprocess.run(
            [*command, *["--dry"] * args.dry], capture_output=True, text=True, timeout=cap
        )
    except subprocess.TimeoutExpired:
        return {"status": "failed", "reason": f"longer than {cap:.0f} s"}
    rows = [line[4:] for line in done.stdout.splitlines() if line.startswith("ROW ")]
    if done.returncode or not rows:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return {"status": "failed", "reason": last[:300]}
    return {"status": "run", **json.loads(rows[-1])}


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Load one judge, warm it up on a few prompts, time it on all; compare with `local`."""
    prompts = read_prompts(args)
    with ExitStack() as opened:
        began = time.perf_counter()
        judge = open_stage(args, opened)
        load_seconds = time.perf_counter() - began
        judge.judge(prompts[: min(4, len(prompts))])
        began = time.perf_counter()
        replies = judge.judge(prompts)
        seconds = time.perf_counter() - began
    verdicts = [verdict_of(prompt, reply) for prompt, reply in zip(prompts, replies)]
    known = args.out / "verdicts-local.json"
    if args.child == "local":
        known.write_text(json.dumps(verdicts))
    same = [a == b for a, b in zip(verdicts, json.loads(known.read_text()))]
    return {
        "device": device_name(),
        "n": len(prompts),
        "n_unparsed": verdicts.count(None),
        "same_verdicts": sum(same) / len(same),
        "load_seconds": load_seconds,
        "verdicts_per_s": len(prompts) / seconds,
        "prompt_tokens_per_s": sum(reply.n_prompt_tokens for reply in replies) / seconds,
        "reply_tokens_per_s": sum(reply.n_reply_tokens for reply in replies) / seconds,
        "peak_bytes": peak_bytes(),
    }


def open_stage(args: argparse.Namespace, opened: ExitStack) -> Any:
    """Open the judge of a stage; what it started ends with `opened`."""
    from selene_lib.judges.local import LocalJudge

    options: dict[str, Any] = {"adapter": args.adapter, "max_new_tokens": MAX_NEW_TOKENS}
    if args.dry:
        options["max_new_tokens"] = 128
    else:
        options["max_prompt_tokens"] = MAX_PROMPT_TOKENS
    if args.child == "local":
        return LocalJudge(args.model, **options)
    if args.child == "unsloth":
        from selene_lib.judges.unsloth import UnslothJudge

        return UnslothJudge(args.model, **options)
    if args.child == "vllm":
        from selene_lib.judges.vllm import VllmJudge

        return VllmJudge(args.model, **options)
    judge = open_small_server(args) if args.dry else open_vllm_server(args)
    opened.callback(judge.close)
    return judge


def open_vllm_server(args: argparse.Namespace) -> Any:
    from selene_lib.judges.served import open_served

    return open_served(
        args.model,
        args.adapter,
        name="served",
        max_new_tokens=MAX_NEW_TOKENS,
        max_prompt_tokens=MAX_PROMPT_TOKENS,
        dtype="auto",
        log=args.out / "server.log",
    )


def open_small_server(args: argparse.Namespace) -> Any:
    """The small server in vLLM's place: everything on this side of the protocol is the same."""
    from selene_lib.judges.served import LocalServer, ServedJudge
    from selene_lib.models.loading import open_tokenizer
    from selene_lib.models.names import resolve_model

    program = [sys.executable, str(HERE / "small_server.py"), "--model", args.model, "--port"]
    server = LocalServer(lambda port: [*program, str(port)], args.out / "server.log")
    tokenizer = open_tokenizer(resolve_model(args.model))
    return ServedJudge(server, tokenizer, "dry", name="served", max_new_tokens=128)


def read_prompts(args: argparse.Namespace) -> list[Any]:
    """The prompts of the samples, both orders of pairs; without samples those of the embedded
    world.
    """
    from selene_lib.judges.judging import Asking, plan_questions

    if args.samples:
        from selene_lib.evaluation.scoring.rescore import read_samples

        samples = read_samples(args.samples)
    else:
        from selene_lib import nano

        each = -(-args.n // len(nano.NANO_SETS))
        names = sorted(nano.NANO_SETS)
        samples = [sample for name in names for sample in nano.make_set(name, each, seed=7)]
    family = args.family or ("full" if args.samples else "nano")
    questions = plan_questions(samples, Asking(family))
    return [question.prompt for question in questions][: args.n]


def verdict_of(prompt: Any, reply: Any) -> str | None:
    from selene_lib.prompts.verdicts import parse_verdict

    return parse_verdict(reply.text, prompt.task, finish_reason=reply.finish_reason).value


def device_name() -> str:
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "CPU"


def peak_bytes() -> int | None:
    """What this process allocated on the GPU at most; a server's memory is not in it."""
    import torch

    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None


def as_text(row: dict[str, Any]) -> str:
    head = f"{row['stage']:<8} {row['status']}"
    if row["status"] != "run":
        return f"{head}: {row['reason']}"
    return (
        f"{head} on {row['device']}: {row['verdicts_per_s']:.2f} verdicts/s, "
        f"{row['prompt_tokens_per_s']:.0f} prompt and {row['reply_tokens_per_s']:.0f} reply "
        f"tokens/s, loaded in {row['load_seconds']:.1f} s; {row['n']} prompts, "
        f"{row['n_unparsed']} unread, {row['same_verdicts']:.1%} as local"
    )


if __name__ == "__main__":
    main()
