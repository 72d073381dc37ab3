"""How fast is a training step, against `trl.DPOTrainer` with the reference log-probs cached too?

    python bench/train_step.py                            # the three CPU shapes
    python bench/train_step.py --prompt 1024 --completion 128    # one shape
    python bench/train_step.py --json                     # one JSON object a shape, one a line

`train_step_gpu.py` is the table for a GPU.

CPU side: a Llama of 256 x 4 layers whose vocabulary (1,024) has the share of the work that
Llama-3.1-8B's has, LoRA r=16 on all linear layers, fp32, the same number of pairs in one
micro-batch on all sides, all in one process, taking turns, medians after a warm-up. Seconds are CPU
seconds of this process, so that other work on the machine does not count (wall seconds with
several threads). A step is batch building, forward, backward and AdamW. Peak memory is measured in
a child process per side: the highest resident set during two steps, less the resident set before
the first. `token_ratio` is what sharing the prompt alone can give: tokens of the two sequences over
tokens of the shared row.

`trl-chunked` is TRL's own path of `use_liger_kernel=True`: log-probabilities in chunks, no full
logits. That path is plain torch and runs on a CPU; Liger's fused layers, which the same setting
brings on a GPU, need Triton and are not in this row.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

SHAPES = ((128, 128), (1024, 128), (2048, 128))
SIDES = ("trl", "trl-chunked", "selene")


def main() -> None:
    args = parse_arguments()
    if args.child:
        print(json.dumps({"peak_bytes": measure_peak(args)}))
        return
    shapes = [(args.prompt, args.completion)] if args.prompt else SHAPES
    for prompt, completion in shapes:
        row = measure_shape(args, prompt, completion)
        print(json.dumps(row) if args.json else as_text(row), flush=True)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prompt", type=int, default=None, help="prompt tokens")
    parser.add_argument("--completion", type=int, default=128, help="tokens of each completion")
    parser.add_argument("--pairs", type=int, default=4, help="pairs a step, in one micro-batch")
    parser.add_argument(
        "--repeats",
        type=int,
        default=5,
        help="timed steps a side, at least 5 for a figure to quote",
    )
    parser.add_argument("--vocabulary", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args()


def measure_shape(args: argparse.Namespace, prompt: int, completion: int) -> dict:
    """Time both sides in this process by turns, then measure each side's peak memory in a child."""
    with tempfile.TemporaryDirectory() as folder:
        base = make_base(Path(folder), args.vocabulary, prompt + 2 * completion)
        steps = {side: prepare_cpu(side, base, args, prompt, completion) for side in SIDES}
        seconds: dict[str, list[float]] = {side: [] for side in SIDES}
        clock = time.process_time if args.threads == 1 else time.perf_counter
        for repeat in range(args.repeats + 1):
            for side, step in steps.items():
                started = clock()
                step()
                if repeat:
                    seconds[side].append(clock() - started)
    median = {side: statistics.median(values) for side, values in seconds.items()}
    peak = {side: child_peak(args, side, prompt, completion) for side in SIDES}
    row = {
        "prompt": prompt,
        "completion": completion,
        "pairs": args.pairs,
        "vocabulary": args.vocabulary,
        "threads": args.threads,
        "repeats": args.repeats,
        "token_ratio": 2 * (prompt + completion) / (prompt + 2 * completion),
    }
    for side in SIDES:
        name = side.replace("-", "_")
        row[f"pairs_per_s_{name}"] = args.pairs / median[side]
        row[f"peak_bytes_{name}"] = peak[side]
    for side, suffix in (("trl", ""), ("trl-chunked", "_chunked")):
        row[f"pairs_per_s_ratio{suffix}"] = median[side] / median["selene"]
        row[f"peak_memory_ratio{suffix}"] = peak["selene"] / peak[side]
    return row


def as_text(row: dict) -> str:
    ours, theirs = row["pairs_per_s_selene"], row["pairs_per_s_trl"]
    return (
        f"prompt {row['prompt']:>4} completion {row['completion']}: "
        f"{row['pairs_per_s_ratio']:.2f}x pairs/s of TRL ({ours:.2f} against {theirs:.2f}), "
        f"peak memory {row['peak_memory_ratio']:.2f}x, "
        f"{row['pairs_per_s_ratio_chunked']:.2f}x pairs/s and "
        f"{row['peak_memory_ratio_chunked']:.2f}x memory of TRL chunked, "
        f"token ratio {row['token_ratio']:.2f}  "
        f"[{row['pairs']} pairs, {row['repeats']} repeats, {row['threads']} thread(s)]"
    )


