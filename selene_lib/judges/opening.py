"""Open the judge that a name means."""

from __future__ import annotations

from typing import Any

from selene_lib.errors import UserError
from selene_lib.judges.protocol import Judge


def open_judge(model: str, **options: Any) -> Judge:
    """Open the judge that a name means: `http://host/v1#model` a server, `vllm:PATH`,
    `unsloth:PATH`, `replay:FILE`, else local.

    `options` go to that judge's constructor; those that are None are left to its defaults.
    """
    import importlib

    given = {name: value for name, value in options.items() if value is not None}
    kind, _, rest = model.partition(":")
    if kind in ("http", "https"):
        address, _, served = model.partition("#")
        if not served:
            raise UserError(
                f"{model}: name the served model after a '#', as in http://localhost:8000/v1#my-model"
            )
        return importlib.import_module("selene_lib.judges.server").ServerJudge(
            address, served, **given
        )
    if kind == "vllm" and rest:
        return importlib.import_module("selene_lib.judges.vllm").VllmJudge(rest, **given)
    if kind == "unsloth" and rest:
        return importlib.import_module("selene_lib.judges.unsloth").UnslothJudge(rest, **given)
    if kind == "replay" and rest:
        return importlib.import_module("selene_lib.judges.replay").ReplayJudge.from_store(
            rest, **given
        )
    return importlib.import_module("selene_lib.judges.local").LocalJudge(model, **given)
