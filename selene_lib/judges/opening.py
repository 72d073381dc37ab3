"""Open the judge that a name means, or the judge of an arm."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selene_lib.errors import UserError
from selene_lib.judges.protocol import JudgeBackend
from selene_lib.judges.served import choose_engine, open_served
from selene_lib.models.addresses import refuse_secrets
from selene_lib.models.names import is_embedded


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
    kind, _, rest = model.partition(":")
    if kind in ("http", "https"):
        return _open_server(model, given)
    if kind == "vllm" and rest:
        from selene_lib.judges.vllm import VllmJudge

        return VllmJudge(rest, **_taken(VllmJudge.__init__, model, given))
    if kind == "unsloth" and rest:
        from selene_lib.judges.unsloth import UnslothJudge

        return UnslothJudge(rest, **_taken(UnslothJudge.__init__, model, given))
    if kind == "replay" and rest:
        from selene_lib.judges.replay import ReplayJudge

        return ReplayJudge.from_store(rest, **_taken(ReplayJudge.from_store, model, given))
    from selene_lib.judges.local import LocalJudge

    return LocalJudge(model, **_taken(LocalJudge.__init__, model, given))


def _taken(opener: Callable[..., Any], model: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return the options given; one that the judge of this model has not is a UserError."""
    known = list(inspect.signature(opener).parameters)
    for name in given:
        if name not in known:
            mine = ", ".join(known[2:] if known[0] == "self" else known[1:])
            raise UserError(f"the judge {model!r} has no option {name} (it has: {mine})")
    return given


def _open_server(model: str, given: dict[str, Any]) -> JudgeBackend:
    from selene_lib.judges.server import ServerJudge

    address, _, served = model.partition("#")
    if not served:
        raise UserError(
            f"{model}: name the served model after a '#', as in http://localhost:8000/v1#my-model"
        )
    return ServerJudge(address, served, **_taken(ServerJudge.__init__, model, given))
