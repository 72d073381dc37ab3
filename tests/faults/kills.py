"""Kill the chain at random points and see that nothing is lost: `python tests/faults/kills.py`.

A run is killed with -9 again and again and started again each time until it is through; then its
data must be those of a run that nobody disturbed. Every kill must leave no process within seconds.
One line of counts is printed at the end; the exit code is 1 where anything was wrong.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "tests"), str(REPOSITORY / "tests" / "faults")]
PATIENCE_SECONDS = 5.0  # a process that is still there after this was left behind
LIMIT_SECONDS = 1800


@dataclass
class Counts:
    """What happened."""

    kills: dict[str, int] = field(default_factory=dict)
    runs_compared: int = 0
    runs_equal: int = 0
    processes_left: int = 0
    failed_resumes: list[str] = field(default_factory=list)

    def add(self, kind: str) -> None:
        """Count one kill."""
        self.kills[kind] = self.kills.get(kind, 0) + 1

    @property
    def n_kills(self) -> int:
        """All kills."""
        return sum(self.kills.values())

    @property
    def is_clean(self) -> bool:
        """Whether nothing was wrong."""
        same = self.runs_equal == self.runs_compared > 0
        return same and not self.processes_left and not self.failed_resumes

    def line(self) -> str:
        """Everything in one line."""
        kinds = ", ".join(f"{kind} {n}" for kind, n in sorted(self.kills.items()))
        return (
            f"{self.n_kills} kills ({kinds}); data equal in {self.runs_equal} of "
            f"{self.runs_compared} runs; processes left: {self.processes_left}; "
            f"resumes that failed: {len(self.failed_resumes)}"
        )


@dataclass(frozen=True)
class World:
    """A project, and the options that make its chain small."""

    project: Path
    options: tuple[str, ...] = ()

    def command(self, name: str, *options: str) -> list[str]:
        """A `selene` command."""
        return [sys.executable, "-m", "selene_lib.cli", name, *options]

    def start(self, home: Path, words: list[str]) -> subprocess.Popen:
        """Start a command whose results go to `home`, its words to a log beside them."""
        home.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "SELENE_HOME": str(home)}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # a second of CPU a process
        paths = [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
        with open(home.with_name(f"{home.name}.log"), "ab") as log:
            return subprocess.Popen(
                words, cwd=self.project, env=environment, stdout=log, stderr=log
            )

    def run(self, home: Path, words: list[str]) -> int:
        """Run a command to its end."""
        return self.start(home, words).wait(timeout=LIMIT_SECONDS)


def processes_of(home: Path) -> list[psutil.Process]:
    """Every process that works for a home, known by its environment."""
    found = []
    for process in psutil.process_iter():
        try:
            is_ours = process.environ().get("SELENE_HOME") == str(home)
            if is_ours and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def n_left(home: Path) -> int:
    """How many processes of a home are still there once patience has run out; they are ended."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while processes_of(home) and time.monotonic() < deadline:
        time.sleep(0.1)
    left = processes_of(home)
    for process in left:
        process.kill()
    return len(left)


def data_hashes(home: Path) -> dict[str, str]:
    """Hashes of the outputs of all steps, of what is published, and of what a reader is told; the
    report itself tells times and is left out.
    """
    hashes = {}
    manifest = home / "artefacts" / "nano" / "manifest.json"
    steps = json.loads(manifest.read_text())["steps"] if manifest.is_file() else {}
    for step, record in steps.items():
        for name, entry in record["outputs"].items():
            if name != "report.html":
                hashes[f"{step}/{name}"] = entry["sha256"]
    for path in sorted((home / "figures").rglob("*.png")):
        hashes[f"figures/{path.name}"] = hashlib.sha256(path.read_bytes()).hexdigest()
    names = sorted(path.name for path in (home / "reports").rglob("*") if path.is_file())
    return {**hashes, "reports": " ".join(names)}


def kill_once(
    world: World, home: Path, words: list[str], seconds: float, rng: random.Random, counts: Counts
) -> bool:
    """Start a command and kill it after a random time below `seconds`; return whether it was
    through before that.
    """
    process = world.start(home, words)
    try:
        code = process.wait(timeout=rng.uniform(0.2, max(seconds, 1.0)))
    except subprocess.TimeoutExpired:
        kind = _kill(process, rng)
        process.wait()
        counts.add(kind)
        counts.processes_left += n_left(home)
        return False
    if code != 0:
        counts.failed_resumes.append(f"{home.name}: exit code {code}")
    return True


