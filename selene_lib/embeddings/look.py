"""How a topic map is drawn, in the picture and on the page alike: its colours and its places."""

from __future__ import annotations

import numpy as np
import pandas as pd

# Okabe-Ito, and four more of other lightness; topics are numbered on the map, so none depends on
# its colour alone.
COLOURS = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#8C7A00",
    "#5B6B7B",
    "#7B3294",
    "#A6CEE3",
    "#B2182B",
    "#333333",
)
RANK_SHARE = 0.7


def stretch(values: np.ndarray) -> np.ndarray:
    """Spread crowded values out, their order kept.

    Seven tenths of their rank and three tenths of their place, both in [0, 1].
    """
    span = float(values.max() - values.min()) or 1.0
    ranks = pd.Series(values).rank(method="average").to_numpy() - 1
    rank = RANK_SHARE * ranks / max(len(values) - 1, 1)
    return rank + (1 - RANK_SHARE) * (values - values.min()) / span
