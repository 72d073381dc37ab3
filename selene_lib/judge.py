"""Judge your own data: one call for one response, one for a file of them.

A file is judged resumably, with every reply kept beside the result.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from selene_lib.data.own_rows import OwnRows
from selene_lib.data.table_writing import (
    TableShape,
    blocks,
    check_output,
    columns_beside,
    open_table,
    remove_leftovers,
    schema_of,
)
from selene_lib.data.tables import Row
from selene_lib.errors import UserError, tell
from selene_lib.files import arrow_schema, to_arrow_row
from selene_lib.judges.asked import Asked
from selene_lib.judges.calibration import Calibration
from selene_lib.judges.judging import Asking, answer_into, plan_questions, to_judgement
from selene_lib.judges.opening import open_judge
from selene_lib.judges.protocol import Priced, Reply
from selene_lib.judges.session import AskingSession
from selene_lib.judges.store import JudgementStore
from selene_lib.prompts.rendering import Prompt, render
from selene_lib.prompts.rubrics import read_rubric
from selene_lib.records import TASKS, Judgement, Sample, Score, Task, stable_id

# What is added to a user's rows; of a pair also the verdict of each order.
ADDED_COLUMNS = ("verdict", "status", "reason", "critique", "confidence", "n_cut_characters")
PAIR_COLUMNS = ("verdict_ab", "verdict_ba")
ADDED_KINDS = {"confidence": float, "n_cut_characters": int}
# Rows in memory at a time: a connection waits for the last of a block, which costs little at this
# length, and a block of long texts is some fifty megabytes.
BLOCK_ROWS = 8192


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
    `nano` for the embedded model, `lean` for `smollm2`, else `full`), or is a folder of your own.
    `reply` is `critique` or `verdict` (the judgement alone); `calibration` a file that notebook 05
    wrote for a Yes/No judge. With `adapter=` a judge of `train_judge` all of these, and task and
    rubric, are what it was trained with unless given.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        family: str | None = None,
        escape: bool = True,
        reply: str | None = None,
        calibration: str | Path | None = None,
        **options: Any,
    ) -> None:
        given = Asked.of(model, family, reply, calibration, options)
        self.trained = given.trained
        self.calibration = given.calibration
        self.judge = open_judge(given.model, **given.options)
        self._session = AskingSession()
        self.asking = Asking(given.family, escape=escape, critique=given.critique)

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

        `task` defaults to pairwise for two responses, and for one to that of a trained judge, else
        to absolute.
        """
        trained = self.trained
        own = trained.task if trained and response_b is None else None
        kind = (
            task or cast(Task | None, own) or ("pairwise" if response_b is not None else "absolute")
        )
        rubric = rubric or (trained.rubric if trained else "")
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

    def prompt(self, sample: Sample) -> Prompt:
        """The prompt that a sample is judged by, in the order it lies in."""
        asking = self.asking
        return render(sample, family=asking.family, escape=asking.escape, critique=asking.critique)

    def score_samples(self, samples: Sequence[Sample]) -> list[ItemResult]:
        """Judge samples without a file; `judging.judge_samples` is the resumable way.

        What a server answered is kept in memory: this object asks nothing twice, and a budget holds
        for all its calls. A `store` given to it keeps the replies for later sessions too.
        """
        questions = plan_questions(samples, self.asking)
        found: dict[int, Judgement] = {}

        def keep(place: int, reply: Reply) -> None:
            question = questions[place]
            judgement = to_judgement(self.judge.name, "mine", question, reply)
            found[place] = self.calibration.apply(judgement, question.sample)

        self._session.ask(self.judge, questions, keep)
        return item_results(samples, [found[place] for place in range(len(questions))])


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

    `n_failed` rows have no reply (they are in `n_unparsed` too). `usage` holds prompt and reply
    tokens of all stored replies, and `usd` where a price is known; `scores` only with a label
    column.
    """

    output: Path
    store: Path
    n: int
    n_unparsed: int
    n_inconsistent: int
    n_failed: int
    usage: dict[str, float]
    scores: list[Score]


def judge_file(
    input_path: str | Path,
    output_path: str | Path,
    *,
    task: Task | None = None,
    rubric: str | Path | None = None,
    model: str | None = None,
    columns: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    family: str | None = None,
    escape: bool = True,
    store: str | Path | None = None,
    prefix: str = "",
    retry_failed: bool = False,
    progress: bool = True,
    reply: str | None = None,
    calibration: str | Path | None = None,
    **options: Any,
) -> FileResult:
    """Judge every row of a table and write the rows with the verdict columns added, in the output's
    format (CSV, TSV, JSON Lines or Parquet). Rows are read, judged and written in blocks.

    Needed columns: `instruction`, `response`, and `response_b` for pairwise; used where there:
    `rubric` (else the rubric file is for all rows), `reference`, `label`, `group`, `id`. `columns`
    maps these names to the file's own, `labels` its labels to the task's. The adapter of a judge
    that `train_judge` made says task, rubric, model and how it is asked. The added columns
    (`ADDED_COLUMNS`) get `prefix`, or `selene_` where the file has one of these names. Replies are
    kept in `store` (default: the output's name plus `.replies.jsonl`) when they come, so a broken
    run goes on where it stopped; a request that failed for good is a row with status `failed`,
    asked again with `retry_failed`. The samples as they were judged lie beside the output
    (`.samples.parquet`), to be scored again or exported with. Every mistake of the user is a one-
    line UserError, before anything is asked.
    """
    given = Asked.of(model, family, reply, calibration, options)
    trained = given.trained
    task = task or cast(Task | None, trained.task if trained else None)
    if task is None:
        raise UserError(f"say which task it is: {', '.join(TASKS)} (--task)")
    if task not in TASKS:
        raise UserError(f"task {task!r} is not one of {', '.join(TASKS)}")
    output = Path(output_path)
    kept = Path(store) if store else output.with_name(f"{output.name}.replies.jsonl")
    shape = TableShape(output, schema_of(Path(input_path), output))
    check_output(output, kept, Path(input_path))
    text = read_rubric(rubric, task) if rubric is not None else trained.rubric if trained else ""
    rows = OwnRows(
        Path(input_path),
        task,
        text,
        columns or (trained.columns if trained else {}),
        labels or (trained.labels if trained else {}),
    )
    asking = Asking(given.family, escape=escape, critique=given.critique)
    job = _FileJob(rows, shape, asking, prefix, given.calibration)
    ids = job.look_through()
    judge = open_judge(given.model, **given.options)
    try:
        with JudgementStore(kept, judge, own_ids=ids, retry_failed=retry_failed) as opened:
            job.judge_into(opened, progress=progress)
            n_prompt, n_reply = opened.n_tokens
    except OSError as error:
        raise UserError(
            f"cannot write beside {output} ({error.strerror or error}); make room or give another "
            "output, and run again: what was answered is kept"
        ) from error
    usage: dict[str, float] = {"prompt_tokens": n_prompt, "reply_tokens": n_reply}
    usd = judge.usd(n_prompt, n_reply) if isinstance(judge, Priced) else None
    if usd is not None:
        usage["usd"] = usd
    n_inconsistent = job.statuses["inconsistent"]
    n_unparsed = job.n - job.statuses["value"] - n_inconsistent
    scores = _scores(job.gold, job.found, judge.name, job.set_name)
    n_failed = job.statuses["failed"]
    return FileResult(output, kept, job.n, n_unparsed, n_inconsistent, n_failed, usage, scores)


class _FileJob:
    """A file on its way through a judge, block by block."""

    def __init__(
        self,
        rows: OwnRows,
        shape: TableShape,
        asking: Asking,
        prefix: str,
        calibration: Calibration,
    ) -> None:
        self.rows, self.shape, self.asking, self.prefix = rows, shape, asking, prefix
        self.calibration = calibration
        self.n, self.set_name = 0, rows.source
        self.statuses: Counter[str] = Counter()
        self.gold: list[Sample] = []  # what is scored, without its texts
        self.found: list[Judgement] = []

    def look_through(self) -> set[str]:
        """Read the whole file once, so that every mistake is found before anything is paid; return
        the ids.
        """
        ids: set[str] = set()
        for block in blocks(self.rows, BLOCK_ROWS):
            self.shape.see([one.row for one in block])
            ids.update(one.sample.id for one in block)
        names = [*ADDED_COLUMNS, *(PAIR_COLUMNS if self.rows.task == "pairwise" else ())]
        self.names = columns_beside(names, self.shape.names, self.prefix)
        if not self.prefix and self.names["verdict"] != "verdict":
            ours = self.names["verdict"]
            tell(f"{self.rows.path} has columns of our names; the added ones are {ours} and so on")
        self.shape.add({self.names[name]: ADDED_KINDS.get(name, str) for name in names})
        self.n = len(ids)
        return ids

    def judge_into(self, store: JudgementStore, *, progress: bool) -> None:
        """Judge every block and write output and samples, whole once all are judged."""
        from tqdm.auto import tqdm

        output = self.shape.path
        self.set_name = store.set_name or self.set_name
        samples = TableShape(
            output.with_name(f"{output.name}.samples.parquet"), arrow_schema(Sample)
        )
        n_questions = self.n * (2 if self.rows.task == "pairwise" else 1)
        name = f"{store.judge.name} on {self.rows.source}"
        remove_leftovers(output, samples.path)
        with (
            tqdm(total=n_questions, desc=name, unit="verdict", disable=not progress) as bar,
            open_table(output, self.shape) as table,
            open_table(samples.path, samples) as sample_table,
        ):
            for block in blocks(self.rows, BLOCK_ROWS):
                mine = [one.sample for one in block]
                found = answer_into(store, self.set_name, plan_questions(mine, self.asking), bar)
                # the store keeps what the judge said; the calibration is laid over it
                by_id = {sample.id: sample for sample in mine}
                found = [self.calibration.apply(j, by_id[j.sample_id]) for j in found]
                results = item_results(mine, found)
                table.write([self._row(one.row, r) for one, r in zip(block, results, strict=True)])
                sample_table.write([to_arrow_row(sample) for sample in mine])
                self._count(mine, found, results)

    def _row(self, row: Row, result: ItemResult) -> Row:
        added = {
            "verdict": result.verdict,
            "status": result.status,
            "reason": result.reason,
            "critique": result.critique,
            "confidence": result.confidence,
            "n_cut_characters": sum(
                int(j.meta.get("n_cut_characters", 0)) for j in result.judgements
            ),
        }
        for judgement in result.judgements if self.rows.task == "pairwise" else ():
            added[f"verdict_{judgement.order.lower()}"] = judgement.verdict_of_sample
        return {**row, **{self.names[name]: value for name, value in added.items()}}

    def _count(
        self, samples: list[Sample], found: list[Judgement], results: list[ItemResult]
    ) -> None:
        self.statuses.update(result.status for result in results)
        labelled = {s.id for s in samples if s.label is not None or s.score is not None}
        for sample in samples:
            if sample.id in labelled:
                second = None if sample.response_b is None else ""
                bare = replace(sample, instruction="", response="", response_b=second, rubric="")
                self.gold.append(replace(bare, reference=None))
        for judgement in found:
            if judgement.sample_id in labelled:
                self.found.append(replace(judgement, reply="", meta={}))


def _scores(
    samples: Sequence[Sample], found: Sequence[Judgement], judge: str, name: str
) -> list[Score]:
    from selene_lib.evaluation.scoring import score_set

    return score_set(samples, found, judge=judge, set_name=name) if samples else []
