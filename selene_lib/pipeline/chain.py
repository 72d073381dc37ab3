"""The notebooks of a run in order, and papermill made safe: checked parameters, a fixed kernel,
whole files, resumption.

papermill itself only warns about an unknown parameter, runs whatever kernel it finds, writes its
output in place and cannot resume. Here an unknown or wrongly typed parameter is an error, the
kernel is this interpreter, an executed copy is renamed into place, and a notebook whose parameters,
code and inputs are unchanged is not run again. What no longer fits is moved aside, never deleted.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selene_lib.errors import UserError
from selene_lib.files import PathLock
from selene_lib.pipeline import notebooks
from selene_lib.pipeline.earlier import bring_back, keep, set_aside
from selene_lib.pipeline.execution import Expected, clock, execute_notebook, kernel_here
from selene_lib.pipeline.fingerprint import file_hashes, in_short
from selene_lib.pipeline.notebooks import StepSpec, step_spec
from selene_lib.pipeline.places import run_folder
from selene_lib.pipeline.presets import RunSpec, load_run, resolve_parameters
from selene_lib.pipeline.runs import input_paths, refuse_damaged_inputs
from selene_lib.pipeline.state import StepState, heal, step_state
from selene_lib.pipeline.step_records import write_manifest
from selene_lib.pipeline.times import usual_seconds


@dataclass(frozen=True)
class Wanted:
    """What is asked of a run: its name or file, the first and the last notebook (None: the chain's
    own), parameters, notebooks whose old result is kept (`keep`, with a `reason`) and those to run
    again though nothing changed (`force`).
    """

    run: str
    first: str | None = None
    last: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    keep: Sequence[str] = ()
    force: Sequence[str] = ()
    reason: str = ""

    def command(self, first: str | None, keep: Sequence[str] = ()) -> str:
        """Return the command that does this from a notebook on; what was forced was forced once."""
        words = ["--run", shlex.quote(self.run)]
        for option, value in (("--from", first), ("--to", self.last)):
            words += [option, shlex.quote(value)] if value else []
        if "data_dir" in self.settings:
            words += ["--data-dir", shlex.quote(str(self.settings["data_dir"]))]
        for key, value in self.settings.items():
            if key != "data_dir":
                words += ["--set", shlex.quote(f"{key}={value}")]
        for name in [*self.keep, *keep]:
            words += ["--keep", shlex.quote(name)]
        return " ".join(["selene reproduce", *words])


def select_steps(first: str | None, last: str | None) -> tuple[StepSpec, ...]:
    """Return the steps from `first` to `last`, both included; None is the chain's own end."""
    for name in filter(None, (first, last)):
        if step_spec(name) in notebooks.ALONE:
            raise UserError(
                f"{step_spec(name).name} is no step of the chain: open it with selene lab, or run "
                "it with papermill"
            )
    start = notebooks.STEPS.index(step_spec(first)) if first else 0
    stop = notebooks.STEPS.index(step_spec(last)) if last else len(notebooks.STEPS) - 1
    if start > stop:
        raise UserError(f"--from {first} comes after --to {last}")
    return notebooks.STEPS[start : stop + 1]


def resolve_run(
    run: str, first: str | None, last: str | None, settings: Mapping[str, Any]
) -> tuple[RunSpec, tuple[StepSpec, ...], dict[str, dict[str, Any]]]:
    """Return a run, its chosen steps and all their parameters; every mistake in them, and a missing
    need of the run, is a UserError.
    """
    spec = load_run(run)
    steps = select_steps(first, last)
    resolved = resolve_parameters(spec, steps, settings)
    for values in resolved.values():
        _refuse_unknown_sets(values)
    for name in spec.needs:
        if any(name in values and not values[name] for values in resolved.values()):
            raise UserError(
                f"run {spec.name!r} needs {name}; give it with --{name.replace('_', '-')}"
            )
    return spec, steps, resolved


def _refuse_unknown_sets(values: Mapping[str, Any]) -> None:
    """Raise UserError for a source or set that a notebook is to read and nobody knows."""
    from selene_lib.data.collection import check_names

    if "sources" in values and "sets" in values:
        check_names(values["sources"], "sources")
        check_names(values["sets"], "sets")


def chosen(names: Sequence[str], steps: Sequence[StepSpec], option: str) -> set[str]:
    """Return the names of the steps that `--keep` or `--force` mean; one that is not among the
    chosen ones is a UserError.
    """
    found = {step_spec(name) for name in names}
    for step in found.difference(steps):
        raise UserError(f"{option} {step.number}: this command does not come to {step.name}")
    return {step.name for step in found}


def reproduce(
    run: str,
    *,
    first: str | None = None,
    last: str | None = None,
    settings: Mapping[str, Any] | None = None,
    keep: Sequence[str] = (),
    force: Sequence[str] = (),
    reason: str = "",
    say: Callable[[str], None] = print,
) -> int:
    """Execute the notebooks of a run in order; return how many had to be executed.

    `keep` names notebooks whose old result is accepted although something changed (`reason` is
    recorded with it), `force` those that run again. Everything is written below `artefacts/<run>/`.
    Raises `UserError` for what the user can mend, `StepFailed` where a notebook's cell failed.
    """
    wanted = Wanted(run, first, last, settings or {}, keep, force, reason)
    spec, steps, resolved = resolve_run(run, first, last, wanted.settings)
    kept, forced = chosen(keep, steps, "--keep"), chosen(force, steps, "--force")
    run_dir = run_folder(spec.name)
    run_dir.mkdir(parents=True, exist_ok=True)
    busy = f"another `selene reproduce` is at work on {run_dir}; wait for it or end it"
    with PathLock(run_dir, busy=busy), kernel_here():
        for line in heal(run_dir):
            say(line)
        chain = _Chain(wanted, steps, resolved, run_dir, kept, forced, say)
        return chain.execute()


