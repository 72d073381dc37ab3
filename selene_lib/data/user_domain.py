"""A user's own labelled file becomes a domain set by a short YAML file, without Python:

    name: support_answers
    file: answers.csv             # .csv, .tsv, .jsonl or .parquet, beside this file
    task: classification          # or absolute, or pairwise
    columns: {instruction: question, response: answer, reference: handbook, label: good}
    rubric: Is the answer right and polite?
    labels: {good: Yes, bad: No}  # how the file spells them; left out: Yes and No, 1 to 5, A and B

`columns` maps fields of a sample (instruction, response, response_b, rubric, reference, label,
score, group, id) to columns of the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selene_lib.data import DataSpec, LoadResult, Row
from selene_lib.data.loading import Walk
from selene_lib.data.readers import read_records
from selene_lib.data.tables import STRICT_JSON
from selene_lib.errors import UserError, did_you_mean, shown
from selene_lib.files.names import NO_TEXT, PLAIN_NAME, is_plain_name, is_writable
from selene_lib.files.yaml_text import read_yaml, text_in
from selene_lib.records import LABELS, TASKS, TIE, Sample, Task

_KEYS = ("name", "file", "task", "columns", "rubric", "labels", "licence", "max_broken_share")
_TEXTS = ("instruction", "response", "response_b", "rubric", "reference")
_COLUMNS = (*_TEXTS, "label", "score", "group", "id")
_NEEDED: dict[Task, tuple[str, ...]] = {
    "absolute": ("instruction", "response"),
    "classification": ("instruction", "response", "label"),
    "pairwise": ("instruction", "response", "response_b", "label"),
}


@dataclass(frozen=True)
class _UserDomain:
    """What the YAML file says.

    `labels` maps the file's spelling to the task's labels; `rubric` is one text for all rows.
    """

    name: str
    file: Path
    task: Task
    columns: Mapping[str, str]
    rubric: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    licence: str = ""
    max_broken_share: float = 0.0


def load_user_domain(
    path: str | os.PathLike, *, quarantine: Path | None = None, limit: int | None = None
) -> LoadResult:
    """Load the domain that a YAML file describes.

    `samples` are ready to be judged; rows read and dropped are counted. Strict as for published
    sets: a row without its text or with a label the YAML does not know stops the load, unless the
    YAML's `max_broken_share` allows some (they are counted, and kept in `quarantine`). `limit`
    takes the first rows. Raises UserError with the remedy for anything wrong in the YAML file or
    the data.
    """
    domain = _read_user_domain(path)
    spec = DataSpec(
        name=domain.name,
        role="domain",
        task=domain.task,
        title=domain.name,
        licence=domain.licence,
        label="as given by the user",
        columns={column: f"the {field_name}" for field_name, column in domain.columns.items()},
        to_samples=lambda row: _to_sample(row, domain),
        shape_known_from="real rows",
        files=(domain.file.name,),
        repository=str(domain.file),
        rows=lambda _folder, _spec: _rows(domain.file, limit),
    )
    walk = Walk(
        spec, domain.file.parent, max_broken_share=domain.max_broken_share, quarantine=quarantine
    )
    try:
        samples = list(walk.samples())
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error
    if not samples:
        raise UserError(f"{domain.file} holds no row that can be judged; {walk.n_read} were read")
    return walk.result(samples=samples, n_samples=len(samples))


def _rows(path: Path, limit: int | None) -> Iterator[tuple[str, Any]]:
    for number, row in enumerate(read_records(path, decoder=STRICT_JSON), 1):
        if limit is not None and number > limit:
            return
        yield row


def _to_sample(row: Row, domain: _UserDomain) -> Sample:
    columns = domain.columns
    for column in columns.values():
        if row.has(column) and not is_writable(str(row.get(column))):
            raise row.broken(column, f"text without {NO_TEXT}", row.get(column))
    instruction = row.text(columns["instruction"])
    response = row.text(columns["response"], may_be_empty=True)
    response_b = rubric = reference = None
    if "response_b" in columns:
        response_b = row.text(columns["response_b"], may_be_empty=True)
    if "rubric" in columns:
        rubric = row.text_or_none(columns["rubric"])
    if "reference" in columns:
        reference = row.text_or_none(columns["reference"])
    return row.sample(
        domain.task,
        instruction,
        response,
        response_b=response_b,
        rubric=domain.rubric if rubric is None else rubric,
        reference=reference,
        label=_label(row, domain) if "label" in columns else None,
        score=row.number(columns["score"], 1, 5) if "score" in columns else None,
        key=(str(row.get(columns["id"])),) if "id" in columns else (),
        group=str(row.get(columns["group"])) if "group" in columns else None,
    )


def _label(row: Row, domain: _UserDomain) -> str:
    known = dict(domain.labels) or {label: label for label in _allowed(domain.task)}
    found = str(row.get(domain.columns["label"], f"one of {', '.join(known)}")).strip()
    if found not in known:
        raise row.broken(domain.columns["label"], f"one of {', '.join(known)}", found)
    return known[found]


def _allowed(task: Task) -> tuple[str, ...]:
    return (*LABELS[task], TIE) if task == "pairwise" else LABELS[task]


def _read_user_domain(path: str | os.PathLike) -> _UserDomain:
    """Read and check the YAML file; every mistake is a UserError with the key and the remedy."""
    path = Path(path)
    if not path.is_file():
        raise UserError(
            f"no domain file {path}; write one with the keys name, file, task and columns"
        )
    given = read_yaml(path, all_text=True)
    if not isinstance(given, dict):
        raise UserError(f"{path} must hold keys such as name, file, task and columns")
    _check_keys(path, given, _KEYS)
    for key in ("name", "file", "task", "columns"):
        if not given.get(key):
            raise UserError(f"{path}: the key {key} is missing")
    for key in ("name", "file", "rubric", "licence"):
        text_in(path, key, given.get(key, ""))
    _check_name(path, given["name"])
    task, columns, labels = given["task"], given["columns"], given.get("labels") or {}
    if task not in TASKS:
        raise UserError(f"{path}: task {shown(task)} is not one of {', '.join(TASKS)}")
    _check_columns(path, task, columns)
    _check_labels(path, task, labels)
    file = path.parent / given["file"]
    if not file.is_file():
        raise UserError(
            f"{path}: the data file {file} does not exist; "
            "`file` is taken from the folder of this YAML file"
        )
    share = _share(path, given.get("max_broken_share", "0"))
    rubric, licence = given.get("rubric", ""), given.get("licence", "")
    return _UserDomain(given["name"], file, task, columns, rubric, labels, licence, share)


def _check_name(path: Path, name: str) -> None:
    """The name becomes a folder's and a row's: it must be a plain one, and no other set's."""
    if not is_plain_name(name):
        raise UserError(f"{path}: name {shown(name)} names files; {PLAIN_NAME}")
    from selene_lib.data.catalogue import all_specs
    from selene_lib.nano import NANO_DOMAINS, NANO_SETS, NANO_SOURCES

    taken = {*all_specs(), *NANO_SETS, *NANO_DOMAINS, *NANO_SOURCES}
    same = [known for known in taken if _folded(known) == _folded(name)]
    if same:
        raise UserError(
            f"{path}: {same[0]!r} is a set of its own here, with published values beside it; "
            "choose another name"
        )


