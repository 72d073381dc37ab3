"""Adapters: what a folder must hold, which base it belongs to, and putting it onto that base whole.

An adapter's folder holds `selene.json` beside PEFT's files: the name of the base it was trained on,
hashes over that base's weights and over the adapter's files, and the prompt templates of its pairs.
Loading it on another base would judge as neither of the two, so it is refused; so is a damaged one.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from selene_lib.errors import UserError
from selene_lib.files import DamagedError, read_proven, sha256_file, write_proven
from selene_lib.models.fingerprints import model_folder

RECORD = "selene.json"
CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
FILES = "files"  # in the record: the SHA-256 of each of the two
# what peft runs into where a configuration or a tensor is of another shape than it expects
_MISFITS = (
    RuntimeError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    ArithmeticError,
    IndexError,
    OSError,
)
_LOG = logging.getLogger(__name__)


def weights_sha256(name: str, revision: str | None = None) -> str:
    """Return a hash over the weights of a model folder, or of a hub id's files on this machine.

    It is taken from the stored tensors (name, shape and values to 8 significant bits), so it does
    not change with the precision a model is loaded or saved in, nor with how it is cut into files.
    A folder without safetensors has the hash of its `.bin` files. Empty where there is neither.
    """
    folder = model_folder(name, revision)
    if folder is None:
        return ""
    files = sorted(filter(Path.is_file, folder.glob("*.safetensors")))
    files = files or sorted(filter(Path.is_file, folder.glob("*.bin")))
    state = tuple((str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in files)
    return _hash_files(state) if files else ""


@functools.lru_cache(maxsize=8)
def _hash_files(state: tuple[tuple[str, int, int], ...]) -> str:
    from selene_lib.files import sha256_file

    files = [Path(path) for path, _, _ in state]
    if files[0].suffix == ".bin":
        lines = [f"{file.name} {sha256_file(file)}" for file in files]
    else:
        lines = sorted(line for file in files for line in _tensor_lines(file))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _tensor_lines(file: Path) -> Iterator[str]:
    import torch
    from safetensors import safe_open

    with safe_open(file, framework="pt") as tensors:
        for key in tensors.keys():  # noqa: SIM118  the file object is no mapping
            tensor = tensors.get_tensor(key)
            shape = tuple(tensor.shape)
            if tensor.is_floating_point():
                tensor = tensor.to(torch.bfloat16).view(torch.int16)
            digest = hashlib.sha256(tensor.contiguous().view(torch.uint8).numpy()).hexdigest()
            yield f"{key} {shape} {digest}"


def write_record(adapter: Path, base: str, revision: str | None, family: str | None) -> None:
    """Write which base an adapter was trained on (its name has no path of this machine)."""
    name = Path(base).name if Path(base).is_dir() else base
    base_sha256 = weights_sha256(base, revision)
    record: dict[str, Any] = {"base_model": name, "base_sha256": base_sha256, "family": family}
    own = [name for name in (CONFIG, WEIGHTS) if (adapter / name).is_file()]
    record[FILES] = {name: sha256_file(adapter / name) for name in own}
    write_proven(adapter / RECORD, record)


def read_record(adapter: Path) -> dict[str, Any]:
    """Return what `write_record` wrote; empty for an adapter made before it was kept.

    A record that is damaged is a UserError.
    """
    path = adapter / RECORD
    try:
        return read_proven(path) if path.is_file() else {}
    except DamagedError as error:
        raise UserError(
            f"{error}: damaged, or edited by hand; copy it again, train again, "
            "or take `checksum` out of it to accept what it says"
        ) from error


def check_adapter(adapter: Path, base: str, revision: str | None = None) -> None:
    """Raise UserError where an adapter's folder is not whole, not finite, or of another base."""
    if not (adapter / CONFIG).is_file():
        raise UserError(
            f"no adapter in {adapter}: {CONFIG} is missing; train one first, "
            "or judge the base without adapter"
        )
    bad = [key for key, tensor in _tensors(adapter).items() if not tensor.isfinite().all()]
    if bad:
        raise UserError(
            f"the adapter {adapter} holds weights that are not finite ({bad[0]} and "
            f"{len(bad) - 1} more): train again with a lower learning_rate"
        )
    record = read_record(adapter)
    theirs, mine = record.get("base_sha256"), weights_sha256(base, revision)
    if not theirs or not mine:
        _LOG.warning(
            "the adapter %s does not say which base it was trained on; make sure it was %s",
            adapter,
            base,
        )
    elif theirs != mine:
        raise UserError(
            f"the adapter {adapter} was trained on {record.get('base_model')} with other weights "
            f"than {base}: give that base, or train again on this one"
        )


def attach_adapter(model: Any, adapter: Path, base: str, revision: str | None = None) -> Any:
    """Return the model with the adapter on it (a `PeftModel`), every weight of it in its place.

    Raises UserError as `check_adapter` does, where a weight is missing or has no place, and where
    the files are not those that were trained.
    """
    from peft import PeftModel, get_peft_model_state_dict

    check_adapter(adapter, base, revision)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # missing keys are an error below
            found = PeftModel.from_pretrained(model, str(adapter))
    except _MISFITS as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"the adapter {adapter} does not fit the model {base} ({reason[:120]}): "
            "give the base it was trained on, or train again"
        ) from error
    wanted = set(get_peft_model_state_dict(found, save_embedding_layers=False))
    stored = set(_tensors(adapter))
    if wanted != stored:
        missing, unknown = sorted(wanted - stored), sorted(stored - wanted)
        example = f"{missing[0]} is missing" if missing else f"{unknown[0]} has no place"
        raise UserError(
            f"the adapter {adapter} does not match the model {base}: {len(missing)} weights are "
            f"missing and {len(unknown)} have no place ({example}): its files were changed or "
            "belong to another base; take the folder as it was trained"
        )
    _refuse_damaged(adapter)
    return found


def _refuse_damaged(adapter: Path) -> None:
    found = read_record(adapter).get(FILES)
    known = found if isinstance(found, dict) else {}
    for name in known.keys() & {CONFIG, WEIGHTS}:
        if sha256_file(adapter / name) != known[name]:
            raise UserError(
                f"{adapter / name} is not what training wrote (damaged, or edited): copy the "
                f"adapter again, or train again; where it was changed on purpose, take `{FILES}` "
                f"and `checksum` out of {RECORD}"
            )


def _tensors(adapter: Path) -> Mapping[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = adapter / WEIGHTS
    if not path.is_file():
        raise UserError(
            f"the adapter {adapter} has no weights: {WEIGHTS} is missing; copy it whole, or train "
            "again"
        )
    try:
        return load_file(path)
    except SafetensorError as error:
        raise UserError(
            f"{path} is damaged ({error}): copy the adapter again, or train again"
        ) from error
