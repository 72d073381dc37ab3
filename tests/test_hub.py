"""`selene push` against a stub of the hub: what arrives there, and what never leaves."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from conftest import REPOSITORY

pytest.importorskip("huggingface_hub", reason="the extra 'hub' is not installed: make test-hub")


class StubHub:
    """Takes one repository's commits; remembers its settings, keys and files."""

    def __init__(self, refuses: str = "") -> None:
        self.refuses = refuses
        self.created: list[dict] = []
        self.files: dict[str, bytes] = {}
        self.keys: set[str] = set()
        self.url = ""


def _handler(hub: StubHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            return

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hub.keys.add(self.headers.get("Authorization", ""))
            if hub.refuses:
                self.send(403, {"error": hub.refuses})
            elif self.path == "/api/repos/create":
                hub.created.append(json.loads(body))
                self.send(200, {"url": f"{hub.url}/me/my-judge"})
            elif "/preupload/" in self.path:
                asked = json.loads(body)["files"]
                answer = [
                    {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                    for f in asked
                ]
                self.send(200, {"files": answer})
            elif self.path == "/api/validate-yaml":  # of the card
                self.send(200, {"errors": [], "warnings": []})
            else:
                self.take(body)
                url = f"{hub.url}/me/my-judge/commit/0000000000000000000000000000000000000001"
                self.send(200, {"success": True, "commitOid": "0" * 39 + "1", "commitUrl": url})

        def take(self, body: bytes) -> None:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    content = base64.b64decode(line["value"]["content"])
                    hub.files[line["value"]["path"]] = content

        def send(self, status: int, answer: dict) -> None:
            raw = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

    return Handler


@contextmanager
def serving_hub(hub: StubHub):
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    hub.url = f"http://127.0.0.1:{http.server_address[1]}"
    try:
        yield hub
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


@pytest.fixture
def adapter(tmp_path) -> Path:
    """A folder as `selene train` leaves it, with a user's texts in some of its files."""
    folder = tmp_path / "my-judge"
    (folder / "work").mkdir(parents=True)
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "smollm2"}')
    (folder / "adapter_model.safetensors").write_bytes(b"weights" * 100)
    row = {"who": "trained", "accuracy": 0.9, "accuracy_low": 0.8, "accuracy_high": 0.95}
    measured = {"rows": [row], "n": 60, "sentence": "It is better than its base."}
    judge = {"base": "smollm2", "task": "classification", "agreement": measured}
    (folder / "selene.json").write_text(json.dumps({"base_model": "smollm2", "judge": judge}))
    agreement = {"n": 60, "disagreements": [{"response": "a secret text"}]}
    (folder / "agreement.json").write_text(json.dumps(agreement))
    (folder / "agreement.html").write_text("a secret text")
    (folder / "held_out.csv").write_text("response\na secret text\n")
    (folder / "comparison.json").write_text(json.dumps(measured))
    (folder / "work/pairs.jsonl").write_text("a secret text")
    return folder


def push(*arguments: str, endpoint: str = "http://127.0.0.1:9") -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "PYTHONPATH": str(REPOSITORY),
        "HF_ENDPOINT": endpoint,
        "HF_HUB_OFFLINE": "0",
        "HF_TOKEN": "hf_of_this_test",
    }
    command = [sys.executable, "-m", "selene_lib.cli", "push", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_adapter_card_and_agreement_arrive_and_no_text_does(adapter):
    with serving_hub(StubHub()) as hub:
        done = push(str(adapter), "me/my-judge", endpoint=hub.url)
        assert done.returncode == 0, done.stderr
        assert done.stdout.endswith(f"sent to {hub.url}/me/my-judge\n")
    assert set(hub.files) == {
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "agreement.json",
        "comparison.json",
        "selene.json",
    }
    assert hub.files["adapter_model.safetensors"] == b"weights" * 100
    assert json.loads(hub.files["agreement.json"]) == {"n": 60}
    card = hub.files["README.md"].decode()
    assert "base_model: smollm2" in card and "It is better than its base." in card
    assert "trained: accuracy 0.900 [0.800, 0.950], n 60" in card
    assert b"secret" not in b"".join(hub.files.values())
    assert hub.created[0]["name"] == "my-judge" and hub.created[0]["visibility"] == "private"
    assert hub.keys == {"Bearer hf_of_this_test"}
    assert "hf_of_this_test" not in done.stdout + done.stderr


def test_texts_and_a_public_place_are_asked_for(adapter):
    (adapter / "README.md").write_text("# my own card\n")
    with serving_hub(StubHub()) as hub:
        push(str(adapter), "me/my-judge", "--public", "--with-texts", endpoint=hub.url)
    assert {"agreement.html", "held_out.csv"} <= set(hub.files)
    assert b"a secret text" in hub.files["agreement.json"]
    assert hub.files["README.md"] == b"# my own card\n"
    assert hub.created[0]["visibility"] == "public"
    assert not any("work" in name for name in hub.files)


def test_a_dry_run_sends_nothing(adapter):
    done = push(str(adapter), "me/my-judge", "--dry-run")  # nothing listens there
    assert done.returncode == 0 and "nothing was sent" in done.stdout
    assert "700 bytes  adapter_model.safetensors" in done.stdout


def test_what_the_hub_refuses_is_one_line_with_the_remedy(adapter):
    with serving_hub(StubHub("you may not write here")) as hub:
        done = push(str(adapter), "me/my-judge", endpoint=hub.url)
    assert done.returncode == 2 and "set HF_TOKEN" in done.stderr
    assert "Traceback" not in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_folder_that_is_no_adapter_is_refused(tmp_path):
    done = push(str(tmp_path), "me/my-judge")
    assert done.returncode == 2 and "adapter_config.json is not there" in done.stderr
