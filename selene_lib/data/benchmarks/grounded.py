"""A claim against a document, in one form for LLM-AggreFact and its components."""

from collections.abc import Mapping
from typing import Any

from selene_lib.data.spec import Row
from selene_lib.records import Sample

RUBRIC = (
    "Is every statement of the claim supported by the document?\n"
    "Yes: the document supports the whole claim.\n"
    "No: some part of the claim is not in the document, or contradicts it."
)
_INSTRUCTION = "Write claims that the following document supports.\n\nDocument:\n{document}"


def claim_sample(
    row: Row,
    document: str,
    claim: str,
    label: str,
    *,
    meta: Mapping[str, Any],
    key: tuple[Any, ...] = (),
    group: str | None = None,
) -> Sample:
    """Build the sample of one claim.

    Claims on the same document share a group unless `group` says otherwise.
    """
    return row.sample(
        "classification",
        _INSTRUCTION.format(document=document),
        claim,
        rubric=RUBRIC,
        label=label,
        key=key,
        group=document if group is None else group,
        meta=meta,
    )
