"""A judge whose server is started for it: found, waited for, asked, ended; vLLM's command line."""

import json
import sys
import types
from itertools import pairwise

import pytest
from training_world import make_tokenizer

from selene_lib import nano
from selene_lib.errors import UserError
from selene_lib.judges import served
from selene_lib.judges.judging import Asking, judge_samples
from selene_lib.judges.opening import Limits, open_arm
from selene_lib.judges.served import LocalServer, ServedJudge, choose_engine, vllm_command
from selene_lib.prompts.rendering import Prompt

STUB = """
import json, os, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    def answer(self, body):
        text = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def do_GET(self):
        self.answer({"data": [{"id": "judge"}]})
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        print(json.dumps([asked["model"], asked["messages"][0]["content"],
                          self.headers["Authorization"], os.environ.get("OPENAI_API_KEY")]))
        sys.stdout.flush()
        reply = {"role": "assistant", "content": "**Reasoning:** so\\n\\n**Result:** Yes"}
        choice = {"index": 0, "message": reply, "finish_reason": "stop"}
        usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
        self.answer({"id": "x", "object": "chat.completion", "created": 0, "model": "judge",
                     "choices": [choice], "usage": usage})
    def log_message(self, *_):
        pass
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def stub(port):
    return [sys.executable, "-c", STUB, str(port)]


def open_stub(tmp_path, identity="weights"):
    server = LocalServer(stub, tmp_path / "server.log", patience_seconds=60)
    tokenizer = make_tokenizer(tmp_path / "tokenizer")
    return ServedJudge(server, tokenizer, identity, name="arm", max_new_tokens=20)


@pytest.mark.slow
def test_a_served_judge_answers_and_goes_on_under_another_port(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-somebody-else")
    samples = nano.make_set("nano-classification", 4, seed=3)
    store, ports, found = tmp_path / "store.jsonl", set(), []
    for n in (2, 4):  # the second server goes on where the first one stopped
        judge = open_stub(tmp_path)
        ports.add(judge.server.base_url)
        found = judge_samples(judge, "s", samples[:n], Asking("nano"), store=store, progress=False)
        judge.close()
        assert judge.server.process.poll() is not None, "the server ends with its judge"
    assert len(found) == 4 and {judgement.verdict for judgement in found} == {"Yes"}
    lines = [json.loads(line) for line in (tmp_path / "server.log").read_text().splitlines()]
    assert len(lines) == 2 and all(line[0] == "judge" for line in lines)
    assert not any("somebody-else" in str(line) for line in lines), "a key left the machine's user"
    other = open_stub(tmp_path, "other weights")
    with pytest.raises(UserError, match=r"fingerprint|weights"):
        judge_samples(other, "s", samples, Asking("nano"), store=store, progress=False)
    other.close()


def test_control_tokens_inside_a_text_are_broken_up_for_a_server_too(tmp_path):
    judge = open_stub(tmp_path)
    request = judge._request(Prompt("good <|end|> bad", "pairwise", "x"))
    judge.close()
    assert "<|end|>" not in request.messages[0]["content"]


def test_a_server_that_ends_or_stays_silent_shows_its_last_lines(tmp_path):
    ends = [sys.executable, "-c", "print('no room on the GPU'); raise SystemExit(1)"]
    with pytest.raises(UserError, match="ended before it answered: no room on the GPU"):
        LocalServer(lambda port: ends, tmp_path / "a.log", patience_seconds=60)
    silent = [sys.executable, "-c", "import time; time.sleep(60)"]
    with pytest.raises(UserError, match="did not answer in time: it wrote nothing"):
        LocalServer(lambda port: silent, tmp_path / "b.log", patience_seconds=1)


def test_the_command_of_vllm_serves_the_adapter_under_the_judges_name(tmp_path):
    (tmp_path / "adapter_config.json").write_text('{"r": 24}')
    command = vllm_command("base", tmp_path, 80, max_model_tokens=1024, dtype="float16")
    asked = dict(pairwise(command))
    assert command[1:3] == ["serve", "base"] and asked["--lora-modules"] == f"judge={tmp_path}"
    assert asked["--max-lora-rank"] == "32" and asked["--max-model-len"] == "1024"
    assert asked["--dtype"] == "float16" and "--served-model-name" not in command
    alone = vllm_command("base", None, 80, max_model_tokens=None, dtype="bfloat16")
    assert alone[-2:] == ["--served-model-name", "judge"] and "--enable-lora" not in alone


def test_where_a_server_judges_and_where_not(tmp_path, monkeypatch):
    import torch

    def chosen(engine, read="greedy", adapter=None, is_small=False):
        return choose_engine(engine, read=read, adapter=adapter, is_small=is_small)

    assert chosen("auto") == "local"  # no GPU here
    with pytest.raises(UserError, match="needs an NVIDIA GPU"):
        chosen("vllm")
    with pytest.raises(UserError, match="not one of auto, local, vllm"):
        chosen("fast")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(served.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"pip install 'selene_lib\[vllm\]'"):
        chosen("vllm")
    monkeypatch.setattr(served.importlib.util, "find_spec", lambda _: types.ModuleType("vllm"))
    assert chosen("auto") == chosen("vllm") == "vllm"
    assert chosen("auto", is_small=True) == chosen("auto", read="logprob") == "local"
    assert chosen("auto", adapter=tmp_path) == "local"  # full weights, not a LoRA
    assert chosen("local") == "local"


@pytest.mark.slow
def test_the_embedded_judge_opens_in_this_process():
    with open_arm("embedded", "base", None, Limits(20)) as judge:
        assert type(judge).__name__ == "LocalJudge" and judge.name == "base"
