"""Rubrics and data sets of other tools as our rubric and table; what cannot come along is named.

| read                                                        | becomes                           |
|-------------------------------------------------------------|-----------------------------------|
| Prometheus rubric: `criteria`, `score1_description` ...      | absolute rubric                   |
| Prometheus data: `orig_instruction`, `orig_response` ...     | table with rubrics and scores     |
| OpenAI Evals samples (JSONL): `input`, `ideal`, `completion` | table                             |
| OpenAI Evals model-graded YAML: `prompt`, `choice_strings`   | rubric of two choices or five     |
| deepeval G-Eval: `criteria`, `evaluation_steps`, `rubric`    | rubric, Yes/No or 1 to 5          |
| deepeval test cases: `input`, `actual_output` ...            | table                             |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selene_lib.data.conversations import text_of
from selene_lib.data.tables import read_table
from selene_lib.errors import UserError, shown
from selene_lib.files import check_folder, write_csv, write_text
from selene_lib.files.yaml_text import read_yaml, text_in
from selene_lib.prompts.rubrics import write_rubric
from selene_lib.records import LABELS

COLUMNS = ("instruction", "response", "reference", "rubric", "label")
RUBRIC_FILE, TABLE_FILE = "rubric.txt", "table.csv"


@dataclass
class Imported:
    """What a file holds in our terms. `labels` maps the other tool's labels to ours; `lost` says
    in a line each what has no place here.
    """

    kind: str
    task: str = ""
    rubric: str = ""
    rows: list[dict[str, str]] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)


def import_file(path: str | Path) -> Imported:
    """Read a rubric or data set of another tool; a file of none of these shapes is a UserError."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no file {path}")
    found = _mapping_of(path)
    if found is not None:
        return _rubric_of(path, found)
    rows = read_table(path)
    if "orig_instruction" in rows[0]:
        return _prometheus_rows(rows)
    if "actual_output" in rows[0]:
        return _deepeval_rows(rows)
    if "input" in rows[0]:
        return _evals_rows(rows)
    raise UserError(
        f"{path} is no data set of Prometheus, OpenAI Evals or deepeval (its columns: "
        f"{', '.join(map(str, rows[0]))}); map the columns yourself: --column instruction=..."
    )


def write_import(found: Imported, out: str | Path) -> list[Path]:
    """Write `rubric.txt` and `table.csv`, whichever there is, into a folder; return their paths.

    A file that is there already is a UserError: it may hold labels.
    """
    import pandas as pd

    out, written = Path(out), []
    check_folder(out)
    for name in (RUBRIC_FILE, TABLE_FILE):
        if (out / name).exists():
            raise UserError(f"{out / name} is there already; give another folder")
    if found.rubric:
        written.append(write_text(out / RUBRIC_FILE, found.rubric.strip() + "\n"))
    if found.rows:
        names = [name for name in COLUMNS if any(row.get(name) for row in found.rows)]
        names = list(dict.fromkeys(["instruction", "response", *names, "label"]))
        table = pd.DataFrame(found.rows).reindex(columns=names).fillna("")
        written.append(write_csv(out / TABLE_FILE, table))
    return written


def _mapping_of(path: Path) -> dict[str, Any] | None:
    """The mapping that a YAML or JSON file holds; None for rows."""
    if path.suffix.lower() not in (".yaml", ".yml", ".json"):
        return None
    try:
        found = read_yaml(path)
    except UserError:
        if path.suffix.lower() == ".json":
            return None  # JSON Lines under a .json name; the reader of tables knows them
        raise
    return found if isinstance(found, dict) else None


def _rubric_of(path: Path, found: dict[str, Any]) -> Imported:
    if "score1_description" in found:
        return _prometheus_rubric(path, found)
    if "criteria" in found or "evaluation_steps" in found:
        return _g_eval(path, found)
    graded = {name: spec for name, spec in found.items() if _is_graded(spec)}
    if _is_graded(found):
        graded = {path.stem: found}
    if len(graded) == 1:
        name, spec = next(iter(graded.items()))
        return _model_graded(f"{path}, {name}", spec)
    if graded:
        raise UserError(
            f"{path} holds {len(graded)} model-graded evals ({', '.join(graded)}); keep one in it"
        )
    raise UserError(
        f"{path} is no rubric of Prometheus, OpenAI Evals or deepeval (its keys: "
        f"{', '.join(map(str, found))})"
    )


