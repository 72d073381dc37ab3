"""EvalBiasBench: does a judge fall for one of six known biases.

Length, concreteness, empty references and three more.

Dataset: ncsoft/offsetbias, `data/evalbiasbench/biasbench.json`, one object of six bias types, 80
items.
Label:   human; the better response is always response 1, so its position is drawn here from (seed,
id).
Metric:  accuracy.
Prompt:  pairwise, no rubric.
Deviations: the drawn position; the publisher evaluates both orders.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path

from selene_lib.data.readers import read_records
from selene_lib.data.spec import BrokenRow, DataSpec, Row
from selene_lib.records import Sample

LABELS = {1: "the better response is response1"}


def read_rows(folder: Path, spec: DataSpec) -> Iterator[tuple[str, object]]:
    """Yield the items of all bias types in file order."""
    name = "biasbench.json"
    for place, by_type in read_records(folder / name):
        expected = "an object: bias type -> list of items"
        if not isinstance(by_type, dict):
            raise BrokenRow(place, "(whole file)", expected, by_type)
        if not all(isinstance(items, list) for items in by_type.values()):
            raise BrokenRow(place, "(whole file)", expected, by_type)
        for number, item in enumerate(itertools.chain.from_iterable(by_type.values()), 1):
            yield f"{name}, row {number}", item


def to_samples(row: Row) -> Sample:
    row.choice("label", LABELS)
    return row.pair(
        row.text("instruction"),
        row.text("response1"),
        row.text("response2"),
        meta={"bias": row.text("bias"), "subset": row.text("bias")},
    )


SPEC = DataSpec(
    name="evalbiasbench",
    role="benchmark",
    task="pairwise",
    title="EvalBiasBench",
    licence="BSD-3-Clause",
    label="human; always response 1, position drawn from (seed, id)",
    columns={
        "bias": "text",
        "instruction": "text",
        "response1": "text",
        "response2": "text",
        "label": "always 1",
    },
    to_samples=to_samples,
    rows=read_rows,
    shape_known_from="real rows",
    files=("biasbench.json",),
    repository="ncsoft/offsetbias",
    repository_commit="0bd16e4",
    published_n=80,
)
