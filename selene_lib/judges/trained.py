"""What an adapter trained on one's own labels says of itself, so that judging needs nothing else:
base, task, rubric, prompt templates, how the verdict is read, calibration, measured agreement.

It stands in the adapter's `selene.json` under `judge`, the calibration beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from selene_lib.errors import UserError
from selene_lib.files import write_proven
from selene_lib.models.adapters import RECORD, read_record

CALIBRATION = "calibration.json"


@dataclass(frozen=True)
class TrainedJudge:
    """How a trained judge is asked. `base` is the name it was opened by (`smollm2`, a folder, a hub
    id); `columns` and `labels` map our names and labels to those of the table it was trained on.
    `agreement` holds what was measured on held-out items.
    """

    base: str
    task: str
    rubric: str = ""
    family: str = "lean"
    reply: str = "verdict"
    read: str = "logprob"
    dtype: str = "native"
    max_prompt_tokens: int | None = None
    columns: Mapping[str, str] = field(default_factory=dict, hash=False)
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    agreement: Mapping[str, Any] = field(default_factory=dict, hash=False)


def write_trained(adapter: Path, settings: TrainedJudge) -> Path:
    """Add the settings to the adapter's record."""
    return write_proven(adapter / RECORD, read_record(adapter) | {"judge": asdict(settings)})


def read_trained(adapter: str | Path | None) -> TrainedJudge | None:
    """Return the settings of an adapter; None for one that has none, such as those of notebook 04.

    A record that cannot be read is a UserError.
    """
    found = read_record(Path(adapter)).get("judge") if adapter else None
    if found is None:
        return None
    known = {f.name for f in fields(TrainedJudge)}
    if not isinstance(found, dict) or not {"base", "task"} <= set(found) <= known:
        raise UserError(
            f"{adapter}/{RECORD}: the settings of the judge are not those this version writes; "
            "train again, or give model, task and rubric yourself"
        )
    return TrainedJudge(**found)


def calibration_of(adapter: str | Path | None) -> Path | None:
    """Return the calibration file of a trained judge, None where it has none."""
    path = Path(adapter) / CALIBRATION if adapter else None
    return path if path is not None and path.is_file() else None
