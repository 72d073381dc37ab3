"""Judge samples and keep every reply for ever: resumable, and never the same question twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from selene_lib.errors import UserError
from selene_lib.files import PathLock, append_jsonl, read_jsonl
from selene_lib.judges.opening import Limits, open_arm
from selene_lib.judges.protocol import JudgeBackend, Reply, batches_of
from selene_lib.models.names import is_embedded
from selene_lib.models.parallel import side_by_side, use_one_thread
from selene_lib.prompts.rendering import Prompt, render
from selene_lib.prompts.verdicts import parse_verdict
from selene_lib.records import Judgement, Order, Sample, unit_hash

Orders = Literal["both", "AB", "BA", "random"]
ORDERS: tuple[Orders, ...] = ("both", "AB", "BA", "random")
# what makes two questions the same: judge, set, sample id, order, SHA-256 of the prompt
Key = tuple[str, str, str, str, str]


@dataclass(frozen=True)
class Asking:
    """How samples are put to a judge.

    `family` names the prompt templates; `escape` breaks up marks inside the texts; `orders` says in
    which order two responses are shown (`both` asks twice); `critique=False` asks for the verdict
    alone; `seed` decides the order of `random`.
    """

    family: str = "full"
    escape: bool = True
    orders: Orders = "both"
    critique: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if self.orders not in ORDERS:
            raise UserError(f"orders {self.orders!r} is not one of {', '.join(ORDERS)}")


DEFAULT = Asking()


@dataclass(frozen=True)
class Question:
    """One prompt to be asked: which sample, in which order."""

    sample: Sample
    order: Order
    prompt: Prompt


def random_order(sample_id: str, seed: int = 0) -> Order:
    """The one random order of an item: a coin of the item's id and the seed, not of the run."""
    return "AB" if unit_hash(seed, "order", sample_id) < 0.5 else "BA"


def plan_questions(samples: Sequence[Sample], asking: Asking = DEFAULT) -> list[Question]:
    """Render every sample in the orders asked for: `AB` then `BA`, samples in their own order.

    Other tasks have the order `AB` only.
    """
    for key, n in Counter(sample.id for sample in samples).items():
        if n > 1:
            raise ValueError(f"sample id {key!r} occurs {n} times; ids must be unique")
    questions = []
    for sample in samples:
        for order in _orders_of(sample, asking):
            seen = sample if order == "AB" else sample.swap()
            prompt = render(
                seen, family=asking.family, escape=asking.escape, critique=asking.critique
            )
            questions.append(Question(sample, order, prompt))
    return questions


def _orders_of(sample: Sample, asking: Asking) -> tuple[Order, ...]:
    if sample.task != "pairwise":
        return ("AB",)
    if asking.orders == "both":
        return ("AB", "BA")
    if asking.orders == "random":
        return (random_order(sample.id, asking.seed),)
    return (asking.orders,)


def judge_samples(
    judge: JudgeBackend,
    set_name: str,
    samples: Sequence[Sample],
    asking: Asking = DEFAULT,
    *,
    store: str | Path,
    progress: bool = True,
) -> list[Judgement]:
    """Ask a judge about every sample and return one judgement a question, in their order.

    `store` is an append-only JSON Lines file: what stands in it is not asked again, so a killed run
    goes on where it stopped. A store written by other weights or settings under the same judge name
    is a UserError, as are two processes writing to one store.
    """
    questions = plan_questions(samples, asking)
    return answer_questions(judge, set_name, questions, store=store, progress=progress)


def answer_questions(
    judge: JudgeBackend,
    set_name: str,
    questions: Sequence[Question],
    *,
    store: str | Path,
    progress: bool = True,
) -> list[Judgement]:
    """Answer planned questions, from the store where they stand there; see `judge_samples`."""
    keys: list[Key] = [
        (judge.name, set_name, q.sample.id, q.order, q.prompt.sha256) for q in questions
    ]
    store = Path(store)
    busy = f"{store} is being written by another process; wait for it or give another store"
    with PathLock(store, busy=busy):
        known = _stored(store, judge, set(keys))
        if len(known) < len(questions):
            for judgement in _ask(judge, set_name, questions, keys, known, store, progress):
                known[judgement.key] = judgement
    return [known[key] for key in keys]


def _ask(
    judge: JudgeBackend,
    set_name: str,
    questions: Sequence[Question],
    keys: Sequence[Key],
    known: Mapping[Key, Judgement],
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
            answers = judge.judge([questions[i].prompt for i in asked])
            replies = dict(zip(asked, answers, strict=True))
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
    meta = dict(reply.meta)
    if fingerprint:
        meta["fingerprint"] = fingerprint
    if verdict.reason:
        meta["reason"] = verdict.reason
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


def _stored(store: Path, judge: JudgeBackend, wanted: set[Key]) -> dict[Key, Judgement]:
    if not store.is_file():
        return {}
    known = {j.key: j for j in read_jsonl(store, Judgement, skip_broken=True) if j.key in wanted}
    for judgement in known.values():
        if judgement.meta.get("fingerprint", judge.fingerprint) != judge.fingerprint:
            raise UserError(
                f"{store}: another judge of the name {judge.name!r} (other weights or settings) "
                "wrote it; give another name or move it"
            )
    return known


def judge_sets(
    judges: Iterable[JudgeBackend],
    sets: Mapping[str, Sequence[Sample]],
    folder: Path,
    asking: Asking = DEFAULT,
    *,
    progress: bool = True,
) -> list[Judgement]:
    """Let every judge judge every set.

    Replies are kept in `folder/<judge>/<set>.jsonl` and never asked for again.
    """
    found: list[Judgement] = []
    for judge in judges:
        for name, samples in sets.items():
            store = folder / judge.name / f"{name}.jsonl"
            found += judge_samples(judge, name, samples, asking, store=store, progress=progress)
    return found


def judge_arms(
    base_model: str,
    adapters: Mapping[str, Path | None],
    sets: Mapping[str, Sequence[Sample]],
    folder: Path,
    asking: Asking,
    limits: Limits,
) -> list[Judgement]:
    """Let the base and every adapter judge every set, replies kept as in `judge_sets`.

    The embedded model judges one arm a core; another model is loaded with one adapter after the
    other, one at a time in memory.
    """
    jobs = [
        (_judge_arm, (base_model, name, adapter, sets, folder, asking, limits))
        for name, adapter in adapters.items()
    ]
    return [judgement for found in side_by_side(jobs, base_model, "judges") for judgement in found]


def _judge_arm(
    base_model: str,
    name: str,
    adapter: Path | None,
    sets: Mapping[str, Sequence[Sample]],
    folder: Path,
    asking: Asking,
    limits: Limits,
) -> list[Judgement]:
    embedded = is_embedded(base_model)
    if embedded:
        use_one_thread()
    judge = open_arm(base_model, name, adapter, limits)
    return judge_sets([judge], sets, folder, asking, progress=not embedded)
