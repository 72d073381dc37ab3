"""Relevance: is this the answer to this request, or to another one?

Dataset: HaluEval, general split: 4,507 queries with ChatGPT's response (`sources/halueval.py`).
Transfer: AlpacaEval's 805 instructions with Mixtral's response (`sources/alpaca_eval_cot.py`);
         never trained on.
Label:   by construction. Two requests make a group of four items: each response under its own
         request (Yes) and under the other one (No), so that no word of request or response alone
         tells the label.
Metric:  accuracy, AUC.
Prompt:  classification; our wording of the question.
Deviations: requests of 4 to 40 words, responses of at least 8, none that HaluEval calls a
         hallucination, and a fixed number of groups in each part.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from selene_lib.data.readers import read_records
from selene_lib.data.real_tasks.parts import Part, part_of
from selene_lib.data.sources import alpaca_eval_cot, halueval
from selene_lib.data.spec import BrokenRow, DataSpec, Row, row_or_broken
from selene_lib.records import Sample, stable_id, unit_hash

RUBRIC = "Is this an answer to this request?"
N_GROUPS = {"training": 200, "test": 60}
N_TRANSFER_GROUPS = 80
WORDS_OF_REQUEST = range(4, 41)
LEAST_WORDS_OF_RESPONSE = 8


def four_items(row: Row) -> list[Sample]:
    """Return the four items of two requests: both right matches, then both wrong ones."""
    requests = [row.text("request_1"), row.text("request_2")]
    responses = [row.text("response_1"), row.text("response_2")]
    group = "\x1f".join(requests)
    items = []
    for i, request in enumerate(requests):
        for j, response in enumerate(responses):
            label = "Yes" if i == j else "No"
            items.append(
                row.sample(
                    "classification", request, response, rubric=RUBRIC, label=label, group=group
                )
            )
    return items


def read_part(folder: Path, spec: DataSpec, part: Part) -> Iterator[tuple[str, object]]:
    """Yield the pairs of requests of one part, in an order drawn from their texts."""
    place = "general_data.json"
    texts: list[tuple[str, str]] = []
    records = (
        (where, record)
        for where, record in read_records(folder / place, place)
        if not isinstance(record, Mapping) or record.get("hallucination") == "no"
    )
    yield from _read_texts(records, spec, ("user_query", "chatgpt_response"), texts)
    yield from _pair_up(texts, place, N_GROUPS[part], part)


def read_transfer(folder: Path, spec: DataSpec) -> Iterator[tuple[str, object]]:
    """Yield pairs of AlpacaEval's instructions, each with the second system's response."""
    place = "annotations.json"
    texts: list[tuple[str, str]] = []
    records = read_records(folder / place, place)
    yield from _read_texts(records, spec, ("instruction", "output_2"), texts)
    yield from _pair_up(texts, place, N_TRANSFER_GROUPS, None)


def _read_texts(
    records: Iterable[tuple[str, Any]],
    spec: DataSpec,
    names: tuple[str, str],
    texts: list[tuple[str, str]],
) -> Iterator[tuple[str, object]]:
    """Put the texts of every sound record into `texts`, and yield the broken ones."""
    for where, record in records:
        row = Row(record, spec, where)
        found = row_or_broken(where, row, lambda row: _texts(row, *names))
        if isinstance(found, BrokenRow):
            yield where, found.beside()
        else:
            texts.append(found)


def _texts(row: Row, request: str, response: str) -> tuple[str, str]:
    if isinstance(row.values, BrokenRow):
        raise row.values
    return row.text(request, may_be_empty=True), row.text(response, may_be_empty=True)


def _pair_up(
    texts: list[tuple[str, str]], place: str, n_groups: int, part: Part | None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Pair the suitable texts as they come in hash order; `part` keeps pairs of that part only."""
    known: dict[str, str] = {}
    for request, response in texts:
        long_enough = len(response.split()) >= LEAST_WORDS_OF_RESPONSE
        if len(request.split()) in WORDS_OF_REQUEST and long_enough:
            known.setdefault(request, response)
    wanted = [r for r in known if part is None or part_of(stable_id("prompt", r)) == part]
    order = sorted(wanted, key=lambda request: unit_hash(0, "relevance", request))
    for number in range(min(n_groups, len(order) // 2)):
        first, second = order[2 * number], order[2 * number + 1]
        yield (
            f"{place}, row {number + 1}",
            {
                "request_1": first,
                "response_1": known[first],
                "request_2": second,
                "response_2": known[second],
            },
        )


_COLUMNS = {
    "request_1": "text",
    "response_1": "text",
    "request_2": "text",
    "response_2": "text",
}


def _spec(name: str, part: Part, **fields: Any) -> DataSpec:
    return replace(
        halueval.SPEC,
        name=name,
        folder="halueval",
        title=f"Relevance of HaluEval's responses, {part} part",
        label="by construction: the response belongs to this request",
        columns=_COLUMNS,
        to_samples=four_items,
        rows=lambda folder, spec: read_part(folder, spec, part),
        published_n=N_GROUPS[part],
        stand_in=False,
        **fields,
    )


TRAINING = _spec("relevance", "training")
TEST = _spec("relevance_test", "test", role="benchmark", training="no")
TRANSFER = replace(
    alpaca_eval_cot.SPEC,
    name="relevance_alpaca",
    folder="alpaca_eval_cot",
    role="shifted",
    task="classification",
    title="Relevance of AlpacaEval's responses (never trained on)",
    label="by construction: the response belongs to this instruction",
    columns=_COLUMNS,
    to_samples=four_items,
    rows=read_transfer,
    published_n=N_TRANSFER_GROUPS,
    training="no",
)
