"""Every command of the README is executed, and every fenced block of docs/: each block and each
code span of the README in a fresh copy of the project, on inputs written here.

Commands run as they stand but for the substitutions of `RULES`, each with its reason. A command
whose program is not in `RUNNABLE` after that fails the test: nothing is left out in silence. A file
that an option of `INPUTS` names, and that no earlier command of the block wrote, is written first.
A block of docs/ that holds a command of `PARSED_ONLY` is not executed; `test_docs.py` reads it with
the command's own parser, as it does every other.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import REPOSITORY
from doc_links import FENCE, Session, sessions, words
from generators_world import ScriptedServer, serving
from preloaded import run_selene
from readme_inputs import (
    Sandbox,
    option,
    write_adapter,
    write_data,
    write_finished_run,
    write_input,
    write_rubric,
    write_samples,
    write_votes,
)

pytestmark = pytest.mark.slow


README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
# by tests of their own, which have the services or the packages that these pages need
TESTED_ELSEWHERE = ("howto_judge.md", "integrations.md", "scale.md")
PAGES = [p for p in sorted((REPOSITORY / "docs").glob("*.md")) if p.name not in TESTED_ELSEWHERE]
CLONE = (
    "Makefile",
    "README.md",
    "LICENSE",
    "bench",
    "constraints.txt",
    "examples",
    "notebooks",
    "pyproject.toml",
    "runs",
    "selene_lib",
    "tests",
)
SHORTENED = {  # a minute and a half of judging otherwise; rows of whole groups stay
    "examples/support_answers/labels.csv": 72,
    "examples/support_answers/unlabelled.csv": 3,
}
RUNNABLE = ("cat", "cd", "git", "head", "make", "papermill", "pip", "python", "selene", "true")
EXIT_CODES = {
    # 1 says that an installed version is not the tested one, which is for the reader to know
    "selene doctor": (0, 1),
    # 3 says that the embedded judge, which stands in here, is under the gate
    "selene agree": (0, 3),
}
TIMEOUT_SECONDS = 150


class Rule(NamedTuple):
    """What is written another way in a test, and why. `{data}`, `{server}`, `{hub}` are
    the sandbox's own.
    """

    pattern: str
    replacement: str
    reason: str


RULES = tuple(
    Rule(*rule)
    for rule in (
        (
            r"^\S*venv\S*/bin/",
            "",
            "the environment of the tests stands for the one that the README makes",
        ),
        (r"^uv run ", "", "the same"),
        (r"^uv pip ", "pip ", "uv may not be here; pip takes the same words"),
        (
            r"^uv venv\b",
            "python -m venv .venv",
            "uv may not be here; the standard library makes the same",
        ),
        (r"^python3\b", "python", "the tests' own interpreter"),
        (r"^python -m pip ", "pip ", "the same program"),
        (
            r"^python -m venv ",
            "python -m venv --without-pip ",
            "pip takes seven seconds and is not used",
        ),
        (
            r"^pip install ",
            "pip install --dry-run --no-deps --no-index --no-build-isolation ",
            "no network, and the tests' environment stays as it is; "
            "extras and pins are compared in test_docs.py",
        ),
        (
            r"^pip uninstall ",
            "python -m venv --without-pip bare && pip --python bare uninstall --yes ",
            "the tests' environment stays as it is: an empty one stands for it",
        ),
        (
            r"^make ",
            "make -n ",
            "this test itself runs under make; what the recipes call is executed by the suite",
        ),
        (
            r"^(python -m )?pytest\b",
            "python -m pytest --collect-only -q",
            "the suite would run itself",
        ),
        (
            r"^selene reproduce\b",
            "selene reproduce --dry-run",
            "minutes, a GPU or a server; test_smoke_chain.py executes the chain",
        ),
        (
            r"^selene (publish|verify)\b",
            r"selene \1 --help",
            "they need a finished run: minutes; test_smoke_chain.py executes both",
        ),
        (
            r"^selene lab\b.*",
            "selene lab --help",
            "a quarter of a minute: a test of its own starts it and asks it (make test-long)",
        ),
        (
            r"^selene lock\b",
            "HF_HUB_OFFLINE=0 HF_ENDPOINT={hub} selene lock",
            "no network: a stub of the hub names a revision",
        ),
        (
            r"^selene (data|model) get\b.*",
            r"selene \1 get --help",
            "no network: test_small_real_judge.py fetches from a local server",
        ),
        (
            r"^selene train\b",
            "selene train --base embedded --epochs 0.1",
            "minutes on a model that is fetched: the embedded one for two steps",
        ),
        (r"^selene audit\b(.*)", r"selene audit\1 -n 2", "a minute for a hundred items"),
        (
            r"^papermill ",
            "papermill --prepare-only ",
            "minutes, and inputs of other notebooks; test_notebook_runs.py and the chain run them",
        ),
        (
            r"^(python \S*bench/\S+\.py)\b.*",
            r"\1 --help",
            "a measurement takes minutes and wants a quiet machine",
        ),
        (
            r"https?://(localhost|127\.0\.0\.1|host|api\.openai\.com)(:\d+)?/v1",
            "{server}",
            "a stub server that speaks the OpenAI protocol",
        ),
        (
            r"^(python examples/train_minimal\.py|selene judge --adapter first-judge/) ?.*",
            "true",
            "a minute: test_examples.py trains and judges as the two say",
        ),
        (
            r"^selene figures$",
            "true",
            "half a minute: test_figures.py draws every figure, test_figure_tables.py by this name",
        ),
        (r"^vllm serve .*", "true", "vLLM needs a GPU: the stub server stands for it"),
        (r"--model vllm:\S+", "--model {server}#served", "vLLM needs a GPU"),
        (
            r"^(selene judge\b(?!.*--(?:model|adapter|help)\b).*)",
            r"\1 --model {server}#judge",
            "the small real model, which judges where none is named, may not be installed",
        ),
        (
            r"--model (?!replay:)[\w.-]+/[\w.-]+",
            "--model {server}#from-the-hub",
            "a hub id: no network, no GPU",
        ),
        (r"--base [\w.-]+/[\w.-]+", "--base embedded", "the same"),
        (
            r"--model smollm2\b",
            "--model {server}#small",
            "it may not be here: fetched on first use",
        ),
        (r"--base smollm2\b", "--base embedded", "the same"),
        (r"^git clone .*", "git init --quiet clone", "no network: makes the folder"),
        (r"^cd .*", "cd .", "the sandbox is the clone"),
        (r"^SELENE_HOME=\S+", "SELENE_HOME=elsewhere", "a folder of the sandbox"),
        (r"\bDIR\b", "{data}", "the reader's folder of published files"),
        (r"<run>", "nano", "the reader's choice"),
        (r"<(name|set)>", "hh_rlhf", "the reader's choice"),
    )
)


PARSED_ONLY = (
    ("--generator", "critiques by a served model, then a training: minutes"),
    ("--input tickets.csv", "a training on a table that is the reader's own"),
    ("import-outputs", "it needs the publisher's files of JudgeBench"),
    ("selene import ", "test_importing.py runs it on a file of each kind"),
    ("domain_file=mine.yaml", "the file is the reader's own"),
    ("agree my-judge/", "the README's block trains this judge first and then runs the same"),
)
"""Commands of docs/ that are parsed and not executed, and why. None of the README may be here."""


def is_parsed_only(session: Session) -> bool:
    return any(part in command for command in session.commands for part, _ in PARSED_ONLY)


def substituted(command: str, places: dict[str, str]) -> str:
    """Apply every rule to the command, and apart from it to the variables set before it; fill in
    the sandbox's addresses.
    """
    prefix = re.match(r"(?:[A-Z_]+=\S*\s+)*", command)[0]  # type: ignore[index]
    parts = [prefix, command[len(prefix) :]]
    for rule in RULES:
        parts = [re.sub(rule.pattern, rule.replacement, part) for part in parts]
    changed = "".join(parts)
    for name, value in places.items():
        changed = changed.replace("{" + name + "}", value)
    return changed


def program(command: str) -> str:
    """Return the program a command starts, past the variables set before it."""
    return next((word for word in words(command) if not re.match(r"[A-Z_]+=", word)), "")


# Inputs


def write_replies(path: Path, _: list[str], sandbox: Sandbox) -> None:
    """Judge a file into the output that these replies belong to: only the name that `selene judge`
    itself gives them is there then.
    """
    output = path.name.removesuffix(".replies.jsonl")
    execute(
        f"selene judge --task absolute --rubric r.txt --input rows.jsonl --output {output} "
        f"--model {sandbox.places['server']}#judge",
        sandbox,
    )


INPUTS: dict[str, Callable[[Path, list[str], Sandbox], None]] = {
    "--rubric": write_rubric,
    "--input": write_input,
    "--samples": write_samples,
    "--golden": write_samples,
    "--replies": write_replies,
    "--votes": write_votes,
    "--data-dir": write_data,
    "--adapter": write_adapter,
}


EARLIER_RESULTS = {r"(samples|golden|replies) artefacts/nano/": write_finished_run}


def write_inputs(command: str, sandbox: Sandbox) -> None:
    """Write the files that a command reads and that are not there yet."""
    given = words(command)
    for pattern, write_results in EARLIER_RESULTS.items():
        if re.search(pattern, command):
            write_results(sandbox)
    for name, write in INPUTS.items():
        value = option(given, name)
        if name == "--rubric" and value and not Path(value).suffix:
            continue  # the question itself, or a preset
        if value and not (sandbox.folder / value).exists():
            write(sandbox.folder / value, given, sandbox)
    replayed = re.search(r"--model replay:(\S+)", command)
    if replayed and not (sandbox.folder / replayed[1]).exists():
        asked = command.replace(
            replayed[0], "--model embedded --family full"
        )  # the wording that a replay asks in
        output = replayed[1].removesuffix(".replies.jsonl")
        execute(re.sub(r"--output \S+", f"--output {output}", asked), sandbox)


# Services


def reply_to(prompt: str, _: int | None) -> str:
    """A verdict of the kind that the prompt asks for."""
    verdict = (
        "Yes"
        if "Yes or No" in prompt
        else "3"
        if re.search(r"1 \(worst\)|from 1 to 5", prompt)
        else "A"
    )
    return f"**Reasoning:** Point by point, this holds up.\n\n**Result:** {verdict}"


class Hub(BaseHTTPRequestHandler):
    """The one answer of the hub that `selene lock` asks for: the revision of a data set."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(
            json.dumps({"id": self.path, "sha": "a" * 40, "tags": [], "siblings": []}).encode()
        )


