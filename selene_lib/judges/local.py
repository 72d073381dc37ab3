"""A judge that runs here: a transformers checkpoint, with or without adapter, CPU or one GPU.

Prompts are sorted by length and cut into left-padded batches under a token budget; decoding is
greedy and a reply ends once its verdict line is written. The plan depends on the prompts alone, so
that a resumed run repeats the batches of an undisturbed one bit for bit.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selene_lib.errors import UserError
from selene_lib.judges.draws import Sampler, check_temperature
from selene_lib.judges.fitting import check_counts, encode_fitting, note_of_cut, why_unfit
from selene_lib.judges.probabilities import verdict_position
from selene_lib.judges.protocol import Reply
from selene_lib.models.adapters import attach_adapter
from selene_lib.models.fingerprints import weights_hash
from selene_lib.models.loading import (
    check_chat_template,
    choose_device,
    choose_dtype,
    keep_4bit_weights_unpacked,
    nf4_config,
    open_model,
    open_tokenizer,
    silence_missing_4bit_kernel,
)
from selene_lib.prompts.rendering import Prompt, format_reply
from selene_lib.prompts.thoughts import ReplyDecoder
from selene_lib.prompts.verdicts import MARKER, RESULT_MARK, is_thinking
from selene_lib.records import LABELS, labels_of

if TYPE_CHECKING:
    from selene_lib.judges.decoding import Generated

# the labels of every task, and the scores of other scales than 1-5
_LABELS = dict.fromkeys(
    [*(label for labels in LABELS.values() for label in labels), *map(str, range(11))]
)
_ANY_LABEL = "|".join(_LABELS)
_VERDICT_LINE = re.compile(
    rf"(?:^|\n)[ \t]*{MARKER.pattern}\s*(?:{_ANY_LABEL})[*.\s]*\n", re.IGNORECASE
)

READS = ("greedy", "logprob")


class LocalJudge:
    """Verdicts of a local model, greedy unless a `temperature` is given; see the module docstring.

    `model` is a folder, a hub id or `embedded`; `adapter` a PEFT folder, merged into 16- and 32-bit
    weights for speed. `batch_tokens` bounds padded prompt plus reply tokens of one batch. A prompt
    over `max_prompt_tokens` (default: what the model's context leaves) has the middle of its
    responses cut, with a mark, and the reply's `meta["n_cut_characters"]` says so. `quantisation`
    is `none` or `nf4`, `dtype` one of `models.loading.DTYPES`. `stop_at_verdict=False` lets a reply
    run to its end token.

    `read="greedy"` lets the model write its reply. `read="logprob"` writes nothing: the verdict is
    the label whose first token is most probable after `**Result:**`, and the reply is that line.
    """

    batch_bound = True

    def __init__(
        self,
        model: str | Path,
        *,
        adapter: str | Path | None = None,
        name: str | None = None,
        max_new_tokens: int = 128,
        batch_tokens: int | None = None,
        max_prompt_tokens: int | None = None,
        dtype: str | None = None,
        device: str | None = None,
        quantisation: str = "none",
        stop_at_verdict: bool = True,
        read: str = "greedy",
        temperature: float = 0.0,
        seed: int = 0,
    ) -> None:
        from selene_lib.models.names import resolve_model, short_name

        if read not in READS:
            raise UserError(f"read {read!r} is not one of {', '.join(READS)}")
        check_temperature(temperature)
        self.read, self.temperature, self.seed = read, temperature, seed
        check_counts(
            max_new_tokens=max_new_tokens,
            max_prompt_tokens=max_prompt_tokens,
            batch_tokens=batch_tokens,
        )
        self.path = resolve_model(str(model))
        self.adapter = Path(adapter) if adapter is not None else None
        self.name = name or adapter_name(self.adapter) or short_name(str(model))
        self.max_new_tokens = max_new_tokens
        self.stop_at_verdict = stop_at_verdict
        self.quantisation = quantisation
        self.model, self.tokenizer = self._open(dtype, device)
        self.max_prompt_tokens = self._prompt_limit(max_prompt_tokens)
        self.batch_tokens = batch_tokens or self._usual_batch_tokens()
        self._watched = _label_ids(self.tokenizer)
        self._newlines = _newline_ids(self.tokenizer)
        self._decoder = ReplyDecoder(self.tokenizer)
        self._ids: dict[str, tuple[list[int], int]] = {}

    def _open(self, dtype: str | None, device: str | None) -> tuple[Any, Any]:
        return _load(self.path, self.adapter, dtype, device, self.quantisation)

    @functools.cached_property
    def fingerprint(self) -> str:
        """16 hex digits of weights, adapter and settings.

        With another value the same prompt may be answered otherwise.
        """
        parts = [
            weights_hash(self.path),
            weights_hash(str(self.adapter)) if self.adapter else "",
            self.quantisation,
            str(self.model.dtype),
        ]
        settings = [
            self.max_new_tokens,
            self.batch_tokens,
            self.max_prompt_tokens,
            self.stop_at_verdict,
            *([self.read] if self.read != "greedy" else []),
            *([self.temperature, self.seed] if self.temperature else []),
        ]
        return hashlib.sha256("\x1f".join([*parts, *map(str, settings)]).encode()).hexdigest()[:16]

    def judge(self, prompts: Sequence[Prompt]) -> list[Reply]:
        """Answer prompts, in their order.

        Raises ValueError for a prompt that does not fit even with its responses cut.
        """
        replies: dict[int, Reply] = {}
        for batch in self.batches(prompts):
            answers = self._judge_batch([prompts[i] for i in batch])
            replies |= zip(batch, answers, strict=True)
            # what is answered need not stay encoded: half a million prompts would fill the memory
            for index in batch:
                self._ids.pop(prompts[index].sha256, None)
        return [replies[index] for index in range(len(prompts))]

    def _usual_batch_tokens(self) -> int:
        if self.model.device.type != "cpu":
            return 131_072
        # nothing is written that a large batch would share; small ones stay in the CPU's caches
        return 2_048 if self.read == "logprob" else 16_384

    def batches(self, prompts: Sequence[Prompt]) -> list[list[int]]:
        """Cut the prompts into batches of at most `batch_tokens`, longest prompts first."""
        lengths = [len(self._encode(prompt)[0]) for prompt in prompts]
        n_written = 0 if self.read == "logprob" else self.max_new_tokens
        order = sorted(range(len(prompts)), key=lambda i: (-lengths[i], prompts[i].sha256, i))
        plan: list[list[int]] = []
        for index in order:
            width = (lengths[plan[-1][0]] if plan else 0) + n_written
            if not plan or (len(plan[-1]) + 1) * width > self.batch_tokens:
                plan.append([])
            plan[-1].append(index)
        return plan

    def unfit(self, prompts: Sequence[Prompt]) -> dict[int, str]:
        """Which prompts cannot be cut to `max_prompt_tokens`, by place, and why."""
        return why_unfit(prompts, self._encode)

    def _encode(self, prompt: Prompt) -> tuple[list[int], int]:
        key = prompt.sha256
        if key not in self._ids:
            self._ids[key] = encode_fitting(self.tokenizer, prompt, self.max_prompt_tokens)
        return self._ids[key]

    def _judge_batch(self, prompts: Sequence[Prompt]) -> list[Reply]:
        """Answer one batch; when the device runs out of memory, its halves."""
        import torch

        try:
            if self.read == "logprob":
                return self._read_labels(prompts)
            generated = self._generate(prompts, [self._encode(prompt)[0] for prompt in prompts])
        except torch.OutOfMemoryError:
            if len(prompts) == 1:
                raise
            torch.cuda.empty_cache()
            middle = len(prompts) // 2
            return self._judge_batch(prompts[:middle]) + self._judge_batch(prompts[middle:])
        return [self._reply(prompt, result) for prompt, result in zip(prompts, generated)]

    def _generate(self, prompts: Sequence[Prompt], rows: list[list[int]]) -> list[Generated]:
        from selene_lib.judges.decoding import greedy

        ends, pad = self._end_and_pad()
        return greedy(
            self.model,
            rows,
            max_new_tokens=self.max_new_tokens,
            end_ids=sorted(ends),
            pad_id=pad,
            watch_ids=watch_ids(self._watched),
            may_stop_ids=self._newlines if self.stop_at_verdict else frozenset(),
            is_done=self._verdict_written,
            draw=Sampler(prompts, self.temperature, self.seed) if self.temperature else None,
        )

    def _end_and_pad(self) -> tuple[set[int], int]:
        end = self.model.generation_config.eos_token_id
        ends = {self.tokenizer.eos_token_id, *(end if isinstance(end, list) else [end])} - {None}
        pad = self.tokenizer.pad_token_id
        return ends, pad if pad is not None else min(ends, default=0)

    def _verdict_written(self, ids: list[int]) -> bool:
        if not _VERDICT_LINE.search(self._decoder.text(ids[-48:])):
            return False
        return not is_thinking(self._decode(ids))  # a draft is no verdict

    def _decode(self, ids: Sequence[int]) -> str:
        return self._decoder.reply(ids)

    def _read_labels(self, prompts: Sequence[Prompt]) -> list[Reply]:
        """Read the labels' probabilities after the result marker, without writing a reply."""
        import torch

        from selene_lib.judges.decoding import read_prompts
        from selene_lib.judges.labels import label_starts

        starts = {p.kind: label_starts(self.tokenizer, p.kind) for p in prompts}
        rows = [[*self._encode(p)[0], *starts[p.kind].before] for p in prompts]
        _, _, logits = read_prompts(
            self.model, rows, max_new_tokens=0, pad_id=self._end_and_pad()[1]
        )
        replies = []
        for prompt, row in zip(prompts, logits):
            labels = starts[prompt.kind].first_ids
            scores = row[list(labels.values())].double()
            probabilities = dict(zip(labels, torch.softmax(scores, 0).tolist()))
            best = max(probabilities, key=lambda label: probabilities[label])
            ids, n_cut = self._encode(prompt)
            meta = {"read": "logprob", **note_of_cut(n_cut)}
            replies.append(
                Reply(format_reply(None, best), "stop", len(ids), 0, probabilities, meta)
            )
        return replies

    def _reply(self, prompt: Prompt, result: Generated) -> Reply:
        ids, n_cut = self._encode(prompt)
        text = self._decode(result.ids).strip()
        probs = self._verdict_probs(prompt.kind, result)
        return Reply(
            text,
            result.finish_reason,
            len(ids),
            len(result.ids),
            probs,
            note_of_cut(n_cut),
        )

    def _verdict_probs(self, kind: str, result: Generated) -> dict[str, float] | None:
        """Softmax over the task's labels at the step that wrote the verdict.

        None where no verdict was written or labels share tokens.
        """
        import torch

        step = self._verdict_step(result.ids)
        if step is None or result.watched is None:
            return None
        labels = labels_of(kind)
        if _share_a_token([self._watched[label] for label in labels]):
            return None
        place = {token: i for i, token in enumerate(watch_ids(self._watched))}
        scores = []
        for label in labels:
            columns = [place[token] for token in self._watched[label]]
            scores.append(torch.logsumexp(result.watched[step, columns].double(), 0))
        probabilities = torch.softmax(torch.stack(scores), 0).tolist()
        return {label: round(p, 6) for label, p in zip(labels, probabilities)}

    def _verdict_step(self, ids: list[int]) -> int | None:
        """The first step whose text reaches the character that begins the verdict."""
        target = verdict_position(self._decode(ids))
        if target is None:
            return None
        low, high = 1, len(ids)
        while low < high:
            middle = (low + high) // 2
            if len(self._decode(ids[:middle])) > target:
                high = middle
            else:
                low = middle + 1
        return low - 1

    def _prompt_limit(self, asked: int | None) -> int:
        context = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        room = context - self.max_new_tokens if context else asked or 1 << 30
        if room < 1 or (asked or 0) > room:
            raise UserError(
                f"{self.name}: {asked or 'no'} prompt tokens and {self.max_new_tokens} new "
                f"do not fit the model's {context}; lower them"
            )
        return asked or room


def _load(
    path: str, adapter: Path | None, dtype: str | None, device: str | None, quantisation: str
) -> tuple[Any, Any]:
    silence_missing_4bit_kernel()
    if quantisation not in ("none", "nf4"):
        raise UserError(f"quantisation {quantisation!r} is not one of none, nf4")
    device = choose_device(device)
    kind = choose_dtype(device, dtype)
    tokenizer = open_tokenizer(path)
    check_chat_template(tokenizer, path)
    model = open_model(
        path,
        dtype=kind,
        device=device,
        quantisation_config=nf4_config(kind) if quantisation == "nf4" else None,
    )
    if quantisation != "none" and device == "cpu":
        keep_4bit_weights_unpacked(model)
    if adapter is not None:
        model = attach_adapter(model, adapter, path)
        model = model.merge_and_unload() if quantisation == "none" else model
    return model.eval(), tokenizer


def _newline_ids(tokenizer: Any) -> frozenset[int]:
    """Tokens that hold a line break, as itself, in byte-level spelling or as a byte."""
    ids = tokenizer.get_vocab().items()
    return frozenset(i for token, i in ids if "\n" in token or "Ċ" in token or token == "<0x0A>")


def _label_ids(tokenizer: Any) -> dict[str, list[int]]:
    """Token ids that begin each label, written with and without a space before it."""
    return {label: sorted(_first_ids(tokenizer, label)) for label in _LABELS}


def watch_ids(watched: dict[str, list[int]]) -> list[int]:
    """The tokens whose logits are kept, each once."""
    return list(dict.fromkeys(token for ids in watched.values() for token in ids))


def _share_a_token(ids: list[list[int]]) -> bool:
    """Whether two labels begin alike, or one has no beginning: nothing then tells them apart."""
    distinct = {token for found in ids for token in found}
    return not all(ids) or len(distinct) < sum(map(len, ids))


def _first_ids(tokenizer: Any, label: str) -> set[int]:
    """The token a label begins with: written alone, after a space, after the result marker."""
    found = set()
    for text in (label, f" {label}", f"{RESULT_MARK} {label}"):
        ids = tokenizer.encode(text, add_special_tokens=False)
        pieces = [tokenizer.decode([i]).strip() for i in ids]
        starts = [i for i in range(len(ids)) if pieces[i] and "".join(pieces[i:]) == label]
        found |= {ids[i] for i in starts[:1]}
    return found - {tokenizer.unk_token_id}


def adapter_name(adapter: Path | None) -> str:
    """Return what an adapter goes by: its folder's name, or its arm's where that is `adapter`."""
    if adapter is None:
        return ""
    where = adapter.resolve()
    return where.parent.name if where.name == "adapter" else where.name
