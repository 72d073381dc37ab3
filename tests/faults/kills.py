"""Kill the chain at random points and see that nothing is lost: `python tests/faults/kills.py`.

A run is killed with -9 again and again and started again each time until it is through; then its
data must be those of a run that nobody disturbed. Every kill must leave no process within seconds.
When to kill is drawn in seconds of CPU, so that a busy machine does not move every kill to the
imports. One line of counts is printed at the end; the exit code is 1 where anything was wrong.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "tests"), str(REPOSITORY / "tests" / "faults")]
PATIENCE_SECONDS = 5.0  # a process that is still there after this was left behind
LIMIT_SECONDS = 1800
MOST_KILLS = 8  # of one home, that many homes are compared


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
    world: World | Program,
    home: Path,
    words: list[str],
    seconds: float,
    rng: random.Random,
    counts: Counts,
) -> bool:
    """Start a command and kill it once it and its children have used a random part of `seconds` of
    CPU; return whether it was through before that.
    """
    process = world.start(home, words)
    watched, limit = psutil.Process(process.pid), rng.uniform(0.2, seconds)
    deadline = time.monotonic() + LIMIT_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if cpu_seconds(watched) >= limit:
            time.sleep(rng.uniform(0, 0.2))
            break
        time.sleep(0.1)
    if process.poll() is None:
        kind = _kill(process, rng)
        process.wait()
        counts.add(kind)
        counts.processes_left += n_left(home)
        return False
    if process.returncode != 0:
        counts.failed_resumes.append(f"{home.name}: exit code {process.returncode}")
    return True


def cpu_seconds(process: psutil.Process) -> float:
    """CPU seconds that a process, its children and those that ended before have used."""
    total = 0.0
    try:
        for one in [process, *process.children(recursive=True)]:
            total += sum(one.cpu_times()[:4])
    except psutil.NoSuchProcess:
        pass
    return total


def cost_of(world: World | Program, home: Path, words: list[str]) -> float:
    """Run a command to its end undisturbed; return its CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    if world.run(home, words):
        raise SystemExit(f"the undisturbed run failed, see {home}.log")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"undisturbed {home.name}: {seconds:.1f} s of CPU", flush=True)
    return seconds


def _kill(process: subprocess.Popen | Forked, rng: random.Random) -> str:
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
    chain, calm = world.command("reproduce", *world.options), base / "calm"
    jobs = [(chain, cost_of(world, calm, chain) / 2, MOST_KILLS)]
    if publishes:
        publish = world.command("publish")
        jobs.append((publish, cost_of(world, calm, publish), 3))
    _disturb(world, "trial", jobs, n_kills, data_hashes(calm), data_hashes, rng, counts, base)
    return counts


Work = tuple[list[str], float, int]  # a command, the CPU seconds to kill it in, and how often


def _disturb(
    world: World | Program,
    what: str,
    jobs: list[Work],
    n_kills: int,
    expected: dict[str, str],
    hashes: Callable[[Path], dict[str, str]],
    rng: random.Random,
    counts: Counts,
    base: Path,
) -> None:
    """Bring one home after the other to its end, through kills, and compare what is in it."""
    trial = 0
    while counts.n_kills < n_kills and not counts.failed_resumes:
        trial += 1
        home = base / f"{what}{trial}"
        for words, seconds, most in jobs:
            left = min(most, n_kills - counts.n_kills)
            _to_its_end(world, home, words, seconds, left, rng, counts)
        counts.runs_compared += 1
        counts.runs_equal += hashes(home) == expected
        print(f"{what} {trial}: {counts.line()}", flush=True)
        if counts.is_clean:
            shutil.rmtree(home)


def _to_its_end(
    world: World | Program,
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


class Forked:
    """A function in a process of its own, with all that is imported here; looks like a `Popen`."""

    def __init__(self, work: Callable[[], None], log: Path) -> None:
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
                os.dup2(stream, 1)
                os.dup2(stream, 2)
                work()
                code = 0
            finally:
                os._exit(code)

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, timeout: float = LIMIT_SECONDS) -> int:
        deadline = time.monotonic() + timeout
        while self.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        return 1 if self.returncode is None else self.returncode

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def terminate(self) -> None:
        os.kill(self.pid, signal.SIGTERM)


@dataclass(frozen=True)
class Program:
    """A training or an export; imports are done once, so that all kills meet real work."""

    base: Path

    def start(self, home: Path, words: list[str]) -> Forked:
        """Start `words[0]` with its results in `home`."""
        import tiny_training

        home.mkdir(parents=True, exist_ok=True)
        work = {"train": tiny_training.train, "export": tiny_training.export}[words[0]]
        return Forked(lambda: work(self.base, home), home.with_name(f"{home.name}.log"))

    def run(self, home: Path, words: list[str]) -> int:
        """Run to the end."""
        return self.start(home, words).wait()


def disturb_program(what: str, n_kills: int, seed: int, base: Path) -> Counts:
    """Kill a training of two arms, or an export."""
    import tiny_training

    os.environ["LOKY_MAX_CPU_COUNT"] = "1"  # both arms in the one process that is killed
    base.mkdir(parents=True)
    tiny_training.prepare(base)
    rng, counts, program = random.Random(seed), Counts(), Program(base)
    seconds = cost_of(program, base / "calm", [what])
    jobs = [([what], seconds, MOST_KILLS)]
    expected = hashes_of_results(base / "calm")
    _disturb(program, what, jobs, n_kills, expected, hashes_of_results, rng, counts, base)
    return counts


def hashes_of_results(home: Path) -> dict[str, str]:
    """Hashes of all files below `out`; commands name the folder, which is left out."""
    found = {}
    for path in sorted((home / "out").rglob("*")):
        if path.is_file():
            content = path.read_bytes().replace(str(home).encode(), b"HOME")
            found[path.relative_to(home).as_posix()] = hashlib.sha256(content).hexdigest()
    if not found:
        raise SystemExit(f"{home} holds no results")
    return found


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
    parser.add_argument("--small", type=int, default=10, help="kills of the small real chain")
    parser.add_argument("--train", type=int, default=20, help="kills of a training of two arms")
    parser.add_argument("--export", type=int, default=20, help="kills of an export")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    clean = True
    with tempfile.TemporaryDirectory(prefix="selene-kills-") as folder:
        base, seed = Path(folder), given.seed
        jobs: list[tuple[str, int, Callable[[int, Path], Counts]]] = [
            ("training", given.train, lambda n, at: disturb_program("train", n, seed, at)),
            ("export", given.export, lambda n, at: disturb_program("export", n, seed, at)),
            ("chain", given.chain, lambda n, at: disturb(tiny_world(at), n, seed, at)),
            ("small real chain", given.small, lambda n, at: disturb(small_world(), n, seed, at)),
        ]
        for number, (what, n_kills, job) in enumerate(jobs):
            if n_kills:
                counts = job(n_kills, base / str(number))
                print(f"{what}: {counts.line()}", flush=True)
                clean = clean and counts.is_clean
    return 0 if clean else 1


if __name__ == "__main__":
    raise SystemExit(main())
