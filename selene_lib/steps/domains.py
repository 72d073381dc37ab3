"""Notebook 06: the judges of a run on domains, under changed prompt formats, in an arena and under
audit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from selene_lib.errors import UserError
from selene_lib.judges.judging import Asking, judge_sets
from selene_lib.judges.opening import Limits, open_arm
from selene_lib.models.names import is_embedded
from selene_lib.models.parallel import side_by_side, use_one_thread
from selene_lib.records import Judgement, Sample, Score, unit_hash
from selene_lib.steps.evaluate import published_name

MAX_TEXT_CHARACTERS = 800


def score_domains(
    domains: Mapping[str, Sequence[Sample]],
    judgements: Sequence[Judgement],
    catalogue: Any,
    *,
    n_resamples: int,
    seed: int,
) -> list[Score]:
    """Score every judge on every domain set in every reading, with the annotators' agreement as the
    ceiling; absent sets are `not run`.
    """
    from selene_lib.evaluation.readings import ceilings, readings
    from selene_lib.evaluation.scoring import not_run_score
    from selene_lib.paper.values import published

    scores: list[Score] = []
    judges = list(dict.fromkeys(j.judge for j in judgements))
    for row in catalogue.query("role == 'domain'").to_dict("records"):
        name = row["name"]
        if name not in domains:
            for judge in judges:
                cell = published(published_name(judge), name)
                absent = not_run_score(judge, name, row["task"], "accuracy", cell, row["status"])
                scores.append(
                    replace(absent, meta={**absent.meta, "part": "all", "reading": "not run"})
                )
            continue
        for judge in judges:
            mine = [j for j in judgements if j.judge == judge and j.set == name]
            scores += readings(
                name,
                domains[name],
                mine,
                published_as=published_name(judge),
                n_resamples=n_resamples,
                seed=seed,
            )
        scores += ceilings(name, domains[name], n_resamples=n_resamples, seed=seed)
    return scores


def choose_pairwise(
    sets: Mapping[str, Sequence[Sample]], catalogue: Any, n: int, seed: int
) -> list[Sample]:
    """Return `n` pairwise items with a winner from all benchmark sets, by the hash of the item."""
    names = set(catalogue.query("role == 'benchmark'")["name"])
    pool = [
        s
        for name, samples in sorted(sets.items())
        if name in names
        for s in samples
        if s.task == "pairwise" and s.label in ("A", "B")
    ]
    if not pool:
        raise UserError("no pairwise item in any set of this run; add one to `sets` of notebook 01")
    return sorted(pool, key=lambda s: unit_hash(seed, "format", s.id))[:n]


@dataclass(frozen=True)
class Asked:
    """What the judges said: judgements of the domain items, accuracy by judge and prompt format,
    the judges' audit cards.
    """

    judgements: list[Judgement]
    formats: Any
    audit: Any


@dataclass(frozen=True)
class DomainStudy:
    """What every judge is asked: the domains, `pairwise` items in every prompt format, and
    `n_audit` of them under every probe.
    """

    domains: Mapping[str, Sequence[Sample]]
    pairwise: Sequence[Sample]
    asking: Asking
    limits: Limits
    n_audit: int
    n_resamples: int


def ask_judges(
    base_model: str, adapters: Mapping[str, Path | None], study: DomainStudy, folder: Path
) -> Asked:
    """Ask base and adapters everything of a study; replies are kept in `folder/<judge>/*.jsonl`.

    Each judge is loaded once and asked everything; the embedded model one a core.
    """
    import pandas as pd

    jobs = [
        (_ask_judge, (base_model, name, adapter, study, folder))
        for name, adapter in adapters.items()
    ]
    found = side_by_side(jobs, base_model, "judges")
    return Asked(
        [judgement for one in found for judgement in one.judgements],
        pd.concat([one.formats for one in found], ignore_index=True),
        pd.concat([one.audit for one in found], ignore_index=True),
    )


def _ask_judge(
    base_model: str, name: str, adapter: Path | None, study: DomainStudy, folder: Path
) -> Asked:
    from selene_lib.evaluation.audit import audit_card
    from selene_lib.evaluation.format_study import format_table, judge_formats

    shows = not is_embedded(base_model)
    if not shows:
        use_one_thread()
    judge = open_arm(base_model, name, adapter, study.limits)
    asking, pairwise = study.asking, study.pairwise
    judgements = judge_sets([judge], study.domains, folder, asking, progress=shows)
    replies = judge_formats(
        judge,
        "formats",
        pairwise,
        store=folder / name / "formats.jsonl",
        wording=asking.family,
        seed=asking.seed,
        max_text_characters=MAX_TEXT_CHARACTERS,
        progress=shows,
    )
    card = audit_card(
        judge,
        pairwise,
        store=folder / name / "audit.jsonl",
        n=study.n_audit,
        family=asking.family,
        n_resamples=study.n_resamples,
        seed=asking.seed,
        progress=shows,
    )
    formats = format_table(pairwise, replies, n_resamples=study.n_resamples, seed=asking.seed)
    return Asked(judgements, formats, card)


def open_votes(
    votes: str, judgements: Path, sets: Mapping[str, Sequence[Sample]], catalogue: Any, seed: int
) -> Any:
    """Read a votes file; without one the run's judges meet on its benchmark items
    (`judgements/<judge>/<set>.jsonl`), voter the gold label.

    Sets that are made to lie out of the training distribution are left out, as in the task means.
    The battles come in an order drawn from `seed`, since the leaderboard's own formula depends on
    it.
    """
    import numpy as np

    from selene_lib.evaluation.arena import battles_of_judges, read_votes
    from selene_lib.files import read_jsonl

    if votes:
        return read_votes(votes)
    names = [name for name in catalogue.query("role == 'benchmark'")["name"] if name in sets]
    found = [
        j
        for name in names
        for path in sorted(judgements.glob(f"*/{name}.jsonl"))
        for j in read_jsonl(path, Judgement)
    ]
    battles = battles_of_judges([sample for name in names for sample in sets[name]], found)
    return battles.shuffle(np.random.default_rng(seed))


def add_user_domain(
    domains: dict[str, Sequence[Sample]], catalogue: Any, path: str
) -> tuple[dict[str, Sequence[Sample]], Any]:
    """Return domains and catalogue with the user's own domain of the YAML file at `path` added;
    both as they were for an empty path.
    """
    import pandas as pd

    from selene_lib.data.user_domain import load_user_domain
    from selene_lib.pipeline.places import project_root

    if not path:
        return domains, catalogue
    found = load_user_domain(project_root() / path)
    name, tasks = found.samples[0].source, "+".join(sorted({s.task for s in found.samples}))
    row = {
        "name": name,
        "role": "domain",
        "task": tasks,
        "n": len(found.samples),
        "labels": "",
        "licence": "yours",
        "status": "read",
    }
    return {**domains, name: found.samples}, pd.concat(
        [catalogue, pd.DataFrame([row])], ignore_index=True
    )
