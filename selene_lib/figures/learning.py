"""How agreement grows with the number of labels."""

from __future__ import annotations

import pandas as pd

from selene_lib.figures.drawing import (
    BASELINE,
    TRAINED,
    Drawing,
    heading,
    light_grid,
    new_figure,
    not_run,
    styled,
)


def draw_learning_curve(
    points: pd.DataFrame, majority: float, *, name: str = "learning_curve"
) -> Drawing:
    """Accuracy on the held-out items against the number of labels trained on.

    `points` has `n_labels`, `accuracy`, `accuracy_low`, `accuracy_high`; `majority` is the score of
    the commonest label.
    """
    title = "Agreement by number of labels"
    if points.empty:
        return not_run(name, title, "no learning curve was asked for (curve = True)")
    points = points.sort_values("n_labels")
    x, y = points["n_labels"], points["accuracy"].astype(float)
    low, high = points["accuracy_low"].astype(float), points["accuracy_high"].astype(float)
    with styled():
        figure = new_figure(2.5)
        axes = figure.add_subplot()
        axes.axhline(majority, color=BASELINE, linewidth=1.2, label="commonest label")
        axes.vlines(x, low, high, color=TRAINED, linewidth=1.2)
        axes.plot(x, y, color=TRAINED, marker="o", label="trained judge")
        axes.set_ylim(0, 1.02)
        axes.set_xlim(0, 1.08 * float(x.max()))
        axes.set_xlabel("labels trained on")
        axes.set_ylabel("accuracy on held-out items")
        axes.legend(loc="lower right")
        light_grid(axes, "y")
        heading(figure, title, "Lines: 95 % intervals over groups; all on the same items.")
    said = ", ".join(f"{int(n)} labels {v:.3f}" for n, v in zip(x, y))
    return Drawing(name, title, f"{said}; commonest label {majority:.3f}.", figure, points)
