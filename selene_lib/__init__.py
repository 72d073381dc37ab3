"""An open, complete reproduction of Atla Selene Mini (arXiv 2501.17195).

Selene Mini is a small language model that judges other models' answers. The names below are the
public face; the rooms beneath are the sections of the method. Importing this package loads nothing:
each name brings its module with it when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selene_lib.evaluation.scoring import score_set
    from selene_lib.judge import (
        Criterion,
        Example,
        FileResult,
        ItemResult,
        Judge,
        JudgeOptions,
        judge_file,
        plan_file,
    )
    from selene_lib.labels.training import train_judge
    from selene_lib.records import Judgement, PreferencePair, Sample, Score
    from selene_lib.training.run import train
    from selene_lib.training.spec import TrainSpec

_HOME_OF = {
    "Criterion": "selene_lib.judge",
    "Example": "selene_lib.judge",
    "FileResult": "selene_lib.judge",
    "ItemResult": "selene_lib.judge",
    "Judge": "selene_lib.judge",
    "JudgeOptions": "selene_lib.judge",
    "Judgement": "selene_lib.records",
    "PreferencePair": "selene_lib.records",
    "Sample": "selene_lib.records",
    "Score": "selene_lib.records",
    "TrainSpec": "selene_lib.training.spec",
    "judge_file": "selene_lib.judge",
    "plan_file": "selene_lib.judge",
    "score_set": "selene_lib.evaluation.scoring",
    "train": "selene_lib.training.run",
    "train_judge": "selene_lib.labels.training",
}

__all__ = [
    "Criterion",
    "Example",
    "FileResult",
    "ItemResult",
    "Judge",
    "JudgeOptions",
    "Judgement",
    "PreferencePair",
    "Sample",
    "Score",
    "TrainSpec",
    "judge_file",
    "plan_file",
    "score_set",
    "train",
    "train_judge",
]


def __getattr__(name: str) -> Any:
    import importlib

    if name == "__version__":
        return _version()
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value  # the next use does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("selene_lib")
    except metadata.PackageNotFoundError:  # a source tree that was never installed
        return "0+unknown"
