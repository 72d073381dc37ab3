"""A small part of the kill harness (`make test-faults` runs all of it)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "faults"))

import kills


@pytest.mark.slow
def test_a_killed_chain_ends_with_the_data_of_an_undisturbed_one_and_leaves_no_process(tmp_path):
    whole = kills.tiny_world(tmp_path)
    world = kills.World(whole.project, ("--to", "01"))
    counts = kills.disturb(world, 3, 1, tmp_path / "homes", publishes=False)
    assert counts.is_clean, counts.line()
    assert counts.n_kills >= 3
