"""Fig. 5: one training example, typeset: what the judge is shown, and both replies."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from selene_lib.figures.drawing import BLUE, INK, RED, Drawing, heading, new_figure, not_run, styled

FIELDS = (
    ("instruction", "Instruction"),
    ("rubric", "Rubric"),
    ("response", "Response"),
    ("response_b", "Response B"),
    ("reference", "Reference"),
)
LINE, WIDTH, MOST_LINES = 0.125, 80, 18


def draw_example(pair: Mapping[str, Any], *, note: str = "", name: str = "fig5") -> Drawing:
    """Fig. 5 from one pair: what is shown, then chosen and rejected.

    `pair` has `prompt` or its parts (instruction, rubric, response, response_b, reference),
    `chosen`, `rejected` and `label`. Texts longer than eighteen lines are cut, and the picture says
    how many characters are left out.
    """
    title = "Fig. 5  One training example"
    if not (pair and pair.get("chosen") and pair.get("rejected")):
        return not_run(name, title, "no example pair")
    parts = [(label, str(pair[key])) for key, label in FIELDS if pair.get(key)]
    if not parts:
        parts = [("Prompt", str(pair.get("prompt", "")))]
    left = [(label, _wrapped(text, WIDTH), INK) for label, text in parts]
    right = [
        (
            f"Chosen: ends in {pair.get('label', '?')}, the gold judgement",
            _wrapped(str(pair["chosen"]), WIDTH),
            BLUE,
        ),
        (
            f"Rejected: ends in {pair.get('rejected_verdict', 'another judgement')}",
            _wrapped(str(pair["rejected"]), WIDTH),
            RED,
        ),
    ]
    n_lines = max(_n_lines(left), _n_lines(right))
    with styled():
        figure = new_figure(10.4, 0.9 + LINE * n_lines)
        for axes, blocks in zip(figure.subplots(1, 2), (left, right)):
            _column(axes, blocks, n_lines)
        heading(
            figure, title, f"{pair.get('source', '')} · {pair.get('task', '')} {note}".strip(" ·")
        )
    about = f"{pair.get('task', '')} example from {pair.get('source', 'a source')}"
    said = (
        f"A {about}: the chosen reply ends in {pair.get('label')}, "
        f"the rejected one in {pair.get('rejected_verdict')}."
    )
    table = pd.DataFrame([{"field": key, "text": str(value)} for key, value in pair.items()])
    return Drawing(name, title, said, figure, table)


def _wrapped(text: str, width: int) -> list[str]:
    lines: list[str] = []
    for line in text.strip().splitlines():
        lines += textwrap.wrap(line, width) or [""]
    if len(lines) <= MOST_LINES:
        return lines
    left_out = len(text) - sum(len(line) + 1 for line in lines[: MOST_LINES - 1])
    return [*lines[: MOST_LINES - 1], f"[… {left_out:,} characters left out]"]


def _n_lines(blocks: list[tuple[str, list[str], str]]) -> float:
    return sum(len(lines) + 2.6 for _, lines, _ in blocks)


def _column(axes: Axes, blocks: list[tuple[str, list[str], str]], n_lines: float) -> None:
    axes.axis("off")
    axes.set_xlim(0, 1)
    axes.set_ylim(n_lines, 0)
    y = 0.3
    for label, lines, colour in blocks:
        axes.text(0.03, y + 0.5, label, fontsize=8.5, fontweight="bold", color=colour, va="center")
        height = len(lines) + 0.6
        axes.add_patch(Rectangle((0, y), 0.008, height + 1.2, facecolor=colour, edgecolor="none"))
        axes.text(
            0.03,
            y + 1.25,
            "\n".join(lines),
            fontsize=7.4,
            color=INK,
            va="top",
            linespacing=1.32,
            family="DejaVu Sans Mono",
        )
        y += height + 2.0
