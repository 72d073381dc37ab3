"""InstruSum: which of two instruction-controlled summaries is better overall.

Dataset: Salesforce/InstruSum, subset `human_eval_pairwise`; the local shape is a reduced form of it
with the prompt put together.
Label:   human; 1 = output_1 (227), 2 = output_2 (184); ties and pairs without consensus were
removed upstream, 411 remain.
Metric:  accuracy.
Prompt:  pairwise, no rubric.
Deviations: the hub's rows hold article and requirement apart and are put together in our words; the
local file has its own.
"""

from selene_lib.data.spec import DataSpec, Row
from selene_lib.records import Sample

LABELS = {1: "A", 2: "B"}
HUB_INPUT = (
    "Article:\n{article}\n\nRequirement:\n{requirement}\n\n"
    "Summarise the article so that the summary meets the requirement."
)


def to_samples(row: Row) -> Sample:
    on_hub = row.has("article")
    if on_hub:
        article, requirement = row.text("article").strip(), row.text("requirement").strip()
        instruction = HUB_INPUT.format(article=article, requirement=requirement)
    else:
        instruction = row.text("input")
    return row.sample(
        "pairwise",
        instruction,
        row.text("output_1"),
        response_b=row.text("output_2"),
        label=row.choice("winner" if on_hub else "label", LABELS),
    )


SPEC = DataSpec(
    name="instrusum",
    role="benchmark",
    task="pairwise",
    title="InstruSum",
    licence="none stated for the local file",
    label="human preference over two summaries",
    columns={"output_1": "text", "output_2": "text"},
    to_samples=to_samples,
    shape_known_from="real rows",
    hub_shape_known_from="public code",
    files=("instrusum_acc.jsonl | human_eval_pairwise.json",),
    hub_id="Salesforce/InstruSum",
    hub_files=("human_eval_pairwise.json",),
    notes="the hub's field names were read in public code that loads the set",
    repository="SalesforceAIResearch/SFRJudge",
    repository_path="data/instrusum",
    repository_commit="d4abf5c",
    published_n=411,
)
