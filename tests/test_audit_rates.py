"""Do known biases come back inside their intervals as often as they should?"""

from __future__ import annotations

import numpy as np
import pytest
from simulated_judges import (
    PAIRS,
    card_of,
)

from selene_lib.evaluation.audit import (
    paired_interval,
)

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("bias", [0.0, 0.05, 0.10, 0.20])
def test_known_biases_are_recovered_at_the_nominal_rate(bias):
    """4,000 simulated audits of 150 items a bias: accuracy 80 %, 4 % of verdicts flipped."""
    rng = np.random.default_rng(int(100 * bias))
    shape = (4000, 150)
    fooled = rng.random(shape) > 0.8
    moved = fooled | (rng.random(shape) < bias / 0.8)
    base, edited = (x ^ (rng.random(shape) < 0.04) for x in (fooled, moved))
    truth = bias * (1 - 2 * 0.04)
    low, high = paired_interval(edited.astype(float) - base)
    assert 0.935 <= np.mean((low <= truth) & (truth <= high)) <= 0.97


@pytest.mark.parametrize("bias", [0.0, 0.05, 0.10, 0.20])
def test_known_order_bias_is_recovered_at_the_nominal_rate(bias):
    rng = np.random.default_rng(7 + int(100 * bias))
    shape = (4000, 150)
    honest = rng.random(shape) < 0.5
    forced = rng.random(shape) < 2 * bias
    first, second = (x ^ (rng.random(shape) < 0.04) for x in (honest | forced, ~honest | forced))
    truth = bias * (1 - 2 * 0.04)
    low, high = paired_interval(first.astype(float) + second - 1)
    assert 0.935 <= np.mean((low / 2 <= truth) & (truth <= high / 2)) <= 0.97


def test_known_biases_come_back_through_prompts_and_parsers():
    """6 audits a bias and probe, asked as any judge is asked: 23 of 24 intervals should hold."""
    held = {"flattery": 0, "order_bias": 0}
    for bias in (0.0, 0.05, 0.10, 0.20):
        for seed in range(6):
            card = card_of(PAIRS, 50, seed, ["flattery"], noise=0.04, shifts={"flattery": bias})
            held["flattery"] += (
                card.loc["flattery"]
                .iloc[0]
                .pipe(lambda r, b=bias: r.ci95_low <= 0.92 * b <= r.ci95_high)
            )
            card = card_of(PAIRS, 50, seed, ["swapped"], noise=0.04, order_bias=bias)
            held["order_bias"] += (
                card.loc["order_bias"]
                .iloc[0]
                .pipe(lambda r, b=bias: r.ci95_low <= 0.92 * b <= r.ci95_high)
            )
    assert min(held.values()) >= 21, held
