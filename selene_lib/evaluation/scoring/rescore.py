"""Score stored replies again without any model: read, parse with today's parser, count."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from selene_lib.errors import UserError
from selene_lib.evaluation.scoring import score_set
from selene_lib.files import iterate_jsonl, iterate_parquet
from selene_lib.judges.opinions import majority_of_draws
from selene_lib.judges.store import iterate_judgements, read_again
from selene_lib.prompts.rendering import render
from selene_lib.records import Judgement, Order, Sample, Score

_TEMPLATE = re.compile(
    r"(?P<family>.+)/(?P<name>[a-z_]+)(?P<verdict>\+verdict)?(?P<plain>\+plain)?"
)


def read_judgements(path: str | Path) -> list[Judgement]:
    """Read judgements from one JSON Lines file, or all `*.jsonl` below a folder.

    Raises UserError where nothing is there or a file does not hold judgements.
    """
    files = judgement_files(path)
    return [found for file in files for _, found in iterate_judgements(file)]


def judgement_files(path: str | Path) -> list[Path]:
    """Return the files of judgements that a path means; a UserError where there are none."""
    path = Path(path)
    if path.is_dir():
        files = sorted(path.rglob("*.jsonl"))
    else:
        files = [path] if path.is_file() else []
    if not files:
        raise UserError(
            f"no judgements at {path}: give a .jsonl file written by judging, or a folder of them"
        )
    return files


def read_samples(path: str | Path) -> list[Sample]:
    """Read samples from Parquet or JSON Lines; anything else is a UserError."""
    return list(iterate_samples(path))


def iterate_samples(path: str | Path) -> Iterator[Sample]:
    """As `read_samples`, one after the other."""
    path = Path(path)
    if not path.is_file():
        raise UserError(
            f"no samples at {path}: give the .parquet or .jsonl file with the gold labels"
        )
    is_parquet = path.suffix == ".parquet"
    try:
        yield from iterate_parquet(path, Sample) if is_parquet else iterate_jsonl(path, Sample)
    except ValueError as error:
        raise UserError(f"{path} does not hold samples ({error})") from error


def parse_again(judgements: Sequence[Judgement]) -> list[Judgement]:
    """Apply the present parser to raw replies, whatever an older parser said."""
    return [read_again(judgement) for judgement in judgements]


def of_these_samples(
    samples: Sequence[Sample], judgements: Sequence[Judgement], *, any_prompt: bool = False
) -> list[Judgement]:
    """Keep the judgements whose prompt is the one that their sample gives today.

    A store may hold replies to an older rubric or text of the same ids; the prompt's hash tells
    them apart. A sample with replies to other prompts only is a UserError, unless `any_prompt` is
    set and these are replies to one prompt.
    """
    found, refused = fitting_judgements(samples, judgements, any_prompt=any_prompt)
    refuse_other_prompts(refused, len(samples))
    return found


def fitting_judgements(
    samples: Sequence[Sample], judgements: Sequence[Judgement], *, any_prompt: bool
) -> tuple[list[Judgement], list[str]]:
    """Return what `of_these_samples` keeps, and the ids of samples that it refuses."""
    by_id = {sample.id: sample for sample in samples}
    fitting: dict[tuple[str, str, Order], Judgement] = {}
    others: dict[tuple[str, str, Order], dict[str, Judgement]] = {}
    is_known: dict[tuple[str, str, Order], bool] = {}
    for judgement in judgements:
        sample = by_id.get(judgement.sample_id)
        if sample is None:
            continue
        key = (judgement.judge, judgement.sample_id, judgement.order)
        told = prompt_hash(sample, judgement.order, judgement.template)
        if told == judgement.prompt_sha256:
            fitting[key] = judgement
        else:
            is_known[key] = is_known.get(key, False) or told is not None
            others.setdefault(key, {})[judgement.prompt_sha256] = judgement
    refused = []
    for key, found in others.items():
        if key in fitting:
            continue
        if len(found) == 1 and (any_prompt or not is_known[key]):
            fitting[key] = next(iter(found.values()))
        else:
            refused.append(key[1])
    return list(fitting.values()), refused


def refuse_other_prompts(refused: Sequence[str], n_samples: int) -> None:
    """Raise a UserError where samples have replies to other prompts only."""
    if refused:
        raise UserError(
            f"{len(set(refused))} of {n_samples} samples have replies to another prompt only "
            f"(another rubric, text or template), the first is {refused[0]!r}; give the samples as "
            "they were judged, or judge these to the end and score again (--any-prompt takes them "
            "where only the templates changed since)"
        )


def prompt_hash(sample: Sample, order: Order, template: str) -> str | None:
    """Return the SHA-256 of the prompt that a judgement's template makes of a sample.

    None where the template is not here, or is of a format that `render` does not write.
    """
    named = _TEMPLATE.fullmatch(template)
    if named is None:
        return None
    shown = sample if order == "AB" else sample.swap()
    try:
        prompt = render(
            shown,
            family=named["family"],
            escape=named["plain"] is None,
            critique=named["verdict"] is None,
        )
    except UserError:
        return None
    return prompt.sha256 if prompt.template == template else None


def rescore(
    samples: Sequence[Sample],
    judgements: Sequence[Judgement],
    *,
    set_name: str | None = None,
    any_prompt: bool = False,
    seed: int = 0,
    n_resamples: int = 2000,
) -> list[Score]:
    """Score every judge in `judgements` on `samples` after parsing again.

    `set_name` picks one where several sets are stored. Raises UserError for judgements of other
    sets or samples, of other prompts (see `of_these_samples`), and for samples without any.
    """
    name = one_set([j.set for j in judgements], set_name)
    mine = majority_of_draws(parse_again([j for j in judgements if j.set == name]))
    known = {s.id for s in samples}
    if not any(j.sample_id in known for j in mine):
        raise UserError(
            f"none of the {len(mine)} judgements of {name!r} belongs to these {len(samples)} "
            "samples; give the samples that were judged"
        )
    mine = of_these_samples(samples, mine, any_prompt=any_prompt)
    judges = dict.fromkeys(j.judge for j in mine)
    for judge in judges:
        judged = {j.sample_id for j in mine if j.judge == judge}
        missing = [sample.id for sample in samples if sample.id not in judged]
        refuse_missing(judge, name, missing, len(samples))
    return [
        row
        for judge in judges
        for row in score_set(
            samples, mine, judge=judge, set_name=name, seed=seed, n_resamples=n_resamples
        )
    ]


def one_set(sets: Iterable[str], set_name: str | None) -> str:
    """Return the name of the set to be scored; a UserError where it is not there, or not clear."""
    there = sorted(set(sets))
    if set_name is None and len(there) > 1:
        raise UserError(f"the judgements cover {len(there)} sets: {', '.join(there)}; name one")
    if not there:
        raise UserError("there are no judgements to score: judge first")
    if set_name is not None and set_name not in there:
        raise UserError(f"no judgement of the set {set_name!r}; sets there: {', '.join(there)}")
    return set_name or there[0]


def refuse_missing(judge: str, name: str, missing: Sequence[str], n_samples: int) -> None:
    """Raise a UserError for samples that a judge has not judged."""
    if missing:
        raise UserError(
            f"{judge} on {name}: {len(missing)} of {n_samples} samples have no judgement, "
            f"the first is {missing[0]!r}; judge the set to its end before scoring"
        )
