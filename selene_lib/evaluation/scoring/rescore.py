"""Score stored replies again without any model: read, parse with today's parser, count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from selene_lib.errors import UserError
from selene_lib.evaluation.scoring import score_set
from selene_lib.files import read_jsonl, read_parquet
from selene_lib.prompts.verdicts import parse_verdict
from selene_lib.records import Judgement, Sample, Score


def read_judgements(path: str | Path) -> list[Judgement]:
    """Read judgements from one JSON Lines file, or all `*.jsonl` below a folder.

    Raises UserError where nothing is there or a file does not hold judgements.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(path.rglob("*.jsonl"))
    else:
        files = [path] if path.is_file() else []
    if not files:
        raise UserError(
            f"no judgements at {path}: give a .jsonl file written by judging, or a folder of them"
        )
    try:
        return [row for file in files for row in read_jsonl(file, Judgement, skip_broken=True)]
    except ValueError as error:
        raise UserError(f"{path} does not hold judgements ({error})") from error


def read_samples(path: str | Path) -> list[Sample]:
    """Read samples from Parquet or JSON Lines; anything else is a UserError."""
    path = Path(path)
    if not path.is_file():
        raise UserError(
            f"no samples at {path}: give the .parquet or .jsonl file with the gold labels"
        )
    try:
        return read_parquet(path, Sample) if path.suffix == ".parquet" else read_jsonl(path, Sample)
    except ValueError as error:
        raise UserError(f"{path} does not hold samples ({error})") from error


def parse_again(judgements: Sequence[Judgement]) -> list[Judgement]:
    """Apply the present parser to raw replies, whatever an older parser said."""
    again = []
    for judgement in judgements:
        verdict = parse_verdict(
            judgement.reply, judgement.task, finish_reason=judgement.finish_reason
        )
        same = (verdict.status, verdict.value) == (judgement.status, judgement.verdict)
        again.append(
            judgement if same else replace(judgement, status=verdict.status, verdict=verdict.value)
        )
    return again


def rescore(
    samples: Sequence[Sample],
    judgements: Sequence[Judgement],
    *,
    set_name: str | None = None,
    seed: int = 0,
    n_resamples: int = 2000,
) -> list[Score]:
    """Score every judge in `judgements` on `samples` after parsing again.

    `set_name` picks one where several sets are stored. Raises UserError for judgements of other
    sets or samples.
    """
    sets = sorted({j.set for j in judgements})
    if set_name is None and len(sets) > 1:
        raise UserError(f"the judgements cover {len(sets)} sets: {', '.join(sets)}; name one")
    name = set_name or sets[0]
    mine = parse_again([j for j in judgements if j.set == name])
    if not mine:
        raise UserError(f"no judgement of the set {name!r}; sets there: {', '.join(sets)}")
    known = {s.id for s in samples}
    if not any(j.sample_id in known for j in mine):
        raise UserError(
            f"none of the {len(mine)} judgements of {name!r} belongs to these {len(samples)} "
            "samples; give the samples that were judged"
        )
    judges = dict.fromkeys(j.judge for j in mine)
    return [
        row
        for judge in judges
        for row in score_set(
            samples, mine, judge=judge, set_name=name, seed=seed, n_resamples=n_resamples
        )
    ]
