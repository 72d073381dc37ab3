"""The math-prm subset of RewardBench in another shape: 894 solutions cut into steps = 447 pairs.

Dataset: kimsh0507/RewardMATH_official, `results/Rewardbench/rewardbench_ReasonEval_34B.json`.
Label:   `solution_type` chosen or rejected; the position is drawn from (seed, id). `output` is a
reward model's score, not a label.
Metric:  accuracy.
Prompt:  pairwise without rubric.
Deviations: the steps are joined with line breaks, so the texts are not byte for byte those of
RewardBench.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from selene_lib.data.readers import is_key, read_records
from selene_lib.data.spec import BrokenRow, DataSpec, Row
from selene_lib.records import Sample

_FILE = "rewardbench_ReasonEval_34B.json"


def read_rows(folder: Path, spec: DataSpec) -> Iterator[tuple[str, object]]:
    """Yield one record per problem: `problem_id`, `chosen` and `rejected` rows."""
    pairs: dict[object, tuple[str, dict[str, Any]]] = {}
    for place, record in read_records(folder / _FILE):
        side = record.get("solution_type") if isinstance(record, dict) else None
        if side not in ("chosen", "rejected"):
            yield place, record
            continue
        problem = record.get("problem_id")
        if not is_key(problem):
            yield place, BrokenRow(place, "problem_id", "a value to join on", problem)
            continue
        _, pair = pairs.setdefault(problem, (place, {"problem_id": problem}))
        pair[side] = record
    yield from pairs.values()


def to_samples(row: Row) -> Sample:
    chosen, rejected = row.record("chosen"), row.record("rejected")
    if chosen.text("problem") != rejected.text("problem"):
        raise row.broken(
            "rejected.problem", "the problem of the chosen solution", rejected.text("problem")
        )
    better = "\n".join(chosen.items("eval_solution"))
    worse = "\n".join(rejected.items("eval_solution"))
    meta = {"subject": chosen.text("subject"), "level": chosen.get("level"), "subset": "math-prm"}
    return row.pair(chosen.text("problem"), better, worse, key=(row.get("problem_id"),), meta=meta)


SPEC = DataSpec(
    name="rewardbench_math_prm",
    role="component",
    task="pairwise",
    title="RewardBench, math-prm subset",
    licence="MIT",
    label="chosen against rejected solution, position drawn from (seed, id)",
    columns={
        "problem_id": "number",
        "chosen": "a row of type chosen",
        "rejected": "a row of type rejected",
    },
    to_samples=to_samples,
    rows=read_rows,
    shape_known_from="real rows",
    files=(_FILE,),
    repository="kimsh0507/RewardMATH_official",
    repository_path="results/Rewardbench",
    repository_commit="cde06ab",
    published_n=447,
)
