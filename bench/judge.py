"""Speed of judging, side by side: verdicts/s of one-by-one `generate`, of plain padded batches in
file order, and of ours; a served judge beside the bare client; what a million replies and votes
take.

    python bench/judge.py [--only served] [--model embedded] [--adapter DIR] [--items 384]
                          [--repeats 5] [--threads N] [--json]

Each figure is the median of `--repeats` runs; one-by-one runs on a part of the items. The verdicts
of all three must be the same, else the script ends with 1. Then re-scoring: 100,000 stored replies
with intervals, and 11 sets x 10 judges x 10,000 resamples. What this machine cannot run (vLLM
without a GPU) is printed as "not run". `bench/served.py` and `bench/million.py` say what the last
two measure; `--only` names parts (judging, served, million).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import million
import numpy as np
import served

from selene_lib.evaluation import metrics
from selene_lib.evaluation.audit.swap_probe import measure_swap_probe
from selene_lib.evaluation.scoring.rescore import rescore
from selene_lib.judges.judging import Asking, judge_samples
from selene_lib.judges.local import LocalJudge
from selene_lib.judges.protocol import Reply
from selene_lib.prompts.rendering import Prompt, render
from selene_lib.prompts.verdicts import parse_verdict
from selene_lib.records import LABELS, Judgement, Sample, swap_verdict

SET_SIZES = {
    "reward_bench": 2985,
    "lfqa_eval": 260,
    "hhh_alignment": 221,
    "evalbiasbench": 80,
    "instrusum": 411,
    "auto_j": 1392,
}
SET_SIZES |= {
    "infobench": 930,
    "llm_aggrefact": 12_900,
    "flask": 2001,
    "biggen_bench": 3200,
    "mt_bench": 320,
}
PARTS = ("judging", "served", "million")
CORRELATED = ("flask", "biggen_bench", "mt_bench")


def nano_prompts(n: int) -> list[Prompt]:
    """Prompts of the embedded world's evaluation sets, both orders of pairs, in file order."""
    from selene_lib import nano

    names = sorted(nano.NANO_SETS)
    samples = [s for name in names for s in nano.make_set(name, max(8, n // len(names)), seed=7)]
    shown = [
        s
        for sample in samples
        for s in ((sample, sample.swap()) if sample.task == "pairwise" else (sample,))
    ]
    order = np.random.default_rng(0).permutation(len(shown))
    return [render(shown[i], family="nano") for i in order[:n]]


def one_by_one(judge: LocalJudge, prompts: Sequence[Prompt]) -> list[Reply]:
    """What a plain loop over `generate` does."""
    return [reply for prompt in prompts for reply in _generate(judge, [prompt])]


def plain_batches(judge: LocalJudge, prompts: Sequence[Prompt], size: int) -> list[Reply]:
    """`generate` on padded batches in file order."""
    return [
        reply
        for start in range(0, len(prompts), size)
        for reply in _generate(judge, prompts[start : start + size])
    ]


def _generate(judge: LocalJudge, prompts: Sequence[Prompt]) -> list[Reply]:
    import torch

    from selene_lib.judges.decoding import left_pad
    from selene_lib.prompts.chat import encode_chat

    pad, end = judge.tokenizer.pad_token_id, judge.tokenizer.eos_token_id
    ids, mask = left_pad(
        [encode_chat(judge.tokenizer, p.text, None) for p in prompts], pad, judge.model.device
    )
    with torch.inference_mode():
        out = judge.model.generate(
            ids,
            attention_mask=mask,
            max_new_tokens=judge.max_new_tokens,
            do_sample=False,
            pad_token_id=pad,
        )
    replies = []
    for row in out[:, ids.shape[1] :].tolist():
        kept = row[: row.index(end)] if end in row else row
        text = judge.tokenizer.decode(
            kept, skip_special_tokens=True, clean_up_tokenization_spaces=False
        ).strip()
        replies.append(Reply(text, "stop" if end in row else "length", 0, len(kept)))
    return replies


def ours(judge: LocalJudge, prompts: Sequence[Prompt]) -> list[Reply]:
    """Encoding counts: a judge forgets a prompt once it is answered."""
    return judge.judge(prompts)


def median_seconds(run: Callable[[], list[Reply]], repeats: int) -> tuple[float, list[Reply]]:
    """Median wall seconds of a call, and what it returned the last time."""
    seconds, result = [], []
    for _ in range(repeats):
        start = time.perf_counter()
        result = run()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), result


def verdicts(prompts: Sequence[Prompt], replies: Sequence[Reply]) -> list[str]:
    parsed = [
        parse_verdict(r.text, p.task, finish_reason=r.finish_reason)
        for p, r in zip(prompts, replies)
    ]
    return [v.value or v.status for v in parsed]


def bench_judging(arguments: argparse.Namespace) -> dict:
    """The three ways of judging on the same prompts."""
    judge = LocalJudge(
        arguments.model, adapter=arguments.adapter, max_new_tokens=arguments.new_tokens
    )
    prompts = nano_prompts(arguments.items)
    few = prompts[: max(16, len(prompts) // 8)]
    ours(judge, prompts[:32])
    table = {}
    for name, run, items in (
        ("one by one", lambda: one_by_one(judge, few), few),
        ("plain batches", lambda: plain_batches(judge, prompts, arguments.batch), prompts),
        ("ours", lambda: ours(judge, prompts), prompts),
    ):
        seconds, replies = median_seconds(run, arguments.repeats)
        table[name] = {
            "verdicts_per_s": len(items) / seconds,
            "verdicts": verdicts(items, replies),
            "tokens": [r.n_reply_tokens for r in replies],
        }
    rate = {name: row["verdicts_per_s"] for name, row in table.items()}
    mine = table["ours"]["verdicts"]
    return {
        "n_items": len(prompts),
        "batch_of_plain": arguments.batch,
        "mean_prompt_tokens": statistics.mean(len(judge._encode(p)[0]) for p in prompts),
        "mean_reply_tokens": statistics.mean(table["ours"]["tokens"]),
        "verdicts_per_s": {name: round(value, 1) for name, value in rate.items()},
        "ratio_to_one_by_one": rate["ours"] / rate["one by one"],
        "ratio_to_plain_batches": rate["ours"] / rate["plain batches"],
        "n_other_verdicts": sum(a != b for a, b in zip(mine, table["plain batches"]["verdicts"]))
        + sum(a != b for a, b in zip(mine, table["one by one"]["verdicts"])),
    }


def bench_rescoring(n_replies: int = 100_000) -> dict:
    """Parse and score stored replies of three sets with intervals, no model."""
    rng = np.random.default_rng(0)
    seconds, n_done = 0.0, 0
    for task, share in (("pairwise", 0.5), ("classification", 0.3), ("absolute", 0.2)):
        samples, judgements = _stored(task, int(n_replies * share), rng)
        start = time.perf_counter()
        rescore(samples, judgements)
        seconds += time.perf_counter() - start
        n_done += len(judgements)
    return {"n_replies": n_done, "seconds": seconds}


def _stored(task: str, n: int, rng: np.random.Generator) -> tuple[list[Sample], list[Judgement]]:
    labels, orders = LABELS[task], ("AB", "BA") if task == "pairwise" else ("AB",)
    samples, judgements = [], []
    for i in range(n // len(orders)):
        label = labels[rng.integers(len(labels))]
        samples.append(
            Sample(
                f"{task}{i}",
                "bench",
                task,
                "i",
                "r",
                "q" if task == "pairwise" else None,
                label=label,
                group=f"g{i // 3}",
            )
        )
        for order in orders:
            verdict = label if rng.random() < 0.7 else labels[rng.integers(len(labels))]
            shown = swap_verdict(verdict) if order == "BA" else verdict
            read = rng.random() > 0.02
            text = (
                f"**Reasoning:** the answer was read twice.\n\n**Result:** {shown}"
                if read
                else "The answer is fine."
            )
            status, found = ("value", shown) if read else ("malformed", None)
            judgements.append(
                Judgement(
                    "j", "bench", f"{task}{i}", task, order, "t", "0", text, "stop", status, found
                )
            )
    return samples, judgements


def bench_table(n_judges: int = 10, n_resamples: int = 10_000) -> dict:
    """All intervals of a table of eleven sets and ten judges, items clustered by four."""
    rng = np.random.default_rng(0)
    start = time.perf_counter()
    for name, n in SET_SIZES.items():
        groups = np.arange(n) // 4
        for judge in range(n_judges):
            if name in CORRELATED:
                gold = rng.integers(1, 6, n) + rng.choice([0, 0.33, 0.67], n)
                score = np.clip(np.round(gold + rng.normal(0, 1, n)), 1, 5)
                metrics.bootstrap_ci(
                    score, gold, metric="pearson", groups=groups, n_resamples=n_resamples, rng=judge
                )
            else:
                metrics.bootstrap_ci(
                    rng.choice([0, 0.5, 1], n), groups=groups, n_resamples=n_resamples, rng=judge
                )
    return {
        "n_intervals": len(SET_SIZES) * n_judges,
        "n_resamples": n_resamples,
        "seconds": time.perf_counter() - start,
    }


def bench_swap_probe(arguments: argparse.Namespace, n: int = 200) -> list[dict]:
    """Flips caught by asking the second order for its verdict alone, against tokens spent, for the
    judge of this bench.
    """
    from selene_lib import nano

    judge = LocalJudge(
        arguments.model, adapter=arguments.adapter, max_new_tokens=arguments.new_tokens
    )
    pairs = [
        s
        for name in sorted(nano.NANO_SETS)
        for s in nano.make_set(name, n, seed=11)
        if s.task == "pairwise"
    ][:n]
    with tempfile.TemporaryDirectory() as folder:

        def ask(asking: Asking) -> list:
            store = Path(folder) / "replies.jsonl"
            return judge_samples(judge, "probe", pairs, asking, store=store, progress=False)

        first, second = (ask(Asking("nano", orders=order)) for order in ("AB", "BA"))
        probes = ask(Asking("nano", orders="BA", critique=False))
    return [asdict(row) for row in measure_swap_probe(first, probes, second, (0.0, 0.6, 0.9))]


def bench_vllm(arguments: argparse.Namespace) -> dict | str:
    """The same prompts through vLLM, where there is a GPU and vLLM."""
    import importlib.util

    import torch

    if not torch.cuda.is_available() or importlib.util.find_spec("vllm") is None:
        return "not run: needs a GPU and the extra vllm"
    from selene_lib.judges.vllm import VllmJudge

    judge = VllmJudge(
        arguments.model, adapter=arguments.adapter, max_new_tokens=arguments.new_tokens
    )
    prompts = nano_prompts(arguments.items)
    judge.judge(prompts[:32])
    seconds, _ = median_seconds(lambda: judge.judge(prompts), arguments.repeats)
    return {"verdicts_per_s": len(prompts) / seconds}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--adapter", default=None)
    parser.add_argument("--items", type=int, default=384)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--new-tokens", type=int, default=96)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    arguments = parser.parse_args()
    if arguments.threads:
        import torch

        torch.set_num_threads(arguments.threads)
    result, lines = {}, []
    if "judging" in arguments.only:
        result |= local(arguments)
        lines.append(_text(result))
    if "served" in arguments.only:
        result["served"] = served.bench_served(repeats=arguments.repeats)
        lines.append(served.as_text(result["served"]))
    if "million" in arguments.only:
        result["million"] = {what: million.measure(what, 1_000_000) for what in million.MAKERS}
        lines.append(million.as_text(result["million"]))
    print(json.dumps(result, indent=1) if arguments.json else "\n".join(lines))
    return 1 if result.get("judging", {}).get("n_other_verdicts") else 0


def local(arguments: argparse.Namespace) -> dict:
    """What a judge in this process does, and the arithmetic on its replies."""
    return {
        "swap_probe": bench_swap_probe(arguments),
        "judging": bench_judging(arguments),
        "vllm": bench_vllm(arguments),
        "rescoring": bench_rescoring(),
        "table": bench_table(),
    }


def _text(result: dict) -> str:
    j = result["judging"]
    lines = [
        f"{j['n_items']} prompts of {j['mean_prompt_tokens']:.0f} tokens, "
        f"replies of {j['mean_reply_tokens']:.0f} tokens (means)"
    ]
    lines += [f"  {name:15s} {rate:8.1f} verdicts/s" for name, rate in j["verdicts_per_s"].items()]
    lines += [
        f"  ours to one by one {j['ratio_to_one_by_one']:.1f}x (goal 5), "
        f"to plain batches {j['ratio_to_plain_batches']:.2f}x (goal 1.3)"
    ]
    lines += [f"  verdicts that differ: {j['n_other_verdicts']}", f"vLLM: {result['vllm']}"]
    lines += [
        f"re-scoring {result['rescoring']['n_replies']} replies with intervals: "
        f"{result['rescoring']['seconds']:.1f} s (goal 10)"
    ]
    for row in result["swap_probe"]:
        caught, ratio = (
            f"{row['n_caught']} of {row['n_flips']} flips caught",
            f"{row['reply_token_ratio']:.2f}x reply and {row['total_token_ratio']:.2f}x all",
        )
        lines.append(
            f"swap probe at {row['threshold']}: {caught} in {row['n_pairs']} pairs, "
            f"{ratio} tokens of one order (both in full: 2x)"
        )
    table = result["table"]
    return "\n".join(
        [
            *lines,
            f"{table['n_intervals']} intervals of {table['n_resamples']} resamples: "
            f"{table['seconds']:.1f} s",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