def make_base(folder: Path, vocabulary: int, n_positions: int) -> Path:
    """A random Llama in a folder, with the least tokenizer that loads (the benchmark's token ids
    are drawn, not encoded).
    """
    import torch
    from tokenizers import Tokenizer, models
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = {"<pad>": 0, "<end>": 1, **{f"w{i}": i for i in range(2, vocabulary)}}
    inner = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="<end>"
    )
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=256,
        intermediate_size=688,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=max(4096, n_positions),
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=0,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def cpu_spec(side: str, base: Path, args: argparse.Namespace, prompt: int, completion: int):
    """The spec of one side: the same in everything but the trainer."""
    from selene_lib.training.spec import TrainSpec

    return TrainSpec(
        base_model=str(base),
        trainer=side.partition("-")[0],
        batch_size=args.pairs,
        micro_batch_pairs=args.pairs,
        micro_batch_tokens=10**9,
        n_steps=100,
        lora_r=16,
        max_length_tokens=prompt + completion,
    )


def random_pairs(n_pairs: int, prompt: int, completion: int, vocabulary: int) -> list:
    """Pairs of drawn token ids, all of one shape."""
    import numpy as np

    from selene_lib.training.encoding import EncodedPair

    rng = np.random.default_rng(0)
    ids = [
        [tuple(map(int, rng.integers(2, vocabulary, n))) for n in (prompt, completion, completion)]
        for _ in range(n_pairs)
    ]
    return [EncodedPair(str(i), *three) for i, three in enumerate(ids)]


def prepare(spec, pairs: list, out_dir: Path, vocabulary: int, *, chunked: bool = False):
    """Build the spec's trainer on these pairs; return a function that makes one optimiser step, and
    the loaded model. `chunked` takes TRL's chunked log-probabilities.
    """
    import numpy as np

    from selene_lib.training.model import open_for_training
    from selene_lib.training.trainer import argument_values

    reference = np.full((len(pairs), 2), -len(pairs[0].chosen_ids) * np.log(vocabulary))
    loaded = open_for_training(spec)
    values = argument_values(spec, loaded, out_dir, 100)
    if spec.trainer == "trl":
        from selene_lib.training.trl_trainer import EncodedDPOTrainer, to_dataset, trl_config

        dataset = to_dataset(pairs, reference, range(len(pairs)))
        config = trl_config(spec, values)
        trainer = EncodedDPOTrainer(
            model=loaded.model,
            args=config,
            train_dataset=dataset,
            processing_class=loaded.tokenizer,
        )
        # set afterwards: at construction the setting asks for the package of the GPU kernels
        trainer.use_liger_kernel = chunked
        rows = [dataset[i] for i in range(len(pairs))]
        make_inputs = lambda: trainer.data_collator(rows)  # noqa: E731
    else:
        from transformers import TrainingArguments

        from selene_lib.training.trainer import PairTrainer

        training_args = TrainingArguments(**values, per_device_train_batch_size=1)
        trainer = PairTrainer(
            loaded, spec, pairs, reference, [tuple(range(len(pairs)))], training_args
        )
        make_inputs = lambda: {"step": 0}  # noqa: E731
    if (
        loaded.decision.backend == "unsloth"
    ):  # its DPOTrainer leaves the model as for inference, without checkpointing, until `train`
        trainer.model.for_training(
            use_gradient_checkpointing=trainer.model._unsloth_gradient_checkpointing
        )
    if values["gradient_checkpointing"]:
        trainer.model.gradient_checkpointing_enable(values["gradient_checkpointing_kwargs"])
    trainer.create_optimizer_and_scheduler(100)
    trainer.current_gradient_accumulation_steps = 1

    def step() -> None:
        trainer.training_step(trainer.model, make_inputs())
        trainer.optimizer.step()
        trainer.model.zero_grad()

    return step, loaded


def prepare_cpu(side: str, base: Path, args: argparse.Namespace, prompt: int, completion: int):
    import torch

    torch.set_num_threads(args.threads)
    pairs = random_pairs(args.pairs, prompt, completion, args.vocabulary)
    return prepare(
        cpu_spec(side, base, args, prompt, completion),
        pairs,
        base / f"out-{side}",
        args.vocabulary,
        chunked=side == "trl-chunked",
    )[0]


def child_peak(args: argparse.Namespace, side: str, prompt: int, completion: int) -> int:
    """Run this script for one side alone and read its peak memory."""
    command = [
        sys.executable,
        __file__,
        "--child",
        side,
        "--prompt",
        str(prompt),
        "--completion",
        str(completion),
    ]
    command += [
        "--pairs",
        str(args.pairs),
        "--vocabulary",
        str(args.vocabulary),
        "--threads",
        str(args.threads),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])["peak_bytes"]


def measure_peak(args: argparse.Namespace) -> int:
    """Highest resident set during two steps, less the resident set before them (Linux)."""
    with tempfile.TemporaryDirectory() as folder:
        base = make_base(Path(folder), args.vocabulary, args.prompt + 2 * args.completion)
        step = prepare_cpu(args.child, base, args, args.prompt, args.completion)
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
        before = resident("VmRSS")
        step()
        step()
        return resident("VmHWM") - before


def resident(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}: peak memory is measured on Linux only")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    main()
