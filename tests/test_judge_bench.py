"""The bench of judging runs from end to end without a GPU."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

ROOT = Path(__file__).parent.parent


def test_the_bench_of_judging_proves_itself_on_a_cpu(tmp_path):
    command = [sys.executable, str(ROOT / "bench" / "judge_gpu.py"), "--dry", "-n", "4"]
    done = subprocess.run([*command, "--out", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    rows = {row["stage"]: row for row in map(json.loads, (tmp_path / "rows.jsonl").open())}
    for stage in ("local", "served"):
        assert rows[stage]["status"] == "run" and rows[stage]["verdicts_per_s"] > 0
        assert rows[stage]["n"] == 4 and rows[stage]["same_verdicts"] == 1
    for stage in ("vllm", "unsloth"):
        assert rows[stage]["status"] == "not run" and "no CUDA GPU" in rows[stage]["reason"]


def bench(name: str, *arguments: str) -> dict:
    command = [sys.executable, str(ROOT / "bench" / name), *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    return json.loads(done.stdout)


def test_a_served_judge_is_measured_beside_the_bare_client():
    asked = ("--requests", "40", "--connections", "8", "--repeats", "1")
    row = bench("served.py", *asked)["plain replies"]
    both = row["our_requests_per_s"], row["bare_requests_per_s"]
    assert row["throughput_ratio"] == pytest.approx(both[0] / both[1])  # of one repeat
    assert row["cpu_ratio"] > 0
    own = row["our_cpu_ms_a_request"] - row["bare_cpu_ms_a_request"]
    assert row["own_cpu_ms_a_request"] == pytest.approx(own)
    assert 0 < row["our_requests_per_s"] <= 8 / 0.05  # the stub answers after 50 ms


def test_scoring_and_ranking_are_measured_on_as_many_rows_as_asked():
    found = bench("million.py", "--n", "3000")
    assert found["score"]["n"] == found["arena"]["n"] == 3000
    assert found["arena"]["n_rows"] == 200  # a row a judge
    assert all(0.05 < row["peak_gb"] < 1 and row["cpu_seconds"] > 0 for row in found.values())
