"""HH-RLHF: which of two assistant turns crowd workers preferred, for being harmless or helpful.

Example: {"chosen": "\\n\\nHuman: ...\\n\\nAssistant: ...", "rejected": "\\n\\nHuman:
...\\n\\nAssistant: ..."}
Label:   human preference; the chosen dialogue is a column of its own, so its position is drawn from
(seed, id).
Files:   the training files of the four preference folders, each by name. `red-team-attempts/` is of
another shape and `test.jsonl.gz` is for testing: neither is training data. A test file is read
only where no training file lies there, and the listing says so.
Caveat:  offensive text. Some dialogues differ before the last turn or end in an empty one; these
are dropped and counted.
"""

from selene_lib.data.sources.dialogue import last_turns, one_speaker
from selene_lib.data.spec import DataSpec, Row
from selene_lib.records import Sample


def to_samples(row: Row) -> Sample:
    dialogue, better, worse = last_turns(row, "chosen", "rejected")
    return row.pair(
        one_speaker(dialogue), better, worse, meta={"split": row.where.partition(",")[0]}
    )


SPEC = DataSpec(
    name="hh_rlhf",
    role="source",
    task="pairwise",
    title="HH-RLHF",
    licence="MIT",
    label="human preference over the last assistant turn",
    columns={"chosen": "a dialogue", "rejected": "a dialogue"},
    to_samples=to_samples,
    shape_known_from="real rows",
    files=(
        "harmless-*/train.jsonl.gz + helpful-*/train.jsonl.gz"
        " | harmless-*/test.jsonl.gz + helpful-*/test.jsonl.gz",
    ),
    hub_id="Anthropic/hh-rlhf",
    hub_files=("harmless-*/train.jsonl.gz", "helpful-*/train.jsonl.gz"),
    repository="anthropics/hh-rlhf",
    repository_commit="354e5c3",
    n_rows={"harmless-base/test.jsonl.gz": 2312},
    expected_n={
        "harmless-base/train.jsonl.gz": 42537,
        "helpful-base/train.jsonl.gz": 43835,
        "helpful-online/train.jsonl.gz": 22007,
        "helpful-rejection-sampled/train.jsonl.gz": 52421,
    },
    training="yes",
    stand_in=True,
    notes="the counts of the training files were read second hand",
)
