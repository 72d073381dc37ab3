"""The stages of `train_step_gpu.py`, each run in a process of its own; what is found is printed on
lines that begin with ROW.
"""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from gpu_checks import compare_attention, compare_passes
from gpu_world import backend_of, drawn_pairs, say, seconds_of, shape_of, write_base

N_WARM, N_TIMED = 2, 4
SOURCES = ("coverage", "support", "category", "letter", "tone", "facts", "sums")


def run_stage(stage: Any, args: Any) -> None:
    """Run one stage; `stage.options` say which side it is."""
    unsloth = stage.options.get("backend") == "unsloth"
    if unsloth:
        unsloth = prepare_unsloth(args.dry, trl=stage.options.get("trainer") == "trl")
    if stage.name == "look":
        look(args)
    elif stage.name == "attention":
        compare_attention(args)
    elif stage.name.startswith("equal"):
        compare_passes(args, unsloth)
    elif stage.name == "make-8b":
        make_weights(args)
    elif stage.name == "train":
        train_for(stage.options["seconds"], args, unsloth)
    else:
        time_side(stage, args, unsloth)


def prepare_unsloth(dry: bool, *, trl: bool) -> bool:
    """Import Unsloth first; on a dry run say whether something else stands in for it."""
    if dry and importlib.util.find_spec("unsloth") is None:
        say(stands_in="transformers, for unsloth, which is not installed")
        return False
    from selene_lib.training.unsloth_model import import_unsloth

    import_unsloth()
    if dry:
        import test_unsloth

        from selene_lib.training import model

        test_unsloth.answer_for_the_missing_gpu()
        model.decide = test_unsloth.decide_for_unsloth
        if trl:
            test_unsloth.rewrite_trl()
    return True


