"""RewardBench's four sections and their mean, with the published weights of its 23 subsets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from selene_lib.evaluation.scoring.drafts import Draft, headline_meta
from selene_lib.evaluation.scoring.outcomes import Outcomes
from selene_lib.paper import values as paper


def section_drafts(o: Outcomes, both: Draft, missing: np.ndarray, half_point: Draft) -> list[Draft]:
    """The mean of the sections (strict and lenient), then each section; none unless all are here.

    `both` is the accuracy over both orders, `missing` the share of unparsed replies of each item,
    `half_point` the accuracy in one random order with half a point for unparsed replies.
    """
    if not set(o.subsets) >= set(paper.REWARD_BENCH_WEIGHTS):
        return []
    weights, right = section_weights(o.subsets), both.columns[0]
    mean = Draft(
        "section_mean",
        both.convention,
        (right, weights),
        o.groups,
        kind="weighted_mean",
        n_unparsed=both.n_unparsed,
        bounds=(float(weights @ right), float(weights @ (right + missing))),
        baselines=(0.5, 0.5),
        meta={**headline_meta(o), "weights": "published"},
    )
    lenient = replace(
        mean,
        convention=half_point.convention,
        columns=(half_point.columns[0], weights),
        n_unparsed=half_point.n_unparsed,
        bounds=(None, None),
        meta={},
    )
    rows = [mean, lenient]
    for section, subsets in paper.REWARD_BENCH_SECTIONS.items():
        mine = np.isin(o.subsets, subsets)
        rows.append(
            Draft(
                f"section {section}",
                both.convention,
                (right[mine], weights[mine]),
                o.groups[mine],
                kind="weighted_mean",
                n_unparsed=round(2 * missing[mine].sum()),
                baselines=(0.5, 0.5),
            )
        )
    return rows


def section_weights(subsets: np.ndarray) -> np.ndarray:
    """Weight of each RewardBench item: the sum of weight times outcome is the published mean.

    Each section weighs a quarter, each subset inside it by `paper.REWARD_BENCH_WEIGHTS`, each item
    of a subset the same. `subsets` and the weights are [n_items].
    """
    weights = np.zeros(len(subsets))
    for names in paper.REWARD_BENCH_SECTIONS.values():
        total = sum(paper.REWARD_BENCH_WEIGHTS[name] for name in names)
        for name in names:
            mine = subsets == name
            share_of_section = paper.REWARD_BENCH_WEIGHTS[name] / total
            weights[mine] = share_of_section / max(1, mine.sum()) / len(paper.REWARD_BENCH_SECTIONS)
    return weights
