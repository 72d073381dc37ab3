"""A plan on paper for very many samples: machines, hours, money, and what breaks first.

    python bench/scale_plan.py [N_SAMPLES ...] [--hours 24] [--usd-per-gpu-hour 3.0]
                               [--prompt-tokens 1500] [--reply-tokens 250]

Prints Markdown; `docs/scale.md` holds what it printed. Rates of GPUs are the planner's estimates
(`selene plan`: makers' rates times an assumed share), bytes a row are measured here on made-up rows
of the given lengths, hours of the CPU stages come from timing them here. Prices are arguments.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from selene_lib.contamination.overlaps import REMOVING, find_overlaps
from selene_lib.files import to_arrow_row
from selene_lib.files.lines import sealed_line
from selene_lib.pipeline.plan import spec_of_run
from selene_lib.prompts.rendering import render
from selene_lib.records import Judgement, Sample
from selene_lib.training.cards import CARDS
from selene_lib.training.counting import forward_flops, host_memory_bytes
from selene_lib.training.planner import plan_training
from selene_lib.training.shapes import Shape, read_shape
from selene_lib.training.verdict_rates import ASSUMED_FLOPS_SHARE, verdicts_per_second

CARD = "H100-80GB"
CHARACTERS_A_TOKEN = 4
# the generator: the sizes of a 70B model, split over four cards; each holds a quarter
GENERATOR = Shape(8192, 28_672, 80, 64, 8, 128, 128_256, False)
GENERATOR_CARDS = 4
MEMORY_GB = 128  # of the machine that drives


@dataclass(frozen=True)
class Lengths:
    prompt: int
    reply: int


@dataclass(frozen=True)
class Stage:
    """What a stage does with one sample: GPU seconds (of one card) and CPU seconds (of a core)."""

    name: str
    gpu_seconds: float
    cpu_seconds: float = 0.0


def words(n_tokens: int, seed: int) -> str:
    """A text of about so many tokens, of words that repeat as words do."""
    n_words = max(1, n_tokens * CHARACTERS_A_TOKEN // 6)
    rng = np.random.default_rng(seed)
    return " ".join(f"w{int(i):04d}" for i in rng.zipf(1.3, n_words) % 9999)


def make_sample(i: int, lengths: Lengths) -> Sample:
    half = lengths.prompt // 2
    return Sample(
        f"plan-{i:016x}",
        "plan",
        "classification",
        words(half, 2 * i),
        words(half, 2 * i + 1),
        rubric="Is it right?\nYes: it is\nNo: it is not",
        label="Yes",
    )


def stages(lengths: Lengths, n_timed: int = 300) -> list[Stage]:
    """The stages of curation and judging, per sample; CPU parts are timed on this machine."""
    judge_shape = read_shape(spec_of_run("paper"))
    judge = verdicts_per_second(judge_shape, CARDS[CARD], lengths.prompt, lengths.reply)
    quarter = replace(GENERATOR, n_layers=GENERATOR.n_layers // GENERATOR_CARDS)
    generator = verdicts_per_second(quarter, CARDS[CARD], lengths.prompt, lengths.reply)
    if judge is None or generator is None:
        raise SystemExit(f"{CARD} cannot hold a model of this plan at these lengths")
    read = lengths.prompt + lengths.reply
    flops = ASSUMED_FLOPS_SHARE * CARDS[CARD].flops_per_second
    reward = read * forward_flops(judge_shape, read) / flops
    samples = [make_sample(i, lengths) for i in range(n_timed)]
    texts = [(s.id, f"{s.instruction}\n{s.response}") for s in samples]
    against = [(f"b{i}", words(lengths.prompt, 10**6 + i)) for i in range(200)]
    overlaps = timed(lambda: find_overlaps(texts, against, methods=REMOVING)) / n_timed
    rendering = timed(lambda: [render(sample) for sample in samples]) / n_timed
    # two critiques a sample, for the gold verdict and against it; two rewards; one verdict
    return [
        Stage("contamination", 0.0, overlaps),
        Stage("critiques (70B)", 2 * GENERATOR_CARDS / generator, 2 * rendering),
        Stage("rewards (8B)", 2 * reward),
        Stage("judging (8B)", 1 / judge, rendering),
    ]


def timed(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def training_gpu_hours(n_pairs: int, lengths: Lengths) -> float:
    """GPU hours of one pass over the pairs on one card, the reference's pass included."""
    spec = replace(spec_of_run("paper"), n_steps=None, n_epochs=1.0)
    plan = plan_training(
        spec,
        n_pairs=n_pairs,
        prompt_tokens=lengths.prompt,
        completion_tokens=lengths.reply,
        device=CARD,
    )
    return plan.hours


