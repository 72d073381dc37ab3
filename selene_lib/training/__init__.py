"""Training a judge: preference pairs in, an adapter out. Names are loaded when they are used, so
importing this costs nothing.

`train(spec, pairs, out_dir)` runs a `TrainSpec`; `pair_loss` the objective; `plan` predicts memory
and time before anything is loaded; `export` turns an adapter into what servers read.
"""

from importlib import import_module
from typing import Any

_HOME = {
    "TrainSpec": "spec",
    "train": "run",
    "TrainResult": "run",
    "encode_pair": "encoding",
    "encode_pairs": "encoding",
    "EncodedPair": "encoding",
    "pair_loss": "loss",
    "plan": "planner",
    "Plan": "planner",
    "merge_adapter": "export",
    "write_modelfile": "export",
    "compare_verdicts": "export",
    "write_model_card": "card",
    "export_judge": "export",
    "golden_verdicts": "export",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