def _is_graded(spec: Any) -> bool:
    return isinstance(spec, Mapping) and "prompt" in spec and "choice_strings" in spec


def _prometheus_rubric(path: Path, found: Mapping[str, Any]) -> Imported:
    if "criteria" not in found:
        raise UserError(f"{path}: no key 'criteria'; write there what is scored")
    levels = sorted(int(m[1]) for key in found if (m := _LEVEL.fullmatch(str(key))))
    if levels != [1, 2, 3, 4, 5]:
        raise UserError(f"{path}: levels {levels}; scores here go from 1 to 5, merge or split some")
    names = [f"score{level}_description" for level in levels]
    texts = [text_in(path, name, found[name]) for name in names]
    lost = [f"key {key!r}" for key in found if key != "criteria" and not _LEVEL.fullmatch(str(key))]
    rubric = write_rubric(text_in(path, "criteria", found["criteria"]), texts)
    return Imported("Prometheus rubric", "absolute", rubric, lost=lost)


_LEVEL = re.compile(r"score(\d+)_description")


def _prometheus_rows(rows: list[dict[str, Any]]) -> Imported:
    made = []
    for row in rows:
        texts = [str(row.get(f"orig_score{level}_description", "")) for level in range(1, 6)]
        made.append(
            {
                "instruction": text_of(row["orig_instruction"]),
                "response": text_of(row.get("orig_response") or ""),
                "reference": text_of(row.get("orig_reference_answer") or ""),
                "rubric": write_rubric(str(row.get("orig_criteria", "")), texts),
                "label": str(row.get("orig_score") or ""),
            }
        )
    lost = _unused(rows[0], "orig_")
    return Imported("Prometheus data", "absolute", rows=made, lost=lost)


def _deepeval_rows(rows: list[dict[str, Any]]) -> Imported:
    made = [
        {
            "instruction": text_of(row.get("input") or ""),
            "response": text_of(row.get("actual_output") or ""),
            "reference": text_of(row.get("expected_output") or ""),
            "label": "",
        }
        for row in rows
    ]
    lost = _unused(rows[0], "input", "actual_output", "expected_output")
    return Imported("deepeval test cases", rows=made, lost=[*lost, "labels: there are none yet"])


RESPONSES = ("completion", "response", "output", "sampled")


def _evals_rows(rows: list[dict[str, Any]]) -> Imported:
    """Samples; `choice` is the label of a meta-eval. Of several ideals the first is the reference,
    since a judge is shown one.
    """
    made, n_more = [], 0
    named = next((name for name in RESPONSES if name in rows[0]), None)
    for row in rows:
        ideal = row.get("ideal") or ""
        several = ideal if isinstance(ideal, list) else [ideal]
        n_more += len(several) > 1
        made.append(
            {
                "instruction": text_of(row["input"]),
                "response": text_of(row.get(named) or "") if named else "",
                "reference": str(several[0]) if several else "",
                "label": str(row.get("choice") or ""),
            }
        )
    lost = _unused(rows[0], "input", "ideal", "choice", *([named] if named else []))
    if n_more:
        lost.append(f"further ideals of {n_more} samples: a judge is shown one reference")
    if named is None:
        lost.append("responses: the samples hold none; let your model answer and fill them in")
    return Imported("OpenAI Evals samples", rows=made, lost=lost)


def _unused(row: Mapping[str, Any], *known: str) -> list[str]:
    return [f"column {key!r}" for key in row if not str(key).startswith(known)]


_CHOICE = re.compile(r"^\s*[(\[]?([A-Za-z0-9]{1,7})[)\].:]+\s+(\S.*)$")
_DATA = re.compile(r"\[BEGIN DATA\].*?\[END DATA\]", re.DOTALL)