def _kill(process: subprocess.Popen, rng: random.Random) -> str:
    """Kill the command alone, or its kernel and workers as well, or a kernel first."""
    kind = rng.choice(("command", "command", "everything", "terminated"))
    children = psutil.Process(process.pid).children(recursive=True)
    if kind == "terminated":
        process.terminate()
        return kind
    process.kill()
    for child in children if kind == "everything" else ():
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue
    return kind


def disturb(world: World, n_kills: int, seed: int, base: Path, *, publishes: bool = True) -> Counts:
    """Kill chains, and publications of them, until `n_kills` were done; every chain is brought to
    its end.
    """
    rng, counts = random.Random(seed), Counts()
    chain = world.command("reproduce", *world.options)
    publish = world.command("publish")
    calm = base / "calm"
    started = time.monotonic()
    if world.run(calm, chain) or (publishes and world.run(calm, publish)):
        raise SystemExit(f"the undisturbed run failed, see {calm}.log")
    seconds = time.monotonic() - started
    print(f"undisturbed: {seconds:.0f} s", flush=True)
    expected, trial = data_hashes(calm), 0
    while counts.n_kills < n_kills and not counts.failed_resumes:
        trial += 1
        home = base / f"trial{trial}"
        _to_its_end(world, home, chain, seconds / 3, n_kills - counts.n_kills, rng, counts)
        if publishes:
            left = max(n_kills - counts.n_kills, 0)
            _to_its_end(world, home, publish, 3.0, left, rng, counts)
        counts.runs_compared += 1
        counts.runs_equal += data_hashes(home) == expected
        print(f"run {trial}: {counts.line()}", flush=True)
        if counts.is_clean:
            shutil.rmtree(home)
    return counts


def _to_its_end(
    world: World,
    home: Path,
    words: list[str],
    seconds: float,
    n_kills: int,
    rng: random.Random,
    counts: Counts,
) -> None:
    """Kill a command at most `n_kills` times, then let it through."""
    for _ in range(n_kills):
        if kill_once(world, home, words, seconds, rng, counts):
            return
    code = world.run(home, words)
    if code != 0:
        counts.failed_resumes.append(f"{home.name}: exit code {code}")


def disturb_training(world: World, n_kills: int, seed: int, base: Path) -> Counts:
    """Kill notebook 04 again and again; its steps before it are made once."""
    rng, counts = random.Random(seed), Counts()
    before = world.command("reproduce", *world.options, "--to", "03")
    training = world.command("reproduce", *world.options, "--from", "04", "--to", "04")
    prepared, calm = base / "prepared", base / "calm-training"
    if world.run(prepared, before):
        raise SystemExit(f"the steps before the training failed, see {prepared}.log")
    shutil.copytree(prepared, calm)
    started = time.monotonic()
    if world.run(calm, training):
        raise SystemExit(f"the undisturbed training failed, see {calm}.log")
    seconds, expected, trial = time.monotonic() - started, data_hashes(calm), 0
    while counts.n_kills < n_kills and not counts.failed_resumes:
        trial += 1
        home = base / f"training{trial}"
        shutil.copytree(prepared, home)
        _to_its_end(world, home, training, seconds, n_kills - counts.n_kills, rng, counts)
        counts.runs_compared += 1
        counts.runs_equal += data_hashes(home) == expected
        print(f"training {trial}: {counts.line()}", flush=True)
    return counts


def small_world() -> World:
    """The real notebooks with the smallest parameters."""
    from test_smoke_chain import SMALL

    options = [part for key, value in SMALL.items() for part in ("--set", f"{key}={value}")]
    return World(REPOSITORY, tuple(options))


def tiny_world(base: Path) -> World:
    """Notebooks of the same names that compute nothing."""
    from tiny_chain import write_tiny_project

    return World(write_tiny_project(base / "project"))


def main() -> int:
    """Run what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chain", type=int, default=100, help="kills of the tiny chain")
    parser.add_argument("--small", type=int, default=20, help="kills of the small real chain")
    parser.add_argument("--training", type=int, default=20, help="kills of the small training")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    clean = True
    with tempfile.TemporaryDirectory(prefix="selene-kills-") as folder:
        base = Path(folder)
        jobs = (
            ("tiny chain and publication", disturb, tiny_world(base), given.chain),
            ("small chain and publication", disturb, small_world(), given.small),
            ("training", disturb_training, small_world(), given.training),
        )
        for number, (what, job, world, n_kills) in enumerate(jobs):
            if n_kills:
                counts = job(world, n_kills, given.seed, base / str(number))
                print(f"{what}: {counts.line()}", flush=True)
                clean = clean and counts.is_clean
    return 0 if clean else 1


if __name__ == "__main__":
    raise SystemExit(main())
