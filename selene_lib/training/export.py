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

from selene_lib.errors import UserError
from selene_lib.files import (
    check_folder,
    check_outputs,
    existing,
    read_json,
    write_json,
    write_proven,
    write_text,
)
from selene_lib.files.outputs import IsOurs
from selene_lib.judges.trained import CALIBRATION, calibration_of, read_trained
from selene_lib.models.adapters import FILES, RECORD, attach_adapter, read_record
from selene_lib.models.loading import nf4_config, open_config, open_model, open_tokenizer
from selene_lib.models.names import is_embedded
from selene_lib.records import Sample
from selene_lib.training.card import recorded_facts, write_model_card
from selene_lib.training.flips import (
    VerdictComparison,
    choose_merge,
    compare_verdicts,
    golden_verdicts,
    refuse_flips,
    refuse_unreadable,
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

    base = open_model(
        str(base_model),
        what="base model",
        dtype="auto" if dtype == "auto" else getattr(torch, dtype),
        quantisation_config=nf4_config() if onto == "dequantised" else None,
    )
    if onto == "dequantised":
        base = base.dequantize()
    merged = attach_adapter(base, Path(adapter_dir), str(base_model)).merge_and_unload()
    merged.save_pretrained(out_dir)
    open_tokenizer(str(base_model), what="base model").save_pretrained(out_dir)
    return Path(out_dir)


@dataclass(frozen=True)
class Export:
    """What an export wrote: merged folder, base it was merged onto, comparison, commands."""

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
    family: str | None = None,
    quantisation: Literal["none", "nf4"] = "none",
    allowed_share: float = 0.02,
    min_readable: int = 20,
    max_new_tokens: int = 512,
    context_tokens: int = 8192,
    manifest: Mapping[str, Any] | None = None,
) -> Export:
    """Export a trained adapter as merged weights, if they judge like the adapter did.

    Beside them lie Modelfile, commands and model card. The adapter is asked on the base it was
    trained on (`quantisation`); for `nf4` both merges are made and the one with fewer flips is
    kept. `family` names the prompt templates (default: those it was trained with). At least
    `min_readable` golden items must give a verdict on both sides. The context that is written is at
    most the model's. `manifest` is what the card says (default: what the folders of the run say).
    Raises UserError with the list of flips where even the better merge differs too much; an earlier
    export in `out_dir` then stays as it was.
    """
    base_model, adapter_dir, out_dir = str(base_model), Path(adapter_dir), Path(out_dir)
    check_export(out_dir, base_model, adapter_dir)
    _bring_back(out_dir / "merged")
    family = family or trained_family(adapter_dir, base_model)
    trained = read_trained(adapter_dir)
    asked = _Asked(
        golden,
        family,
        max_new_tokens,
        critique=trained is None or trained.reply == "critique",
        read=trained.read if trained else "greedy",
        dtype=trained.dtype if trained else None,
        max_prompt_tokens=trained.max_prompt_tokens if trained else None,
    )
    verdicts_of = functools.partial(_verdicts_of_model, asked=asked)
    refuse_unreadable(len(golden), len(golden), at_least=min_readable)
    verdicts = {"adapter": verdicts_of(base_model, adapter_dir, quantisation)}
    n_read = sum(verdict is not None for verdict in verdicts["adapter"].values())
    refuse_unreadable(n_read, len(golden), at_least=min_readable)
    bases: tuple[MergeBase, ...] = ("base", "dequantised") if quantisation == "nf4" else ("base",)
    folders = {f"merged onto {onto}": out_dir / f".{onto}" for onto in bases}
    try:
        for (form, folder), onto in zip(folders.items(), bases):
            shutil.rmtree(folder, ignore_errors=True)
            merge_adapter(base_model, adapter_dir, folder, onto=onto)
            verdicts[form] = verdicts_of(folder)
        labels = {sample.id: sample.label for sample in golden}
        comparison = compare_verdicts(verdicts, labels=labels)
        best = choose_merge(comparison, tuple(folders))
        _pass_gate(comparison, best, out_dir, allowed_share, min_readable)
        about = {"name": name, **(manifest or recorded_facts(adapter_dir, base_model))}
        write_model_card(about, folders[best] / "README.md", adapter_dir=adapter_dir)
        _write_own_record(folders[best], adapter_dir, family)
        lines = _write_serving(
            folders[best], out_dir, name, base_model, adapter_dir, context_tokens, max_new_tokens
        )
        _swap_in(folders[best], out_dir / "merged")
    finally:
        for folder in folders.values():
            shutil.rmtree(folder, ignore_errors=True)
    text = "".join(f"# {title}\n{line}\n" for title, line in lines.items())
    write_text(out_dir / "commands.sh", text)
    return Export(out_dir / "merged", best.removeprefix("merged onto "), comparison, lines)


