"""The embedded judge world.

Generated items with exact gold labels, a rule-based teacher, a tiny tokenizer and a tiny base
model.
"""

from pathlib import Path

from selene_lib.nano.sets import (
    NANO_DOMAINS,
    NANO_SETS,
    NANO_SOURCES,
    make_domain,
    make_set,
    make_source,
)
from selene_lib.nano.teacher import teacher_critique

__all__ = [
    "NANO_DOMAINS",
    "NANO_SETS",
    "NANO_SOURCES",
    "base_path",
    "make_domain",
    "make_set",
    "make_source",
    "teacher_critique",
]


def base_path() -> Path:
    """The folder of the shipped base model: config, weights, tokenizer, training log and hashes."""
    return Path(__file__).parent / "assets"