@contextmanager
def stub_hub() -> Iterator[str]:
    http = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_address[1]}"
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def services():
    with serving(ScriptedServer(reply=reply_to)) as server, stub_hub() as hub:
        yield {"server": server.base_url, "hub": hub, "data": "data"}


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A copy of the project: no command of the README can touch the real one."""
    folder = tmp_path_factory.mktemp("clone")
    for name in CLONE:
        source = REPOSITORY / name
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, folder / name)
    for name, n_rows in SHORTENED.items():
        lines = (folder / name).read_text(encoding="utf-8").splitlines(keepends=True)
        (folder / name).write_text("".join(lines[: n_rows + 1]), encoding="utf-8")
    return folder


def make_sandbox(clone: Path, services: dict[str, str], folder: Path) -> Sandbox:
    shutil.copytree(clone, folder)
    return Sandbox(folder, services)


@pytest.fixture
def sandbox(clone, services, tmp_path):
    return make_sandbox(clone, services, tmp_path / "clone")


@pytest.fixture(scope="module")
def outcomes(clone, services, tmp_path_factory, request):
    """Every session that was asked for, two at a time: most of a command's seconds are imports on
    one core.
    """
    asked = [
        item.callspec.params["session"]
        for item in request.session.items
        if "outcomes" in getattr(item, "fixturenames", ())
    ]

    def run(session: Session) -> list[str]:
        return run_session(
            session, make_sandbox(clone, services, tmp_path_factory.mktemp("session") / "clone")
        )

    with ThreadPoolExecutor(2) as pool:
        yield {
            session: pool.submit(run, session)
            for session in asked
            if not wants_pip_where_none_is(session)
        }


# Execution


def execute(command: str, sandbox: Sandbox) -> str:
    """Write the inputs of a substituted command, run it, and check exit code, stderr and declared
    outputs; return what it printed.
    """
    write_inputs(command, sandbox)
    done = run(command, sandbox)
    allowed = next(
        (codes for start, codes in EXIT_CODES.items() if command.startswith(start)), (0,)
    )
    assert done.returncode in allowed, (
        f"{command}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.stdout or program(command) != "selene" or ">" in command, (
        f"{command}: printed nothing"
    )
    for name in outputs(words(command)):
        assert (sandbox.folder / name).exists(), f"{command}: wrote no {name}"
        sandbox.task_of[f"{name}.replies.jsonl"] = option(words(command), "--task")
    return done.stdout


def run(command: str, sandbox: Sandbox) -> subprocess.CompletedProcess:
    """Run a command, one of `selene` alone in a process that has the large libraries already."""
    environment, given = sandbox.environment(), words(command)
    if command.startswith("selene ") and not re.search(r"[|<>;&$*`]", command):
        return run_selene(given[1:], sandbox.folder, environment, TIMEOUT_SECONDS)
    return subprocess.run(
        ["bash", "-c", command],
        cwd=sandbox.folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )


def outputs(given: list[str]) -> list[str]:
    """Return the files that a command says it writes."""
    named = [option(given, "--output"), option(given, "--out")]
    copies = [word for word in given if word.endswith(".ipynb")][1:] if "papermill" in given else []
    return [name for name in (*named, *copies) if name]


def ask_until_it_answers(command: str, port: int, sandbox: Sandbox) -> str:
    """Start a server, ask it over HTTP until it answers, end it with all it started."""
    address = f"http://127.0.0.1:{port}/lab?token=test"
    log = sandbox.folder / "server.log"
    with log.open("w") as stream:
        options = {
            "cwd": sandbox.folder,
            "env": sandbox.environment(),
            "stdin": subprocess.DEVNULL,
            "start_new_session": True,
        }
        process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"], stdout=stream, stderr=stream, **options
        )
    try:
        deadline = time.monotonic() + 60
        while not answers(address):
            assert process.poll() is None and time.monotonic() < deadline, (
                f"{command}: no answer\n{log.read_text()}"
            )
            time.sleep(0.2)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=20)
    return log.read_text()


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as reply:
            return reply.status == 200
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def uncovered(command: str) -> str:
    """Return why a command cannot be executed here, or nothing."""
    name = program(substituted(command, {}))
    if name in RUNNABLE or command.startswith("export "):
        return ""
    return (
        f"`{command}` of the README is executed by no test: "
        f"add a Rule for it to tests/test_readme_commands.py, or {name!r} to RUNNABLE"
    )


def run_session(session: Session, sandbox: Sandbox) -> list[str]:
    """Execute the commands of a session in order in the sandbox; return what each printed."""
    printed = []
    for command in session.commands:
        if session.python:
            here = re.sub(r"https?://localhost:8000/v1", sandbox.places["server"], command)
            (sandbox.folder / "snippet.py").write_text(here, encoding="utf-8")
            printed.append(execute("python snippet.py", sandbox))
        elif command.startswith("export "):
            sandbox.variables |= dict(word.split("=", 1) for word in words(command)[1:])
        else:
            assert not uncovered(command), uncovered(command)
            printed.append(execute(substituted(command, sandbox.places), sandbox))
    return printed


def wants_pip_where_none_is(session: Session) -> bool:
    return find_spec("pip") is None and any(
        re.search(r"(^|\s)pip ", substituted(command, {})) for command in session.commands
    )


def once(found: list[Session]) -> list[Session]:
    """Leave out what would only do the same again: commands that another session executes too, with
    nothing before them.
    """
    unique = {
        tuple(substituted(command, {}) for command in session.commands): session
        for session in reversed(found)
    }
    longer = {command for commands in unique if len(commands) > 1 for command in commands}
    return [
        session
        for commands, session in reversed(unique.items())
        if len(commands) > 1 or commands[0] not in longer
    ]


def sessions_of_docs() -> list[Session]:
    """The fenced blocks of docs/ that are executed, each with the name of its page."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in FENCE.finditer(text):
            found += [
                replace(session, where=page.stem)
                for session in sessions(block[0])
                if not is_parsed_only(session)
            ]
    return found


