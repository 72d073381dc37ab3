"""`train`: from a spec and preference pairs to an adapter, resumable to the last bit."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from selene_lib.errors import UserError, tell
from selene_lib.files import (
    DamagedError,
    PathLock,
    move_aside,
    sha256_file,
    write_proven,
)
from selene_lib.models.names import is_embedded
from selene_lib.models.parallel import use_one_thread
from selene_lib.prompts.rendering import family_of_prompts
from selene_lib.records import PreferencePair
from selene_lib.training import checkpoints
from selene_lib.training.batching import fit_batch, global_batches, n_steps_for
from selene_lib.training.encoded_store import encode_once
from selene_lib.training.encoding import EncodedSet
from selene_lib.training.job import Trained, TrainingJob, cache_folder
from selene_lib.training.model import Loaded, open_for_training
from selene_lib.training.pair_checks import check_held_out, check_pairs
from selene_lib.training.processes import Process, join
from selene_lib.training.spec import TrainSpec
from selene_lib.training.trackers import check_trackers

_RESULT_FILES = (checkpoints.ADAPTER, *checkpoints.LOGS, checkpoints.IDENTITY)
_RESULT_TYPES = {
    "n_steps": int,
    "n_pairs": int,
    "n_trainable_parameters": int,
    "n_dropped": dict,
    "n_shortened": int,
    "n_validation": int,
    "decision": dict,
    "spec": dict,
}


@dataclass(frozen=True)
class TrainResult:
    """What a run left: paths, counts, and the decision it ran under.

    `n_dropped` counts overlong pairs by reason.
    """

    adapter_dir: Path
    log_path: Path
    telemetry_path: Path
    n_steps: int
    n_pairs: int
    n_trainable_parameters: int
    n_dropped: dict[str, int] = field(default_factory=dict)
    n_shortened: int = 0
    resumed_from_step: int = 0
    n_validation: int = 0
    validation: dict[str, float] | None = None
    family: str | None = None
    decision: dict[str, Any] = field(default_factory=dict)
    spec: dict[str, Any] = field(default_factory=dict)


def train(
    spec: TrainSpec,
    pairs: Sequence[PreferencePair],
    out_dir: str | Path,
    validation: Sequence[PreferencePair] | None = None,
    *,
    resume: bool = True,
    progress: bool | None = None,
) -> TrainResult:
    """Train an adapter (or the full weights) on preference pairs.

    A killed run continues from its last whole checkpoint. `out_dir` gets `adapter/`, `log.csv`
    (deterministic), `telemetry.csv` (this machine), `training.json` and checkpoints. A finished run
    of the same spec, pairs and base is read back, not run again; a folder of something else is a
    UserError unless `resume=False`. Held-out pairs (`validation`) that are trained on as well are a
    UserError too. `max_length_tokens` is at most what the base has positions for, a step at most
    all pairs once; either is told where it was asked for otherwise. The embedded model trains on
    one thread (more are slower for it) and, unless asked, without a bar, since its arms run side by
    side.
    `out_dir` is this process's alone while it trains: one that still ends elsewhere is waited for,
    then a UserError.
    """
    check_pairs(pairs)
    check_held_out(() if validation is None else validation, pairs)
    check_trackers(spec.report_to)
    for folder in (Path(out_dir) / "damaged", cache_folder(spec, Path(out_dir)) / "encoded"):
        checkpoints.refuse_no_folder(folder)
    with _alone(Path(out_dir)):
        return _train(spec, pairs, out_dir, validation, resume, progress)


def _alone(out_dir: Path) -> AbstractContextManager[object]:
    """Hold the folder of a training; the other processes of one training share the first one's."""
    if int(os.environ.get("RANK", "0")):
        return nullcontext()
    busy = f"{out_dir} is being trained by another process; wait for it or end it, then try again"
    return PathLock(out_dir, busy=busy, patience_seconds=30.0)


