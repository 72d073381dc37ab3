"""The one place that opens a tokenizer and a model, and says in one line why that failed.

Code that comes with a model is never run (`trust_remote_code=False`), and a folder is read without
asking the network.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selene_lib.errors import UserError
from selene_lib.files import read_json

if TYPE_CHECKING:
    import torch


# CUDA compute capability from which cards multiply bfloat16 (Ampere)
BF16_CAPABILITY = (8, 0)
# what a file of another shape than expected runs into inside transformers
_ODD_VALUES = (
    TypeError,
    AttributeError,
    ArithmeticError,
    IndexError,
    AssertionError,
    RecursionError,
    UnicodeError,
)
_JSON_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "model.safetensors.index.json",
)
_FILES_OF = {
    "AutoConfig": "config.json",
    "AutoTokenizer": "tokenizer_config.json, tokenizer.json or config.json",
}
_SIZES = {
    "config.json": (
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "vocab_size",
        "max_position_embeddings",
    ),
    "tokenizer_config.json": ("model_max_length",),
}
# tensors that older versions stored and that are computed from the configuration
_BUFFERS = (
    r"inv_freq$",
    r"(^|\.)position_ids$",
    r"(^|\.)masked_bias$",
    r"(^|\.)(attn|attention)\.bias$",
)
_HEAD = r"(^|\.)lm_head\.weight$"
DTYPES = ("auto", "native", "float32", "bfloat16", "float16")


def open_config(name: str, *, what: str = "model", revision: str | None = None) -> Any:
    """Return the configuration of a model; see `open_model`."""
    from transformers import AutoConfig

    return _open(AutoConfig, name, what, {"revision": revision})


def open_tokenizer(name: str, *, what: str = "model", revision: str | None = None) -> Any:
    """Return the tokenizer of a model; see `open_model`."""
    from transformers import AutoTokenizer

    return _open(AutoTokenizer, name, what, {"revision": revision})


def open_model(
    name: str,
    *,
    what: str = "model",
    revision: str | None = None,
    dtype: torch.dtype | str = "auto",
    loader: type[Any] | None = None,
    device: str | int | None = None,
    attention: str | None = None,
    quantisation_config: Any = None,
    safetensors_only: bool = False,
) -> Any:
    """Return the model `name`, a folder or a hub id read at `revision`.

    `what` is the model's part in a message ("reward model"). `loader` is the class of transformers
    that reads it (default: `AutoModelForCausalLM`); `device` puts all of it on one device;
    `quantisation_config` is for example `nf4_config()`. Raises UserError, with the first line
    of the reason, where it cannot be read.
    """
    from transformers import AutoModelForCausalLM

    options = {
        "revision": revision,
        "dtype": dtype,
        "device_map": None if device is None else {"": device},
        "attn_implementation": attention,
        "quantization_config": quantisation_config,
        "use_safetensors": True if safetensors_only else None,
    }
    options["output_loading_info"] = True
    with _quietly():
        model, info = _open(loader or AutoModelForCausalLM, name, what, options)
    _refuse_missing(info, name, what)
    _refuse_surplus(info, model, name, what)
    return model


def _open(loader: type[Any], name: str, what: str, options: dict[str, Any]) -> Any:
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    _refuse_adapter(name, what)
    _refuse_odd_files(name, what)
    given = {key: value for key, value in options.items() if value is not None}
    try:
        return loader.from_pretrained(
            name, trust_remote_code=False, local_files_only=Path(name).is_dir(), **given
        )
    except OSError as error:
        raise UserError(
            f"cannot load {what} {name}: {_first_line(error)}; "
            "give a local folder, or a hub id with network and access"
        ) from error
    except (SafetensorError, ValueError, RuntimeError, KeyError) as error:
        if "out of memory" in str(error):
            raise
        reason = _first_line(error)
        if "ignore_mismatched_sizes" in reason:
            reason = "its weights have other shapes than its config.json says"
        raise UserError(
            f"cannot load {what} {name}: {reason}; its files may be damaged or not "
            "those of a model: copy them again"
        ) from error
    except (StrictDataclassError, *_ODD_VALUES) as error:
        files = _FILES_OF.get(loader.__name__, "config.json or generation_config.json")
        if isinstance(error, StrictDataclassError):  # a tokenizer's loader reads it as well
            files = "config.json"
        raise UserError(
            f"cannot load {what} {name}: a value in its {files} has no meaning "
            f"({type(error).__name__}: {' '.join(str(error).split())[:200]}); copy it again"
        ) from error


def _refuse_odd_files(name: str, what: str) -> None:
    """Refuse a folder in which one of the small JSON files is none, or holds no JSON object.

    A pipe would be waited for without end.
    """
    for path in Path(name).iterdir() if Path(name).is_dir() else ():
        if path.exists() and not path.is_file() and not path.is_dir():
            raise UserError(f"cannot load {what} {name}: its {path.name} is no file; copy it again")
    for file in _JSON_FILES:
        path = Path(name, file)
        if not os.path.lexists(path):
            continue
        try:
            found = read_json(path) if path.is_file() else None
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise UserError(
                f"cannot load {what} {name}: its {file} holds no JSON object; copy it again"
            )
        text = found.get("text_config")
        for values in (found, text if isinstance(text, dict) else {}):
            _refuse_odd_sizes(values, f"{what} {name}", file)


def _refuse_odd_sizes(values: dict[str, Any], model: str, file: str) -> None:
    for key in _SIZES.get(file, ()):
        size = values.get(key)
        # None is a default of its type; a tokenizer without a limit says 1e30
        is_number = type(size) is int or (type(size) is float and key == "model_max_length")
        if size is not None and not (is_number and size >= 1):
            raise UserError(
                f"cannot load {model}: {key} is {size!r} in its {file}, and must be a whole "
                "number from 1 on; copy it again"
            )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["not found"])[0]


def _refuse_adapter(name: str, what: str) -> None:
    folder = Path(name)
    if (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
        raise UserError(
            f"{name} is an adapter, no {what}: give its base as the model, and this folder as the "
            "adapter"
        )


def _refuse_missing(info: dict[str, Any], name: str, what: str) -> None:
    """A tensor that no file holds would be filled with random numbers."""
    missing = sorted(info.get("missing_keys") or ())
    if missing:
        raise UserError(
            f"cannot load {what} {name}: {len(missing)} of its weights are in none of its files "
            f"(first {missing[0]}); copy it whole"
        )


def _refuse_surplus(info: dict[str, Any], model: Any, name: str, what: str) -> None:
    """A tensor that the model has no place for would be left out, and with it what it does.

    transformers takes out itself what a type of model may do without. A head of words does nothing
    where it is the embedding again, or where the model has none (a reward model); a body that is
    opened alone leaves its heads to whoever opened it.
    """
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    is_idle = head is None or getattr(model.config, "tie_word_embeddings", False)
    harmless = re.compile("|".join([*_BUFFERS, *([_HEAD] if is_idle else [])]))
    surplus = sorted(key for key in info.get("unexpected_keys") or () if not harmless.search(key))
    is_body_alone = getattr(model, "base_model", None) is model
    if is_body_alone:
        parts = {child for child, _ in model.named_children()}
        prefix = f"{model.base_model_prefix}."
        surplus = [key for key in surplus if key.removeprefix(prefix).split(".")[0] in parts]
    if surplus:
        raise UserError(
            f"cannot load {what} {name}: its config.json has no place for {len(surplus)} of the "
            f"weights in its files (first {surplus[0]}), so it would be another model without "
            "them; copy its files again, all of one model"
        )


def check_chat_template(tokenizer: Any, name: str) -> None:
    """Raise UserError where a tokenizer's chat template cannot show a lone user message."""
    from jinja2.exceptions import TemplateError

    odd = (TemplateError, ValueError, KeyError, *_ODD_VALUES)
    if not getattr(tokenizer, "chat_template", None):
        raise UserError(
            f"the tokenizer of {name} has no chat template: use the instruction-tuned model, or "
            "save its chat template into the tokenizer"
        )
    sentinel = "SELENE USER MESSAGE"
    message = [{"role": "user", "content": sentinel}]
    try:
        shown = tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
    except odd as error:
        raise UserError(
            f"the chat template of {name} cannot show a user message without a system message "
            f"({_first_line(error)}): use a tokenizer whose template can"
        ) from error
    if sentinel not in shown:
        raise UserError(
            f"the chat template of {name} leaves the user message out, so a judge would see no "
            "prompt: use a tokenizer whose template shows it"
        )


