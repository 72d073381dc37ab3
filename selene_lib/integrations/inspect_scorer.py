"""A scorer for Inspect (`inspect_ai`): a judge of this project reads what the model wrote.

A verdict that cannot be read is an unscored sample, with the reason in its explanation: Inspect
leaves it out of its means, and it is never a number. Samples that Inspect scores at the same time
are judged together.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from inspect_ai.scorer import Score, Scorer, Target, mean, scorer, stderr
from inspect_ai.solver import TaskState

from selene_lib.judge import ItemResult, Judge
from selene_lib.records import Task


@scorer(metrics=[mean(), stderr()], name="selene_judge")
def selene_judge(
    model: str | list[str] | None = None,
    *,
    rubric: str | Path = "",
    task: Task | None = None,
    target: Literal["reference", "response_b", "ignore"] = "reference",
    **options: Any,
) -> Scorer:
    """Return a scorer that asks a judge.

    `model`, `rubric`, `task` and `options` are those of `Judge`. The sample's input is the
    instruction and the model's output the response. `target` says what the sample's target is: a
    reference answer, the other response of a pair (1 where the model's output wins), or nothing the
    judge is shown. The value is the score: 1 to 5, or 1 for Yes or A and 0 for No or B.
    """
    judge = Judge(model, **options)
    kind: Task | None = "pairwise" if target == "response_b" else task

    async def score(state: TaskState, wanted: Target) -> Score:
        given: dict[str, Any] = {} if target == "ignore" else {target: wanted.text or None}
        result = await judge.ascore(
            state.output.completion,
            instruction=state.input_text,
            rubric=rubric,
            task=kind,
            **given,
        )
        return _score(result, judge.judge.name)

    return score


def _score(result: ItemResult, judge: str) -> Score:
    about = {"judge": judge, "status": result.status, "confidence": result.confidence}
    if result.score is None:
        return Score.unscored(
            explanation=f"{result.status}: {result.reason}\n\n{result.raw}", metadata=about
        )
    return Score(
        value=result.score, answer=result.label, explanation=result.reasoning, metadata=about
    )
