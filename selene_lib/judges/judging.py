"""Judge samples and keep every reply for ever: resumable, both orders by default, and never the
same question twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from selene_lib.errors import UserError
from selene_lib.files import PathLock, append_jsonl, read_jsonl
from selene_lib.judges.protocol import Judge, Reply, batches_of
from selene_lib.models.names import is_embedded
from selene_lib.models.parallel import side_by_side, use_one_thread
from selene_lib.prompts.rendering import Prompt, render
from selene_lib.prompts.verdicts import parse_verdict
from selene_lib.records import Judgement, Order, Sample, unit_hash

Orders = Literal["both", "AB", "BA", "random"]
ORDERS: tuple[Orders, ...] = ("both", "AB", "BA", "random")


@dataclass(frozen=True)
class Question:
    """One prompt to be asked: which sample, in which order."""

    sample: Sample
    order: Order
    prompt: Prompt


def random_order(sample_id: str, seed: int = 0) -> Order:
    """The one random order of an item: a coin that belongs to the item's id and the seed, not to
    the run.
    """
    return "AB" if unit_hash(seed, "order", sample_id) < 0.5 else "BA"


def plan_questions(
    samples: Sequence[Sample],
    *,
    family: str = "full",
    escape: bool = True,
    orders: Orders = "both",
    critique: bool = True,
    seed: int = 0,
) -> list[Question]:
    """Render every sample in the orders asked for: `AB` then `BA`, samples in their own order;
    other tasks have the order `AB` only.
    """
    if orders not in ORDERS:
        raise UserError(f"orders {orders!r} is not one of {', '.join(ORDERS)}")
    doubled = [key for key, n in Counter(s.id for s in samples).items() if n > 1]
    if doubled:
        raise ValueError(
            f"sample id {doubled[0]!r} occurs {sum(s.id == doubled[0] for s in samples)} times; ids must be unique"
        )
    questions = []
    for sample in samples:
        for order in _orders_of(sample, orders, seed):
            shown = sample if order == "AB" else sample.swap()
            questions.append(
                Question(
                    sample, order, render(shown, family=family, escape=escape, critique=critique)
                )
            )
    return questions


def _orders_of(sample: Sample, orders: Orders, seed: int) -> tuple[Order, ...]:
    if sample.task != "pairwise":
        return ("AB",)
    if orders == "both":
        return ("AB", "BA")
    return (random_order(sample.id, seed),) if orders == "random" else (orders,)


def judge_samples(
    judge: Judge,
    set_name: str,
    samples: Sequence[Sample],
    *,
    store: str | Path,
    family: str = "full",
    escape: bool = True,
    orders: Orders = "both",
    critique: bool = True,
    seed: int = 0,
    progress: bool = True,
) -> list[Judgement]:
    """Ask a judge about every sample and return one judgement a question, in the order of the
    samples whatever was asked when.

    `store` is an append-only JSON Lines file: what stands in it is not asked again, so a killed run
    goes on where it stopped. A store written by other weights or settings under the same judge name
    is a UserError, as are two processes writing to one store.
    """
    questions = plan_questions(
        samples, family=family, escape=escape, orders=orders, critique=critique, seed=seed
    )
    return answer_questions(judge, set_name, questions, store=store, progress=progress)


def answer_questions(
    judge: Judge,
    set_name: str,
    questions: Sequence[Question],
    *,
    store: str | Path,
    progress: bool = True,
) -> list[Judgement]:
    """Answer planned questions, from the store where they stand there; see `judge_samples`."""
    keys = [(judge.name, set_name, q.sample.id, q.order, q.prompt.sha256) for q in questions]
    store = Path(store)
    busy = f"{store} is being written by another process; wait for it or give another store"
    with PathLock(store, busy=busy):
        known = _stored(store, judge, set(keys))
        if len(known) < len(questions):
            for judgement in _ask(judge, set_name, questions, keys, known, store, progress):
                known[judgement.key] = judgement
    return [known[key] for key in keys]


def _ask(
    judge: Judge,
    set_name: str,
    questions: Sequence[Question],
    keys: list,
    known: dict,
    store: Path,
    progress: bool,
) -> Iterator[Judgement]:
    from tqdm.auto import tqdm

    fingerprint = judge.fingerprint
    bar = tqdm(
        total=len(questions),
        initial=len(known),
        desc=f"{judge.name} on {set_name}",
        unit="verdict",
        disable=not progress,
    )
    n_unparsed = 0
    with bar:
        for batch in batches_of(judge, [q.prompt for q in questions]):
            missing = [i for i in batch if keys[i] not in known]
            if not missing:
                continue
            asked = batch if getattr(judge, "batch_bound", False) else missing
            replies = dict(
                zip(asked, judge.judge([questions[i].prompt for i in asked]), strict=True)
            )
            judgements = [
                to_judgement(judge.name, set_name, questions[i], replies[i], fingerprint)
                for i in missing
            ]
            append_jsonl(store, judgements)
            n_unparsed += sum(j.status != "value" for j in judgements)
            bar.update(len(missing))
            bar.set_postfix(unparsed=n_unparsed)
            yield from judgements


def to_judgement(
    judge: str, set_name: str, question: Question, reply: Reply, fingerprint: str = ""
) -> Judgement:
    """Parse a reply and put everything known about it into one record."""
    verdict = parse_verdict(reply.text, question.prompt.task, finish_reason=reply.finish_reason)
    meta = {
        **reply.meta,
        **({"fingerprint": fingerprint} if fingerprint else {}),
        **({"reason": verdict.reason} if verdict.reason else {}),
    }
    return Judgement(
        judge=judge,
        set=set_name,
        sample_id=question.sample.id,
        task=question.prompt.task,
        order=question.order,
        template=question.prompt.template,
        prompt_sha256=question.prompt.sha256,
        reply=reply.text,
        finish_reason=reply.finish_reason,
        status=verdict.status,
        verdict=verdict.value,
        verdict_probs=dict(reply.verdict_probs) if reply.verdict_probs else None,
        n_prompt_tokens=reply.n_prompt_tokens,
        n_reply_tokens=reply.n_reply_tokens,
        meta=meta,
    )


def _stored(store: Path, judge: Judge, wanted: set) -> dict:
    if not store.is_file():
        return {}
    known = {j.key: j for j in read_jsonl(store, Judgement, skip_broken=True) if j.key in wanted}
    other = next(
        (
            j
            for j in known.values()
            if j.meta.get("fingerprint", judge.fingerprint) != judge.fingerprint
        ),
        None,
    )
    if other is not None:
        raise UserError(
            f"{store}: another judge of the name {judge.name!r} (other weights or settings) wrote it; give another name or move it"
        )
    return known


def open_judges(
    base_model: str, adapters: Mapping[str, Path | None], **options: Any
) -> Iterator[Any]:
    """Open one judge after the other, so that one model is in memory at a time."""
    from selene_lib.judges.local import LocalJudge

    for name, adapter in adapters.items():
        yield LocalJudge(base_model, adapter=adapter, name=name, **options)


def judge_sets(
    judges: Iterable[Any], sets: Mapping[str, Sequence[Sample]], folder: Path, **options: Any
) -> list[Judgement]:
    """Let every judge judge every set; replies are kept in `folder/<judge>/<set>.jsonl` and never
    asked for again.
    """
    found: list[Judgement] = []
    for judge in judges:
        for name, samples in sets.items():
            found += judge_samples(
                judge, name, samples, store=folder / judge.name / f"{name}.jsonl", **options
            )
    return found


def judge_arms(
    base_model: str,
    adapters: Mapping[str, Path | None],
    sets: Mapping[str, Sequence[Sample]],
    folder: Path,
    *,
    max_new_tokens: int,
    max_prompt_tokens: int,
    **options: Any,
) -> list[Judgement]:
    """Let the base and every adapter judge every set, replies kept as in `judge_sets`.

    The embedded model judges one arm a core; another model is loaded with one adapter after the
    other, one at a time in memory.
    """
    limits = {"max_new_tokens": max_new_tokens, "max_prompt_tokens": max_prompt_tokens}
    jobs = [
        (_judge_arm, (base_model, name, adapter, sets, folder, limits, options))
        for name, adapter in adapters.items()
    ]
    return [judgement for found in side_by_side(jobs, base_model, "judges") for judgement in found]


def _judge_arm(
    base_model: str,
    name: str,
    adapter: Path | None,
    sets: Mapping[str, Sequence[Sample]],
    folder: Path,
    limits: Mapping[str, int],
    options: Mapping[str, Any],
) -> list[Judgement]:
    embedded = is_embedded(base_model)
    if embedded:
        use_one_thread()
    return judge_sets(
        open_judges(base_model, {name: adapter}, **limits),
        sets,
        folder,
        progress=not embedded,
        **options,
    )
