"""`selene serve` in a process of its own, asked by clients; the judge's model is a stub server."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from conftest import REPOSITORY
from generators_world import ScriptedServer, serving

NEEDS = "the extra 'serve' is not installed: make test-serve, or pip install 'selene_lib[serve]'"
pytest.importorskip("fastapi", reason=NEEDS)
pytest.importorskip("uvicorn", reason=NEEDS)

RUBRIC = "Is it right?\nYes: it is\nNo: it is not"
KEY = "a-key-of-this-test"


def reply(prompt: str, _: int | None) -> str:
    """Yes to even numbers, No to odd ones."""
    found = re.search(r"answer (\d+)\.", prompt)
    verdict = "No" if found and int(found[1]) % 2 else "Yes"
    return f"**Reasoning:** Read twice.\n\n**Result:** {verdict}"


def free_port() -> int:
    with socket.socket() as any_port:
        any_port.bind(("127.0.0.1", 0))
        return any_port.getsockname()[1]


class Served:
    """A running `selene serve`."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process, self.base = process, f"http://127.0.0.1:{port}"

    def ask(self, path: str, body: object = None, key: str = "") -> tuple[int, dict]:
        """Return status and answer; a connection that is refused or broken raises OSError."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data)
        request.add_header("Content-Type", "application/json")
        if key:
            request.add_header("Authorization", f"Bearer {key}")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def stop(self) -> str:
        self.process.send_signal(signal.SIGTERM)
        said, _ = self.process.communicate(timeout=60)
        return said


@contextmanager
def served(model: str, *options: str, port: int | None = None, **environment: str):
    port = port or free_port()
    command = [sys.executable, "-m", "selene_lib.cli", "serve", "--model", model]
    command += ["--port", str(port), "--task", "classification", *options]
    process = subprocess.Popen(
        command,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    found = Served(process, port)
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        try:
            found.ask("/health")
            break
        except OSError:
            time.sleep(0.05)
    try:
        yield found
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def item(i: int) -> dict:
    return {"instruction": "Why?", "response": f"This is answer {i}.", "rubric": RUBRIC}


def wanted(i: int) -> str:
    return "No" if i % 2 else "Yes"


def test_items_are_judged_one_and_many_and_the_page_names_the_protocol():
    with serving(ScriptedServer(reply=reply)) as server, served(f"{server.base_url}#m") as judge:
        status, said = judge.ask("/judge", item(3))
        assert status == 200 and said["verdict"] is False and said["status"] == "value"
        assert (said["label"], said["score"], said["judge"]) == ("No", 0.0, "m")
        assert said["reasoning"] == "Read twice."
        status, said = judge.ask("/judge/batch", {"items": [item(i) for i in range(5)]})
        assert [r["label"] for r in said["results"]] == ["Yes", "No", "Yes", "No", "Yes"]
        _, health = judge.ask("/health")
        assert (health["status"], health["n_taken"], health["n_answered"]) == ("ok", 6, 6)
        _, page = judge.ask("/openapi.json")
        assert {"/judge", "/judge/batch", "/health"} <= set(page["paths"])
        with urllib.request.urlopen(f"{judge.base}/docs", timeout=10) as docs:
            assert b"swagger" in docs.read().lower()
        assert "stopped: 6 items taken, 6 answered" in judge.stop()
        assert judge.process.returncode == 0


def test_a_key_and_limits_are_kept():
    limits = ["--max-items", "2", "--max-body-bytes", "2000"]
    with (
        serving(ScriptedServer(reply=reply)) as server,
        served(f"{server.base_url}#m", *limits, SELENE_SERVE_KEY=KEY) as judge,
    ):
        assert judge.ask("/judge", item(1))[0] == 401
        assert judge.ask("/judge", item(1), key="another")[0] == 401
        assert judge.ask("/judge", item(1), key=KEY)[0] == 200
        assert judge.ask("/health")[0] == 200
        many = {"items": [item(i) for i in range(3)]}
        assert judge.ask("/judge/batch", many, key=KEY)[0] == 413
        assert judge.ask("/judge", item(1) | {"response": "x" * 3000}, key=KEY)[0] == 413
        status, said = judge.ask("/judge", item(1) | {"rubrik": "x"}, key=KEY)
        assert status == 422 and "rubrik" in json.dumps(said)
        pair = item(1) | {"task": "pairwise"}
        status, said = judge.ask("/judge", pair, key=KEY)
        assert status == 422 and "pairwise" in json.dumps(said)
        assert KEY not in judge.stop()


def test_others_are_not_listened_to_without_a_key():
    command = [
        sys.executable,
        "-m",
        "selene_lib.cli",
        "serve",
        "--model",
        "http://127.0.0.1:9/v1#m",
    ]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [*command, "--host", "0.0.0.0"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 2 and "SELENE_SERVE_KEY" in done.stderr


@pytest.mark.slow
def test_two_hundred_requests_of_sixteen_clients_and_a_stop_in_the_middle(tmp_path):
    """Every client gets every answer; the model's server is paid once for each."""
    n_items, port = 200, free_port()
    server = ScriptedServer(lambda *_: "delay", reply)
    server.delay_seconds = 0.03
    store = ["--store", str(tmp_path / "paid.jsonl")]
    n_done, stopped, lock = 0, threading.Event(), threading.Lock()

    def client(i: int) -> str:
        nonlocal n_done
        for _ in range(1200):  # a minute at most
            try:
                status, said = current[0].ask("/judge", item(i))
            except OSError:  # refused: nothing was taken
                time.sleep(0.05)
                continue
            if status == 200:
                with lock:
                    n_done += 1
                    if n_done == 80:
                        stopped.set()
                return said["label"]
            raise AssertionError(f"item {i}: {status} {said}")
        raise AssertionError(f"item {i} was never answered")

    with serving(server), ThreadPoolExecutor(16) as clients:
        with served(f"{server.base_url}#m", *store, port=port) as first:
            current = [first]
            answers = [clients.submit(client, i) for i in range(n_items)]
            stopped.wait(60)
            said = first.stop()
        taken, answered = map(int, re.findall(r"(\d+) items taken, (\d+) answered", said)[0])
        assert taken == answered and 80 <= taken < n_items
        with served(f"{server.base_url}#m", *store, port=port) as second:
            current[0] = second
            assert [a.result() for a in answers] == [wanted(i) for i in range(n_items)]
            rest = second.stop()
        assert int(re.findall(r"(\d+) items taken", rest)[0]) == n_items - taken
        assert server.most_in_flight > 4  # those of several clients were judged together
        assert server.n_asked == n_items and max(server.asked.values()) == 1