def _model_graded(where: str, spec: Mapping[str, Any]) -> Imported:
    """A model-graded eval: its prompt without the data block is the criterion, its choices become
    Yes and No (two, by score or order) or 1 to 5 (five, by score).
    """
    choices = _choices(where, spec["choice_strings"])
    scores = _choice_scores(where, spec.get("choice_scores") or {})
    criterion, described = [], {}
    for line in _DATA.sub("", text_in(where, "prompt", spec["prompt"])).splitlines():
        match = _CHOICE.match(line)
        if match and match[1] in choices:
            described[match[1]] = match[2].strip()
        elif line.strip() and "{" not in line:
            criterion.append(line.strip())
    ranked = sorted(choices, key=lambda choice: (-scores.get(choice, 0.0), choices.index(choice)))
    if len(choices) not in (2, 5) or (len(choices) == 5 and len(set(scores.values())) < 5):
        raise UserError(
            f"{where}: {len(choices)} choices ({', '.join(choices)}) without a score each; ours "
            "are Yes and No, or 1 to 5: merge choices, or give choice_scores"
        )
    task, ours = ("classification", LABELS["classification"])
    if len(choices) == 5:
        task, ours = "absolute", tuple(reversed(LABELS["absolute"]))
    labels = dict(zip(ranked, ours))
    of_label = {ours: described.get(own, own) for own, ours in labels.items()}
    lines = [f"{label}: {of_label[label]}" for label in LABELS[task]]
    lost = [
        f"key {key!r}" for key in spec if key not in ("prompt", "choice_strings", "choice_scores")
    ]
    if scores:
        lost.append("the values of choice_scores: only their order is kept")
    rubric = "\n".join([*criterion, *lines])
    return Imported("model-graded eval", task, rubric, labels=labels, lost=lost)


def _choices(where: str, given: Any) -> list[str]:
    """The choices of a model-graded eval: a list, or a text of letters."""
    if not isinstance(given, str | list):
        raise UserError(f"{where}: choice_strings is a list of texts, got {shown(given)}")
    return [text_in(where, "choice_strings", choice) for choice in given]


def _choice_scores(where: str, given: Any) -> dict[str, float]:
    is_mapping = isinstance(given, dict)
    if not is_mapping or not all(isinstance(score, int | float) for score in given.values()):
        raise UserError(f"{where}: choice_scores maps choices to numbers, got {shown(given)}")
    return {str(key): float(score) for key, score in given.items()}


def _texts(path: Path, key: str, given: Any) -> list[str]:
    if not isinstance(given, list):
        raise UserError(f"{path}: {key} is a list, got {shown(given)}")
    return [text_in(path, key, one) for one in given]


def _g_eval(path: Path, found: Mapping[str, Any]) -> Imported:
    """G-Eval: criteria and steps are the criterion; five score ranges are levels, else Yes/No."""
    steps = _texts(path, "evaluation_steps", found.get("evaluation_steps") or [])
    first = text_in(path, "criteria", found.get("criteria") or "Follow these steps.")
    criterion = "\n".join([first, *(f"- {step}" for step in steps)])
    known = ("criteria", "evaluation_steps", "rubric", "name")
    lost = [f"key {key!r}" for key in found if key not in known]
    ranges = found.get("rubric") or []
    if not ranges:
        lost.append("the 0 to 10 scale: the rubric asks for Yes or No")
        rubric = f"{criterion}\nYes: The response meets this.\nNo: It does not."
        return Imported("G-Eval criteria", "classification", rubric, lost=lost)
    if len(ranges) != 5:
        raise UserError(
            f"{path}: {len(ranges)} score ranges; scores here go from 1 to 5, give five ranges "
            "or none (then Yes or No is asked)"
        )
    try:
        ordered = sorted(ranges, key=lambda one: one["score_range"][0])
        of_levels = [one["expected_outcome"] for one in ordered]
    except (KeyError, IndexError, TypeError) as error:
        raise UserError(
            f"{path}: rubric is a list of score_range (two numbers) and expected_outcome, "
            f"got {shown(ranges)}"
        ) from error
    spans = ", ".join(str(one["score_range"]) for one in ordered)
    lost.append(f"the score ranges {spans}: they are the levels 1 to 5")
    texts = [text_in(path, "expected_outcome", text) for text in of_levels]
    return Imported("G-Eval criteria", "absolute", write_rubric(criterion, texts), lost=lost)
