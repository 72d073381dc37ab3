"""Generators with the embedded model: sampling in this process, and end to end through a real
server.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from generators_world import make_samples, stub_teacher

from selene_lib.curation.critiques import generate_critiques
from selene_lib.curation.generators.opening import open_generator
from selene_lib.curation.generators.protocol import GeneratorSpec, Request
from selene_lib.curation.generators.teacher import TeacherGenerator
from selene_lib.models.reply_store import ReplyStore
from selene_lib.prompts.rendering import render

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def embedded():
    """The embedded world and its base model."""
    nano = pytest.importorskip("selene_lib.nano")
    if not (nano.base_path() / "model.safetensors").is_file():
        pytest.skip("the embedded base model is not built: python -m selene_lib.nano.pretrain")
    return nano


@pytest.fixture(scope="module")
def local(embedded):
    return open_generator(
        GeneratorSpec("local", "embedded", max_reply_tokens=80, extra={"batch_size": 8})
    )


def questions(embedded, n: int, temperature: float = 0.7) -> list[Request]:
    samples = embedded.make_set("nano-classification", n, seed=11)
    return [
        Request(
            s, None, render(s, family="nano").text, seed=5, attempt=i % 2, temperature=temperature
        )
        for i, s in enumerate(samples)
    ]


def test_gumbel_noise_draws_from_the_softmax():
    import torch

    from selene_lib.curation.generators.local import GumbelRows

    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0]])
    noise = GumbelRows([(7, 0.5)])
    drawn = (
        np.bincount([noise(None, logits)[0].argmax().item() for _ in range(4000)], minlength=4)
        / 4000
    )
    assert np.abs(drawn - torch.softmax(logits[0] / 0.5, 0).numpy()).max() < 0.02
    greedy = GumbelRows([(7, 0.0), (8, 0.0)])
    assert greedy(None, logits.repeat(2, 1)).argmax(1).tolist() == [0, 0]


def test_a_reply_does_not_depend_on_its_neighbours(embedded, local):
    requests = questions(embedded, 12)
    together = local.generate(requests)
    alone = [local.generate([r])[0] for r in requests[:4]]
    assert alone == together[:4]
    assert local.generate(requests[::-1])[::-1] == together
    assert all(g.n_prompt_tokens > 10 and 0 < g.n_reply_tokens <= 80 for g in together)
    hot = local.generate(
        [Request(r.sample, None, r.prompt, seed=6, temperature=1.5) for r in requests]
    )
    assert [g.text for g in hot] != [g.text for g in together]


def test_what_is_stored_is_not_generated_again(embedded, local, tmp_path, monkeypatch):
    requests = questions(embedded, 10)
    asked = []
    answer = local._answer
    monkeypatch.setattr(local, "_answer", lambda batch: asked.append(len(batch)) or answer(batch))
    with ReplyStore(tmp_path / "s.jsonl") as store:
        first = local.generate(requests[:6], store=store)
    with ReplyStore(tmp_path / "s.jsonl") as store:
        both = local.generate(requests, store=store)
        assert local.generate(requests + requests, store=store) == both + both
    assert both[:6] == first and sum(asked) == 10
    assert both == local.generate(requests)  # an interrupted run ends like an undisturbed one


def test_rejection_sampling_with_a_model_of_its_own_mind(embedded, local):
    samples = embedded.make_set("nano-classification", 12, seed=3)
    result = generate_critiques(
        samples, local, store=None, method="sample", n_samples=4, temperature=1.0, family="nano"
    )
    (entry,) = result.ledger.entries
    assert entry.n_in == 12 == entry.n_out + sum(entry.dropped.values()) and 2 * entry.n_out == len(
        result.critiques
    )
    assert entry.n_out > 0 and all(c.agrees == (i % 2 == 0) for i, c in enumerate(result.critiques))


def test_the_teacher_of_the_embedded_world_writes_two_verified_critiques_an_item(embedded):
    for name in embedded.NANO_SOURCES:
        samples = embedded.make_source(name, 40, seed=2)
        result = generate_critiques(samples, TeacherGenerator(), store=None, family="nano")
        assert [(e.n_in, e.n_out) for e in result.ledger.entries] == [(40, 40)], (
            result.ledger.rows()
        )


def test_the_stub_teacher_is_deterministic():
    request = Request(make_samples(1)[0], "2", "p", seed=0)
    teacher = TeacherGenerator(stub_teacher)
    assert teacher.generate([request]) == teacher.generate([request])
    assert teacher.generate([request]) != teacher.generate(
        [Request(request.sample, "2", "p", seed=1)]
    )


@pytest.fixture(scope="module")
def served(embedded, tmp_path_factory):
    """`transformers serve` with the embedded base on a free port of this machine: its address and
    the model's name there.
    """
    pytest.importorskip(
        "fastapi", reason="the extra 'serve' is not installed: pip install 'selene_lib[serve]'"
    )
    pytest.importorskip(
        "uvicorn", reason="the extra 'serve' is not installed: pip install 'selene_lib[serve]'"
    )
    program = shutil.which("transformers", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("no transformers command beside this Python")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = open(tmp_path_factory.mktemp("serve") / "log", "w")  # noqa: SIM115  (closed below)
    model = str(embedded.base_path())
    command = [
        program,
        "serve",
        model,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--device",
        "cpu",
    ]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        _wait_until_up(process, f"http://127.0.0.1:{port}/health", Path(log.name))
        yield f"http://127.0.0.1:{port}/v1", model
    finally:
        process.terminate()
        process.wait(20)
        log.close()


def _wait_until_up(
    process: subprocess.Popen, address: str, log: Path, seconds: float = 120.0
) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            pytest.fail(f"transformers serve ended: {log.read_text()[-2000:]}")
        try:
            urllib.request.urlopen(address, timeout=2).close()
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"transformers serve did not come up in {seconds} s: {log.read_text()[-2000:]}")


@pytest.mark.long
def test_end_to_end_through_transformers_serve(embedded, served, tmp_path):
    base_url, model = served
    samples = embedded.make_set("nano-classification", 6, seed=4)
    spec = GeneratorSpec(
        "server", model, base_url, max_reply_tokens=80, max_concurrency=2, extra={"progress": False}
    )
    job = {
        "store": tmp_path / "s.jsonl",
        "method": "sample",
        "n_samples": 3,
        "temperature": 1.0,
        "family": "nano",
    }
    result = generate_critiques(samples, open_generator(spec), **job)
    (entry,) = result.ledger.entries
    assert entry.n_in == 6 == entry.n_out + sum(entry.dropped.values()) and 2 * entry.n_out == len(
        result.critiques
    )
    assert len((tmp_path / "s.jsonl").read_text().splitlines()) == 18
    assert not any(reason.split(": ")[1].startswith("call failed") for reason in entry.dropped)
    gone = GeneratorSpec(
        "server", model, "http://127.0.0.1:9/v1", max_reply_tokens=80, extra={"progress": False}
    )
    assert (
        generate_critiques(samples, open_generator(gone), **job) == result
    )  # everything is stored: no server is needed any more
