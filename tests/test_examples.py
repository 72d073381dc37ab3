"""The examples run as they stand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def test_data_to_adapter_on_one_screen(tmp_path):
    script = EXAMPLES / "train_minimal.py"
    assert len(script.read_text().splitlines()) <= 60
    command = [sys.executable, str(script), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "out" / "adapter" / "adapter_model.safetensors").is_file()
    assert (tmp_path / "out" / "log.csv").read_text().count("\n") == 31  # the head and 30 steps
    right = dict(re.findall(r"(base|trained): (\d+) of 40 right", done.stdout))
    assert int(right["trained"]) >= int(right["base"]) + 5  # 19 and 32 when this was written
