"""The bench of judging runs from end to end without a GPU."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

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
