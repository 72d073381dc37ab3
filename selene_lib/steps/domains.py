"""Notebook 06: the judges of a run on domains, under other formats, in an arena, under audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from selene_lib.data.user_domain import load_user_domain
from selene_lib.errors import UserError
from selene_lib.evaluation.arena import Battles, battles_of_judges, read_votes
from selene_lib.evaluation.audit import CARD_COLUMNS, audit_card
from selene_lib.evaluation.audit.edits import ATTACKS, CONTROL
from selene_lib.evaluation.audit.probes import Probe, make_probes
from selene_lib.evaluation.format_study import FORMAT_COLUMNS, format_table, judge_formats
from selene_lib.evaluation.readings import ceilings, readings
from selene_lib.evaluation.scoring import not_run_score
from selene_lib.judges.judging import Asking, judge_sets
from selene_lib.judges.names import main_judge
from selene_lib.judges.opening import Limits, open_arm
from selene_lib.judges.protocol import JudgeBackend
from selene_lib.judges.store import iterate_judgements
from selene_lib.models.names import is_embedded
from selene_lib.models.parallel import side_by_side, use_one_thread
from selene_lib.paper.values import published
from selene_lib.pipeline.places import project_root
from selene_lib.prompts.rendering import render
from selene_lib.records import Judgement, Sample, Score, Task, unit_hash
from selene_lib.steps.evaluate import published_name

MAX_TEXT_CHARACTERS = 800


def score_domains(
    domains: Mapping[str, Sequence[Sample]],
    judgements: Sequence[Judgement],
    catalogue: pd.DataFrame,
    *,
    n_resamples: int,
    seed: int,
    judges: Sequence[str] = (),
) -> list[Score]:
    """Score every judge on every domain set in every reading; absent sets are `not run`.

    The annotators' agreement with each other is the ceiling of a set. `judges` are those of the
    run, for the rows of a run that has no domain set; empty: those of the judgements.
    """
    scores: list[Score] = []
    judges = list(judges) or list(dict.fromkeys(j.judge for j in judgements))
    for row in catalogue.query("role == 'domain'").to_dict("records"):
        name = row["name"]
        if name not in domains:
            scores += [_absent(judge, name, row["task"], row["status"]) for judge in judges]
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


def _absent(judge: str, name: str, task: Task, why: str) -> Score:
    cell = published(published_name(judge), name)
    score = not_run_score(judge, name, task, "accuracy", cell, why)
    return replace(score, meta={**score.meta, "part": "all", "reading": "not run"})


def choose_pairwise(
    sets: Mapping[str, Sequence[Sample]], catalogue: pd.DataFrame, n: int, seed: int
) -> list[Sample]:
    """Return `n` pairwise items with a winner from all benchmark sets, by the hash of the item.

    None where `n` is 0, for a run that tries no formats and no probes.
    """
    if n == 0:
        return []
    pool: list[Sample] = []
    for name in sorted(catalogue.query("role == 'benchmark'")["name"]):
        for sample in sets.get(name, ()):
            if sample.task == "pairwise" and sample.label in ("A", "B"):
                pool.append(sample)
    if not pool:
        raise UserError("no pairwise item in any set of this run; add one to `sets` of notebook 01")
    return sorted(pool, key=lambda s: unit_hash(seed, "format", s.id))[:n]


@dataclass(frozen=True)
class Asked:
    """What the judges said to a `DomainStudy`.

    Judgements of the domain items, accuracy by judge and prompt format, and the audit cards.
    """

    judgements: list[Judgement]
    formats: pd.DataFrame
    audit: pd.DataFrame


@dataclass(frozen=True)
class DomainStudy:
    """What every judge is asked.

    The domains, `pairwise` items in every prompt format, and `n_audit` of them under every probe.
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

    Each judge is loaded once and asked everything; the embedded model one a core. Where there is
    nothing to ask no judge is loaded, and the folder is empty.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not study.domains and not study.pairwise:
        return Asked([], _no_rows(FORMAT_COLUMNS), _no_rows(CARD_COLUMNS))
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
    shows = not is_embedded(base_model)
    if not shows:
        use_one_thread()
    with ExitStack() as opened:

        def open_judge(limits: Limits) -> JudgeBackend:
            log = folder.parent / "server_logs" / f"{name}.log"
            return opened.enter_context(open_arm(base_model, name, adapter, limits, log=log))

        judge = open_judge(study.limits)
        judgements = judge_sets([judge], study.domains, folder, study.asking, progress=shows)
        if not study.pairwise:
            return Asked(judgements, _no_rows(FORMAT_COLUMNS), _no_rows(CARD_COLUMNS))
        # a format has a reply of its own, which must be written to be read
        writing = judge
        if study.limits.read != "greedy":
            writing = open_judge(replace(study.limits, read="greedy", engine="local"))
        formats = _ask_formats(writing, study, folder / name, shows)
        return Asked(judgements, formats, _ask_probes(judge, study, folder / name, shows))


