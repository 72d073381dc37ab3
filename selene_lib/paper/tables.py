"""Notebook 08: what was published, as tables, with how each number is known.

Needs no run and no model.
"""

from __future__ import annotations

from typing import Any

from selene_lib.paper import values as paper


def cells_table() -> Any:
    """Return every published cell.

    Columns: judge, set, value, known (`read`, `derived`, `unverified`), convention, source.
    """
    import pandas as pd

    return pd.DataFrame([vars(cell) for cell in (*paper.PUBLISHED, *paper.AVERAGES.values())])


def known_table() -> Any:
    """Return how many cells of each judge were read, derived, or never read by us."""
    import pandas as pd

    cells = cells_table()
    return pd.crosstab(cells["judge"], cells["known"]).reindex(
        columns=["read", "derived", "unverified"], fill_value=0
    )


def reward_bench_table() -> Any:
    """Return RewardBench's four sections, added up from the 23 published subset scores.

    The published section scores stand beside them. A section is the mean of its subsets by the
    published weights; the last row is the mean of the four sections.
    """
    import pandas as pd

    rows = []
    for section, subsets in paper.REWARD_BENCH_SECTIONS.items():
        weights = [paper.REWARD_BENCH_WEIGHTS[name] for name in subsets]
        total = sum(
            w * paper.SELENE_REWARD_BENCH_SUBSETS[name] for w, name in zip(weights, subsets)
        )
        rows.append(
            (
                section,
                len(subsets),
                total / sum(weights),
                paper.SELENE_REWARD_BENCH_SECTIONS[section],
            )
        )
    whole = paper.published(paper.SELENE_MINI, "reward_bench")
    mean = sum(row[2] for row in rows) / len(rows)
    rows.append(("all", sum(row[1] for row in rows), mean, whole.value if whole else None))
    return pd.DataFrame(rows, columns=["section", "n_subsets", "added_up", "published"]).set_index(
        "section"
    )