def look(args: Any) -> None:
    """The card, the versions, and what it reaches on a matrix product and a copy."""
    from importlib.metadata import PackageNotFoundError, version

    import torch

    found = {}
    for package in ("torch", "transformers", "trl", "peft", "bitsandbytes", "unsloth"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    say(versions=found, commit=commit(), prompt=args.prompt, completion=args.completion)
    if args.dry:
        return
    say(device=torch.cuda.get_device_name(0), capability=torch.cuda.get_device_capability(0))
    x, y = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    say(matmul_tflops=2 * 8192**3 / seconds_of(lambda: x @ y) / 1e12)
    source = torch.empty(2**31, device="cuda", dtype=torch.bfloat16)
    target = torch.empty_like(source)
    say(copy_tb_per_s=4 * source.numel() / seconds_of(lambda: target.copy_(source)) / 1e12)


def commit() -> str | None:
    """This checkout's commit, or what SELENE_COMMIT names where a copy travels without its git."""
    if named := os.environ.get("SELENE_COMMIT"):
        return named
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() or None


# --- the table


def make_weights(args: Any) -> None:
    """Write the weights once, as NF4 (5.7 GB for 8B), so that every side loads them in seconds."""
    import shutil

    import torch

    target = args.weights
    if args.dry:
        write_base(target, shape_of(True), torch.float32)
    else:
        from transformers import AutoModelForCausalLM

        from selene_lib.models.loading import nf4_config

        raw = target.with_name(target.name + "-raw")
        write_base(raw, shape_of(False), torch.bfloat16)
        torch.cuda.empty_cache()
        kind = torch.bfloat16
        model = AutoModelForCausalLM.from_pretrained(
            raw, dtype=kind, quantization_config=nf4_config(kind, kind), device_map={"": 0}
        )
        model.save_pretrained(target)
        for path in raw.glob("*token*"):
            shutil.copy(path, target)
        for path in raw.glob("chat_template*"):
            shutil.copy(path, target)
        shutil.rmtree(raw)
    say(gigabytes=sum(path.stat().st_size for path in target.iterdir()) / 1e9)


def time_side(stage: Any, args: Any, unsloth: bool) -> None:
    """Time six steps of a trainer's own loop."""
    import torch

    from selene_lib.training import model

    is_trl, options = stage.options.get("trainer") == "trl", stage.options
    n_pairs = 2 if args.dry else options["pairs"]
    # the hash of 5.7 GB of weights is no part of a step
    model.base_fingerprint = lambda spec, decision: "0" * 64
    spec = spec_of_side(options, args, n_pairs, unsloth)
    began = time.monotonic()
    loaded = model.open_for_training(spec)
    say(load_seconds=time.monotonic() - began, decision=loaded.decision.to_dict())
    vocabulary = shape_of(args.dry)["vocab_size"]
    lengths = (args.prompt, args.completion, args.completion)
    pairs = drawn_pairs([lengths] * n_pairs, vocabulary)
    seconds = steps_of(loaded, spec, pairs, vocabulary, chunked=bool(options.get("chunked")))
    median = statistics.median(seconds[N_WARM:])
    tokens = args.prompt + args.completion
    per_pair = 2 * tokens if is_trl else tokens + args.completion
    useful = n_pairs * useful_flops(spec, args, per_pair) / median
    say(
        side=stage.name,
        pairs=n_pairs,
        pairs_per_s=n_pairs / median,
        tokens_per_s=n_pairs * per_pair / median,
        useful_tflops=useful / 1e12,
        seconds=[round(value, 3) for value in seconds],
        warm_up_seconds=round(sum(seconds[:N_WARM]) - N_WARM * median, 3),
        peak_gb=None if args.dry else torch.cuda.max_memory_allocated() / 2**30,
    )


def spec_of_side(options: dict[str, Any], args: Any, n_pairs: int, unsloth: bool) -> Any:
    from selene_lib.training.spec import TrainSpec

    is_trl = options.get("trainer") == "trl"
    attention = options.get("attention", "auto")
    if args.dry and attention == "flex":
        say(stands_in="dense, for flex, which has no backward pass on a CPU")
        attention = "dense"
    return TrainSpec(
        base_model=str(args.weights),
        trainer="trl" if is_trl else "selene",
        backend=backend_of(unsloth, args.dry),
        layout="pairs" if is_trl else "shared_prefix",
        attention=attention,
        quantisation="none" if args.dry else "nf4",
        dtype="float32" if args.dry else "bfloat16",
        optimiser="adamw" if args.dry else "auto",
        gradient_checkpointing=not options.get("keep", False),
        batch_size=n_pairs,
        micro_batch_pairs=n_pairs,
        micro_batch_tokens=10**9,
        n_steps=N_WARM + N_TIMED,
        max_length_tokens=max(args.prompt + args.completion, 64),
    )


def steps_of(
    loaded: Any, spec: Any, pairs: list[Any], vocabulary: int, *, chunked: bool
) -> list[float]:
    """Seconds of each step inside `trainer.train()`."""
    import numpy as np
    from transformers import TrainingArguments

    from selene_lib.training.trainer import PairTrainer, argument_values

    n_steps, watch = N_WARM + N_TIMED, make_watch()
    reference = np.full((len(pairs), 2), -len(pairs[0].chosen_ids) * np.log(vocabulary))
    everyone = list(range(len(pairs)))
    with tempfile.TemporaryDirectory() as out:
        values = argument_values(spec, loaded, Path(out), n_steps) | {"save_strategy": "no"}
        if spec.trainer == "trl":
            from selene_lib.training.trl_trainer import EncodedDPOTrainer, to_dataset, trl_config

            if chunked and loaded.decision.device == "cuda":
                values["use_liger_kernel"] = True
            elif chunked:
                say(stands_in="plain TRL, for its chunked loss, which needs Triton")
            trainer: Any = EncodedDPOTrainer(
                model=loaded.model,
                args=trl_config(spec, values),
                train_dataset=to_dataset(pairs, reference, everyone * n_steps),
                processing_class=loaded.tokenizer,
                callbacks=[watch],
            )
        else:
            steps = [tuple(everyone)] * n_steps
            arguments = TrainingArguments(**values, per_device_train_batch_size=1)
            trainer = PairTrainer(
                loaded, spec, pairs, reference, steps, arguments, callbacks=[watch]
            )
        trainer.train()
        say(losses=[entry["loss"] for entry in trainer.state.log_history if "loss" in entry][:3])
    return watch.seconds


def make_watch() -> Any:
    """A callback that times steps, with the GPU idle before and after each."""
    import torch
    from transformers import TrainerCallback

    def settle() -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    class Watch(TrainerCallback):
        def __init__(self) -> None:
            self.seconds: list[float] = []

        def on_step_begin(self, *arguments: Any, **named: Any) -> None:
            settle()
            self.began = time.perf_counter()

        def on_step_end(self, args: Any, state: Any, control: Any, **named: Any) -> None:
            settle()
            self.seconds.append(time.perf_counter() - self.began)
            if state.global_step == N_WARM and torch.cuda.is_available():
                torch.cuda.reset_peak_memory_stats()

    return Watch()


def useful_flops(spec: Any, args: Any, tokens_per_pair: int) -> float:
    """FLOPs of one pair's forward and backward, the head on completion tokens included."""
    from selene_lib.training.counting import forward_flops
    from selene_lib.training.shapes import read_shape

    shape = read_shape(spec)
    blocks = tokens_per_pair * forward_flops(shape, args.prompt + args.completion)
    head = 2 * args.completion * 2 * shape.vocabulary * shape.hidden
    return 2 * (blocks + head)


# --- real training


def train_for(seconds: float, args: Any, unsloth: bool) -> None:
    """Train the embedded base on real pairs through `train`, for about so long; what it makes of
    held-out pairs and of development items before and after.
    """
    from selene_lib.models.names import resolve_model
    from selene_lib.training.run import train
    from selene_lib.training.runlog import read_log
    from selene_lib.training.spec import TrainSpec

    pairs, held_out = nano_pairs(12 if args.dry else 900)
    spec = TrainSpec(
        base_model=resolve_model("embedded"),
        backend=backend_of(unsloth, args.dry),
        dtype="auto",
        n_steps=3 if args.dry else 12,
        batch_size=4 if args.dry else 32,
        learning_rate=2e-3,
        max_length_tokens=512,
        overlong="shorten",
        save_every_steps=10_000,
        reference_cache=str(args.out.resolve() / "reference"),
    )
    first = train(spec, pairs, args.out / "train-first", held_out, progress=False)
    times = [float(row["seconds"]) for row in read_log(first.telemetry_path)]
    step_seconds = statistics.median(times[len(times) // 2 :])
    at_most = 8 * len(pairs) // spec.batch_size
    n_steps = 5 if args.dry else min(at_most, max(60, int(seconds / step_seconds)))
    say(step_seconds=step_seconds, n_steps=n_steps, batch_size=spec.batch_size)
    began = time.monotonic()
    spec = replace(spec, n_steps=n_steps)
    done = train(spec, pairs, args.out / "train", held_out, progress=False)
    log = read_log(done.log_path)
    say(
        train_seconds=time.monotonic() - began,
        n_pairs=done.n_pairs,
        n_held_out=done.n_validation,
        decision=done.decision,
        first_loss=float(log[0]["loss"]),
        last_loss=float(log[-1]["loss"]),
        held_out_after=done.validation,
    )
    for name, adapter in (("before", None), ("after", done.adapter_dir)):
        say(**{f"judged_{name}": judged_accuracy(adapter, 4 if args.dry else 100)})


def nano_pairs(n_per_source: int) -> tuple[list[Any], list[Any]]:
    """Pairs with critiques of the embedded world's clean sources, and held-out ones of others."""
    from selene_lib.curation.generators.opening import open_generator
    from selene_lib.curation.generators.protocol import GeneratorSpec
    from selene_lib.curation.pairs import build_pairs, split
    from selene_lib.ledger import Ledger
    from selene_lib.nano.sets import make_source
    from selene_lib.steps.curate import with_critiques, write_critiques

    samples = [
        sample
        for source in SOURCES
        for sample in make_source(f"nano-{source}", n_per_source, seed=0)
    ]
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "critiques.jsonl"
        teacher = open_generator(GeneratorSpec("teacher"))
        how = {"store": store, "seed": 0, "family": "nano"}
        critiques = write_critiques(samples, teacher, Ledger(), **how)
    kept = with_critiques(samples, critiques)
    pairs = build_pairs(kept, critiques, family="nano", seed=0)
    return split(pairs, 0.1, 0, ledger=Ledger())


def judged_accuracy(adapter: Path | None, n_per_set: int) -> dict[str, float]:
    """Share of held-out items judged right, by a process in which nothing is rewritten."""
    command = [sys.executable, __file__, str(adapter or ""), str(n_per_set)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-300:])
    return json.loads(done.stdout.splitlines()[-1])


def judge_sets(adapter: Path | None, n_per_set: int) -> dict[str, float]:
    """Judge items of the three held-out sets that are like the training sources."""
    from selene_lib.ablation.short_runs import judge_items
    from selene_lib.nano.sets import make_set
    from selene_lib.prompts.rendering import render

    samples = [
        sample
        for task in ("absolute", "classification", "pairwise")
        for sample in make_set(f"nano-{task}", n_per_set, seed=1)
    ]
    items = [(render(sample, family="nano"), str(sample.label)) for sample in samples]
    right = judge_items("embedded", adapter, items, max_new_tokens=110)
    return {"n": len(right), "accuracy": sum(right) / len(right)}


if __name__ == "__main__":
    given, n_items = sys.argv[1:]
    print(json.dumps(judge_sets(Path(given) if given else None, int(n_items))))