@pytest.mark.parametrize(
    "session",
    once([*sessions(README), *sessions_of_docs()]),
    ids=lambda s: f"{s.where} {s.commands[0].splitlines()[0][:40]}",
)
def test_the_commands_of_readme_and_docs_run(session, outcomes):
    if wants_pip_where_none_is(session):
        pytest.skip("this environment has no pip (uv made it): a pip command cannot be tried")
    outcomes[session].result()


@pytest.mark.long
def test_the_lab_opens_without_a_browser_and_answers(sandbox):
    port = free_port()
    options = f"--no-browser --port={port} --IdentityProvider.token=test --allow-root"
    assert "/lab" in ask_until_it_answers(f"selene lab -- {options}", port, sandbox)


@pytest.mark.parametrize(
    ("command", "executed"),
    [
        (".venv/bin/selene reproduce", "selene reproduce --dry-run"),
        ("uv run selene doctor", "selene doctor"),
        (
            "SELENE_HOME=/data selene reproduce --run paper",
            "SELENE_HOME=elsewhere selene reproduce --dry-run --run paper",
        ),
        ("make reproduce RUN=paper", "make -n reproduce RUN=paper"),
        ("python3 -m venv .venv", "python -m venv --without-pip .venv"),
        ("uv venv", "python -m venv --without-pip .venv"),
        (
            "uv pip install -e .",
            "pip install --dry-run --no-deps --no-index --no-build-isolation -e .",
        ),
        (
            "papermill notebooks/04_x.ipynb out.ipynb",
            "papermill --prepare-only notebooks/04_x.ipynb out.ipynb",
        ),
        ("selene lab", "selene lab --help"),
        (
            "selene judge --model http://localhost:11434/v1#llama",
            "selene judge --model http://stub/v1#llama",
        ),
        (
            "selene judge --model AtlaAI/Selene-1-Mini-Llama-3.1-8B",
            "selene judge --model http://stub/v1#from-the-hub",
        ),
        ("selene judge --model replay:a/b.jsonl", "selene judge --model replay:a/b.jsonl"),
        ("selene sources --data-dir DIR", "selene sources --data-dir data"),
    ],
)
def test_what_is_executed_in_its_place(command, executed):
    assert substituted(command, {"server": "http://stub/v1", "data": "data"}) == executed


@pytest.mark.parametrize(
    "command", ["rm -rf everything", "docker run x", "npx selene", "./selene.sh now"]
)
def test_a_command_without_a_rule_fails_the_test(command, sandbox):
    with pytest.raises(AssertionError, match="executed by no test"):
        run_session(Session("line 1", (command,)), sandbox)


def test_a_command_that_fails_or_writes_nothing_fails_the_test(sandbox):
    with pytest.raises(AssertionError, match="exit code 2"):
        run_session(Session("line 1", ("selene arena --votes v.csv --frobnicate",)), sandbox)
    with pytest.raises(AssertionError, match=r"wrote no x\.csv"):
        execute("true --output x.csv", sandbox)
