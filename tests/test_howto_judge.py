"""The page on judging one's own answers is executed: its commands in order, and its Python."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
import time

import pytest
from conftest import REPOSITORY
from doc_links import sessions, words
from judge_stub import GOOD, stub_server
from typer.testing import CliRunner

from selene_lib.cli import app
from selene_lib.judges.asked import criteria_of

PAGE = (REPOSITORY / "docs" / "howto_judge.md").read_text(encoding="utf-8")
SERVER = "http://localhost:8000/v1"


@pytest.fixture
def twenty(tmp_path):
    """Twenty answers of the example, in a table with the columns `question` and `answer`."""
    source = REPOSITORY / "examples" / "support_answers" / "labels.csv"
    with open(source, encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))[:20]
    with open(tmp_path / "answers.csv", "w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["question", "answer"])
        table.writerows([row["instruction"], row["response"]] for row in rows)
    return tmp_path


def run(command: list[str], folder) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "OPENAI_API_KEY": "sk-test"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def commands(text: str) -> list[list[str]]:
    """The commands of the page's blocks, in order; a code span is none that stands alone."""
    blocks = [s for s in sessions(text) if len(s.commands) == 1 and s.commands[0].count(" ") > 6]
    return [words(session.commands[0]) for session in blocks if not session.python]


def table(path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_criteria_of_the_page_can_be_read(tmp_path):
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "criteria.yaml").write_text(block)
    found = criteria_of(tmp_path / "criteria.yaml")
    assert [(c.name, c.weight, c.veto) for c in found] == [
        ("correct", 2, False),
        ("short", 1, False),
        ("safe", 1, True),
    ]


def test_every_command_of_the_page_does_what_it_says(twenty, monkeypatch):
    monkeypatch.chdir(twenty)
    before = (twenty / "answers.csv").read_bytes()
    with stub_server(GOOD) as server:
        outputs = []
        for command in commands(PAGE):
            assert command[0] == "selene"
            given = [word.replace(SERVER, server.address) for word in command[1:]]
            n_asked = len(server.asked)
            done = CliRunner().invoke(app, given)
            assert done.exit_code == 0, done.output
            outputs.append(done.stdout)
            print(f"{' '.join(command)[:60]}...: {len(server.asked) - n_asked} requests")
        n_requests = len(server.asked)
    assert (twenty / "answers.csv").read_bytes() == before
    judged, dry, panel, again = outputs
    assert "20 rows judged by my-model, 0 without a readable verdict" in judged
    assert "4 20" in judged and "mean 4.000" in judged
    assert "20 rows: 20 requests, 20 of them answered already" in dry
    assert "the judges differ on 0.0% of the rows" in panel and "kappa between" in panel
    assert "replies: again.csv.replies.jsonl" in again
    assert n_requests == 20 + 20 * 3 * 2, "the dry run and the replay ask nobody"
    rows = table(twenty / "judged.csv")
    assert [row["verdict"] for row in rows] == ["4"] * 20 and list(rows[0])[:2] == [
        "question",
        "answer",
    ]
    assert rows[0]["reasoning"] == "It settles the request." and rows[0]["judge"] == "my-model"
    for name in ("panel.csv", "again.csv"):
        rows = table(twenty / name)
        assert {row["verdict_my-model"] for row in rows} == {"4"}
    same = [[row | {"judge": ""} for row in table(twenty / f"{n}.csv")] for n in ("panel", "again")]
    assert same[0] == same[1]


def test_the_six_lines_of_python_judge_twenty_answers_together(twenty):
    (code,) = [s.commands[0] for s in sessions(PAGE) if s.python and "asyncio" in s.commands[0]]
    assert sum(bool(line.strip()) for line in code.splitlines()) == 6

    def slowly(_):
        time.sleep(0.05)
        return GOOD

    with stub_server(slowly) as server:
        script = code.replace(SERVER, server.address)
        script += "\nprint(*(one.verdict for one in results))\n"
        out = run([sys.executable, "-c", script], twenty)
        assert out.split() == ["4"] * 20
        assert len(server.asked) == 20 and server.most_at_once > 4
        print(f"20 answers awaited, at most {server.most_at_once} at a time")
