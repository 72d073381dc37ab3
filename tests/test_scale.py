"""Map-style stages on a local Ray cluster of two workers, one of which dies. Skipped where the
extra `scale` is not installed.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from generators_world import ScriptedServer, make_samples, serving

from selene_lib.curation.critiques import generate_critiques
from selene_lib.curation.generators.opening import open_generator
from selene_lib.curation.generators.protocol import GeneratorSpec
from selene_lib.errors import UserError
from selene_lib.files import read_jsonl
from selene_lib.pipeline.cluster import Cluster, RayGenerator, map_stage, score_on_cluster


def test_a_budget_cannot_be_shared(tmp_path):
    with pytest.raises(UserError, match="cannot share a budget"):
        RayGenerator(
            GeneratorSpec("server", "m", "http://x/v1", budget_tokens=5), Cluster(tmp_path)
        )


@pytest.fixture(scope="module")
def ray():
    found = pytest.importorskip(
        "ray", reason="the extra 'scale' is not installed: pip install 'selene_lib[scale]'"
    )
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parent.parent)])
    found.init(
        num_cpus=3,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}},
    )
    yield found
    found.shutdown()


class Slow:
    """Answers each row after a moment and leaves a note of who did it."""

    def __init__(self, notes: str) -> None:
        self.notes = notes

    def __call__(self):
        def answer(rows):
            time.sleep(0.05)
            with open(f"{self.notes}/{os.getpid()}", "a") as stream:
                stream.write("".join(f"{row['x']}\n" for row in rows))
            return [{"y": row["x"] * 2} for row in rows]

        return answer


def test_a_killed_worker_loses_and_doubles_nothing(ray, tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()
    killed = []

    def kill_one():
        end = time.monotonic() + 60
        while time.monotonic() < end and not killed:
            busy = [p for p in notes.iterdir() if p.stat().st_size > 20]
            if busy:
                os.kill(int(busy[0].name), signal.SIGKILL)
                killed.append(busy[0].name)
            time.sleep(0.01)

    rows = {f"k{i}": {"x": i} for i in range(240)}
    thread = threading.Thread(target=kill_one)
    thread.start()
    found = map_stage(
        rows, Slow(str(notes)), Cluster(tmp_path / "store", n_workers=2, batch_size=8)
    )
    thread.join()
    assert found == {f"k{i}": {"y": 2 * i} for i in range(240)} and len(killed) == 1
    stored = Counter(
        line["key"]
        for path in (tmp_path / "store").glob("*.jsonl")
        for line in read_jsonl(path, skip_broken=True)
    )
    assert stored == Counter(rows.keys())  # once each
    done = Counter(x for path in notes.iterdir() for x in path.read_text().split())
    assert sum(n - 1 for n in done.values()) <= 8  # at most the batch in flight was worked on again
    assert len(list(notes.iterdir())) >= 2
    before = sum(done.values())
    assert map_stage(rows, Slow(str(notes)), Cluster(tmp_path / "store")) == found
    assert (
        sum(len(p.read_text().split()) for p in notes.iterdir()) == before
    )  # a second run works on nothing


def test_generation_on_the_cluster_is_generation_without_it(ray, tmp_path):
    samples = make_samples(30)
    with serving(ScriptedServer()) as server:
        spec = GeneratorSpec("server", "m", server.base_url, extra={"progress": False})
        spread = RayGenerator(spec, Cluster(tmp_path / "ray", n_workers=2, batch_size=8))
        result = generate_critiques(samples, spread, store=tmp_path / "s.jsonl")
        n_asked = server.n_asked
        assert n_asked == 60 and len(result.critiques) == 60
        again = generate_critiques(samples, open_generator(spec), store=tmp_path / "s.jsonl")
        assert server.n_asked == n_asked and again.critiques == result.critiques


class Length:
    name, revision = "length", "1"

    def score(self, prompts, replies):
        return np.array([float(len(r)) for r in replies])


def test_rewards_on_the_cluster(ray, tmp_path):
    replies = ["a" * i for i in range(20)]
    assert score_on_cluster(["p"] * 20, replies, Length, Cluster(tmp_path)).tolist() == [
        float(i) for i in range(20)
    ]
