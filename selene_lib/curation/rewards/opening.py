"""Open the reward model that a run names."""

from __future__ import annotations

from typing import Any

from selene_lib.curation.rewards.protocol import RewardModel
from selene_lib.errors import UserError


def open_reward(name: str, *, revision: str | None = None, **settings: Any) -> RewardModel | None:
    """Return the reward model `name` (a hub id or a folder; ArmoRM gets its own head).

    None for `none`. `nano` must be fitted instead.
    """
    if name == "none":
        return None
    if name == "nano":
        raise UserError(
            "the nano reward is fitted, not opened: NanoReward.fit_teacher(trusted samples)"
        )
    from selene_lib.curation.rewards.armo import ArmoReward, is_armo
    from selene_lib.curation.rewards.sequence import SequenceClassifierReward

    return (ArmoReward if is_armo(name) else SequenceClassifierReward)(
        name, revision=revision, **settings
    )