def _folded(name: str) -> str:
    """A name as a file system that ignores case would see it."""
    return name.lower().replace("-", "_")


def _check_keys(path: Path, given: Mapping[Any, Any], known: tuple[str, ...]) -> None:
    for key in given:
        if key not in known:
            hint = did_you_mean(str(key), known)
            raise UserError(f"{path}: unknown key {shown(key)}, {hint}known: {', '.join(known)}")


def _check_columns(path: Path, task: Task, columns: Any) -> None:
    if not isinstance(columns, dict) or not all(isinstance(v, str) and v for v in columns.values()):
        raise UserError(
            f"{path}: columns maps fields to columns of the file, "
            "as in {instruction: question, response: answer}"
        )
    _check_keys(path, columns, _COLUMNS)
    for name in _NEEDED[task]:
        if name not in columns:
            raise UserError(
                f"{path}: a {task} domain needs a column for {name}; add it under columns"
            )
    if task == "absolute" and not {"label", "score"} & set(columns):
        raise UserError(
            f"{path}: an absolute domain needs a column for label (1 to 5) or score; "
            "add it under columns"
        )
    if task != "pairwise" and "response_b" in columns:
        raise UserError(
            f"{path}: response_b belongs to a pairwise domain; take it out or set task: pairwise"
        )


def _check_labels(path: Path, task: Task, labels: Any) -> None:
    if not isinstance(labels, dict):
        raise UserError(f"{path}: labels maps the file's spelling to {', '.join(_allowed(task))}")
    for spelling, label in labels.items():
        if label not in _allowed(task):
            raise UserError(
                f"{path}: label {shown(spelling)} maps to {shown(label)}, "
                f"which is not one of {', '.join(_allowed(task))}"
            )


def _share(path: Path, text: object) -> float:
    try:
        share = float(str(text))
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        raise UserError(
            f"{path}: max_broken_share {shown(text)} must be a number from 0 to below 1"
        )
    return share
