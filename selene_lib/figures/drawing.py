"""One drawing: a matplotlib figure, the numbers behind it and what it says in words.

Drawn and saved in one style, byte for byte alike. No pyplot and no global state: a figure is made
in the style file's context and saved in it again. PNG carries no software note, SVG no date and a
fixed hash salt, so the same numbers give the same bytes.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import matplotlib
import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from PIL import Image

from selene_lib.files import atomic_path, write_csv

STYLE = Path(__file__).parent / "selene.mplstyle"
TRAINED, BASE, MUTED, INK, QUIET = "#000000", "#E69F00", "#9AA7B4", "#222222", "#666666"
BLUE, RED, YELLOW, PURPLE = "#0072B2", "#C0392B", "#F5D76E", "#C3A6D8"
BASELINE = "#D55E00"
OTHERS = ("#34506B", "#8DC3DD", "#4C86A8", "#C4D3DD", "#7A94A6", "#E3E3E3")
FORMATS = ("png", "svg")


@dataclass(frozen=True, repr=False)
class Drawing:
    """A figure ready to be shown in a notebook or saved.

    `name` is the file stem, `alt` says in words what the picture shows, `table` holds the numbers
    behind it. `not_run` is empty for a figure that was drawn, else the reason why there is nothing
    to draw: the picture then says so.
    """

    name: str
    title: str
    alt: str
    figure: Figure
    table: pd.DataFrame
    not_run: str = ""

    def save(self, folder: Path) -> list[Path]:
        """Write `<name>.png`, `<name>.svg` and `<name>.csv` into `folder`; return the paths."""
        paths = []
        for kind in FORMATS:
            with atomic_path(Path(folder) / f"{self.name}.{kind}") as temporary:
                temporary.write_bytes(self.to_bytes(kind))
            paths.append(Path(folder) / f"{self.name}.{kind}")
        return [*paths, write_csv(Path(folder) / f"{self.name}.csv", self.table)]

    def to_bytes(self, kind: str) -> bytes:
        """Return the picture as `png` or `svg`; the same figure gives the same bytes."""
        nothing = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}[kind]
        buffer = io.BytesIO()
        with styled():
            settle(self.figure)
            self.figure.savefig(buffer, format=kind, metadata=nothing)
        return with_palette(buffer.getvalue()) if kind == "png" else buffer.getvalue()

    def named(self, name: str) -> Drawing:
        """Return the same drawing under another file stem."""
        return replace(self, name=name)

    def __repr__(self) -> str:
        return f"{self.title}. {self.alt}"

    def _repr_png_(self) -> bytes:
        return self.to_bytes("png")


def with_palette(png: bytes) -> bytes:
    """Return a PNG in 256 colours: a third of the bytes, and no difference that an eye can see."""
    with Image.open(io.BytesIO(png)) as picture:
        small = picture.convert("RGB").quantize(
            256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
        )
        buffer = io.BytesIO()
        small.save(buffer, format="png", optimize=True, dpi=picture.info["dpi"])
    return buffer.getvalue()


def settle(figure: Figure) -> None:
    """Lay a figure out once, at the resolution it is saved in.

    Hinted text is wider at some resolutions; laid out once, every format has the same places.
    """
    if isinstance(figure.get_layout_engine(), ConstrainedLayoutEngine):
        figure.draw_without_rendering()
        figure.set_layout_engine("none")


@contextmanager
def styled() -> Iterator[None]:
    """Draw in the project's style; the user's own matplotlib settings are restored afterwards."""
    with matplotlib.style.context(["default", str(STYLE)]):
        yield


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of that size in inches; call it inside `styled()`."""
    return Figure(figsize=(width, height), layout="constrained")


def heading(figure: Figure, title: str, note: str = "") -> None:
    """Write the title on top, and in small grey type at the bottom what a reader must know."""
    figure.suptitle(title, x=0.012, ha="left", fontsize=12, fontweight="bold", color=INK)
    if note:
        text = "\n".join(textwrap.wrap(note, int(figure.get_figwidth() * 16.5)))
        figure.supxlabel(text, x=0.012, ha="left", fontsize=8, color=QUIET)


def not_run(name: str, title: str, why: str) -> Drawing:
    """Return a drawing that says why there is nothing to draw."""
    with styled():
        figure = new_figure(6.4, 1.8)
        axes = figure.add_subplot()
        axes.axis("off")
        axes.text(
            0.0,
            0.95,
            title,
            fontsize=12,
            fontweight="bold",
            color=INK,
            va="top",
            transform=axes.transAxes,
        )
        axes.text(
            0.0,
            0.45,
            f"not run: {why}",
            fontsize=10,
            color=QUIET,
            va="top",
            wrap=True,
            transform=axes.transAxes,
        )
    return Drawing(
        name, title, f"{title}: not run, {why}.", figure, pd.DataFrame({"not_run": [why]}), why
    )


def light_grid(axes: Axes, which: Literal["x", "y"]) -> None:
    """Add pale lines along one axis and drop that axis's ticks."""
    axes.grid(True, axis=which)
    axes.tick_params(axis=which, length=0)


def baseline_mark() -> Line2D:
    """Return the legend's mark of the majority baseline."""
    return Line2D(
        [],
        [],
        color=BASELINE,
        marker="|",
        markersize=11,
        markeredgewidth=2,
        linestyle="",
        label="majority baseline",
    )


def draw_baseline(axes: Axes, value: float, row: float) -> None:
    """Mark the majority baseline of a row of bars; nothing where it is not known."""
    if pd.notna(value):
        axes.plot([value, value], [row - 0.42, row + 0.42], color=BASELINE, linewidth=2, zorder=5)


def published_mark(label: str) -> Line2D:
    """Return the legend's mark of a published value."""
    return Line2D(
        [], [], color=QUIET, marker="D", markersize=5, mfc="white", linestyle="", label=label
    )


def draw_intervals(
    axes: Axes, rows: pd.DataFrame, y: np.ndarray, colour: str | list[str], linewidth: float
) -> None:
    """Draw the 95 % intervals of the rows as lines at the heights `y`."""
    low, high = rows["ci95_low"].astype(float), rows["ci95_high"].astype(float)
    axes.hlines(y, low, high, color=colour, linewidth=linewidth)
