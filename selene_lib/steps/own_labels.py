"""Notebook 09: what a reader sees of the labels, of one pair, of the judge and of what to label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from selene_lib.curation.pairs import build_pairs
from selene_lib.errors import UserError
from selene_lib.evaluation.agreement.verdicts import Verdicts, read_verdicts
from selene_lib.judge import judge_file
from selene_lib.judges.trained import read_trained
from selene_lib.labels.choosing import Choice, order_items
from selene_lib.labels.recipe import JudgeRecipe
from selene_lib.labels.splitting import Parts
from selene_lib.pipeline.places import project_root
from selene_lib.records import LABELS, PreferencePair


def file_of(name: str) -> Path:
    """Return a file as named, or below the project's folder where the name is relative to it."""
    path = Path(name)
    return path if path.is_absolute() or path.exists() else project_root() / name


def mapping_of(text: str) -> dict[str, str]:
    """Read `a=b, c=d`; another form is a UserError."""
    found = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        left, mark, right = part.partition("=")
        if not mark or not left.strip() or not right.strip():
            raise UserError(f"{part!r}: write it as name=name, with commas between")
        found[left.strip()] = right.strip()
    return found


def part_table(parts: Parts) -> pd.DataFrame:
    """Return items, groups and labels of each part."""
    rows = []
    for name in ("training", "validation", "held_out"):
        samples = getattr(parts, name)
        counts = {
            label: sum(s.label == label for s in samples) for label in LABELS[samples[0].task]
        }
        row = {"part": name, "items": len(samples), "groups": len({s.group for s in samples})}
        rows.append({**row, **counts})
    return pd.DataFrame(rows)


def pair_of(parts: Parts, recipe: JudgeRecipe) -> PreferencePair:
    """Return the pair of the first training item: prompt, right verdict, wrong verdict."""
    (pair,) = build_pairs(
        parts.training[:1], critique_share=0.0, family=recipe.templates, seed=recipe.seed
    )
    return pair


def judge_pool(pool: str, judge: Path, out: Path) -> Verdicts:
    """Judge a file of unlabelled rows with the trained judge and return its verdicts."""
    judge_file(file_of(pool), out, adapter=str(judge), progress=False)
    trained = read_trained(judge)
    if trained is None:
        raise UserError(f"{judge} is no judge that `train_judge` made")
    return read_verdicts(
        out, task=trained.task, columns=trained.columns, labels=trained.labels, labelled=False
    )


def to_label(pool: Verdicts, *, seed: int, random_share: float = 0.25) -> list[Choice]:
    """Return the unlabelled items in the order to label them in."""
    ids = [sample.id for sample in pool.samples]
    confidence = dict(zip(ids, map(float, pool.confidence)))
    return order_items(
        pool.samples,
        {key: None if value != value else value for key, value in confidence.items()},
        random_share=random_share,
        seed=seed,
    )


def table_of(rows: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    """Return rows as a table with three digits."""
    return pd.DataFrame(list(rows)).round(3)