def choose_device(device: str | None = None) -> str:
    """Return the device asked for; where none is, the GPU if there is one, else the CPU."""
    import torch

    return device or ("cuda" if torch.cuda.is_available() else "cpu")


def choose_dtype(device: str, dtype: str | None = None) -> torch.dtype:
    """Return the precision asked for, one of `DTYPES`.

    None and `auto` are float32 on the CPU, on a GPU bfloat16 where it computes in it and float16
    where it does not (a T4); `native` is bfloat16 also on a CPU that computes in it. An unknown
    name is a UserError.
    """
    import torch

    if dtype not in (None, *DTYPES):
        raise UserError(f"dtype {dtype!r} is not one of {', '.join(DTYPES)}")
    if dtype in (None, "auto", "native"):
        if device == "cpu":
            in_bf16 = dtype == "native" and cpu_computes_bf16()
            return torch.bfloat16 if in_bf16 else torch.float32
        return torch.bfloat16 if gpu_computes_bf16(device) else torch.float16
    return getattr(torch, str(dtype))


def gpu_computes_bf16(device: str = "cuda") -> bool:
    """Tell whether this GPU multiplies bfloat16 itself, which a T4 only emulates."""
    import torch

    return torch.cuda.get_device_capability(device) >= BF16_CAPABILITY


