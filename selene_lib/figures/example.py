"""Fig. 5: one training example, typeset: what the judge is shown, and both replies."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from selene_lib.figures.drawing import BLUE, INK, RED, Drawing, heading, new_figure, not_run, styled

FIELDS = (
    ("instruction", "Instruction"),
    ("reference", "Reference"),
    ("response", "Response"),
    ("response_b", "Response B"),
    ("rubric", "Rubric"),
)
LINE, WIDTH, MOST_LINES = 0.125, 52, 18  # inches, characters, lines


@dataclass(frozen=True)
class Block:
    """A titled piece of text with a bar of its colour at the left."""

    label: str
    lines: list[str]
    colour: str

    @property
    def height(self) -> float:
        """Inches: the label, its lines, and a gap below."""
        return LINE * (len(self.lines) + 1) + 0.11


def draw_example(pair: Mapping[str, Any], *, note: str = "", name: str = "fig5") -> Drawing:
    """Fig. 5 from one pair: what is shown, then chosen and rejected.

    `pair` has `prompt` or its parts (instruction, reference, response, response_b, rubric),
    `chosen`, `rejected` and `label`. Texts longer than eighteen lines are cut, and the picture says
    how many characters are left out.
    """
    title = "Fig. 5  One training example"
    if not (pair and pair.get("chosen") and pair.get("rejected")):
        return not_run(name, title, "no example pair")
    blocks = _blocks(pair)
    height = sum(block.height for block in blocks)
    with styled():
        figure = new_figure(height + 0.62)
        axes = figure.add_subplot()
        axes.axis("off")
        axes.set_xlim(0, 1)
        axes.set_ylim(height, 0)
        y = 0.0
        for block in blocks:
            _draw_block(axes, y, block)
            y += block.height
        which = f"Task: {pair.get('task', '?')}. Source: {pair.get('source', '?')}."
        heading(figure, title, which, note)
    about = f"{pair.get('task', '')} example from {pair.get('source', 'a source')}"
    said = (
        f"A {about}: the chosen reply ends in {pair.get('label')}, "
        f"the rejected one in {pair.get('rejected_verdict')}."
    )
    table = pd.DataFrame([{"field": key, "text": str(value)} for key, value in pair.items()])
    return Drawing(name, title, said, figure, table)


def _blocks(pair: Mapping[str, Any]) -> list[Block]:
    parts = [(label, str(pair[key])) for key, label in FIELDS if pair.get(key)]
    if not parts:
        parts = [("Prompt", str(pair.get("prompt", "")))]
    shown = [Block(label, _wrapped(text), INK) for label, text in parts]
    right = f"Chosen: ends in {pair.get('label', '?')}, as the label says"
    wrong = f"Rejected: ends in {pair.get('rejected_verdict', 'another judgement')}"
    chosen = Block(right, _wrapped(plain(str(pair["chosen"]))), BLUE)
    return [*shown, chosen, Block(wrong, _wrapped(plain(str(pair["rejected"]))), RED)]


def plain(reply: str) -> str:
    """Return a reply without the stars that mark its headings, and without empty lines."""
    return re.sub(r"\n\s*\n", "\n", re.sub(r"\*\*([^*\n]+)\*\*", r"\1", reply))


def _wrapped(text: str) -> list[str]:
    lines: list[str] = []
    for line in text.strip().splitlines():
        lines += textwrap.wrap(line, WIDTH) or [""]
    if len(lines) <= MOST_LINES:
        return lines
    left_out = len(text) - sum(len(line) + 1 for line in lines[: MOST_LINES - 1])
    return [*lines[: MOST_LINES - 1], f"[… {left_out:,} characters left out]"]


def _draw_block(axes: Axes, y: float, block: Block) -> None:
    bar = Rectangle((0, y), 0.008, block.height - 0.07, facecolor=block.colour, edgecolor="none")
    axes.add_patch(bar)
    title = axes.text(0.03, y + LINE / 2, block.label, va="center", fontsize=7.5)
    title.set(fontweight="bold", color=block.colour)
    for i, line in enumerate(block.lines):
        middle = y + LINE * (i + 1.5)
        axes.text(0.03, middle, line, va="center", family="DejaVu Sans Mono", fontsize=7)
