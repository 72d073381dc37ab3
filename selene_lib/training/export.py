"""From an adapter to what servers read: merged weights, Modelfile, commands and model card.

An export that judges differently from what was trained is not an export: adapter and merged model
judge a golden set, and `refuse_flips` refuses with the list of flips when more differ than allowed.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from selene_lib.files import read_json, write_json, write_text
from selene_lib.models.loading import nf4_config, open_model, open_tokenizer
from selene_lib.records import Sample
from selene_lib.training.card import write_model_card
from selene_lib.training.flips import (
    VerdictComparison,
    choose_merge,
    compare_verdicts,
    golden_verdicts,
    refuse_flips,
)
from selene_lib.training.serving import serving_commands, write_modelfile

MergeBase = Literal["base", "dequantised"]


def merge_adapter(
    base_model: str | Path,
    adapter_dir: str | Path,
    out_dir: str | Path,
    *,
    onto: MergeBase = "base",
    dtype: str = "auto",
) -> Path:
    """Write base weights plus adapter as one model folder with its tokenizer; return the folder.

    `onto="base"` adds the adapter to the original weights (the usual choice); `dequantised` to the
    weights QLoRA trained beside, rounded to NF4 and back. Which of the two judges more like the
    trained adapter is measured with `compare_verdicts`, not assumed.
    """
    import torch
    from peft import PeftModel

    base = open_model(
        str(base_model),
        what="base model",
        dtype="auto" if dtype == "auto" else getattr(torch, dtype),
        quantisation_config=nf4_config() if onto == "dequantised" else None,
    )
    if onto == "dequantised":
        base = base.dequantize()
    merged = PeftModel.from_pretrained(base, adapter_dir).merge_and_unload()
    merged.save_pretrained(out_dir)
    open_tokenizer(str(base_model), what="base model").save_pretrained(out_dir)
    return Path(out_dir)


@dataclass(frozen=True)
class Export:
    """What an export wrote: the merged folder, which base it was merged onto, the comparison, and
    the commands to go on with.
    """

    merged_dir: Path
    merged_onto: str
    comparison: VerdictComparison
    commands: dict[str, str]


def export_judge(
    base_model: str | Path,
    adapter_dir: str | Path,
    out_dir: str | Path,
    *,
    golden: Sequence[Sample],
    name: str,
    family: str = "full",
    quantisation: Literal["none", "nf4"] = "none",
    allowed_share: float = 0.02,
    max_new_tokens: int = 512,
    context_tokens: int = 8192,
    manifest: Mapping[str, Any] | None = None,
) -> Export:
    """Export a trained adapter: merged weights beside Modelfile, commands and model card, if they
    judge like the adapter did.

    The adapter is asked on the base it was trained on (`quantisation`); for `nf4` both merges are
    made and the one with fewer flips is kept. Raises UserError with the list of flips, leaving
    `comparison.json` and no weights, when even that one differs too much.
    """
    base_model, adapter_dir, out_dir = str(base_model), Path(adapter_dir), Path(out_dir)
    verdicts_of = functools.partial(
        _verdicts_of_model, golden=golden, family=family, max_new_tokens=max_new_tokens
    )
    verdicts = {"adapter": verdicts_of(base_model, adapter_dir, quantisation)}
    bases: tuple[MergeBase, ...] = ("base", "dequantised") if quantisation == "nf4" else ("base",)
    folders = {}
    for onto in bases:
        form = f"merged onto {onto}"
        folders[form] = merge_adapter(base_model, adapter_dir, out_dir / f".{onto}", onto=onto)
        verdicts[form] = verdicts_of(folders[form])
    comparison = compare_verdicts(verdicts, labels={sample.id: sample.label for sample in golden})
    best = choose_merge(comparison, tuple(folders))
    record = asdict(comparison) | {"kept": best, "allowed_share": allowed_share}
    write_json(out_dir / "comparison.json", record)
    merged = _keep_one(folders, best, out_dir / "merged", comparison, allowed_share)
    lines = _write_serving(merged, name, base_model, adapter_dir, context_tokens, max_new_tokens)
    about = {"name": name, **(manifest or {})}
    write_model_card(about, merged / "README.md", adapter_dir=adapter_dir)
    return Export(merged, best.removeprefix("merged onto "), comparison, lines)


def _write_serving(
    merged: Path,
    name: str,
    base_model: str,
    adapter_dir: Path,
    context_tokens: int,
    max_new_tokens: int,
) -> dict[str, str]:
    """Write Modelfile and commands of a merged folder; return the commands."""
    write_modelfile(
        open_tokenizer(str(merged)),
        f"{name}.gguf",
        merged / "Modelfile",
        context_tokens=context_tokens,
        max_new_tokens=max_new_tokens,
    )
    lines = serving_commands(
        merged,
        name,
        base_model=base_model,
        adapter_dir=adapter_dir,
        lora_r=read_json(adapter_dir / "adapter_config.json").get("r", 8),
        context_tokens=context_tokens,
    )
    text = "".join(f"# {title}\n{line}\n" for title, line in lines.items())
    write_text(merged.parent / "commands.sh", text)
    return lines


def _verdicts_of_model(
    model: str | Path,
    adapter: Path | None = None,
    quantisation: Literal["none", "nf4"] = "none",
    *,
    golden: Sequence[Sample],
    family: str,
    max_new_tokens: int,
) -> dict[str, str | None]:
    """The golden verdicts of a model that is opened for them and let go."""
    from selene_lib.judges.local import LocalJudge

    judge = LocalJudge(
        model, adapter=adapter, quantisation=quantisation, max_new_tokens=max_new_tokens
    )
    return golden_verdicts(judge, golden, family=family)


def _keep_one(
    folders: Mapping[str, Path],
    best: str,
    target: Path,
    comparison: VerdictComparison,
    allowed_share: float,
) -> Path:
    """Move the best merge to its place and remove the others; all of them where it is refused."""
    kept = VerdictComparison(
        comparison.reference, comparison.n, {best: comparison.n_flips[best]}, comparison.flips
    )
    shutil.rmtree(target, ignore_errors=True)
    try:
        refuse_flips(kept, allowed_share=allowed_share)
        folders[best].rename(target)
    finally:
        for folder in folders.values():
            shutil.rmtree(folder, ignore_errors=True)
    return target
