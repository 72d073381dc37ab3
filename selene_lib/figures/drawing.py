"""One drawing: a matplotlib figure, the numbers behind it and what it says in words.

Drawn and saved in one style, byte for byte alike. No pyplot and no global state: a figure is made
in the style file's context and saved in it again. PNG carries no software note, SVG and PDF no
date and a fixed hash salt, so the same numbers give the same bytes.

Every figure is as wide as one column of a paper (`COLUMN`, in inches) and holds no text below
`SMALLEST` points: printed in a column it is read without a lens.
"""

from __future__ import annotations

import colorsys
import io
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import matplotlib
import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation, blended_transform_factory
from PIL import Image

from selene_lib.files import atomic_path, write_csv

STYLE = Path(__file__).parent / "selene.mplstyle"
COLUMN, SMALLEST = 3.35, 7.0
TRAINED, BASE, INK, QUIET = "#000000", "#E69F00", "#222222", "#5C5C5C"
BLUE, RED, YELLOW, PURPLE = "#0072B2", "#C0392B", "#FAEDBE", "#DCCBE8"
BASELINE, PALE = "#D55E00", "#BFC5CA"
ON_BLACK = "#9C9C9C"  # an interval must be seen inside a black bar as well as beyond it
KINDS = ("png", "dark.png", "svg", "pdf")
NO_DATE: Mapping[str, Mapping[str, str | None]] = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


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

    def save(self, folder: Path, kinds: Sequence[str] = KINDS) -> list[Path]:
        """Write the picture as PNG, SVG and PDF, its dark twin and its numbers into `folder`.

        They are `<name>.png`, `.svg`, `.pdf`, `.dark.png` and `.csv`; the paths are returned.
        """
        paths = [Path(folder) / f"{self.name}.{kind}" for kind in kinds]
        pictures: dict[str, bytes] = {}
        for kind, path in zip(kinds, paths):
            is_twin = kind == "dark.png" and "png" in pictures  # drawn once for both
            pictures[kind] = darkened(pictures["png"]) if is_twin else self.to_bytes(kind)
            with atomic_path(path) as temporary:
                temporary.write_bytes(pictures[kind])
        return [*paths, write_csv(Path(folder) / f"{self.name}.csv", self.table)]

    def to_bytes(self, kind: str) -> bytes:
        """Return the picture as one of `KINDS`; the same figure gives the same bytes."""
        if kind == "dark.png":
            return darkened(self.to_bytes("png"))
        with styled():
            settle(self.figure)
            return _printed(self.figure, kind)

    def named(self, name: str) -> Drawing:
        """Return the same drawing under another file stem."""
        return replace(self, name=name)

    def __repr__(self) -> str:
        return f"{self.title}. {self.alt}"

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        """Shown at half of its pixels, which is sharp on a fine screen and large enough."""
        return self.to_bytes("png"), {"width": shown_width()}


def shown_width() -> int:
    """Return how many pixels of a page a picture is wide: half of its own."""
    with styled():
        return round(COLUMN * float(matplotlib.rcParams["savefig.dpi"]) / 2)


def _printed(figure: Figure, kind: str) -> bytes:
    """Return a settled figure as PNG, SVG or PDF.

    By the canvases themselves: `savefig` draws every figure twice, the first time to lay it out.
    """
    buffer, dpi = io.BytesIO(), figure.dpi
    try:
        if kind == "png":
            return with_palette(figure)
        if kind == "svg":
            FigureCanvasSVG(figure).print_svg(buffer, metadata=dict(NO_DATE["svg"]))
        else:
            FigureCanvasPdf(figure).print_pdf(buffer, metadata=dict(NO_DATE["pdf"]))
    finally:
        figure.set_dpi(dpi)  # the vector formats leave their own
    return buffer.getvalue()


def with_palette(figure: Figure) -> bytes:
    """Return a PNG in 256 colours: a third of the bytes, and no difference that an eye can see."""
    canvas, buffer = FigureCanvasAgg(figure), io.BytesIO()
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    small = picture.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    small.save(buffer, format="png", optimize=True, dpi=(figure.dpi, figure.dpi))
    return buffer.getvalue()


def darkened(png: bytes) -> bytes:
    """Return the twin of a PNG with a palette for a dark page: light and dark change places.

    Hue and saturation stay, so that a method keeps its colour; white becomes a dark grey and black
    a light one. Only the palette is rewritten.
    """
    with Image.open(io.BytesIO(png)) as picture:
        colours = np.array(picture.getpalette(), dtype=float).reshape(-1, 3) / 255
        turned = [_turned(*colour) for colour in colours]
        picture.putpalette(np.rint(np.array(turned) * 255).astype(int).ravel().tolist())
        buffer = io.BytesIO()
        picture.save(buffer, format="png", optimize=True, dpi=picture.info["dpi"])
    return buffer.getvalue()


