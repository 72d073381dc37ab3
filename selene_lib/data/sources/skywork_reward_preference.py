"""Skywork Reward Preference 80K, **v0.2**: 77,016 pairs.

From HelpSteer2, OffsetBias, WildGuard and Magpie.

Example: {"chosen": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}],
"rejected": [...], "source": "..."}
Label:   the chosen dialogue is a column of its own, so its position is drawn from (seed, id).
Caveat:  v0.1 holds 4,957 pairs that overlap RewardBench: never read it. v0.2 repeats rows of
HelpSteer2 and OffsetBias.
"""

from selene_lib.data.sources.dialogue import check_pair, split_messages
from selene_lib.data.spec import DataSpec, DropRow, Row
from selene_lib.records import Sample


def to_samples(row: Row) -> Sample:
    before, better = split_messages(row, "chosen")
    other, worse = split_messages(row, "rejected")
    if before != other:
        raise DropRow("the two dialogues differ before the last turn")
    return row.pair(*check_pair(before, better, worse), meta={"dataset": row.text("source")})


SPEC = DataSpec(
    name="skywork_reward_preference",
    role="source",
    task="pairwise",
    title="Skywork Reward Preference 80K v0.2",
    licence="of its parts; none of its own is stated on the card",
    label="preference of the parts",
    columns={"chosen": "list of messages", "rejected": "list of messages", "source": "text"},
    to_samples=to_samples,
    shape_known_from="dataset card",
    hub_id="Skywork/Skywork-Reward-Preference-80K-v0.2",
    published_n=77016,
    training="not stated",
    stand_in=True,
)
