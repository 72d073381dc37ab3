"""Where a verdict begins in a reply that holds the judgement only, as token ids: what every label's
reply starts with, and the token that tells the labels apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from selene_lib.errors import UserError
from selene_lib.prompts.chat import encode_completion, encode_prompt
from selene_lib.prompts.rendering import format_reply
from selene_lib.records import labels_of


@dataclass(frozen=True)
class LabelStarts:
    """`before` are the ids that all replies of a task begin with (`**Result:**`), `first_ids` the
    id by which each label goes on.
    """

    before: tuple[int, ...]
    first_ids: dict[str, int]


def label_starts(tokenizer: Any, task: str) -> LabelStarts:
    """Return where the labels of a task (`absolute 1-10` for another scale) part; asked once a
    tokenizer and task.

    Raises UserError where two labels go on with the same token, so that one look cannot tell them
    apart.
    """
    kept = getattr(tokenizer, "_selene_label_starts", None)
    if kept is None:
        kept = tokenizer._selene_label_starts = {}
    if task not in kept:
        kept[task] = _find_starts(tokenizer, task)
    return kept[task]


def _find_starts(tokenizer: Any, task: str) -> LabelStarts:
    head, _ = encode_prompt(tokenizer, "x")
    replies = {
        label: encode_completion(tokenizer, "x", head, format_reply(None, label))
        for label in labels_of(task)
    }
    rows = list(replies.values())
    n_common = 0
    while n_common < min(map(len, rows)) and len({row[n_common] for row in rows}) == 1:
        n_common += 1
    first = {label: row[n_common] for label, row in replies.items() if n_common < len(row)}
    if len(set(first.values())) < len(labels_of(task)):
        raise UserError(
            f"tokenizer {tokenizer.name_or_path!r} writes two labels of {task} with the same first "
            "token: read the verdict with read='greedy'"
        )
    return LabelStarts(tuple(rows[0][:n_common]), first)