def bytes_a_row(lengths: Lengths) -> dict[str, float]:
    """Bytes of one sample on disk, of its stored reply, and of both in a Python process."""
    sample = make_sample(0, lengths)
    prompt = render(sample)
    reply = f"**Reasoning:** {words(lengths.reply, 1)}\n\n**Result:** Yes"
    judged = ("classification", "AB", prompt.template, prompt.sha256, reply, "stop", "value")
    judgement = Judgement("j", "plan", sample.id, *judged, "Yes", None, 1500, 250)
    held = sum(sys.getsizeof(v) for v in vars(sample).values()) + sys.getsizeof(prompt.text)
    text = sum(len(str(v)) for v in to_arrow_row(sample).values())
    return {"sample": text, "reply": len(sealed_line(judgement)), "held": held}


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in lines)


def plan(n: int, lengths: Lengths, hours: float, usd: float, per_sample: list[Stage]) -> str:
    """The tables of one number of samples."""
    rows = []
    total_gpu = total_usd = 0.0
    trained = training_gpu_hours(n, lengths)
    for stage in [*per_sample, Stage("training (8B, QLoRA)", trained * 3600 / n)]:
        gpu, cpu = n * stage.gpu_seconds / 3600, n * stage.cpu_seconds / 3600
        cards = math.ceil(gpu / hours) if gpu else 0
        total_gpu, total_usd = total_gpu + gpu, total_usd + gpu * usd
        rows.append([stage.name, f"{gpu:,.1f}", f"{cards:,}", f"{gpu * usd:,.0f}", f"{cpu:,.1f}"])
    rows.append(["all", f"{total_gpu:,.1f}", "", f"{total_usd:,.0f}", ""])
    head = ["stage", f"GPU hours ({CARD})", f"cards for {hours:g} h", "USD", "CPU hours, one core"]
    return f"### {n:,} samples\n\n{table(head, rows)}\n\n{limits(n, lengths)}"


def limits(n: int, lengths: Lengths) -> str:
    """What grows with the number of samples, and how much of one machine it takes."""
    one = bytes_a_row(lengths)
    tokens = lengths.prompt + 2 * lengths.reply
    facts = [
        ("samples in the memory of notebook 02", n * one["held"], MEMORY_GB),
        ("pairs in the host memory of a training", host_memory_bytes(n, tokens), MEMORY_GB),
        ("index of a judge's store in memory", n * 190.0, MEMORY_GB),
        ("samples on disk, not compressed", n * one["sample"], 2000),
        ("two critiques and a judgement on disk", 3 * n * one["reply"], 2000),
    ]
    rows = []
    for what, n_bytes, room in sorted(facts, key=lambda fact: -fact[1] / fact[2]):
        share = n_bytes / 1e9 / room
        fits = "yes" if share < 1 else f"no: {math.ceil(share)} shards"
        rows.append([what, f"{n_bytes / 1e9:,.1f}", f"{room:,}", fits])
    return table(["what grows (first what breaks first)", "GB", "room, GB", "fits"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("n_samples", nargs="*", type=int, default=[577_000, 50_000_000])
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--usd-per-gpu-hour", type=float, default=3.0)
    parser.add_argument("--prompt-tokens", type=int, default=1500)
    parser.add_argument("--reply-tokens", type=int, default=250)
    given = parser.parse_args()
    lengths = Lengths(given.prompt_tokens, given.reply_tokens)
    print(
        f"Prompts of {lengths.prompt:,} tokens, replies of {lengths.reply:,}; "
        f"{given.usd_per_gpu_hour:g} USD a GPU hour (an argument, not a quote); a generator of "
        f"{GENERATOR.n_parameters / 1e9:.0f}B on {GENERATOR_CARDS} cards.\n"
    )
    per_sample = stages(lengths)
    for n in given.n_samples:
        print(plan(n, lengths, given.hours, given.usd_per_gpu_hour, per_sample), end="\n\n")


if __name__ == "__main__":
    main()