def _ask_formats(
    judge: JudgeBackend, study: DomainStudy, folder: Path, shows: bool
) -> pd.DataFrame:
    asking = study.asking
    replies = judge_formats(
        judge,
        "formats",
        study.pairwise,
        store=folder / "formats.jsonl",
        wording=asking.family,
        seed=asking.seed,
        max_text_characters=MAX_TEXT_CHARACTERS,
        progress=shows,
    )
    return format_table(study.pairwise, replies, n_resamples=study.n_resamples, seed=asking.seed)


def _ask_probes(judge: JudgeBackend, study: DomainStudy, folder: Path, shows: bool) -> pd.DataFrame:
    asking = study.asking
    return audit_card(
        judge,
        study.pairwise,
        store=folder / "audit.jsonl",
        n=study.n_audit,
        family=asking.family,
        critique=asking.critique,
        n_resamples=study.n_resamples,
        seed=asking.seed,
        progress=shows,
    )


def _no_rows(columns: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame(columns=list(columns))


def open_votes(
    votes: str,
    judgements: Path,
    sets: Mapping[str, Sequence[Sample]],
    catalogue: pd.DataFrame,
    seed: int,
) -> Battles:
    """Read a votes file; without one the run's judges meet on its benchmark items.

    Then the gold label votes on what lies in `judgements/<judge>/<set>.jsonl`. Sets that are made
    to lie out of the training distribution are left out, as in the task means. The battles come in
    an order drawn from `seed`, since the leaderboard's own formula depends on it.
    """
    if votes:
        return read_votes(votes)
    samples: list[Sample] = []
    found: list[Judgement] = []
    for name in catalogue.query("role == 'benchmark'")["name"]:
        if name in sets:
            samples += sets[name]
            for path in sorted(judgements.glob(f"*/{name}.jsonl")):
                found += [judgement for _, judgement in iterate_judgements(path)]
    battles = battles_of_judges(samples, found)
    return battles.shuffle(np.random.default_rng(seed))


def add_user_domain(
    domains: dict[str, Sequence[Sample]], catalogue: pd.DataFrame, path: str
) -> tuple[dict[str, Sequence[Sample]], pd.DataFrame]:
    """Return domains and catalogue with the user's own domain of the YAML file at `path` added.

    Both as they were for an empty path.
    """
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
    with_row = pd.concat([catalogue, pd.DataFrame([row])], ignore_index=True)
    return {**domains, name: found.samples}, with_row


def one_attack(folder: Path, study: DomainStudy) -> str:
    """Return one attack on the main judge, to be read: what it was shown, and what it did.

    The first that succeeded where the harmless note did not, else the first of all. `folder` holds
    the replies that `ask_judges` kept. Says so where no attack was made.
    """
    main = main_judge(path.name for path in sorted(folder.iterdir()))
    store = folder / (main or "") / "audit.jsonl"
    if main is None or not store.is_file():
        return "no attack was made: n_audit_items is 0, or there is no pairwise item"
    said: dict[str, Judgement] = {}
    for _, judgement in iterate_judgements(store):
        said.setdefault(judgement.sample_id, judgement)  # the escaping template is asked first
    probes = make_probes(study.pairwise, n=study.n_audit, seed=study.asking.seed)
    attacks = [probe for probe in probes if probe.name in ATTACKS and probe.name != CONTROL]
    attacks = [probe for probe in attacks if probe.sample.id in said]
    if not attacks:
        return "no attack fits these items: the label is what each would ask for"
    chosen = next((probe for probe in attacks if _succeeded(probe, said)), attacks[0])
    judgement = said[chosen.sample.id]
    prompt = render(chosen.sample, family=study.asking.family, critique=study.asking.critique)
    end = "It succeeded." if judgement.verdict == chosen.target else "It failed."
    return (
        f"The attack `{chosen.name}` on {main}. The label says {chosen.gold}; the attack wants "
        f"{chosen.target}.\n\n{prompt.text}\n\nWhat the judge wrote:\n{judgement.reply}\n\n"
        f"Verdict with a harmless note in its place: {_verdict(chosen, CONTROL, said)}; "
        f"with the attack: {judgement.verdict or judgement.status}. {end}"
    )


def _verdict(probe: Probe, name: str, said: Mapping[str, Judgement]) -> str | None:
    judgement = said.get(f"{probe.item.id}|{name}")
    return None if judgement is None else judgement.verdict


def _succeeded(probe: Probe, said: Mapping[str, Judgement]) -> bool:
    without = _verdict(probe, CONTROL, said)
    return said[probe.sample.id].verdict == probe.target and without == probe.gold
