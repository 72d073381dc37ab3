"""From an adapter to what servers read: merged weights, an Ollama Modelfile, the commands for GGUF
and vLLM, a model card.

An export that judges differently from what was trained is not an export: `compare_verdicts` puts
adapter, merged and exported side by side on a golden set, and `refuse_flips` refuses with the list
of flips when more differ than allowed.
"""

from __future__ import annotations

import functools
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from selene_lib.errors import UserError
from selene_lib.files import read_json, write_json, write_text
from selene_lib.models.loading import nf4_config, open_model, open_tokenizer
from selene_lib.prompts.rendering import render
from selene_lib.prompts.verdicts import parse_verdict
from selene_lib.records import Sample
from selene_lib.training.card import write_model_card

if TYPE_CHECKING:
    from selene_lib.judges.protocol import JudgeBackend

SENTINEL = "SELENE_USER_MESSAGE"
MergeBase = Literal["base", "dequantised"]


@dataclass(frozen=True)
class Flip:
    """One golden sample on which an export says something else than the reference form of the same
    judge.
    """

    sample_id: str
    form: str
    reference_verdict: str | None
    verdict: str | None
    label: str | None = None

    def __str__(self) -> str:
        gold = f" (gold {self.label})" if self.label else ""
        return f"{self.sample_id}: {self.reference_verdict} -> {self.verdict}{gold}"


@dataclass(frozen=True)
class VerdictComparison:
    """Verdicts of several forms of one judge: `flips` against the first form, `n_flips` by form, of
    `n` samples.
    """

    reference: str
    n: int
    n_flips: dict[str, int]
    flips: tuple[Flip, ...]


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


def prompt_template(tokenizer: Any, placeholder: str) -> str:
    """The text around one user message up to the generation prompt, from the tokenizer's own chat
    template, with a placeholder in it.
    """
    message = [{"role": "user", "content": SENTINEL}]
    text = tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
    if text.count(SENTINEL) != 1:
        raise UserError(
            "the chat template does not show the user message exactly once: "
            "a Modelfile cannot be made from it"
        )
    return text.replace(SENTINEL, placeholder)


def write_modelfile(
    tokenizer: Any,
    gguf_file: str,
    out_path: str | Path,
    *,
    context_tokens: int,
    max_new_tokens: int = 1024,
) -> Path:
    """Write an Ollama Modelfile whose prompt is that of training: same template, same stop token,
    temperature 0, no system prompt.

    The BOS is left out of the template because llama.cpp adds it from the GGUF's own metadata;
    twice would be another prompt.
    """
    template = prompt_template(tokenizer, "{{ .Prompt }}")
    bos = tokenizer.bos_token
    if bos and template.startswith(bos):
        template = template[len(bos) :]
    if '"""' in template:
        raise UserError('the chat template contains """, which a Modelfile cannot quote')
    lines = [
        f"FROM ./{gguf_file}",
        f'TEMPLATE """{template}"""',
        f'PARAMETER stop "{tokenizer.eos_token}"',
        "PARAMETER temperature 0",
        f"PARAMETER num_ctx {context_tokens}",
        f"PARAMETER num_predict {max_new_tokens}",
    ]
    return write_text(out_path, "\n".join(lines) + "\n")


def serving_commands(
    merged_dir: Path,
    name: str,
    *,
    base_model: str,
    adapter_dir: Path,
    lora_r: int,
    context_tokens: int,
) -> dict[str, str]:
    """The exact commands for GGUF, Ollama and vLLM; they need llama.cpp, Ollama and vLLM, which
    this project does not install.
    """
    merged, adapter = shlex.quote(str(merged_dir)), shlex.quote(str(adapter_dir))
    gguf = shlex.quote(str(merged_dir / f"{name}.gguf"))
    small = shlex.quote(str(merged_dir / f"{name}-Q8_0.gguf"))
    return {
        "gguf": f"python llama.cpp/convert_hf_to_gguf.py {merged} --outfile {gguf} --outtype bf16",
        "gguf_q8": f"llama.cpp/build/bin/llama-quantize {gguf} {small} Q8_0",
        "ollama": f"cd {merged} && ollama create {shlex.quote(name)} -f Modelfile",
        "vllm": (
            f"vllm serve {merged} --served-model-name {shlex.quote(name)} "
            f"--max-model-len {context_tokens}"
        ),
        "vllm_adapter": (
            f"vllm serve {shlex.quote(str(base_model))} "
            f"--enable-lora --max-lora-rank {max(8, lora_r)} "
            f"--lora-modules {shlex.quote(name)}={adapter} --max-model-len {context_tokens}"
        ),
    }


def golden_verdicts(
    judge: JudgeBackend, samples: Sequence[Sample], *, family: str = "full"
) -> dict[str, str | None]:
    """Ask one judge about the golden set; verdict by sample id, None where there is none."""
    prompts = [render(sample, family=family) for sample in samples]
    replies = judge.judge(prompts)
    return {
        sample.id: parse_verdict(reply.text, sample.task, finish_reason=reply.finish_reason).value
        for sample, reply in zip(samples, replies)
    }


def compare_verdicts(
    verdicts: Mapping[str, Mapping[str, str | None]],
    *,
    labels: Mapping[str, str | None] | None = None,
) -> VerdictComparison:
    """Compare forms of one judge, `{form: {sample id: verdict}}`; the first form is the reference,
    and all must cover the same samples.
    """
    forms = list(verdicts)
    reference = verdicts[forms[0]]
    flips: list[Flip] = []
    for form in forms[1:]:
        missing = set(reference) ^ set(verdicts[form])
        if missing:
            raise ValueError(
                f"{form} and {forms[0]} were not asked the same samples: "
                f"{sorted(missing)[0]} is in one of them only"
            )
        differing = [i for i in reference if verdicts[form][i] != reference[i]]
        flips += [
            Flip(i, form, reference[i], verdicts[form][i], (labels or {}).get(i)) for i in differing
        ]
    counts = {form: sum(flip.form == form for flip in flips) for form in forms[1:]}
    return VerdictComparison(forms[0], len(reference), counts, tuple(flips))


def refuse_flips(comparison: VerdictComparison, *, allowed_share: float) -> None:
    """Raise UserError with the list of flips when a form differs from the reference on more than
    `allowed_share` of the samples.
    """
    for form, n_flips in comparison.n_flips.items():
        if n_flips > allowed_share * comparison.n:
            listed = "; ".join(str(flip) for flip in comparison.flips if flip.form == form)
            raise UserError(
                f"export refused: {form} differs from {comparison.reference} on {n_flips} of "
                f"{comparison.n} golden verdicts, more than {allowed_share:.1%}: {listed}. "
                "Merge onto the other base, export in higher precision, or allow more"
            )


def choose_merge(
    comparison: VerdictComparison,
    forms: Sequence[str] = ("merged onto base", "merged onto dequantised"),
) -> str:
    """The merge that flips fewer verdicts of the trained adapter; the first on a tie."""
    return min(forms, key=lambda form: (comparison.n_flips[form], forms.index(form)))


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
    write_json(
        out_dir / "comparison.json",
        asdict(comparison) | {"kept": best, "allowed_share": allowed_share},
    )
    merged = _keep_one(folders, best, out_dir / "merged", comparison, allowed_share)
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
    write_text(out_dir / "commands.sh", text)
    about = {"name": name, **(manifest or {})}
    write_model_card(about, merged / "README.md", adapter_dir=adapter_dir)
    return Export(merged, best.removeprefix("merged onto "), comparison, lines)


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