def cpu_computes_bf16() -> bool:
    """Tell whether this CPU multiplies bfloat16 itself (AVX512-BF16 or AMX).

    Where it does not, bfloat16 is emulated and some six times slower than float32.
    """
    import torch

    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def nf4_config(
    compute_dtype: torch.dtype | None = None, storage_dtype: torch.dtype | None = None
) -> Any:
    """Return the 4-bit configuration of QLoRA (arXiv 2305.14314): NF4, doubly quantised.

    None leaves a precision to bitsandbytes: it computes in float32 and stores in uint8.
    """
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute_dtype,
        bnb_4bit_quant_storage=storage_dtype,
    )


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Hide the bar of loading shards (downloads keep theirs), and the table of weights that are
    missing or too many, which are refused in one line.
    """
    from transformers.utils import logging as transformers_logging

    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    log = logging.getLogger("transformers.modeling_utils")
    log.addFilter(_is_no_table)
    try:
        yield
    finally:
        log.removeFilter(_is_no_table)
        if shown:
            transformers_logging.enable_progress_bar()


def _is_no_table(record: logging.LogRecord) -> bool:
    return "LOAD REPORT" not in record.getMessage()


def silence_missing_4bit_kernel() -> None:
    """Hide what bitsandbytes says on import of a missing CPU kernel, which nothing here uses.

    `keep_4bit_weights_unpacked` keeps it out of use.
    """
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)


def keep_4bit_weights_unpacked(model: Any) -> int:
    """Stop bitsandbytes from repacking 4-bit weights on the CPU; return how many layers were told.

    On CPUs with AVX512-BF16 the first forward in eval mode repacks the weights, and every later
    backward is silently wrong.
    """
    from bitsandbytes.nn.modules import Linear4bit

    layers = [module for module in model.modules() if isinstance(module, Linear4bit)]
    for layer in layers:
        layer.support_avx512bf16_for_cpu = False
    return len(layers)
