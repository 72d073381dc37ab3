"""Children end with their parent, however it ends; a stopped command says how to go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from selene_lib import cli

CHILD = (
    "import os, sys, time; from selene_lib.models.lifetimes import end_with_parent;"
    "end_with_parent(int(sys.argv[1]), at_once={at_once}); print(os.getpid(), flush=True);"
    "time.sleep(60)"
)
PARENT = (
    "import os, subprocess, sys, time;"
    "subprocess.Popen([sys.executable, '-c', sys.argv[1], str(os.getpid())]); time.sleep(60)"
)


@pytest.mark.slow
@pytest.mark.parametrize("at_once", [True, False])
def test_a_child_ends_when_its_parent_is_killed(at_once):
    words = [sys.executable, "-c", PARENT, CHILD.format(at_once=at_once)]
    parent = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    child = psutil.Process(int(parent.stdout.readline()))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    child.wait(timeout=10)
    assert not child.is_running()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_command_ends_its_children_and_names_the_command_that_goes_on(number, code):
    command = (
        "import subprocess, sys, time\n"
        "from selene_lib.pipeline.children import stopped_in_one_line\n"
        "with stopped_in_one_line(lambda: 'selene reproduce --run mine --from 02'):\n"
        "    child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "    print(child.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    child = int(process.stdout.readline())
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == code
    assert said == "selene: stopped; go on with: selene reproduce --run mine --from 02\n"
    deadline = time.monotonic() + 5
    while psutil.pid_exists(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not psutil.pid_exists(child)


def test_a_command_stopped_by_hand_says_so(monkeypatch, capsys):
    def stopped(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr("sys.argv", ["selene", "rubrics"])
    monkeypatch.setattr("selene_lib.prompts.presets.presets", stopped)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 130
    assert capsys.readouterr().err.strip().splitlines()[-1] == (
        "selene: stopped; the same command goes on where it was"
    )


@pytest.mark.parametrize("place", ["file", "below a file"])
def test_a_home_that_is_no_folder_is_one_line(tmp_path, place):
    (tmp_path / "home").write_text("x")
    home = tmp_path / "home" / ("below" if place == "below a file" else "")
    done = subprocess.run(
        [sys.executable, "-m", "selene_lib.cli", "reproduce", "--to", "00"],
        capture_output=True,
        text=True,
        env={**os.environ, "SELENE_HOME": str(home).rstrip("/")},
    )
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "selene: " in done.stderr
