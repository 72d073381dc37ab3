"""The rows of `train_step_gpu.py` as a page: `python bench/gpu_table.py reports/gpu`.

Every `*.jsonl` in the folder is one card; the page is `README.md` beside them. Nothing is typed in:
a stage without a row, or that was not run to its end, says so.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from train_step_gpu import STAGES

HEAD = """# Training on a GPU, as measured

Made by `python bench/gpu_table.py reports/gpu` from the rows of `python bench/train_step_gpu.py`.
Random weights in the shape of Llama-3.1-8B, NF4 QLoRA r=16, bf16; six steps inside
`trainer.train()`, of which the first two are for warming up, and the median of the other four.
Useful TFLOP/s count forward and backward once, not what is computed again. Each side runs in a
process of its own.
"""


def main() -> None:
    folder = Path(sys.argv[1])
    text = page(folder)
    (folder / "README.md").write_text(text, encoding="utf-8")
    print(text)


def page(folder: Path) -> str:
    """The page of a folder of rows."""
    parts = [HEAD]
    for path in sorted(folder.glob("*.jsonl")):
        lines = path.read_text(encoding="utf-8").splitlines()
        parts.append(card_part({row["stage"]: row for row in map(json.loads, lines)}))
    return "\n".join(parts)


def card_part(rows: dict[str, dict[str, Any]]) -> str:
    look = rows["look"]
    versions = ", ".join(f"{name} {number}" for name, number in look["versions"].items())
    capability = ".".join(map(str, look["capability"]))
    product, copy = look["matmul_tflops"], look["copy_tb_per_s"]
    return f"""## {look["device"]}

Compute capability {capability}; commit {look["commit"]}; {versions}.
A bf16 product of 8,192 square reaches {product:.0f} TFLOP/s, a copy {copy:.1f} TB/s.

{sides_table(rows)}
{equality_table(rows)}
{attention_table(rows)}
{training_part(rows.get("train"))}"""


def sides_table(rows: dict[str, dict[str, Any]]) -> str:
    """One line a side, with its ratio to TRL's."""
    look, trl = rows["look"], rows.get("trl", {}).get("pairs_per_s")
    lines = [
        f"### A step: {look['prompt']} + {look['completion']} tokens\n",
        "| side | pairs a step | recomputed | pairs/s | of TRL's | tokens/s | useful TFLOP/s "
        "| peak GiB |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for stage in STAGES[5:]:
        row = rows.get(stage.name, {"status": "not run"})
        if stage.name == "train":
            continue
        if "pairs_per_s" not in row:
            lines.append(f"| {stage.name} | | | {row['status']} | | | | |")
            continue
        again = "all layers" if row["decision"]["gradient_checkpointing"] else "none"
        ratio = f"{row['pairs_per_s'] / trl:.2f}x" if trl else ""
        lines.append(
            f"| {stage.name} | {row['pairs']} | {again} | {row['pairs_per_s']:.2f} | {ratio} | "
            f"{row['tokens_per_s']:,.0f} | {row['useful_tflops']:.0f} | {row['peak_gb']:.1f} |"
        )
    return "\n".join(lines) + "\n"


def equality_table(rows: dict[str, dict[str, Any]]) -> str:
    """How far a small Llama's packed rows are from the dense mask in float32."""
    lines = [
        "### Equality: a small Llama against the dense mask in float32\n",
        "| backend | way | log-probs, largest (nats) | worst LoRA gradient (relative) |",
        "| --- | --- | ---: | ---: |",
    ]
    for stage, backend in (("equal", "transformers"), ("equal-unsloth", "unsloth")):
        for way, found in rows.get(stage, {}).items():
            if isinstance(found, dict):
                values = f"{found['largest_nats']:.1e} | {found['worst_gradient']:.1e}"
                lines.append(f"| {backend} | {way} | {values} |")
    return "\n".join(lines) + "\n"


def attention_table(rows: dict[str, dict[str, Any]]) -> str:
    """Each way to attend: its error, whether it repeats, its time at the row of the table."""
    found = rows.get("attention", {})
    names = [key.removeprefix("relative error ") for key in found if "relative error" in key]
    times = {key.split(",")[0].removeprefix("ms "): value for key, value in found.items()}
    lines = [
        "### Attention alone: bf16 against float64, forward and backward of one layer\n",
        "| way | output | d query | d key | d value | same bits twice | ms at 16,000 tokens |",
        "| --- | ---: | ---: | ---: | ---: | --- | ---: |",
    ]
    for name in names:
        errors = " | ".join(f"{value:.1e}" for value in found[f"relative error {name}"])
        again = "yes" if found[f"same bits twice {name}"] else "no"
        lines.append(f"| {name} | {errors} | {again} | {times[name]:.1f} |")
    return "\n".join(lines) + "\n"


def training_part(row: dict[str, Any] | None) -> str:
    if row is None or "judged_after" not in row:
        return "### Real training\n\nnot run\n"
    before, after, held_out = row["judged_before"], row["judged_after"], row["held_out_after"]
    decision = row["decision"]
    how = ", ".join(decision[name] for name in ("backend", "layout", "attention"))
    lines = [
        "### Real training: the embedded base on pairs of its own world\n",
        f"{row['n_steps']:,} steps of {row['batch_size']} pairs, {row['n_pairs']:,} pairs in all, "
        f"in {row['train_seconds']:.0f} s ({how}).",
        f"Loss {row['first_loss']:.3f} to {row['last_loss']:.3f}. Held-out items judged right: "
        f"{before['accuracy']:.3f} before, {after['accuracy']:.3f} after (n = {after['n']}).",
        f"Reward accuracy on {row['n_held_out']} held-out pairs: "
        f"{held_out['reward_accuracy']:.3f}.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
