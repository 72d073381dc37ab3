"""What serves an exported judge elsewhere: an Ollama Modelfile, the commands for GGUF and vLLM."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from selene_lib.errors import UserError
from selene_lib.files import write_text
from selene_lib.prompts.chat import adds_bos_by_itself, encode_chat, encode_prompt

SENTINEL = "SELENE_USER_MESSAGE"


def prompt_template(tokenizer: Any, placeholder: str) -> str:
    """The text around one user message up to the generation prompt, with a placeholder in it.

    By the tokenizer's own chat template.
    """
    text, _ = encode_prompt(tokenizer, SENTINEL)
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
    """Write an Ollama Modelfile whose prompt is that of training.

    Same template, same stop token, temperature 0, no system prompt, checked token by token. A BOS
    that the tokenizer adds by itself is left out of the template, because llama.cpp adds it too,
    from the GGUF's own metadata; twice would be another prompt.
    """
    template = prompt_template(tokenizer, "{{ .Prompt }}")
    bos = tokenizer.bos_token
    if bos and template.startswith(bos) and adds_bos_by_itself(tokenizer, tokenizer.bos_token_id):
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
    path = write_text(out_path, "\n".join(lines) + "\n")
    check_modelfile(path, tokenizer)
    return path


# Texts on which a template that is subtly another one shows itself.
_PROBES = ("x", "  two words \n\nand a line\n", "**Result:** 4", "{{ .Prompt }} é 你好 🙂")


def check_modelfile(path: str | Path, tokenizer: Any) -> None:
    """Raise UserError unless what Ollama sends through a Modelfile is, token by token, the prompt
    that the judge was trained on. llama.cpp adds a BOS where the tokenizer does.
    """
    bos = tokenizer.bos_token_id
    before = [bos] if bos is not None and adds_bos_by_itself(tokenizer, bos) else []
    template = Path(path).read_text(encoding="utf-8").split('TEMPLATE """')[1].split('"""')[0]
    for probe in _PROBES:
        wanted = encode_chat(tokenizer, probe, None)
        text = template.replace("{{ .Prompt }}", probe)
        sent = [*before, *tokenizer.encode(text, add_special_tokens=False)]
        if sent != wanted:
            place = next(
                (i for i, (a, b) in enumerate(zip(sent, wanted)) if a != b),
                min(len(sent), len(wanted)),
            )
            raise UserError(
                f"{path}: its template makes another prompt than training did, from token {place} "
                "on; serve the model with vLLM, which reads the chat template itself"
            )


def serving_commands(
    merged_dir: Path,
    name: str,
    *,
    base_model: str,
    adapter_dir: Path,
    lora_r: int,
    context_tokens: int,
) -> dict[str, str]:
    """The exact commands for GGUF, Ollama and vLLM.

    They need llama.cpp, Ollama and vLLM, which this project does not install.
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
