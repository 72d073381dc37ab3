"""Map-style stages on a Ray cluster of two nodes, of which a worker or a whole node dies. Skipped
where the extra `scale` is not installed; `make test-scale` runs it.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from generators_world import ScriptedServer, make_samples, serving

from selene_lib.contamination.overlaps import find_overlaps
from selene_lib.curation.critiques import generate_critiques
from selene_lib.curation.generators.cluster import RayGenerator
from selene_lib.curation.generators.opening import open_generator
from selene_lib.curation.generators.protocol import GeneratorSpec
from selene_lib.curation.rewards.cluster import score_on_cluster
from selene_lib.errors import UserError
from selene_lib.files import read_jsonl
from selene_lib.judge import judge_file
from selene_lib.judges.cluster import RayJudge
from selene_lib.judges.judging import Asking, judge_samples
from selene_lib.judges.opening import open_judge
from selene_lib.models.cluster import Cluster, answers_path, hand_over, map_stage
from selene_lib.pipeline.cluster import PARTED, find_overlaps_on_cluster

NEEDS = "the extra 'scale' is not installed: make test-scale, or pip install 'selene_lib[scale]'"


def test_a_budget_cannot_be_shared(tmp_path):
    with pytest.raises(UserError, match="cannot share a budget"):
        RayGenerator(
            GeneratorSpec("server", "m", "http://x/v1", budget_tokens=5), Cluster(tmp_path)
        )
    with pytest.raises(UserError, match="leave budget_usd out"):
        RayJudge("http://x/v1#m", {"budget_usd": 1.0}, Cluster(tmp_path))


def test_a_batch_has_one_file_whoever_works_on_it(tmp_path):
    assert answers_path(tmp_path, ["a", "b"]) == answers_path(tmp_path, ["a", "b"])
    assert answers_path(tmp_path, ["a", "b"]) != answers_path(tmp_path, ["ab"])


class Nodes:
    """A cluster of a head without workers and two nodes with two of them each."""

    def __init__(self) -> None:
        pytest.importorskip("ray", reason=NEEDS)
        from ray.cluster_utils import Cluster as LocalCluster

        self.local = LocalCluster(initialize_head=True, head_node_args={"num_cpus": 1})
        self.workers = [self.local.add_node(num_cpus=2) for _ in range(2)]

    def kill(self) -> None:
        """Take one node away without a word."""
        self.local.remove_node(self.workers.pop(), allow_graceful=False)


@pytest.fixture(scope="module")
def nodes():
    found = Nodes()
    import ray

    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parent.parent)])
    ray.init(
        address=found.local.address,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}},
    )
    yield found
    ray.shutdown()
    found.local.shutdown()


class Slow:
    """Answers each row after a moment and leaves a note of which process and node did it."""

    def __init__(self, notes: str) -> None:
        self.notes = notes

    def __call__(self):
        import ray

        node = ray.get_runtime_context().get_node_id()

        def answer(rows, keep):
            time.sleep(0.05)
            with open(f"{self.notes}/{os.getpid()}.{node}", "a") as stream:
                stream.write("".join(f"{row['x']}\n" for row in rows))
            hand_over([{"y": row["x"] * 2} for row in rows], keep)

        return answer


def when_busy(notes: Path, act) -> threading.Thread:
    """Act once a process has worked on some rows."""

    def wait() -> None:
        end = time.monotonic() + 240
        while time.monotonic() < end:
            busy = [p for p in notes.iterdir() if p.stat().st_size > 20]
            if busy:
                act(busy[0])
                return
            time.sleep(0.01)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def stored(folder: Path) -> Counter:
    files = (folder / "answers").rglob("*.jsonl")
    return Counter(line["key"] for path in files for line in read_jsonl(path, skip_broken=True))


def test_a_killed_worker_loses_and_doubles_nothing(nodes, tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()
    killed = []

    def kill(note: Path) -> None:
        os.kill(int(note.name.partition(".")[0]), signal.SIGKILL)
        killed.append(note.name)

    rows = {f"k{i}": {"x": i} for i in range(240)}
    thread = when_busy(notes, kill)
    cluster = Cluster(tmp_path / "store", n_workers=2, batch_size=8)
    found = map_stage(rows, Slow(str(notes)), cluster)
    thread.join()
    assert found == {f"k{i}": {"y": 2 * i} for i in range(240)} and len(killed) == 1
    assert stored(tmp_path / "store") == Counter(rows.keys())  # once each
    done = Counter(x for path in notes.iterdir() for x in path.read_text().split())
    assert sum(n - 1 for n in done.values()) <= 8  # at most the batch in flight, once more
    assert len(list(notes.iterdir())) >= 2
    # a second run works on nothing
    assert map_stage(rows, Slow(str(notes)), cluster) == found
    assert Counter(x for p in notes.iterdir() for x in p.read_text().split()) == done


def test_a_judge_on_a_cluster_that_loses_a_node_is_the_judge_alone(nodes, tmp_path):
    """Same judgements in the same store, each prompt paid once but for what was in flight."""
    samples = make_samples(120)
    server = ScriptedServer(lambda *_: "delay")
    server.delay_seconds = 0.1
    with serving(server):
        model, options = f"{server.base_url}#m", {"max_concurrency": 4}
        cluster = Cluster(tmp_path / "ray", n_workers=4, batch_size=8)
        spread = RayJudge(model, options, cluster)
        killer = threading.Thread(target=kill_after, args=(nodes, server, 40))
        killer.start()
        asking = Asking("full")
        found = judge_samples(
            spread, "s", samples, asking, store=tmp_path / "a.jsonl", progress=False
        )
        killer.join()
        n_prompts = len(server.answered)
        # in flight at the death: four requests of each of the two workers on that node
        assert n_prompts == 160 and server.n_asked - n_prompts <= 8
        alone = open_judge(model, **options)
        assert spread.name == alone.name and spread.fingerprint == alone.fingerprint
        n_asked = server.n_asked
        again = judge_samples(
            alone, "s", samples, asking, store=tmp_path / "a.jsonl", progress=False
        )
        assert server.n_asked == n_asked and again == found
        fresh = judge_samples(
            alone, "s", samples, asking, store=tmp_path / "b.jsonl", progress=False
        )
        assert fresh == found
        assert lines_of(tmp_path / "a.jsonl") == lines_of(tmp_path / "b.jsonl")


def kill_after(nodes: Nodes, server: ScriptedServer, n: int) -> None:
    end = time.monotonic() + 240
    while sum(server.answered.values()) < n and time.monotonic() < end:
        time.sleep(0.01)
    nodes.kill()


def lines_of(path: Path) -> list[str]:
    return sorted(json.dumps(row, sort_keys=True) for row in read_jsonl(path))


def test_generation_on_the_cluster_is_generation_without_it(nodes, tmp_path):
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


def test_rewards_on_the_cluster(nodes, tmp_path):
    replies = ["a" * i for i in range(20)]
    assert score_on_cluster(["p"] * 20, replies, Length, Cluster(tmp_path)).tolist() == [
        float(i) for i in range(20)
    ]


def test_overlaps_on_the_cluster_are_those_of_one_machine(nodes, tmp_path):
    words = [f"word{i}" for i in range(400)]
    rng = np.random.default_rng(0)
    bench = [(f"b{i}", " ".join(rng.choice(words, 60))) for i in range(40)]
    train = [(f"t{i}", " ".join(rng.choice(words, 60))) for i in range(200)]
    train += [(f"copy{i}", text) for i, (_, text) in enumerate(bench[:10])]
    train += [(f"loud{i}", text.upper()) for i, (_, text) in enumerate(bench[:5])]
    train += [
        (f"half{i}", f"{text[:200]} {train[i][1]}") for i, (_, text) in enumerate(bench[5:20])
    ]
    alone = find_overlaps(train, bench, methods=PARTED)
    spread = find_overlaps_on_cluster(train, bench, Cluster(tmp_path, n_workers=2), n_parts=7)
    assert spread == alone and len(alone) > 20


def test_what_cannot_be_parted_is_refused(tmp_path):
    with pytest.raises(UserError, match="embedding compares all texts at once"):
        find_overlaps_on_cluster([], [], Cluster(tmp_path), methods=["embedding"])


def test_a_file_judged_on_the_cluster_is_the_file_judged_alone(nodes, tmp_path):
    rows = [f"Question {i}?,Answer {i}." for i in range(60)]
    (tmp_path / "in.csv").write_text("\n".join(["instruction,response", *rows]), encoding="utf-8")
    rubric = "Is it right?\nYes: it is\nNo: it is not"
    with serving(ScriptedServer()) as server:
        asked = {"model": f"{server.base_url}#m", "task": "classification", "rubric": rubric}
        asked["progress"] = False
        cluster = Cluster(tmp_path / "out.csv.ray", n_workers=2, batch_size=8)
        spread = judge_file(tmp_path / "in.csv", tmp_path / "out.csv", cluster=cluster, **asked)
        assert server.n_asked == 60 and max(server.asked.values()) == 1
        alone = judge_file(tmp_path / "in.csv", tmp_path / "alone.csv", **asked)
        assert (tmp_path / "out.csv").read_text() == (tmp_path / "alone.csv").read_text()
        assert lines_of(spread.store) == lines_of(alone.store)
        assert (spread.n, spread.n_unparsed, spread.usage) == (60, 0, alone.usage)
