"""What a client sends and gets: one item to be judged, and what was said of it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from selene_lib.judge import ItemResult
from selene_lib.records import Task

Conversation = list[dict[str, Any]]


class Item(BaseModel):
    """One response, or two to be compared. What is not given is what the server was started with;
    `task` defaults to pairwise for two responses.
    """

    model_config = ConfigDict(extra="forbid")

    response: str | Conversation = Field(description="what is judged: a text, or messages")
    instruction: str | Conversation = Field("", description="what the response answers")
    rubric: str = Field("", description="a preset's name, or a criterion and a line a label")
    reference: str | None = Field(None, description="a right answer to compare with")
    context: str | list[str] | None = Field(None, description="what it was to be drawn from")
    response_b: str | Conversation | None = Field(None, description="a second one, to compare")
    task: Task | None = Field(None, description="absolute, classification or pairwise")

    def texts(self) -> dict[str, Any]:
        """The fields that were given, by the names that `Judge.score` takes."""
        given = self.model_dump(exclude={"task"})
        return {name: value for name, value in given.items() if value not in (None, "")}


class Batch(BaseModel):
    """Items that are sent together and answered together."""

    model_config = ConfigDict(extra="forbid")

    items: list[Item] = Field(min_length=1)


class Verdict(BaseModel):
    """What the judge said; `verdict` is null where none could be read, and `status` says why."""

    verdict: int | bool | str | None
    label: str | None
    score: float | None
    status: str
    reason: str
    reasoning: str
    raw: str
    confidence: float | None
    probabilities: dict[str, float] | None
    judge: str


class Verdicts(BaseModel):
    """One result an item, in their order."""

    results: list[Verdict]


class Health(BaseModel):
    """That the server takes requests, and what it has done."""

    status: str
    judge: str
    n_taken: int
    n_answered: int


def verdict_of(result: ItemResult, judge: str) -> Verdict:
    """Return a result in the words of the protocol."""
    names = [name for name in Verdict.model_fields if name != "judge"]
    shown = {name: getattr(result, name) for name in names}
    return Verdict.model_construct(**shown, judge=judge)
