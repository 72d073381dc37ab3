"""What serves an exported judge elsewhere: an Ollama Modelfile, the commands for GGUF and vLLM."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from selene_lib.errors import UserError
from selene_lib.files import write_text

SENTINEL = "SELENE_USER_MESSAGE"


def prompt_template(tokenizer: Any, placeholder: str) -> str:
    """The text around one user message up to the generation prompt, with a placeholder in it.

    By the tokenizer's own chat template.
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
    """Write an Ollama Modelfile whose prompt is that of training.

    Same template, same stop token, temperature 0, no system prompt. The BOS is left out of the
    template because llama.cpp adds it from the GGUF's own metadata; twice would be another prompt.
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
