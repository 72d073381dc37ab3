"""Notebook 08: what was published, as tables, with how each number is known.

Needs no run and no model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from selene_lib.paper import values as paper
from selene_lib.paper.parity import BEHAVIOURS, PARITY_TARGETS

if TYPE_CHECKING:
    import pandas as pd


def cells_table() -> pd.DataFrame:
    """Return every published cell.

    Columns: judge, set, metric, value, known (`read`, `derived`, `unverified`), source, convention,
    digits.
    """
    import pandas as pd

    cells = (*paper.PUBLISHED, *paper.AVERAGES.values())
    table = pd.DataFrame([vars(cell) for cell in cells])
    table.insert(2, "metric", [cell.metric for cell in cells])
    return table


def targets_table() -> pd.DataFrame:
    """Return what others measured on the real Selene Mini, and on others beside it.

    Columns: judge, what (a set, or a behaviour in words), metric, value, n (None where not known),
    source. None of it stands in the paper.
    """
    import pandas as pd

    rows: list[tuple[str, str, str, float, int | None, str]] = []
    for cell in PARITY_TARGETS:
        rows.append((cell.judge, cell.set, cell.convention, cell.value, None, cell.source))
    for found in BEHAVIOURS:
        rows.append((paper.SELENE_MINI, found.what, "share", found.value, found.n, found.source))
    return pd.DataFrame(rows, columns=["judge", "what", "metric", "value", "n", "source"])


def known_table() -> pd.DataFrame:
    """Return how many cells of each judge were read, derived, or never read by us."""
    import pandas as pd

    cells = cells_table()
    return pd.crosstab(cells["judge"], cells["known"]).reindex(
        columns=["read", "derived", "unverified"], fill_value=0
    )


def reward_bench_table() -> pd.DataFrame:
    """Return RewardBench's four sections, added up from the 23 published subset scores.

    The published section scores stand beside them. A section is the mean of its subsets by the
    published weights; the last row is the mean of the four sections.
    """
    import pandas as pd

    rows: list[tuple[str, int, float, float | None]] = []
    for section, subsets in paper.REWARD_BENCH_SECTIONS.items():
        weights = [paper.REWARD_BENCH_WEIGHTS[name] for name in subsets]
        scores = [paper.SELENE_REWARD_BENCH_SUBSETS[name] for name in subsets]
        total = sum(weight * score for weight, score in zip(weights, scores))
        published = paper.SELENE_REWARD_BENCH_SECTIONS[section]
        rows.append((section, len(subsets), total / sum(weights), published))
    whole = paper.published(paper.SELENE_MINI, "reward_bench")
    mean = sum(row[2] for row in rows) / len(rows)
    rows.append(("all", sum(row[1] for row in rows), mean, whole.value if whole else None))
    table = pd.DataFrame(rows, columns=["section", "n_subsets", "added_up", "published"])
    return table.set_index("section")
