"""Which prompts of a batch begin alike: what all share, and what groups of them share beyond."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# below that, or below a tenth of all tokens, an extra pass costs more than it saves
MIN_SAVED_TOKENS = 256
MIN_SAVED_SHARE = 0.1
MIN_GROUP_TOKENS = 16


@dataclass(frozen=True)
class Group:
    """Rows whose first `end` tokens are equal."""

    rows: tuple[int, ...]
    end: int


@dataclass(frozen=True)
class PrefixPlan:
    """`common` tokens begin every row.

    Each row is in one group. Saved tokens are those that need not be read again.
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
    """Find the prefix of all rows, then groups that share more.

    A group are neighbours in sorted order that share at least `min_group` tokens beyond it. Every
    row keeps at least one token of its own. A level that would save fewer than `min_saved` tokens,
    or less than a tenth of all, is left out.
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
        joined = _join(groups[-1], i, rows, common, min_group) if groups else None
        if joined is not None:
            groups[-1] = joined
        else:
            groups.append(Group((i,), common))
    return groups


def _join(
    group: Group, i: int, rows: Sequence[Sequence[int]], common: int, min_group: int
) -> Group | None:
    """The group with row `i` in it; None where too little would be shared.

    A row must share at least `min_group` tokens, and with a group of several at least half of what
    these share among themselves, else all of them would lose by it.
    """
    shortest = min(len(rows[j]) for j in (*group.rows, i))
    shared = min(equal_tokens(rows[group.rows[0]], rows[i]), shortest - 1)
    if shared - common < min_group:
        return None
    if len(group.rows) == 1:
        return Group((*group.rows, i), shared)
    if 2 * (shared - common) < group.end - common:
        return None
    return Group((*group.rows, i), min(shared, group.end))


def equal_tokens(a: Sequence[int], b: Sequence[int]) -> int:
    """How many tokens the two begin with in common."""
    length = min(len(a), len(b))
    return next((i for i in range(length) if a[i] != b[i]), length)