@dataclass
class _Chain:
    """The chosen steps of one command, one after the other."""

    wanted: Wanted
    steps: tuple[StepSpec, ...]
    resolved: Mapping[str, Mapping[str, Any]]
    run_dir: Path
    kept: set[str]
    forced: set[str]
    say: Callable[[str], None]

    def execute(self) -> int:
        """Execute what does not stand; return how many that were."""
        started, executed = time.monotonic(), 0
        seconds = self._expected_seconds()
        for number, step in enumerate(self.steps, 1):
            prefix = f"[{number}/{len(self.steps)}] {step.name:<24}"
            state = self._state(step)
            if self._stands(state, prefix):
                continue
            self._make_room(state)
            after = sum(seconds[later.name] for later in self.steps[number:])
            here = self._usual_seconds(state)
            execute_notebook(
                step,
                self.resolved[step.name],
                self.run_dir,
                expected=Expected(prefix, here, None if here is None else after),
                again=self.wanted.command(step.number),
                say=self.say,
            )
            executed += 1
        if executed:
            outcome = f"{executed} of {len(self.steps)} notebooks executed"
        else:
            outcome = "nothing to do: every notebook's parameters, code and inputs are unchanged"
        took = clock(time.monotonic() - started)
        self.say(f"{outcome} in {took}; results in {self.run_dir}")
        return executed

    def _state(self, step: StepSpec) -> StepState:
        hashes = file_hashes()
        state = step_state(step, self.resolved[step.name], self.run_dir, hashes)
        hashes.save()
        return state

    def _stands(self, state: StepState, prefix: str) -> bool:
        """Whether a step need not run: unchanged, accepted with `--keep`, or there from earlier."""
        name = state.step.name
        if name in self.forced:
            self._refuse_inputs(state)
            return False
        if name in self.kept:
            reason = self.wanted.reason or "accepted with --keep"
            changed = keep(self.run_dir, name, state.wanted, reason)
            write_manifest(self.run_dir)
            self.say(
                f"{prefix} kept, not run again" + (f" ({in_short(changed)})" if changed else "")
            )
            return True
        if state.unchanged:
            self.say(f"{prefix} unchanged, not run again")
            return True
        self._refuse_inputs(state)
        return bool(state.changed) and self._brought_back(state, prefix)

    def _refuse_inputs(self, state: StepState) -> None:
        """Stop before anything is moved where an input is missing or damaged."""
        input_paths(self.run_dir, state.step.inputs)
        refuse_damaged_inputs(self.run_dir, state.step, state.wanted.inputs)

    def _brought_back(self, state: StepState, prefix: str) -> bool:
        """Whether the result that is wanted lay in `earlier/` and is in its place again."""
        name = state.step.name
        with self._lock(name):
            moved = set_aside(self.run_dir, name, state.changed)
            found = bring_back(self.run_dir, name, state.wanted)
        if moved is not None:
            self._say_moved(state, moved, was_needed=found is None)
        if found is None:
            return False
        write_manifest(self.run_dir)
        self.say(f"{prefix} brought back from {found}, not run again")
        return not self._state(state.step).broken

    def _make_room(self, state: StepState) -> None:
        """Move away what a forced step replaces, and name what is damaged."""
        if state.step.name in self.forced:
            with self._lock(state.step.name):
                moved = set_aside(self.run_dir, state.step.name, ["--force"])
            if moved is not None:
                self._say_moved(state, moved, was_needed=True)
            return
        for phrase in state.broken:
            self.say(f"{state.step.name}: {phrase}; made again")

    def _say_moved(self, state: StepState, moved: Path, *, was_needed: bool) -> None:
        """Say what changed, what it costs, where the old result is, and how to keep it."""
        name, seconds = state.step.name, state.seconds
        why = in_short(state.changed) or "--force"
        self.say(f"{name}: {why}")
        if not was_needed:
            self.say(f"{name}: what was there is kept in {moved}")
        elif seconds is None:
            self.say(f"{name}: the half-finished work of before is kept in {moved}")
        else:
            how = self.wanted.command(self.wanted.first, [state.step.number])
            self.say(f"{name}: the result that took {clock(seconds)} is kept in {moved}")
            self.say(f"{name}: to keep it instead of running again: {how}")

    def _expected_seconds(self) -> dict[str, float]:
        """How long each step will take (0 where nothing is known): as long as the last time, else
        as in the published run; nothing for one that stands, unless one it reads from will run.
        """
        seconds: dict[str, float] = {}
        will_run: set[str] = set(self.forced)
        for step in self.steps:
            state = self._state(step)
            stands = state.unchanged and step.needed_steps.isdisjoint(will_run)
            if step.name in self.kept or (stands and step.name not in self.forced):
                seconds[step.name] = 0.0
            else:
                will_run.add(step.name)
                seconds[step.name] = self._usual_seconds(state) or 0.0
        return seconds

    def _usual_seconds(self, state: StepState) -> float | None:
        """As long as the last time, else as in the published run of this name."""
        return state.seconds or usual_seconds(self.run_dir.name).get(state.step.name)

    def _lock(self, name: str) -> PathLock:
        """The lock that a notebook at work holds on its step."""
        folder = self.run_dir / name
        busy = f"{folder} is in use by another process; wait for it or end it, then try again"
        return PathLock(folder, busy=busy, patience_seconds=20.0)
