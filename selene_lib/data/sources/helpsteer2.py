"""HelpSteer2: human scores 0-4 of two responses per prompt; 20,324 rows for training.

Example: {"prompt": "...", "response": "...", "helpfulness": 3, "correctness": 4, "coherence": 4,
"complexity": 2, "verbosity": 1}
Label:   human 0-4, mapped to 1-5 by `scale.to_five`; one sample per aspect.
Caveat:  its separate preference annotations are not read.
"""

from selene_lib.data.sources.helpsteer import COLUMNS, to_samples
from selene_lib.data.spec import DataSpec

SPEC = DataSpec(
    name="helpsteer2",
    role="source",
    task="absolute",
    title="HelpSteer2",
    licence="CC BY 4.0",
    label="human score 0-4 per aspect, mapped to 1-5",
    columns=COLUMNS,
    to_samples=to_samples,
    shape_known_from="dataset card",
    files=("**/train.jsonl* | **/train*.parquet",),
    hub_id="nvidia/HelpSteer2",
    published_n=20324,
    training="yes",
    stand_in=True,
)
