"""One item at a time to label in a notebook, with buttons or keys; every label is saved at once."""

from __future__ import annotations

import csv
import html
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selene_lib.errors import UserError
from selene_lib.files import write_csv
from selene_lib.labels.choosing import Choice
from selene_lib.records import LABELS, TIE, Task

if TYPE_CHECKING:
    import ipywidgets

COLUMNS = ("id", "group", "instruction", "response", "response_b", "rubric", "label", "why")
SKIP = "s"


class LabelFile:
    """The labels given so far, in a CSV that `selene train` reads; written whole at each label.

    A file of other columns is a UserError: it is not ours to write over.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.rows: dict[str, dict[str, str]] = {}
        if self.path.is_file():
            with open(self.path, encoding="utf-8", newline="") as stream:
                reader = csv.DictReader(stream)
                if tuple(reader.fieldnames or ()) != COLUMNS:
                    raise UserError(f"{self.path} has other columns; give the name of a new file")
                self.rows = {row["id"]: row for row in reader}

    def put(self, choice: Choice, label: str) -> None:
        """Keep one label (another one for the same item replaces it) and write the file."""
        import pandas as pd

        sample = choice.sample
        self.rows[sample.id] = {
            "id": sample.id,
            "group": sample.group,
            "instruction": sample.instruction,
            "response": sample.response,
            "response_b": sample.response_b or "",
            "rubric": sample.rubric,
            "label": label,
            "why": choice.why,
        }
        write_csv(self.path, pd.DataFrame(list(self.rows.values()), columns=list(COLUMNS)))


def keys_of(task: Task) -> dict[str, str]:
    """Return the label of each key: y and n, 1 to 5, or a, b and t."""
    if task == "pairwise":
        return {"a": "A", "b": "B", "t": TIE}
    return {label[0].lower(): label for label in LABELS[task]}


class Labeller:
    """Shows the choices that have no label yet; `widget` is what a notebook displays.

    Keys go into the small box: the label's first letter, or `s` to skip.
    """

    def __init__(self, choices: Sequence[Choice], path: str | Path) -> None:
        import ipywidgets

        if not choices:
            raise UserError("there is no item to label: give a file with rows that have no label")
        self.file = LabelFile(path)
        self.left = [c for c in choices if c.sample.id not in self.file.rows]
        self.keys = keys_of(choices[0].sample.task)
        self.item = ipywidgets.HTML()
        self.box = ipywidgets.Text(placeholder="key", layout={"width": "5em"})
        self.box.observe(self._typed, "value")
        buttons = [self._button(key, label) for key, label in self.keys.items()]
        row = ipywidgets.HBox([*buttons, self._button(SKIP, "skip"), self.box])
        self.widget: ipywidgets.VBox = ipywidgets.VBox([self.item, row])
        self._show()

    @property
    def current(self) -> Choice | None:
        """The item that is shown, None when all have a label."""
        return self.left[0] if self.left else None

    def press(self, key: str) -> None:
        """Give the label of a key to the item shown, or skip it; other keys do nothing."""
        if not self.left:
            return
        if key == SKIP:
            self.left.append(self.left.pop(0))
        elif key in self.keys:
            self.file.put(self.left.pop(0), self.keys[key])
        self._show()

    def _button(self, key: str, label: str) -> Any:
        import ipywidgets

        button = ipywidgets.Button(description=f"{label} ({key})", layout={"width": "7em"})
        button.on_click(lambda _: self.press(key))
        return button

    def _typed(self, change: dict[str, Any]) -> None:
        if change["new"]:
            self.press(change["new"][-1].lower())
            self.box.value = ""

    def _show(self) -> None:
        self.item.value = self._html()

    def _html(self) -> str:
        n = len(self.file.rows)
        if not self.left:
            return f"<p>Done: {n} labels in {html.escape(str(self.file.path))}.</p>"
        choice = self.left[0]
        sample = choice.sample
        texts = {"Request": sample.instruction, "Answer": sample.response}
        if sample.response_b is not None:
            texts = {**texts, "Answer A": texts.pop("Answer"), "Answer B": sample.response_b}
        shown = "".join(
            f"<p><b>{name}</b></p><pre style='white-space:pre-wrap'>{html.escape(text)}</pre>"
            for name, text in texts.items()
        )
        why = f"{n} labelled, {len(self.left)} left; this one is {choice.why}"
        return f"<p>{why}</p>{shown}<p><i>{html.escape(sample.rubric)}</i></p>"
