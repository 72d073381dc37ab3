"""Every setting of a judge, by name; an unknown name is told with the one that was meant."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from numbers import Integral
from pathlib import Path
from typing import Any

from selene_lib.errors import UserError, did_you_mean
from selene_lib.files.names import is_writable
from selene_lib.judges.opening import PRICES
from selene_lib.judges.opinions import Combine, Criterion
from selene_lib.models.limits import is_amount
from selene_lib.prompts.additions import Example
from selene_lib.records import Task


@dataclass(frozen=True, kw_only=True)
class JudgeOptions:
    """How a judge is opened and asked. None leaves a setting to the adapter, else to its default.

    What is asked. `task` is absolute, classification or pairwise; `rubric` a preset's name, a file,
    or the text; `scale` the whole scores from low to high (`1-10`); `criteria` several rubrics in
    place of one; `examples` judged responses to go by, or a table of them; `may_abstain` lets the
    judge answer `cannot tell`. `family` names the prompt templates, or is a folder of your own;
    `escape=False` leaves marks inside the texts as they are; `reply` is `critique` or `verdict`
    (the judgement alone); `calibration` a file that notebook 05 wrote for a Yes/No judge.

    How often. `n_samples` asks for so many replies to each question, at `temperature` 1 unless
    another is given; `combine` makes one verdict of several, by `majority` or `mean`.

    Any judge: `name`, `max_new_tokens`, `max_prompt_tokens`, `temperature`, `seed`. A local one:
    `adapter`, `read` (`greedy`, or `logprob`: the more probable label), `dtype`, `device`,
    `quantisation`, `batch_tokens`, `stop_at_verdict`. A server: `api_key_env` (the environment
    variable of the key), `max_concurrency`, `timeout_seconds`, `max_retries`, `budget_tokens`,
    `budget_usd`, prices in USD for a million tokens (of a panel one for all, or one a judge),
    `logprobs` (alternatives a token, 0 for none), `extra_body` (sent with every request), `guided`
    (a server that can hold a verdict to the labels is asked to) and `store`, the file of its
    replies. A replay: `judge`, which of several.
    """

    task: Task | None = None
    rubric: str | Path | None = None
    scale: str | None = None
    criteria: Sequence[Criterion] = ()
    examples: Sequence[Example] | str | Path = ()
    may_abstain: bool = False
    family: str | None = None
    escape: bool = True
    reply: str | None = None
    calibration: str | Path | None = None
    n_samples: int = 1
    combine: Combine = "majority"

    name: str | None = None
    adapter: str | Path | None = None
    max_new_tokens: int | None = None
    max_prompt_tokens: int | None = None
    temperature: float | None = None
    seed: int | None = None
    read: str | None = None
    dtype: str | None = None
    device: str | None = None
    quantisation: str | None = None
    batch_tokens: int | None = None
    stop_at_verdict: bool | None = None
    api_key_env: str | None = None
    store: str | Path | None = None
    logprobs: int | None = None
    max_concurrency: int | None = None
    timeout_seconds: float | None = None
    max_retries: int | None = None
    budget_tokens: int | None = None
    budget_usd: float | None = None
    usd_per_million_prompt_tokens: float | Sequence[float] | None = None
    usd_per_million_reply_tokens: float | Sequence[float] | None = None
    extra_body: Mapping[str, Any] | None = None
    guided: bool | None = None
    judge: str | None = None
    engine: Mapping[str, Any] | None = None
    n_logprobs: int | None = None

    @classmethod
    def of(cls, options: JudgeOptions | None, given: Mapping[str, Any]) -> JudgeOptions:
        """Return the options with those given by name laid over them.

        One that no judge has is a UserError.
        """
        known = [f.name for f in fields(cls)]
        for name in given:
            if name not in known:
                hint = did_you_mean(name, known)
                raise UserError(
                    f"a judge has no option {name!r}: {hint}there are {', '.join(known)}"
                )
        found = replace(options or cls(), **given)
        found._check_kinds()
        return found

    def _check_kinds(self) -> None:
        """Raise UserError for a value of another kind than its option takes."""
        for names, is_right, kind in _KINDS:
            for name in names:
                value = getattr(self, name)
                if value is not None and not is_right(value):
                    raise UserError(f"{name} is {value!r}; it must be {kind}")
        for criterion in self.criteria:
            if not isinstance(criterion, Criterion):
                kind = type(criterion).__name__
                raise UserError(f"a criterion is a {kind}; give Criterion(name, rubric, ...)")

    def of_backend(self) -> dict[str, Any]:
        """What the judge itself is opened with: the settings that were given."""
        mine = {name: getattr(self, name) for name in _OF_BACKEND}
        return {name: value for name, value in mine.items() if value is not None}


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_text(value: object) -> bool:
    """Whether a value is a text of characters only (`files.names.is_writable`)."""
    return isinstance(value, str) and is_writable(value)


def _is_prices(value: object) -> bool:
    each = value if isinstance(value, list | tuple) else (value,)
    return all(is_amount(one) for one in each)


# names, whether a value is of their kind, and that kind in words
_KINDS: tuple[tuple[tuple[str, ...], Callable[[Any], bool], str], ...] = (
    (
        ("n_samples", "max_new_tokens", "max_prompt_tokens", "max_concurrency", "batch_tokens"),
        lambda value: _is_whole(value) and value >= 1,
        "a whole number from 1 on",
    ),
    (
        ("logprobs", "max_retries", "budget_tokens", "n_logprobs"),
        lambda value: _is_whole(value) and value >= 0,
        "a whole number from 0 on",
    ),
    (("seed",), _is_whole, "a whole number"),
    (("temperature", "timeout_seconds", "budget_usd"), is_amount, "a finite number from 0 on"),
    (PRICES, _is_prices, "USD for a million tokens, 0 or more; of a panel a list"),
    (
        ("rubric",),
        lambda value: isinstance(value, Path) or is_text(value),
        "a text (of whole characters) or a path",
    ),
    (
        ("scale", "family", "reply", "read", "dtype", "device", "name", "api_key_env"),
        is_text,
        "a text of whole characters",
    ),
    (("extra_body",), lambda value: isinstance(value, Mapping), "a mapping"),
)

_OF_QUESTION = (
    "task",
    "rubric",
    "scale",
    "criteria",
    "examples",
    "may_abstain",
    "family",
    "escape",
    "reply",
    "calibration",
    "n_samples",
    "combine",
)
_OF_BACKEND = tuple(f.name for f in fields(JudgeOptions) if f.name not in _OF_QUESTION)
