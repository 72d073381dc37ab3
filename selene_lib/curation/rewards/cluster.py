"""Rewards from many machines: one reward model in each worker of a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from selene_lib.curation.rewards.protocol import RewardModel
from selene_lib.models.cluster import Answer, Cluster, Keep, Row, hand_over, map_stage
from selene_lib.models.reply_store import request_key


def score_on_cluster(
    prompts: Sequence[str],
    replies: Sequence[str],
    make_model: Callable[[], RewardModel],
    cluster: Cluster,
) -> np.ndarray:
    """Rewards of replies, [n]; `make_model` loads the reward model in each worker."""
    keys = [
        request_key("reward", [{"p": p, "r": r}], {}, None, 0) for p, r in zip(prompts, replies)
    ]
    rows = {key: {"prompt": p, "reply": r} for key, p, r in zip(keys, prompts, replies)}
    found = map_stage(rows, _MakeRewards(make_model), cluster)
    return np.array([found[key]["reward"] for key in keys])


class _MakeRewards:
    def __init__(self, make_model: Callable[[], RewardModel]) -> None:
        self._make_model = make_model

    def __call__(self) -> Answer:
        model = self._make_model()

        def answer(rows: list[Row], keep: Keep) -> None:
            scores = model.score([r["prompt"] for r in rows], [r["reply"] for r in rows])
            hand_over([{"reward": float(score)} for score in scores], keep)

        return answer
