"""How a judge is asked: what the caller gave, else what its adapter says, else the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selene_lib.errors import UserError
from selene_lib.judges.calibration import Calibration, read_calibration
from selene_lib.judges.trained import TrainedJudge, calibration_of, read_trained
from selene_lib.models.names import EMBEDDED_MODEL
from selene_lib.models.packaged import PACKAGED

REPLIES = ("critique", "verdict")


@dataclass(frozen=True)
class Asked:
    """Model, templates, kind of reply, calibration and options of one judge."""

    trained: TrainedJudge | None
    model: str
    family: str
    critique: bool
    calibration: Calibration
    options: dict[str, Any]

    @classmethod
    def of(
        cls,
        model: str | None,
        family: str | None,
        reply: str | None,
        calibration: str | Path | None,
        options: Mapping[str, Any],
    ) -> Asked:
        adapter, options = options.get("adapter"), dict(options)
        trained = read_trained(adapter)
        if trained is not None:
            calibration = calibration or calibration_of(adapter)
            for name in ("read", "dtype", "max_prompt_tokens"):
                if options.get(name) is None:
                    options[name] = getattr(trained, name)
        opened = model or (trained.base if trained else EMBEDDED_MODEL)
        return cls(
            trained,
            opened,
            family or (trained.family if trained else family_of(opened)),
            wants_critique(reply or (trained.reply if trained else "critique")),
            Calibration() if calibration is None else read_calibration(calibration),
            options,
        )


def family_of(model: str) -> str:
    """The template family a model was made for: small ones know, or can learn, short wording."""
    if model == EMBEDDED_MODEL:
        return "nano"
    return "lean" if model in PACKAGED else "full"


def wants_critique(reply: str) -> bool:
    """Tell whether a reply is to hold reasons; a UserError for an unknown kind."""
    if reply not in REPLIES:
        raise UserError(f"reply {reply!r} is not one of {', '.join(REPLIES)}")
    return reply == "critique"
