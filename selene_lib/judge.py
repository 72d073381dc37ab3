"""Judge your own data: one call for one response, one for a file of them.

A file is judged resumably, with every reply kept beside the result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selene_lib.data.tables import read_table, write_table
from selene_lib.errors import UserError
from selene_lib.files import write_parquet
from selene_lib.judges.judging import Asking, judge_samples, plan_questions, to_judgement
from selene_lib.judges.opening import open_judge
from selene_lib.judges.protocol import JudgeBackend
from selene_lib.models.names import EMBEDDED_MODEL
from selene_lib.prompts.rubrics import read_rubric
from selene_lib.records import TASKS, Judgement, Sample, Score, Task, stable_id

TEXT_COLUMNS = ("instruction", "response", "response_b", "rubric", "reference")


@dataclass(frozen=True)
class ItemResult:
    """What a judge said of one item; `verdict` is None where there is none, `status` says why.

    A pairwise item is judged in both orders: where the two name different responses, `verdict` is
    None and `status` is `inconsistent`. `confidence` is the probability of the verdict, None where
    the judge gives none. `critique` is the reply (of the order AB).
    """

    verdict: str | None
    status: str
    reason: str
    critique: str
    confidence: float | None
    judgements: tuple[Judgement, ...] = field(repr=False)


class Judge:
    """A judge of your own responses.

        Judge().score("Green.", instruction="What colour is the sky?", rubric="Is it true?")

    `model` is `embedded`, a folder or hub id, `http://host/v1#model` for a server, `vllm:PATH` or
    `replay:FILE`; further arguments go to that judge. `family` names the prompt templates (default:
    `nano` for the embedded model, else `full`), or is a folder of your own.
    """

    def __init__(
        self,
        model: str = EMBEDDED_MODEL,
        *,
        family: str | None = None,
        escape: bool = True,
        **options: Any,
    ) -> None:
        self.judge = open_judge(model, **options)
        self.asking = Asking(family or family_of(model), escape=escape)

    def score(
        self,
        response: str,
        *,
        instruction: str = "",
        rubric: str = "",
        reference: str | None = None,
        response_b: str | None = None,
        task: Task | None = None,
    ) -> ItemResult:
        """Judge one response, or two with `response_b`.

        `task` defaults to pairwise for two responses and to absolute for one.
        """
        kind = task or ("pairwise" if response_b is not None else "absolute")
        identity = stable_id("mine", kind, instruction, response, response_b, rubric, reference)
        sample = Sample(
            identity,
            "mine",
            kind,
            instruction,
            response,
            response_b,
            rubric=rubric,
            reference=reference,
        )
        return self.score_samples([sample])[0]

    def score_samples(self, samples: Sequence[Sample]) -> list[ItemResult]:
        """Judge samples without keeping anything; `judging.judge_samples` is the resumable way."""
        questions = plan_questions(samples, self.asking)
        replies = self.judge.judge([q.prompt for q in questions])
        judgements = [
            to_judgement(self.judge.name, "mine", q, reply)
            for q, reply in zip(questions, replies, strict=True)
        ]
        return item_results(samples, judgements)


def family_of(model: str) -> str:
    """The template family a model was made for: the embedded one knows only its short wording."""
    return "nano" if model == EMBEDDED_MODEL else "full"


def item_results(samples: Sequence[Sample], judgements: Sequence[Judgement]) -> list[ItemResult]:
    """One result a sample, from the judgements of one judge on one set."""
    by_id: dict[str, list[Judgement]] = {}
    for judgement in judgements:
        by_id.setdefault(judgement.sample_id, []).append(judgement)
    return [_item_result(sorted(by_id[s.id], key=lambda j: j.order)) for s in samples]


def _item_result(mine: list[Judgement]) -> ItemResult:
    critique, judgements = mine[0].reply, tuple(mine)
    broken = next((j for j in mine if j.status != "value"), None)
    if broken is not None:
        reason = str(broken.meta.get("reason", ""))
        return ItemResult(None, broken.status, reason, critique, None, judgements)
    verdicts = [j.verdict_of_sample for j in mine]
    if len(set(verdicts)) > 1:
        reason = f"the two orders name different responses: {verdicts[0]} then {verdicts[1]}"
        return ItemResult(None, "inconsistent", reason, critique, None, judgements)
    return ItemResult(verdicts[0], "value", "", critique, _confidence(mine), judgements)


def _confidence(mine: list[Judgement]) -> float | None:
    """Mean probability of the verdict over the orders, None where it is not known in one."""
    known = [j.verdict_probability for j in mine if j.verdict_probability is not None]
    return round(sum(known) / len(known), 6) if len(known) == len(mine) else None


@dataclass(frozen=True)
class FileResult:
    """What `judge_file` did.

    `usage` holds prompt and reply tokens, and `usd` where a price is known; `scores` is empty
    without a label column.
    """

    output: Path
    store: Path
    n: int
    n_unparsed: int
    n_inconsistent: int
    usage: dict[str, float]
    scores: list[Score]


def judge_file(
    input_path: str | Path,
    output_path: str | Path,
    *,
    task: Task,
    rubric: str | Path | None = None,
    model: str = EMBEDDED_MODEL,
    columns: Mapping[str, str] | None = None,
    family: str | None = None,
    escape: bool = True,
    store: str | Path | None = None,
    progress: bool = True,
    **options: Any,
) -> FileResult:
    """Judge every row of a CSV, JSON Lines or Parquet file and add the verdict columns.

    Needed columns: `instruction`, `response`, and `response_b` for pairwise; used where there:
    `rubric` (else the rubric file is for all rows), `reference`, `label`, `id`. `columns` maps
    these names to the file's own. Replies are kept in `store` (default: the output's name plus
    `.replies.jsonl`), so a broken run goes on where it stopped; the samples as they were judged lie
    beside the output (`.samples.parquet`), to be scored again or exported with. Every mistake of
    the user is a one-line UserError.
    """
    if task not in TASKS:
        raise UserError(f"task {task!r} is not one of {', '.join(TASKS)}")
    source, output = Path(input_path), Path(output_path)
    rows = read_table(source)
    text = read_rubric(rubric, task) if rubric is not None else ""
    samples = samples_of_rows(rows, task, text, columns or {}, source)
    judge = open_judge(model, **options)
    kept = Path(store) if store else output.with_name(f"{output.name}.replies.jsonl")
    asking = Asking(family or family_of(model), escape=escape)
    found = judge_samples(judge, source.stem, samples, asking, store=kept, progress=progress)
    results = item_results(samples, found)
    write_parquet(output.with_name(f"{output.name}.samples.parquet"), samples, Sample)
    judged = [
        {**row, **_columns_of(result, task)} for row, result in zip(rows, results, strict=True)
    ]
    write_table(output, judged)
    statuses = [result.status for result in results]
    n_inconsistent = statuses.count("inconsistent")
    return FileResult(
        output,
        kept,
        n=len(rows),
        n_unparsed=len(statuses) - statuses.count("value") - n_inconsistent,
        n_inconsistent=n_inconsistent,
        usage=_usage(judge, found),
        scores=_scores(samples, found, judge.name, source.stem),
    )


def samples_of_rows(
    rows: Sequence[Mapping[str, Any]],
    task: Task,
    rubric: str,
    columns: Mapping[str, str],
    path: Path,
) -> list[Sample]:
    """Turn table rows into samples.

    Ids are those of an `id` column, or made from the row's texts and number.
    """
    needed = _response_columns(task)
    if not rubric and task != "pairwise":
        needed.append("rubric")
    for column in needed:
        if columns.get(column, column) not in rows[0]:
            there = ", ".join(map(str, rows[0]))
            remedy = "give a rubric file, or " if column == "rubric" else ""
            raise UserError(
                f"{path} has no column {columns.get(column, column)!r} (there are: {there}); "
                f"{remedy}rename it or map it with columns"
            )
    return [
        _sample_of_row(row, number, task, rubric, columns, path)
        for number, row in enumerate(rows, 1)
    ]


def _response_columns(task: Task) -> list[str]:
    """What every row must have."""
    columns = ["instruction", "response"]
    return [*columns, "response_b"] if task == "pairwise" else columns


def _sample_of_row(
    row: Mapping[str, Any],
    number: int,
    task: Task,
    rubric: str,
    columns: Mapping[str, str],
    path: Path,
) -> Sample:
    def cell(name: str) -> str | None:
        value = row.get(columns.get(name, name))
        return None if value is None or value != value else str(value)

    texts = {name: cell(name) for name in TEXT_COLUMNS}
    for name in _response_columns(task):
        if texts[name] is None:
            raise UserError(f"{path}, row {number}: {name} is missing")
    label = cell("label")
    try:
        return Sample(
            id=cell("id") or stable_id("row", number, *texts.values()),
            source=path.stem,
            task=task,
            instruction=texts["instruction"] or "",
            response=texts["response"] or "",
            response_b=texts["response_b"] if task == "pairwise" else None,
            rubric=texts["rubric"] or rubric,
            reference=texts["reference"] or None,
            label=label.removesuffix(".0") if label else None,
        )
    except ValueError as error:
        raise UserError(f"{path}, row {number}: {error}") from error


def _columns_of(result: ItemResult, task: Task) -> dict[str, Any]:
    added = {
        "verdict": result.verdict,
        "status": result.status,
        "reason": result.reason,
        "critique": result.critique,
        "confidence": result.confidence,
    }
    if task == "pairwise":
        added |= {f"verdict_{j.order.lower()}": j.verdict_of_sample for j in result.judgements}
    return added


def _usage(judge: JudgeBackend, found: Sequence[Judgement]) -> dict[str, float]:
    usage: dict[str, float] = {
        "prompt_tokens": sum(j.n_prompt_tokens for j in found),
        "reply_tokens": sum(j.n_reply_tokens for j in found),
    }
    spent = getattr(judge, "spent_usd", None)
    return usage | ({"usd": spent} if spent is not None else {})


def _scores(
    samples: Sequence[Sample], found: Sequence[Judgement], judge: str, name: str
) -> list[Score]:
    from selene_lib.evaluation.scoring import score_set

    labelled = [s for s in samples if s.label is not None]
    return score_set(labelled, found, judge=judge, set_name=name) if labelled else []
