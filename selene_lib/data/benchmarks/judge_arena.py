"""Judge Arena's list of judge models: 28 plain rows.

The votes themselves are not published in its repository.

Dataset: atla-ai/judge-arena, `data/models.jsonl`; name, organization, license, api_model, active.
"""

from selene_lib.data.spec import DataSpec, Row
from selene_lib.records import Sample

ACTIVE = {True: True, False: False}


def to_samples(row: Row) -> list[Sample]:
    """Check a plain row; it makes no sample."""
    row.text("name")
    row.text("organization")
    row.choice("active", ACTIVE)
    return []


SPEC = DataSpec(
    name="judge_arena",
    role="reference",
    task="models",
    title="Judge Arena model list",
    licence="none stated",
    label="none",
    columns={
        "name": "text",
        "organization": "text",
        "license": "text",
        "api_model": "text",
        "active": "true or false",
    },
    to_samples=to_samples,
    shape_known_from="real rows",
    files=("models.jsonl",),
    repository="atla-ai/judge-arena",
    repository_path="data",
    repository_commit="0e7fa6c",
    published_n=28,
)
