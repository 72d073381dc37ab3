"""Open the judge that a name means, or the judge of an arm."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selene_lib.errors import UserError
from selene_lib.judges.protocol import JudgeBackend
from selene_lib.judges.served import choose_engine, open_served
from selene_lib.models.addresses import refuse_secrets
from selene_lib.models.fingerprints import model_folder
from selene_lib.models.names import EMBEDDED_MODEL, is_embedded
from selene_lib.models.packaged import PACKAGED

PRICES = ("usd_per_million_prompt_tokens", "usd_per_million_reply_tokens")


@dataclass(frozen=True)
class Limits:
    """Room of one judgement in tokens: what is written, and what of the prompt is read (None: what
    the model's context leaves). `read` says how the verdict is read (`greedy` or `logprob`),
    `dtype` in which precision it is computed (`models.loading.DTYPES`), `engine` by what: `local`
    (this process), `vllm` (a server started for it) or `auto`.
    """

    max_new_tokens: int
    max_prompt_tokens: int | None = None
    read: str = "greedy"
    dtype: str = "auto"
    engine: str = "auto"


@contextmanager
def open_arm(
    base_model: str, name: str, adapter: Path | None, limits: Limits, *, log: Path | None = None
) -> Iterator[JudgeBackend]:
    """Hold the base with an arm's adapter (None: the base alone) open under the arm's name.

    A server that was started for it (its output goes to `log`) ends with the context.
    """
    engine = choose_engine(
        limits.engine, read=limits.read, adapter=adapter, is_small=is_embedded(base_model)
    )
    if engine == "vllm":
        served = open_served(
            base_model,
            adapter,
            name=name,
            max_new_tokens=limits.max_new_tokens,
            max_prompt_tokens=limits.max_prompt_tokens,
            dtype=limits.dtype,
            log=log or Path(tempfile.gettempdir()) / f"selene-server-{name}.log",
        )
        with closing(served):
            yield served
        return
    from selene_lib.judges.local import LocalJudge

    yield LocalJudge(
        base_model,
        adapter=adapter,
        name=name,
        max_new_tokens=limits.max_new_tokens,
        max_prompt_tokens=limits.max_prompt_tokens,
        read=limits.read,
        dtype=limits.dtype,
    )


def open_judge(model: str, **options: Any) -> JudgeBackend:
    """Open the judge that a name means.

    `http://host/v1#model` is a server; `vllm:PATH`, `unsloth:PATH` and `replay:FILE` say how;
    anything else is a local model. `options` go to that judge's constructor; those that are None
    are left to its defaults.
    """
    refuse_secrets(model, "the judge's model")
    given = {name: value for name, value in options.items() if value is not None}
    opener, named = opener_of(model)
    known = _options_of(opener)
    for name in given:
        if name not in known:
            raise UserError(
                f"the judge {model!r} has no option {name} (it has: {', '.join(known)})"
            )
    return opener(*named, **given)


def open_panel(
    models: Sequence[str],
    options: Mapping[str, Any],
    open_one: Callable[..., JudgeBackend] = open_judge,
) -> list[JudgeBackend]:
    """Open several judges, each with those of the options that it has and a name of its own.

    A `replay:FILE` of several judges is all of them. `name` is that of a lone judge, and of a panel
    as a whole. An option that none has is a UserError.
    """
    models = [member for model in models for member in _members(model)]
    if len(models) == 1:
        return [open_one(models[0], **of_member(options, 0, 1))]
    options = {name: value for name, value in options.items() if name != "name"}
    for model in models:
        refuse_secrets(model, "the judge's model")
    known = {model: _options_of(opener_of(model)[0]) for model in models}
    for name in options:
        if not any(name in mine for mine in known.values()):
            raise UserError(f"none of the judges {', '.join(models)} has an option {name}")
    judges: list[JudgeBackend] = []
    for i, model in enumerate(models):
        given = of_member(options, i, len(models))
        mine = {name: value for name, value in given.items() if name in known[model]}
        judge = open_one(model, **mine)
        taken = [other.name for other in judges]
        if judge.name in taken:
            n_alike = sum(name.partition("@")[0] == judge.name for name in taken)
            judge.name = f"{judge.name}@{n_alike + 1}"
        judges.append(judge)
    return judges


def of_member(options: Mapping[str, Any], place: int, n_members: int) -> dict[str, Any]:
    """The options of one judge of a panel: prices may be given one a judge, in their order."""
    found = dict(options)
    for name in PRICES:
        value = options.get(name)
        if not isinstance(value, list | tuple):
            continue
        if len(value) not in (1, n_members):
            raise UserError(
                f"{len(value)} prices for {n_members} judges: give one for all, or one for each in "
                "the order of the models"
            )
        found[name] = value[place] if len(value) == n_members else value[0]
    return found


def _members(model: str) -> list[str]:
    """The judges that a name means: of a file of replies, each that wrote there."""
    kind, _, rest = model.partition(":")
    if kind != "replay" or "#" in rest or not Path(rest).is_file():
        return [model]
    from selene_lib.judges.replay import judges_of

    names = judges_of(Path(rest))
    return [f"{model}#{name}" for name in names] if len(names) > 1 else [model]


def opener_of(model: str) -> tuple[Callable[..., JudgeBackend], tuple[str, ...]]:
    """What opens a model, and the arguments that name it."""
    kind, _, rest = model.partition(":")
    if rest.startswith("//"):
        from selene_lib.judges.server import ServerJudge

        return ServerJudge, _served(model)
    if kind == "vllm" and rest:
        from selene_lib.judges.vllm import VllmJudge

        return VllmJudge, (rest,)
    if kind == "unsloth" and rest:
        from selene_lib.judges.unsloth import UnslothJudge

        return UnslothJudge, (rest,)
    if kind == "replay" and rest:
        from selene_lib.judges.replay import ReplayJudge

        return ReplayJudge.from_store, (rest,)
    from selene_lib.judges.local import LocalJudge

    refuse_unknown(model)
    return LocalJudge, (model,)


def _options_of(opener: Callable[..., Any]) -> list[str]:
    """The names of an opener's options."""
    kinds = inspect.signature(opener).parameters.values()
    return [one.name for one in kinds if one.kind is one.KEYWORD_ONLY]


def _served(model: str) -> tuple[str, str]:
    address, _, served = model.partition("#")
    if not served:
        raise UserError(
            f"{model}: name the served model after a '#', as in http://localhost:8000/v1#my-model"
        )
    return address, served


def refuse_unknown(model: str) -> None:
    """Raise UserError for a word that is no model here and no hub id: perhaps one of a server's."""
    if "/" in model or "\\" in model or Path(model).exists():
        return
    if model == EMBEDDED_MODEL or model in PACKAGED or model_folder(model) is not None:
        return
    raise UserError(
        f"{model!r} is no folder, no hub id (owner/name) and none of {EMBEDDED_MODEL}, "
        f"{', '.join(PACKAGED)}; a served model is named by its server's address, as in "
        f"https://api.openai.com/v1#{model} or http://localhost:8000/v1#{model}"
    )