def _train(
    spec: TrainSpec,
    pairs: Sequence[PreferencePair],
    out_dir: str | Path,
    validation: Sequence[PreferencePair] | None,
    resume: bool,
    progress: bool | None,
) -> TrainResult:
    embedded, held_out = is_embedded(spec.base_model), validation or ()
    if embedded:
        use_one_thread()
    out_dir, loaded = Path(out_dir), open_for_training(spec)
    spec, process = loaded.spec, join(loaded.decision.device)
    if process.rank == 0:
        base = loaded.base_fingerprint
        checkpoints.claim(out_dir, spec, pairs, base, resume=resume, held_out=held_out)
        checkpoints.remove_broken(out_dir)
        _read_result(out_dir, spec)  # a damaged one is moved aside before the others look
    process.wait_for_others()
    finished = _read_result(out_dir, spec)
    if finished is not None:
        return finished
    encoded, measured = (_encode(loaded, some, out_dir, process) for some in (pairs, held_out))
    loaded = _with_full_steps(loaded, len(encoded.pairs))
    spec = loaded.spec
    job = TrainingJob(
        loaded,
        encoded.pairs,
        measured.pairs,
        out_dir,
        n_steps_for(len(encoded.pairs), spec.batch_size, spec.n_steps, spec.n_epochs),
        progress=not embedded if progress is None else progress,
        process=process,
        family=family_of_prompts([pair.prompt for pair in pairs]),
    )
    if spec.trainer == "trl":
        from selene_lib.training.trl_trainer import train_with_trl

        trained = train_with_trl(job)
    else:
        trained = train_with_selene(job)
    return _write_result(job, encoded, trained)


def _with_full_steps(loaded: Loaded, n_pairs: int) -> Loaded:
    """Let a step hold each pair once at most: repeats cost their time and teach nothing more."""
    asked, spec = loaded.spec.batch_size, fit_batch(loaded.spec, n_pairs)
    if spec.batch_size == asked:
        return loaded
    line = f"batch_size is {asked}, but there are {n_pairs} pairs: a step holds each of them once"
    tell(line)
    reasons = (*loaded.decision.reasons, line)
    return replace(loaded, spec=spec, decision=replace(loaded.decision, reasons=reasons))


def _encode(
    loaded: Loaded, pairs: Sequence[PreferencePair], out_dir: Path, process: Process
) -> EncodedSet:
    """Encode pairs, or read what an earlier arm or the first process has encoded."""
    spec = loaded.spec
    kept = cache_folder(spec, out_dir) / "encoded"
    encode = partial(
        encode_once,
        loaded.tokenizer,
        pairs,
        kept,
        max_length_tokens=spec.max_length_tokens,
        overlong=spec.overlong,
    )
    if process.rank == 0:
        encode()
    process.wait_for_others()
    found = encode()
    _refuse_unknown_tokens(found, loaded)
    return found


def _refuse_unknown_tokens(found: EncodedSet, loaded: Loaded) -> None:
    """A token without an embedding would end the first forward, on a GPU without a word why."""
    n_known = loaded.model.get_input_embeddings().weight.shape[0]
    highest = int(found.pairs.tokens.max()) if len(found.pairs.tokens) else 0
    if highest >= n_known:
        raise UserError(
            f"the tokenizer of {loaded.spec.base_model} gives token {highest}, but the model knows "
            f"{n_known} tokens: its files are not of one model; copy them again"
        )


