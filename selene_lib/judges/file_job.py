"""A user's table on its way through one judge or a panel, block by block."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from selene_lib.data.own_rows import OwnRow, OwnRows
from selene_lib.data.table_proof import proof_of, samples_beside
from selene_lib.data.table_writing import (
    TableShape,
    blocks,
    columns_beside,
    open_parquet,
    open_table,
)
from selene_lib.data.table_writing import remove_leftovers as remove_leftovers_of
from selene_lib.data.tables import Row
from selene_lib.errors import tell
from selene_lib.files import arrow_schema, to_arrow_row
from selene_lib.judges.asked import Asked
from selene_lib.judges.judging import answer_into
from selene_lib.judges.opinions import combine
from selene_lib.judges.protocol import JudgeBackend, Spreading
from selene_lib.judges.results import ItemResult
from selene_lib.judges.store import JudgementStore
from selene_lib.prompts.rendering import Prompt
from selene_lib.records import Judgement, Sample, VerdictStatus

# What is added to a user's rows, and what of each kind of verdict beside it.
ADDED_COLUMNS = (
    "verdict", "score", "confidence", "status", "reason", "reasoning", "judge", "rubric",
    "n_prompt_tokens", "n_reply_tokens", "n_cut_characters",
)  # fmt: skip
PAIR_COLUMNS = ("verdict_ab", "verdict_ba")
ADDED_KINDS = {
    "score": float,
    "confidence": float,
    "spread": float,
    "n_prompt_tokens": int,
    "n_reply_tokens": int,
    "n_cut_characters": int,
}
# Rows in memory at a time: a connection waits for the last of a block, which costs little at this
# length, and a block of long texts is some fifty megabytes.
BLOCK_ROWS = 8192
PANEL = "panel"


@dataclass
class Member:
    """What one judge said of all rows: what is counted, without the texts."""

    name: str
    labels: list[str | None] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)


class FileJob:
    """A file on its way through its judges; see `judge_file`."""

    def __init__(self, rows: OwnRows, shape: TableShape, asked: Asked, prefix: str) -> None:
        self.rows, self.shape, self.asked, self.prefix = rows, shape, asked, prefix
        self.n, self.set_name = 0, rows.source
        self.own: set[str] = set()
        self.members: list[Member] = []
        self.whole = Member(PANEL)
        self.numbers: list[float] = []  # the score of each row that has one, and its group
        self.groups: list[str] = []
        self.gold: list[Sample] = []  # what is scored, without its texts
        self.found: list[Judgement] = []

    def look_through(self) -> set[str]:
        """Read the whole file once, so that every mistake is found before anything is paid; return
        the ids of all that is asked.
        """
        ids: set[str] = set()
        n_given = 0
        for block in blocks(self.rows, BLOCK_ROWS):
            self.shape.see([one.row for one in block])
            n_given += len(block)
            for one in block:
                names = [criterion.name for criterion in self.asked.criteria]
                ids.update([f"{one.sample.id}#{name}" for name in names] or [one.sample.id])
        again = ([one.row for one in block] for block in blocks(self.rows, BLOCK_ROWS))
        self.shape.settle(again)
        self.own, self.n = set(self.shape.names), n_given
        return ids

    def name_columns(self, judges: Sequence[JudgeBackend]) -> None:
        """Choose the names of the added columns, none of which is one of the file's own."""
        self.members = [Member(judge.name) for judge in judges]
        if len(judges) == 1:
            self.whole = self.members[0]
        elif self.asked.options.name:
            self.whole.name = self.asked.options.name
        # a rubric that stands in the file is there already
        own_rubric = self.rows.columns.get("rubric", "rubric") in self.own
        names = [name for name in ADDED_COLUMNS if not (own_rubric and name == "rubric")]
        names += PAIR_COLUMNS if self.rows.task == "pairwise" and not self._is_joint() else ()
        names += ["spread"] if self._has_spread() else []
        names += [f"verdict_{part}" for part in self._parts()]
        self.names = columns_beside(names, self.shape.names, self.prefix)
        if not self.prefix and self.names["verdict"] != "verdict":
            ours = self.names["verdict"]
            tell(f"{self.rows.path} has columns of our names; the added ones are {ours} and so on")
        self.shape.add({self.names[name]: ADDED_KINDS.get(name, str) for name in names})

    def _parts(self) -> list[str]:
        """What a row's verdict was put together from, by name: judges, else criteria."""
        if len(self.members) > 1:
            return [member.name for member in self.members]
        return [criterion.name for criterion in self.asked.criteria]

    def _is_joint(self) -> bool:
        """Whether a verdict is made of several, so that its judgements are not one an order."""
        opinion = self.asked.opinion
        return len(self.members) > 1 or bool(opinion.criteria) or opinion.asking.n_samples > 1

    def _has_spread(self) -> bool:
        return len(self.members) > 1 or self.asked.opinion.asking.n_samples > 1

    def judge_into(self, stores: Sequence[JudgementStore], *, progress: bool) -> None:
        """Judge every block and write output and samples, whole once all are judged."""
        from tqdm.auto import tqdm

        self.set_name = stores[0].set_name or self.set_name
        for store in stores:
            if isinstance(store.judge, Spreading):
                store.judge.spread(self.missing(store))
        n_orders = 2 if self.rows.task == "pairwise" else 1
        n_questions = self.n * n_orders * self.asked.opinion.n_replies * len(stores)
        name = f"{', '.join(store.judge.name for store in stores)} on {self.rows.source}"
        with (
            tqdm(total=n_questions, desc=name, unit="verdict", disable=not progress) as bar,
            self._open_outputs() as (table, sample_table),
        ):
            for block in blocks(self.rows, BLOCK_ROWS):
                samples = [one.sample for one in block]
                said = [self._ask(store, samples, bar) for store in stores]
                results = self._together(said)
                rows = zip(block, results, strict=True)
                table.write([self._row(one, result) for one, result in rows])
                asked = self.asked.opinion.expand(samples)
                sample_table.write([to_arrow_row(sample) for sample in asked])
                self._count(samples, said, results)

    def missing(self, store: JudgementStore) -> Iterator[Prompt]:
        """The prompts that a store has no answer to, in their order."""
        for block in blocks(self.rows, BLOCK_ROWS):
            for question in self.asked.opinion.questions([one.sample for one in block]):
                if store.get(question, self.set_name) is None:
                    yield question.prompt

    @contextmanager
    def _open_outputs(self) -> Iterator[tuple[Any, Any]]:
        output = self.shape.path
        beside = samples_beside(output)
        remove_leftovers_of(output, beside)
        with ExitStack() as stack:
            samples = stack.enter_context(open_parquet(beside, arrow_schema(Sample)))

            def prove(table: Path) -> None:
                """The proof is there before the table, so that a kill leaves none without."""
                samples.note(proof_of(table, output))
                stack.close()

            with open_table(output, self.shape, prove) as table:
                yield table, samples

    def _ask(self, store: JudgementStore, samples: Sequence[Sample], bar: Any) -> list[ItemResult]:
        """What one judge says of a block; the store keeps what it wrote, calibration is laid over
        it.
        """
        opinion, calibration = self.asked.opinion, self.asked.calibration
        questions = opinion.questions(samples)
        found = answer_into(store, self.set_name, questions, bar)
        found = [calibration.apply(j, q.sample) for j, q in zip(found, questions, strict=True)]
        return opinion.results(samples, found)

    def _together(self, said: Sequence[Sequence[ItemResult]]) -> list[ItemResult]:
        """The results of the judges, or of the panel that they are."""
        if len(said) == 1:
            return list(said[0])
        names = [member.name for member in self.members]
        how = self.asked.opinion.combine
        return [combine(dict(zip(names, mine, strict=True)), how) for mine in zip(*said)]

    def _row(self, one: OwnRow, result: ItemResult) -> Row:
        n_prompt, n_reply = result.n_tokens
        cut = (int(j.meta.get("n_cut_characters", 0)) for j in result.judgements)
        added: dict[str, Any] = {
            "verdict": result.label,
            "score": result.score,
            "confidence": result.confidence,
            "status": result.status,
            "reason": result.reason,
            "reasoning": result.reasoning,
            "judge": self.whole.name,
            "rubric": one.sample.rubric,
            "n_prompt_tokens": n_prompt,
            "n_reply_tokens": n_reply,
            "n_cut_characters": sum(cut),
            "spread": result.spread,
        }
        for judgement in result.judgements:
            added[f"verdict_{judgement.order.lower()}"] = judgement.verdict_of_sample
        added |= {f"verdict_{name}": part.label for name, part in result.parts.items()}
        return {**one.row, **{ours: added.get(name) for name, ours in self.names.items()}}

    def _count(
        self,
        samples: Sequence[Sample],
        said: Sequence[Sequence[ItemResult]],
        results: Sequence[ItemResult],
    ) -> None:
        for member, mine in zip(self.members, said, strict=True):
            _take(member, mine)
        if len(said) > 1:
            _take(self.whole, results)
        for sample, result in zip(samples, results, strict=True):
            if result.score is not None:
                self.numbers.append(result.score)
                self.groups.append(sample.group or sample.id)
        labelled = [s.label is not None or s.score is not None for s in samples]
        self.gold += [_bare(s) for s, has in zip(samples, labelled, strict=True) if has]
        everyone = [*zip(self.members, said, strict=True)]
        if len(said) > 1:
            everyone.append((self.whole, results))
        for member, mine in everyone:
            for sample, result, has in zip(samples, mine, labelled, strict=True):
                if has:
                    self.found += self._scored(member.name, sample, result)

    def _scored(self, judge: str, sample: Sample, result: ItemResult) -> list[Judgement]:
        """The judgements that are scored against the gold label: of a joint verdict, that one."""
        if not result.parts:
            return [replace(j, reply="", meta={}) for j in result.judgements]
        status: VerdictStatus = "value" if result.label is not None else "abstained"
        return [
            Judgement(
                judge, self.set_name, sample.id, sample.task, "AB", "", "", "", "stop",
                status, result.label,
            )
        ]  # fmt: skip


def _take(member: Member, results: Sequence[ItemResult]) -> None:
    member.labels += [result.label for result in results]
    member.statuses.update(result.status for result in results)


def _bare(sample: Sample) -> Sample:
    """A sample without its texts, with all that scoring reads."""
    second = None if sample.response_b is None else ""
    meta = {name: value for name, value in sample.meta.items() if name != "context"}
    bare = replace(sample, instruction="", response="", response_b=second, rubric="", meta=meta)
    return replace(bare, reference=None)


@contextmanager
def open_stores(
    path: Path, judges: Sequence[JudgeBackend], ids: set[str], *, retry_failed: bool
) -> Iterator[list[JudgementStore]]:
    """Hold the file of replies open for each judge; they write it together.

    The file is there from the start, so that a run of which nothing was answered goes on, too.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    with ExitStack() as stack:
        stores: list[JudgementStore] = []
        for judge in judges:
            first = stores[0] if stores else None
            store = JudgementStore(
                path, judge, own_ids=ids, retry_failed=retry_failed, beside=first
            )
            stores.append(stack.enter_context(store))
        yield stores
