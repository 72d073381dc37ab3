"""Judge your own data: one call for one response or for many, one for a file of them.

A file is judged resumably, with every reply kept beside the result.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack, overload

from selene_lib.data.own_rows import OwnRows
from selene_lib.data.table_proof import check_output
from selene_lib.data.table_writing import TableShape, schema_of
from selene_lib.data.tables import iterate_rows
from selene_lib.errors import UserError, tell
from selene_lib.evaluation.judged_file import FileResult, result_of, warn_of_unreadable
from selene_lib.judges.asked import Asked, kind_of
from selene_lib.judges.file_job import FileJob, open_stores
from selene_lib.judges.gathering import Gathering, Give
from selene_lib.judges.items import Shared, is_one, items_of, sample_of
from selene_lib.judges.judging import Asking, render_for, to_judgement
from selene_lib.judges.opening import open_judge, open_panel
from selene_lib.judges.opinions import Criterion, combine
from selene_lib.judges.options import JudgeOptions
from selene_lib.judges.planning import FilePlan, plan_job
from selene_lib.judges.protocol import JudgeBackend, Reply
from selene_lib.judges.results import ItemResult, item_results
from selene_lib.judges.session import AskingSession
from selene_lib.judges.sharding import Shard, stores_of_shards, take_over
from selene_lib.judges.sources import files_read
from selene_lib.models.cluster import Cluster
from selene_lib.models.names import EMBEDDED_MODEL
from selene_lib.prompts.additions import Example
from selene_lib.prompts.rendering import Prompt
from selene_lib.records import Judgement, Sample

__all__ = [
    "Criterion",
    "Example",
    "FilePlan",
    "FileResult",
    "ItemResult",
    "Judge",
    "JudgeOptions",
    "item_results",
    "judge_file",
    "plan_file",
]

_TOY = (
    f"{EMBEDDED_MODEL} knows only its generated world: on texts of yours its verdicts mean nothing "
    "(`selene model get smollm2` fetches a small real model; a server is http://host/v1#model)"
)


class Judge:
    """A judge of your own responses.

        judge = Judge("http://localhost:8000/v1#my-model", rubric="helpfulness")
        judge.score("Green.", instruction="What colour is the sky?").verdict

    `model` is a folder or hub id, `http://host/v1#model` for a server, `vllm:PATH`, `replay:FILE`,
    `embedded` (which knows only its generated world), or several of these: a panel. Without it the
    base of `adapter` judges, else the small real model where it is installed. Options are those of
    `JudgeOptions`, as an object or by name. With `adapter=` a judge of `train_judge`, task, rubric
    and how it is asked are what it was trained with unless given.
    """

    def __init__(
        self,
        model: str | Sequence[str] | None = None,
        options: JudgeOptions | None = None,
        **given: Any,
    ) -> None:
        self.options = JudgeOptions.of(options, given)
        self.asked = asked = Asked.of(model, self.options)
        self.trained, self.calibration = asked.trained, asked.calibration
        self.judges = open_panel(asked.models, asked.opened_with.of_backend(), open_judge)
        self._sessions = [AskingSession() for _ in self.judges]
        self._one_at_a_time = threading.Lock()
        self._gathering: Gathering[Sample, ItemResult] = Gathering(self._ask)

    @property
    def judge(self) -> JudgeBackend:
        """The judge that answers; of a panel the first."""
        return self.judges[0]

    @property
    def asking(self) -> Asking:
        """How samples are put to the judge."""
        return self.asked.opinion.asking

    @overload
    def score(
        self, response: str | Mapping[str, Any] | Sample, **shared: Unpack[Shared]
    ) -> ItemResult: ...

    @overload
    def score(
        self, response: list[str] | list[Sample], **shared: Unpack[Shared]
    ) -> list[ItemResult]: ...

    @overload  # a conversation is one response, other lists are many
    def score(self, response: Sequence[Any], **shared: Unpack[Shared]) -> Any: ...

    def score(self, response: Any, **shared: Unpack[Shared]) -> ItemResult | list[ItemResult]:
        """Judge one response (two with `response_b`), or many.

        Beside it are given, where there are such, `instruction`, `rubric`, `reference`,
        `response_b`, `context` (what the response was to be drawn from) and `task`. A text may be a
        conversation, a list of messages; one that stands alone is judged in its last turn. Many are
        a list of responses, of mappings with these names, or of samples; what is given beside them
        holds for all. `task` defaults to pairwise for two responses, else to that of the judge,
        else to absolute.
        """
        found = self.score_samples(self._samples(response, shared))
        return found[0] if is_one(response) else found

    @overload
    async def ascore(
        self, response: str | Mapping[str, Any] | Sample, **shared: Unpack[Shared]
    ) -> ItemResult: ...

    @overload
    async def ascore(
        self, response: list[str] | list[Sample], **shared: Unpack[Shared]
    ) -> list[ItemResult]: ...

    @overload
    async def ascore(self, response: Sequence[Any], **shared: Unpack[Shared]) -> Any: ...

    async def ascore(
        self, response: Any, **shared: Unpack[Shared]
    ) -> ItemResult | list[ItemResult]:
        """As `score`, awaited: calls that are made together are judged together."""
        found = await self.ascore_samples(self._samples(response, shared))
        return found[0] if is_one(response) else found

    def prompt(self, sample: Sample) -> Prompt:
        """The prompt that a sample is judged by, in the order it lies in."""
        return render_for(sample, self.asking)

    def score_samples(self, samples: Sequence[Sample]) -> list[ItemResult]:
        """Judge samples without a file; `judging.judge_samples` is the resumable way.

        What a server answered is kept in memory: this object asks nothing twice, and a budget holds
        for all its calls. A `store` given to it keeps the replies for later sessions too.
        """
        found: dict[int, ItemResult] = {}
        self._ask(samples, found.__setitem__)
        return [found[place] for place in range(len(samples))]

    async def ascore_samples(self, samples: Sequence[Sample]) -> list[ItemResult]:
        """As `score_samples`, awaited."""
        return list(await asyncio.gather(*(self._gathering.one(sample) for sample in samples)))

    def _ask(self, samples: Sequence[Sample], give: Give[ItemResult]) -> None:
        """Judge samples and hand over each result once the last judge has answered."""
        places: dict[str, list[int]] = {}
        for place, sample in enumerate(samples):
            places.setdefault(sample.id, []).append(place)
        unique = [samples[mine[0]] for mine in places.values()]
        said: list[list[list[Judgement]]] = []
        with self._one_at_a_time:
            for number, (judge, session) in enumerate(zip(self.judges, self._sessions)):
                said.append([[] for _ in unique])
                is_last = number + 1 == len(self.judges)
                self._ask_one(judge, session, unique, said, places, give if is_last else None)

    def _ask_one(
        self,
        judge: JudgeBackend,
        session: AskingSession,
        samples: Sequence[Sample],
        said: list[list[list[Judgement]]],
        places: Mapping[str, Sequence[int]],
        give: Give[ItemResult] | None,
    ) -> None:
        """Let one judge answer into the last of `said`; with `give`, results are handed over."""
        by_sample = [self.asked.opinion.questions([sample]) for sample in samples]
        owner = [i for i, questions in enumerate(by_sample) for _ in questions]
        questions = [question for mine in by_sample for question in mine]

        def keep(place: int, reply: Reply) -> None:
            question, i = questions[place], owner[place]
            judgement = to_judgement(judge.name, "mine", question, reply)
            mine = said[-1][i]
            mine.append(self.calibration.apply(judgement, question.sample))
            if give is not None and len(mine) == len(by_sample[i]):
                result = self._result(samples[i], [member[i] for member in said])
                for one in places[samples[i].id]:
                    give(one, result)

        session.ask(judge, questions, keep)

    def _result(self, sample: Sample, said: Sequence[Sequence[Judgement]]) -> ItemResult:
        opinion = self.asked.opinion
        found = [opinion.results([sample], judgements)[0] for judgements in said]
        if len(found) == 1:
            return found[0]
        names = [judge.name for judge in self.judges]
        return combine(dict(zip(names, found, strict=True)), opinion.combine)

    def _samples(self, response: Any, shared: Shared) -> list[Sample]:
        """The samples that a call is about."""
        beside = dict(shared)
        task = beside.pop("task", None)
        return [sample_of(item, beside, task, self.asked) for item in items_of(response)]


def judge_file(
    input_path: str | Path,
    output_path: str | Path,
    *,
    model: str | Sequence[str] | None = None,
    options: JudgeOptions | None = None,
    columns: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    store: str | Path | None = None,
    prefix: str = "",
    retry_failed: bool = False,
    progress: bool = True,
    shard: str | None = None,
    cluster: Cluster | None = None,
    **given: Any,
) -> FileResult:
    """Judge every row of a table and write the rows with the verdict columns added, in the output's
    format (CSV, TSV, JSON Lines or Parquet). Rows are read, judged and written in blocks.

    Needed columns: `instruction` and `response`, or `messages` (a conversation whose last turn is
    judged), and `response_b` for pairwise; used where there: `rubric` (else the one given is for
    all rows), `reference`, `context`, `label`, `group`, `id`. `columns` maps these names to the
    file's own, `labels` its labels to the task's. `model` and the options are those of `Judge`;
    without a task a table with a second response is pairwise, any other absolute. The added columns
    (`file_job.ADDED_COLUMNS`) get `prefix`, or `selene_` where the file has one of these names.
    Replies are kept in `store` (default: the output's name plus `.replies.jsonl`) when they come,
    so a broken run goes on where it stopped; a request that failed for good is a row with status
    `failed`, asked again with `retry_failed`. The samples as they were judged lie beside the output
    (`.samples.parquet`), to be scored again or exported with. Every mistake of the user is a one-
    line UserError, before anything is asked.

    `shard` (`3/8`) judges a part of the rows into files of its own, named after it; without it what
    shards answered is taken over. `cluster` spreads the prompts over a Ray cluster.
    """
    part = Shard.read(shard) if shard else None
    output = part.output(Path(output_path)) if part else Path(output_path)
    kept = _store_beside(output, store)
    settings = JudgeOptions.of(options, given)
    job, ids = _prepare(
        Path(input_path), output, kept, model, settings, columns, labels, prefix, part
    )
    asked = job.asked
    if EMBEDDED_MODEL in asked.models:
        tell(_TOY)
    open_one = open_judge if cluster is None else _opener_on(cluster)
    judges = open_panel(asked.models, asked.opened_with.of_backend(), open_one)
    job.name_columns(judges)
    if part is None and (others := stores_of_shards(output)):
        tell(f"{take_over(kept, others)} replies taken over from {len(others)} shards")
    with (
        _told_of_full_disk(output),
        open_stores(kept, judges, ids, retry_failed=retry_failed) as stores,
    ):
        job.judge_into(stores, progress=progress)
        n_tokens = [(store.n_tokens[0], store.n_tokens[1]) for store in stores]
    result = result_of(job, judges, n_tokens, kept)
    warn_of_unreadable(result)
    return result


def plan_file(
    input_path: str | Path,
    output_path: str | Path,
    *,
    model: str | Sequence[str] | None = None,
    options: JudgeOptions | None = None,
    columns: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    store: str | Path | None = None,
    **given: Any,
) -> FilePlan:
    """Say what `judge_file` would ask, and what it would cost at most, without asking anything."""
    output = Path(output_path)
    kept = _store_beside(output, store)
    settings = JudgeOptions.of(options, given)
    job, _ = _prepare(Path(input_path), output, kept, model, settings, columns, labels, "", None)
    return plan_job(job, kept)


def _store_beside(output: Path, store: str | Path | None) -> Path:
    return Path(store) if store else output.with_name(f"{output.name}.replies.jsonl")


def _prepare(
    source: Path,
    output: Path,
    kept: Path,
    model: str | Sequence[str] | None,
    settings: JudgeOptions,
    columns: Mapping[str, str] | None,
    labels: Mapping[str, str] | None,
    prefix: str,
    part: Shard | None,
) -> tuple[FileJob, set[str]]:
    """Read input and output and everything in them; return the job, and the ids it asks about."""
    kind_of(settings.task, settings.scale)
    shape = TableShape(output, schema_of(source, output))
    more = [Path(settings.store)] if settings.store else []
    check_output(output, kept, (source, *files_read(model, settings)), more)
    _, first = next(iter(iterate_rows(source)))
    is_pair = (columns or {}).get("response_b", "response_b") in first
    asked = Asked.of(model, settings, "pairwise" if is_pair else "absolute")
    trained = asked.trained
    rows = OwnRows(
        source,
        asked.task or "absolute",
        asked.rubric or (asked.criteria[0].rubric if asked.criteria else ""),
        {**(trained.columns if trained else {}), **(columns or {})},
        labels or (trained.labels if trained else {}),
        scale=asked.scale,
        needs=asked.needs,
        given=tuple(columns or ()),
        takes=part.takes if part else None,
    )
    job = FileJob(rows, shape, asked, prefix)
    return job, job.look_through()


def _opener_on(cluster: Cluster) -> Callable[..., JudgeBackend]:
    """What opens a judge of a panel on a cluster: each has a folder of its own there."""
    from selene_lib.judges.cluster import RayJudge

    def open_one(model: str, **options: Any) -> JudgeBackend:
        name = hashlib.sha256(model.encode()).hexdigest()[:12]
        mine = replace(cluster, folder=Path(cluster.folder) / name)
        return RayJudge(model, options, mine)

    return open_one


@contextmanager
def _told_of_full_disk(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot write beside {output} ({error.strerror or error}); make room or give another "
            "output, and run again: what was answered is kept"
        ) from error