def train_with_selene(job: TrainingJob) -> Trained:
    """Run the steps with our trainer."""
    from transformers import TrainingArguments, set_seed

    from selene_lib.training.trainer import (
        PairTrainer,
        ProgressBar,
        argument_values,
        train_and_save,
    )

    spec, loaded, pairs = job.spec, job.loaded, job.pairs
    batches = global_batches([pair.id for pair in pairs], spec.batch_size, job.n_steps, spec.seed)
    used = sorted({i for batch in batches for i in batch})
    reference = np.full((len(pairs), 2), np.nan)  # a pair no step asks for stays nan
    reference[used], of_held_out = job.reference([pairs[i] for i in used])
    checkpoint = checkpoints.latest_whole(job.out_dir)
    checkpoints.restore_logs(checkpoint, job.out_dir)
    from_step = checkpoints.step_of(checkpoint) if checkpoint else 0
    set_seed(spec.seed)
    # a step's micro-batches are ours, so the Trainer's own batch and accumulation stay 1
    args = TrainingArguments(
        **argument_values(spec, loaded, job.out_dir, job.n_steps),
        per_device_train_batch_size=1,
        gradient_accumulation_steps=1,
    )
    callbacks = [ProgressBar()] if job.progress else []
    trainer = PairTrainer(
        loaded, spec, pairs, reference, batches, args, from_step=from_step, callbacks=callbacks
    )
    return train_and_save(trainer, job, checkpoint, of_held_out)


def _write_result(job: TrainingJob, encoded: EncodedSet, trained: Trained) -> TrainResult:
    trainable = sum(
        parameter.numel() for parameter in job.loaded.model.parameters() if parameter.requires_grad
    )
    result = TrainResult(
        adapter_dir=job.out_dir / "adapter",
        log_path=job.out_dir / "log.csv",
        telemetry_path=job.out_dir / "telemetry.csv",
        n_steps=job.n_steps,
        n_pairs=len(encoded.pairs),
        n_trainable_parameters=trainable,
        n_dropped=encoded.n_dropped,
        n_shortened=len(encoded.shortened_ids),
        resumed_from_step=trained.resumed_from_step,
        n_validation=len(job.held_out),
        validation=trained.validation,
        family=job.family,
        decision=job.loaded.decision.to_dict(),
        spec=job.spec.to_dict(),
    )
    values = {name: getattr(result, name) for name in _kept_fields()}
    if job.process.rank == 0:
        files = {name: sha256_file(job.out_dir / name) for name in _RESULT_FILES}
        write_proven(job.out_dir / checkpoints.RESULT, {**values, "files": files})
    return result


def _kept_fields() -> list[str]:
    """The fields of a result that hold of it wherever it lies and however it was reached."""
    known = [f.name for f in fields(TrainResult) if f.type != "Path"]
    return [name for name in known if name != "resumed_from_step"]


def _read_result(out_dir: Path, spec: TrainSpec) -> TrainResult | None:
    """Return a finished result, None where there is none.

    One that is not what was written, or not of this spec, is moved aside, and the training goes on
    from its checkpoint.
    """
    path = out_dir / checkpoints.RESULT
    if not path.exists():
        return None
    try:
        values = _values_of_result(path, spec)
    except DamagedError as error:
        for name in filter(lambda name: (out_dir / name).exists(), checkpoints.FINISHED):
            move_aside(out_dir / name)
        tell(f"{error}; it is kept in {out_dir / 'damaged'} and made again")
        return None
    return TrainResult(
        adapter_dir=out_dir / "adapter",
        log_path=out_dir / "log.csv",
        telemetry_path=out_dir / "telemetry.csv",
        **values,
    )


def _values_of_result(path: Path, spec: TrainSpec) -> dict[str, Any]:
    """The fields of a result; DamagedError where one is missing, or a file is not what it says."""
    values = checkpoints.read_own(path, {**_RESULT_TYPES, "files": dict})
    files = values.pop("files")
    for name in _RESULT_FILES:
        # results of an older version do not say what their folder was begun for
        known = files.get(name, "" if name != checkpoints.IDENTITY else None)
        if known is not None and _sha256(path.parent / name) != known:
            raise DamagedError(f"{path.parent / name} is not what was written")
    unknown = sorted(values.keys() - set(_kept_fields()))
    if unknown:
        raise DamagedError(f"{path}: nothing here writes {unknown[0]!r}")
    others = fit_batch(spec, values["n_pairs"]).differences(values["spec"])
    if others:
        raise DamagedError(f"{path} is of other settings ({others[0]})")
    return values


def _sha256(path: Path) -> str:
    return sha256_file(path) if path.exists() else ""