def check_export(
    out_dir: Path, base_model: str, adapter_dir: Path, read: Sequence[Path] = ()
) -> None:
    """Raise a UserError where an export into `out_dir` would destroy what is read, or what was not
    exported: nothing is loaded or asked before.
    """
    check_folder(out_dir, (adapter_dir, base_model))
    merged = out_dir / "merged"
    check_folder(merged, (adapter_dir, base_model))
    for given in (adapter_dir, base_model):
        source = existing(given)
        if source is not None and merged.resolve() in source.resolve().parents:
            raise UserError(f"{merged} would be replaced, and holds {source}: give another folder")
    if merged.is_dir() and any(merged.iterdir()) and not (merged / "Modelfile").is_file():
        raise UserError(f"{merged} is there already and no export; give another folder")
    made: tuple[tuple[str, IsOurs], ...] = (
        ("comparison.json", _is_comparison),
        ("comparison-refused.json", _is_comparison),
        ("commands.sh", _are_commands),
    )
    check_outputs([(out_dir / name, is_ours) for name, is_ours in made], read)


def _is_comparison(path: Path) -> bool:
    try:
        found = read_json(path)
    except ValueError:
        return False
    return isinstance(found, dict) and {"kept", "allowed_share", "n_flips"} <= set(found)


def _are_commands(path: Path) -> bool:
    return path.read_bytes().startswith(b"# gguf\n")


def trained_family(adapter_dir: Path, base_model: str) -> str:
    """The prompt templates an adapter was trained with.

    Where that is not recorded, those its base was made for.
    """
    trained = read_trained(adapter_dir)
    known = trained.family if trained else read_record(adapter_dir).get("family")
    return str(known or ("nano" if is_embedded(base_model) else "full"))


def _write_own_record(folder: Path, adapter_dir: Path, family: str) -> None:
    """Let the exported model say how it is asked, as its adapter does."""
    record = {k: v for k, v in read_record(adapter_dir).items() if k != FILES}
    write_proven(folder / RECORD, {**record, "family": family, "exported": True})
    calibration = calibration_of(adapter_dir)
    if calibration is not None:
        shutil.copyfile(calibration, folder / CALIBRATION)


def _pass_gate(
    comparison: VerdictComparison, best: str, out_dir: Path, allowed_share: float, at_least: int
) -> None:
    """Write the comparison and refuse; a refused one does not replace that of a good export."""
    record = asdict(comparison) | {"kept": best, "allowed_share": allowed_share}
    try:
        refuse_unreadable(comparison.n_readable[best], comparison.n, at_least=at_least)
        refuse_flips(comparison.only(best), allowed_share=allowed_share)
    except UserError:
        is_first = not (out_dir / "merged").exists()
        name = "comparison.json" if is_first else "comparison-refused.json"
        write_json(out_dir / name, record)
        raise
    write_json(out_dir / "comparison.json", record)


def _put_aside(target: Path) -> Path:
    """Where an earlier export lies while it is replaced."""
    return target.with_name(f".{target.name}.old")


def _bring_back(target: Path) -> None:
    """Put an earlier export back that a killed one had set aside and not replaced."""
    if _put_aside(target).exists() and not target.exists():
        _put_aside(target).rename(target)


def _swap_in(new: Path, target: Path) -> None:
    """Put a finished folder in the place of an earlier one, which is removed last."""
    old = _put_aside(target)
    if target.exists():  # whole, so that what is aside is older still
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
    new.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _write_serving(
    folder: Path,
    out_dir: Path,
    name: str,
    base_model: str,
    adapter_dir: Path,
    context_tokens: int,
    max_new_tokens: int,
) -> dict[str, str]:
    """Write the Modelfile into a merged folder; return the commands for its later place.

    No context is written that the model does not have.
    """
    config = open_config(str(folder)).get_text_config()
    positions = getattr(config, "max_position_embeddings", None) or context_tokens
    context_tokens = min(context_tokens, positions)
    write_modelfile(
        open_tokenizer(str(folder)),
        f"{name}.gguf",
        folder / "Modelfile",
        context_tokens=context_tokens,
        max_new_tokens=max_new_tokens,
    )
    return serving_commands(
        out_dir / "merged",
        name,
        base_model=base_model,
        adapter_dir=adapter_dir,
        lora_r=read_json(adapter_dir / "adapter_config.json").get("r", 8),
        context_tokens=context_tokens,
    )


@dataclass(frozen=True)
class _Asked:
    """The golden set, and how a model is asked about it: as the adapter was trained to be."""

    golden: Sequence[Sample]
    family: str
    max_new_tokens: int
    critique: bool = True
    read: str = "greedy"
    dtype: str | None = None
    max_prompt_tokens: int | None = None


def _verdicts_of_model(
    model: str | Path,
    adapter: Path | None = None,
    quantisation: Literal["none", "nf4"] = "none",
    *,
    asked: _Asked,
) -> dict[str, str | None]:
    """The golden verdicts of a model that is opened for them and let go."""
    from selene_lib.judges.local import LocalJudge

    judge = LocalJudge(
        model,
        adapter=adapter,
        quantisation=quantisation,
        max_new_tokens=asked.max_new_tokens,
        read=asked.read,
        dtype=asked.dtype,
        max_prompt_tokens=asked.max_prompt_tokens,
    )
    return golden_verdicts(judge, asked.golden, family=asked.family, critique=asked.critique)
