"""Judge samples and keep every reply for ever: resumable, and never the same question twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from selene_lib.errors import UserError
from selene_lib.judges.opening import Limits, open_arm
from selene_lib.judges.protocol import (
    Choosy,
    JudgeBackend,
    KnowsSamples,
    Question,
    Reply,
    Streaming,
    batches_of,
)
from selene_lib.judges.store import JudgementStore
from selene_lib.models.names import is_embedded
from selene_lib.models.parallel import side_by_side, use_one_thread
from selene_lib.prompts.additions import Additions
from selene_lib.prompts.rendering import NOTHING_MORE, Prompt, render
from selene_lib.prompts.verdicts import Verdict, parse_verdict
from selene_lib.records import Judgement, Order, Sample, unit_hash

Orders = Literal["both", "AB", "BA", "random"]
ORDERS: tuple[Orders, ...] = ("both", "AB", "BA", "random")


@dataclass(frozen=True)
class Asking:
    """How samples are put to a judge.

    `family` names the prompt templates; `escape` breaks up marks inside the texts; `orders` says in
    which order two responses are shown (`both` asks twice); `critique=False` asks for the verdict
    alone; `seed` decides the order of `random`. `additions` are examples and leave to abstain.
    `n_samples` asks for so many replies to each prompt; 0 is the one reply of a judge that always
    writes the same.
    """

    family: str = "full"
    escape: bool = True
    orders: Orders = "both"
    critique: bool = True
    seed: int = 0
    additions: Additions = NOTHING_MORE
    n_samples: int = 0

    def __post_init__(self) -> None:
        if self.orders not in ORDERS:
            raise UserError(f"orders {self.orders!r} is not one of {', '.join(ORDERS)}")


DEFAULT = Asking()


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
            prompt = render_for(seen, asking)
            draws = range(1, asking.n_samples + 1) or (0,)
            questions += [Question(sample, order, replace(prompt, draw=n)) for n in draws]
    return questions


def render_for(sample: Sample, asking: Asking) -> Prompt:
    """The prompt of a sample as it stands, asked in this way."""
    return render(
        sample,
        family=asking.family,
        escape=asking.escape,
        critique=asking.critique,
        additions=asking.additions,
    )


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
    goes on where it stopped. A request that failed for good stands there too (status `failed`, with
    the reason); one that time may mend is returned as failed, not stored, and asked by the next
    run. A store written by other weights or settings under the same judge name is a UserError, as
    are two processes writing to one store.
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
    from tqdm.auto import tqdm

    name = f"{judge.name} on {set_name}"
    with (
        JudgementStore(store, judge) as kept,
        tqdm(total=len(questions), desc=name, unit="verdict", disable=not progress) as bar,
    ):
        return answer_into(kept, set_name, questions, bar)


def answer_into(
    store: JudgementStore, set_name: str, questions: Sequence[Question], bar: Any
) -> list[Judgement]:
    """Answer questions into an open store and return the judgements in their order.

    Each is stored when it comes. `bar` is a tqdm bar that counts them.
    """
    judge = store.judge
    known: dict[int, Judgement] = {}
    for i, question in enumerate(questions):
        stored = store.get(question, set_name)
        if stored is not None:
            known[i] = stored
    bar.update(len(known))
    n_unparsed = 0

    def keep(i: int, reply: Reply) -> None:
        nonlocal n_unparsed
        if i in known:  # computed again with its batch
            return
        judgement = to_judgement(judge.name, set_name, questions[i], reply, judge.fingerprint)
        if not reply.error or reply.is_final:
            store.put(judgement)
        known[i] = judgement
        n_unparsed += judgement.status != "value"
        bar.update(1)
        bar.set_postfix(unparsed=n_unparsed, refresh=False)

    if len(known) < len(questions):
        n_prompt, n_reply = store.n_tokens
        ask(judge, questions, keep, known=set(known), spent=(n_prompt, n_reply))
    return [known[i] for i in range(len(questions))]


def ask(
    judge: JudgeBackend,
    questions: Sequence[Question],
    on_reply: Callable[[int, Reply], None],
    *,
    known: Container[int] = (),
    spent: tuple[int, int] = (0, 0),
) -> None:
    """Ask a judge and hand over each reply, with the place of its question, as soon as it came.

    `known` are the places that are answered already. A prompt that cannot be cut to the judge's
    size is a failed reply, and the others are asked.
    """
    prompts = [q.prompt for q in questions]
    unfit = judge.unfit(prompts) if isinstance(judge, Choosy) else {}
    for i, reason in unfit.items():
        on_reply(i, Reply("", "error", error=reason))
    fit = [i for i in range(len(prompts)) if i not in unfit]
    if isinstance(judge, Streaming):
        missing = [i for i in fit if i not in known]
        judge.stream(
            [prompts[i] for i in missing],
            lambda place, reply: on_reply(missing[place], reply),
            spent=spent,
        )
        return
    for batch in batches_of(judge, [prompts[i] for i in fit]):
        places = [fit[place] for place in batch]
        missing = [i for i in places if i not in known]
        if missing:
            asked = places if getattr(judge, "batch_bound", False) else missing
            for i, reply in zip(asked, _answers(judge, questions, asked), strict=True):
                on_reply(i, reply)


def _answers(
    judge: JudgeBackend, questions: Sequence[Question], asked: Sequence[int]
) -> list[Reply]:
    mine = [questions[i] for i in asked]
    if isinstance(judge, KnowsSamples):
        return judge.judge_questions(mine)
    return judge.judge([q.prompt for q in mine])


def to_judgement(
    judge: str, set_name: str, question: Question, reply: Reply, fingerprint: str = ""
) -> Judgement:
    """Parse a reply and put everything known about it into one record."""
    if reply.error:
        verdict = Verdict("failed", reason=reply.error)
    else:
        verdict = parse_verdict(reply.text, question.prompt.kind, finish_reason=reply.finish_reason)
    meta = dict(reply.meta)
    if question.prompt.scale:
        meta["scale"] = question.prompt.scale
    if question.prompt.draw:
        meta["draw"] = question.prompt.draw
    if fingerprint:
        meta["fingerprint"] = fingerprint
    note = meta.pop("note", "")
    if verdict.reason:
        meta["reason"] = f"{verdict.reason} ({note})" if note else verdict.reason
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

    A small model judges one arm a core where memory allows; a large one is loaded with one adapter
    after the other, one at a time in memory.
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
    log = folder.parent / "server_logs" / f"{name}.log"
    with open_arm(base_model, name, adapter, limits, log=log) as judge:
        return judge_sets([judge], sets, folder, asking, progress=not embedded)
