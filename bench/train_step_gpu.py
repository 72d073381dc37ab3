"""The GPU table of `train_step.py --gpu`: Llama-3.1-8B shape with random weights.

They lie on local disk and are trained as NF4 QLoRA r=16 in bf16 with checkpointing. Each side runs
in a process of its own (Unsloth rewrites the libraries the others use) on the same pairs: prompts
of 1,500 and completions of 250 tokens unless told otherwise. A side that cannot run here is a row
`not run` or `failed` with the reason; nothing is estimated.

Share of the chip: FLOPs of the tokens that side computes (forward, backward for frozen weights,
forward again under checkpointing) over its seconds, over the dense bf16 rate its maker states.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

GPU_SIDES = {
    "trl": {"trainer": "trl", "backend": "transformers"},
    "unsloth": {"trainer": "trl", "backend": "unsloth", "layout": "pairs"},
    "selene-unsloth-pairs": {"backend": "unsloth", "layout": "pairs"},
    "selene-segments": {"backend": "transformers", "attention": "segments"},
    "selene-flex": {"backend": "transformers", "attention": "flex"},
}
LLAMA_8B = {
    "vocab_size": 128256,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 8192,
    "rope_theta": 500000.0,
    "bos_token_id": None,
    "eos_token_id": 1,
    "pad_token_id": 0,
}


def gpu_table(args: Any) -> None:
    """Print one row a side; without a CUDA GPU every row says why it was not run."""
    import torch

    prompt, completion = args.prompt or 1500, args.completion if args.prompt else 250
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.gpu_folder or Path(temporary)
        rows = []
        for side in GPU_SIDES:
            reason = why_not(side, torch)
            if reason is None and not (folder / "config.json").exists():
                write_random_8b(folder)
            row = (
                {"side": side, "status": "not run", "reason": reason}
                if reason
                else run_side(args, side, folder, prompt, completion)
            )
            rows.append({"prompt": prompt, "completion": completion, "pairs": args.pairs, **row})
    by_side = {row["side"]: row for row in rows}
    for row in rows:
        for other in ("trl", "unsloth"):
            if row["status"] == by_side[other]["status"] == "run":
                row[f"pairs_per_s_ratio_{other}"] = (
                    row["pairs_per_s"] / by_side[other]["pairs_per_s"]
                )
        print(json.dumps(row) if args.json else as_text(row), flush=True)


def why_not(side: str, torch: Any) -> str | None:
    """The reason why a side cannot run on this machine, None if it can."""
    if not torch.cuda.is_available():
        return "no CUDA GPU on this machine"
    if "unsloth" in side and importlib.util.find_spec("unsloth") is None:
        return "unsloth is not installed: pip install 'selene_lib[gpu]'"
    if torch.cuda.get_device_properties(0).total_memory < 14e9:
        return "the GPU has less than 14 GB"
    return None


def as_text(row: dict[str, Any]) -> str:
    shape = f"prompt {row['prompt']} completion {row['completion']}, {row['pairs']} pairs"
    head = f"{row['side']:<22} {shape}: "
    if row["status"] != "run":
        return head + f"{row['status']} ({row['reason']})"
    ratios = "".join(
        f", {row[key]:.2f}x {key.rpartition('_')[2]}"
        for key in row
        if key.startswith("pairs_per_s_ratio_")
    )
    share = f"{row['chip_share']:.0%}" if row["chip_share"] is not None else "not known"
    return head + (
        f"{row['pairs_per_s']:.3f} pairs/s, {row['tokens_per_s']:.0f} tokens/s, "
        f"peak {row['peak_bytes'] / 1e9:.1f} GB, share of bf16 rate {share}{ratios}"
    )


def write_random_8b(folder: Path) -> None:
    """16 GB of random weights in the shape of Llama-3.1-8B, with a tokenizer of as many words;
    nothing is downloaded.
    """
    import torch
    from tokenizers import Tokenizer, models
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    with torch.device("cuda"):
        torch.set_default_dtype(torch.bfloat16)
        model = LlamaForCausalLM(LlamaConfig(**LLAMA_8B))
    model.save_pretrained(folder, max_shard_size="4GB")
    words = {"<pad>": 0, "<end>": 1, **{f"w{i}": i for i in range(2, LLAMA_8B["vocab_size"])}}
    inner = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="<end>"
    ).save_pretrained(folder)
    torch.set_default_dtype(torch.float32)
    del model
    torch.cuda.empty_cache()


def run_side(args: Any, side: str, folder: Path, prompt: int, completion: int) -> dict[str, Any]:
    """Run one side in a child process; a crash is a row with the last line of its error."""
    command = [
        sys.executable,
        str(Path(__file__).with_name("train_step.py")),
        "--gpu",
        "--child",
        side,
        "--gpu-folder",
        str(folder),
    ]
    command += [
        "--prompt",
        str(prompt),
        "--completion",
        str(completion),
        "--pairs",
        str(args.pairs),
        "--repeats",
        str(args.repeats),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return {"side": side, "status": "failed", "reason": last[:300]}
    return json.loads(done.stdout.splitlines()[-1])


def gpu_child(args: Any) -> None:
    """Measure one side: median of the timed steps after two for warming up."""
    if "unsloth" in args.child:
        import unsloth  # noqa: F401  must come before transformers, peft and trl
    import statistics

    import torch
    from train_step import prepare, random_pairs

    from selene_lib.training.counting import training_flops_per_token
    from selene_lib.training.planner import DEVICES
    from selene_lib.training.shapes import read_shape
    from selene_lib.training.spec import TrainSpec

    spec = TrainSpec(
        base_model=str(args.gpu_folder),
        quantisation="nf4",
        dtype="bfloat16",
        gradient_checkpointing=True,
        lora_r=16,
        lora_alpha=32,
        batch_size=args.pairs,
        micro_batch_pairs=args.pairs,
        micro_batch_tokens=10**9,
        n_steps=100,
        max_length_tokens=args.prompt + args.completion,
        **GPU_SIDES[args.child],
    )
    pairs = random_pairs(args.pairs, args.prompt, args.completion, LLAMA_8B["vocab_size"])
    step, loaded = prepare(spec, pairs, args.gpu_folder / "out", LLAMA_8B["vocab_size"])
    seconds = []
    for repeat in range(args.repeats + 2):
        torch.cuda.synchronize()
        started = time.perf_counter()
        step()
        torch.cuda.synchronize()
        if repeat == 1:
            torch.cuda.reset_peak_memory_stats()
        if repeat >= 2:
            seconds.append(time.perf_counter() - started)
    median = statistics.median(seconds)
    shared = loaded.decision.layout == "shared_prefix"
    per_pair = args.prompt + 2 * args.completion if shared else 2 * (args.prompt + args.completion)
    flops = (
        args.pairs
        * per_pair
        * training_flops_per_token(spec, read_shape(spec), args.prompt + args.completion, True)
    )
    name = torch.cuda.get_device_name(0)
    rate = next((rate for key, (rate, _) in DEVICES.items() if key.split("-")[0] in name), None)
    print(
        json.dumps(
            {
                "side": args.child,
                "status": "run",
                "device": name,
                "pairs_per_s": args.pairs / median,
                "tokens_per_s": args.pairs * per_pair / median,
                "peak_bytes": torch.cuda.max_memory_allocated(),
                "chip_share": flops / median / rate if rate else None,
                "attention": loaded.decision.attention,
                "repeats": args.repeats,
            }
        )
    )
