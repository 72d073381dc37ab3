"""The scorer in an evaluation of the real `inspect_ai`; a stub server is the judge's model."""

from __future__ import annotations

import math
import re

import pytest
from generators_world import ScriptedServer, serving

pytest.importorskip("inspect_ai", reason="the extra 'inspect' is not installed: make test-inspect")

QUESTIONS = ["good", "bad", "good", "silent"]
RUBRIC = "Does it say what the reference says?\nYes: it does\nNo: it does not"


def reply(prompt: str, _: int | None) -> str:
    if "a silent answer" in prompt:
        return "I would rather not."
    assert "the target of" in prompt  # the reference is shown
    verdict = "No" if "a bad answer" in prompt else "Yes"
    return f"**Reasoning:** Compared with the reference.\n\n**Result:** {verdict}"


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    from inspect_ai import Task, eval
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ModelOutput
    from inspect_ai.solver import solver

    from selene_lib.integrations.inspect_scorer import selene_judge

    @solver
    def answers():
        """Stands for a model: a mock model counts tokens with a file that it downloads."""

        async def solve(state, generate):
            word = state.input_text.partition(": ")[2].rstrip("?")
            state.output = ModelOutput.from_content("a model", f"a {word} answer")
            return state

        return solve

    server = ScriptedServer(lambda *_: "delay", reply)
    server.delay_seconds = 0.1
    with serving(server):
        task = Task(
            dataset=[
                Sample(input=f"{i}: {q}?", target=f"the target of {i}")
                for i, q in enumerate(QUESTIONS)
            ],
            solver=answers(),
            scorer=selene_judge(model=f"{server.base_url}#m", rubric=RUBRIC, task="classification"),
        )
        (found,) = eval(
            task,
            model="mockllm/model",
            log_dir=str(tmp_path_factory.mktemp("logs")),
            display="none",
            max_samples=4,
        )
    return found


def test_every_output_is_scored_by_the_judge(log):
    assert log.status == "success", log.error
    said = {sample.output.completion: sample.scores["selene_judge"] for sample in log.samples}
    assert said["a good answer"].value == 1.0 and said["a good answer"].answer == "Yes"
    assert said["a bad answer"].value == 0.0
    assert "Compared with the reference" in said["a bad answer"].explanation
    assert said["a bad answer"].metadata["judge"] == "m"


def test_an_unreadable_verdict_is_no_number(log):
    (silent,) = [s for s in log.samples if "silent" in s.output.completion]
    score = silent.scores["selene_judge"]
    assert isinstance(score.value, float) and math.isnan(score.value)
    assert re.match("malformed: ", score.explanation)
    metrics = log.results.scores[0].metrics
    assert metrics["mean"].value == pytest.approx(2 / 3)  # of the three that were scored
