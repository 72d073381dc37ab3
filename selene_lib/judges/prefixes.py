"""Which prompts of a batch begin alike: what all share, and what groups of them share beyond that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MIN_SAVED_TOKENS = (
    256  # below that, or below a tenth of all tokens, an extra pass costs more than it saves
)
MIN_SAVED_SHARE = 0.1
MIN_GROUP_TOKENS = 16


@dataclass(frozen=True)
class Group:
    """Rows whose first `end` tokens are equal."""

    rows: tuple[int, ...]
    end: int


@dataclass(frozen=True)
class PrefixPlan:
    """`common` tokens begin every row; each row is in one group. Saved tokens are those that need
    not be read again.
    """

    common: int
    groups: tuple[Group, ...]
    saved_by_common: int
    saved_by_groups: int


def whole(rows: Sequence[Sequence[int]]) -> PrefixPlan:
    """The plan that shares nothing."""
    return PrefixPlan(0, tuple(Group((i,), 0) for i in range(len(rows))), 0, 0)


def shared_prefixes(
    rows: Sequence[Sequence[int]],
    *,
    min_saved: int = MIN_SAVED_TOKENS,
    min_group: int = MIN_GROUP_TOKENS,
) -> PrefixPlan:
    """Find the prefix of all rows, then groups of neighbours in sorted order that share at least
    `min_group` tokens more.

    Every row keeps at least one token of its own. A level that would save fewer than `min_saved`
    tokens, or less than a tenth of all, is left out.
    """
    min_saved = max(min_saved, int(MIN_SAVED_SHARE * sum(map(len, rows))))
    order = sorted(range(len(rows)), key=lambda i: tuple(rows[i]))
    shortest = min(map(len, rows))
    common = min(equal_tokens(rows[order[0]], rows[order[-1]]), shortest - 1)
    saved_by_common = common * (len(rows) - 1)
    if saved_by_common < min_saved:
        common = saved_by_common = 0
    groups = _groups(rows, order, common, min_group)
    saved_by_groups = sum((len(g.rows) - 1) * (g.end - common) for g in groups)
    if saved_by_groups < min_saved:
        groups, saved_by_groups = [Group((i,), common) for i in range(len(rows))], 0
    return PrefixPlan(common, tuple(groups), saved_by_common, saved_by_groups)


def _groups(
    rows: Sequence[Sequence[int]], order: list[int], common: int, min_group: int
) -> list[Group]:
    groups: list[Group] = []
    for i in order:
        last = groups[-1] if groups else None
        shared = (
            min(
                equal_tokens(rows[last.rows[0]], rows[i]),
                len(rows[i]) - 1,
                *(len(rows[j]) - 1 for j in last.rows),
            )
            if last
            else 0
        )
        alone = last is not None and len(last.rows) == 1
        if (
            last is not None
            and shared - common >= min_group
            and (alone or 2 * (shared - common) >= last.end - common)
        ):
            groups[-1] = Group((*last.rows, i), shared if alone else min(shared, last.end))
        else:
            groups.append(Group((i,), common))
    return groups


def equal_tokens(a: Sequence[int], b: Sequence[int]) -> int:
    """How many tokens the two begin with in common."""
    length = min(len(a), len(b))
    return next((i for i in range(length) if a[i] != b[i]), length)