def _turned(red: float, green: float, blue: float) -> tuple[float, float, float]:
    """Light and dark change places for greys; the more colourful, the less, and never too dark."""
    hue, lightness, saturation = colorsys.rgb_to_hls(red, green, blue)
    own = 0.95 * (max(red, green, blue) - min(red, green, blue))
    turned = 0.1 + 0.84 * (1 - lightness)
    lightness = (1 - own) * turned + own * max(lightness, 0.42)
    return colorsys.hls_to_rgb(hue, lightness, saturation * (1 - 0.4 * own))


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


def new_figure(height: float) -> Figure:
    """Return an empty figure of one column's width; call it inside `styled()`."""
    return Figure(figsize=(COLUMN, height), layout="constrained")


def heading(figure: Figure, title: str, *notes: str) -> None:
    """Write the title on top, and in small grey type at the bottom what a reader must know.

    Each note, and each line of it, begins a line of its own; empty ones are left out.
    """
    _title(figure, textwrap.fill(title, 48))
    said = [part for note in notes for part in note.split("\n") if part.strip()]
    lines = [line for part in said for line in textwrap.wrap(part, 63)]
    if lines:
        figure.supxlabel("\n".join(lines), x=0.012, ha="left", fontsize=7, color=QUIET)


def _title(figure: Figure, text: str) -> None:
    figure.suptitle(text, x=0.012, ha="left", fontsize=8.5, fontweight="bold", color=INK)


def key(axes: Axes, handles: Sequence[Artist], n_columns: int = 2) -> None:
    """Put a legend above `axes`, and above its title, from the left edge of the figure."""
    figure = axes.figure
    assert isinstance(figure, Figure)
    n_lines = axes.get_title(loc="left").count("\n") + 1 if axes.get_title(loc="left") else 0
    lift = ScaledTranslation(0, n_lines * 11 / 72, figure.dpi_scale_trans)
    axes.legend(
        handles=list(handles),
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        bbox_transform=blended_transform_factory(figure.transFigure, axes.transAxes) + lift,
        ncols=n_columns,
    )


def key_of_grid(figure: Figure, handles: Sequence[Artist], n_columns: int = 3) -> None:
    """Put a legend below the title of a figure with panels side by side; call it after `heading`.

    A legend of one panel would push the others aside.
    """
    title = figure.get_suptitle()
    below = 0.04 + 0.15 * (title.count("\n") + 1)
    _title(figure, f"{title}\n")
    legend = figure.legend(
        handles=list(handles),
        loc="upper left",
        bbox_to_anchor=(0.0, 1 - below / figure.get_figheight()),
        ncols=n_columns,
    )
    legend.set_in_layout(False)


def not_run(name: str, title: str, why: str) -> Drawing:
    """Return a drawing that says why there is nothing to draw."""
    with styled():
        figure = new_figure(1.1)
        axes = figure.add_subplot()
        axes.axis("off")
        said = textwrap.fill(f"not run: {why}", 58)
        axes.text(0.0, 0.95, said, color=QUIET, va="top", transform=axes.transAxes)
        heading(figure, title)
    return Drawing(
        name, title, f"{title}: not run, {why}.", figure, pd.DataFrame({"not_run": [why]}), why
    )


def light_grid(axes: Axes, which: Literal["x", "y"]) -> None:
    """Add pale lines along one axis and drop that axis's ticks."""
    axes.grid(True, axis=which)
    axes.tick_params(axis=which, length=0)


def baseline_mark(label: str = "always the commonest label") -> Line2D:
    """Return the legend's mark of the majority baseline."""
    return Line2D([], [], color=BASELINE, marker="|", ms=8, mew=1.6, linestyle="", label=label)


def draw_baseline(axes: Axes, value: float, row: float, half: float = 0.42) -> None:
    """Mark the majority baseline of a row of bars; nothing where it is not known."""
    if pd.notna(value):
        axes.plot([value, value], [row - half, row + half], color=BASELINE, lw=1.4, zorder=5)


def published_mark(label: str) -> Line2D:
    """Return the legend's mark of a published value."""
    return Line2D([], [], color=QUIET, marker="D", ms=3.5, mfc="white", linestyle="", label=label)


def draw_intervals(
    axes: Axes,
    rows: pd.DataFrame,
    y: np.ndarray,
    colour: str | list[str],
    linewidth: float = 1.2,
) -> None:
    """Draw the 95 % intervals of the rows as lines at the heights `y`; nothing without them."""
    if {"ci95_low", "ci95_high"} <= set(rows):
        low, high = rows["ci95_low"].astype(float), rows["ci95_high"].astype(float)
        axes.hlines(y, low, high, color=colour, linewidth=linewidth, zorder=4)


def inside_ink(colour: str) -> str:
    """Return the colour of an interval that begins inside a bar of `colour`."""
    return ON_BLACK if colour == TRAINED else INK


def lighter(colour: str) -> str:
    """Return the colour of a bar whose value nobody of us read: mixed with white."""
    red, green, blue = (0.4 * part + 0.6 for part in to_rgb(colour))
    return to_hex((red, green, blue))


def rows_of_bars(axes: Axes, labels: Sequence[str]) -> None:
    """Name the rows of a horizontal plot, first on top, without ticks."""
    axes.set_yticks(range(len(labels)), list(labels))
    axes.set_ylim(len(labels) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0)
    light_grid(axes, "x")
