"""Judge outputs that others published, as judgements, so that their numbers can be counted again.

Two forms of JSON Lines are read. `judgebench`, as JudgeBench publishes them: `pair_id` and
`judgments`, one or two records with `decision` (`A>B`, `B>A`, `A=B` or null), the second of the
swapped pair and in the words of what was shown. `plain`: `id` (a sample's, or its number in the set
from 0), `verdict`, and where known `order` (AB or BA) and `reply`; the verdict is in the words of
the prompt that was shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from selene_lib.errors import UserError
from selene_lib.files import read_jsonl
from selene_lib.records import LABELS, TIE, Judgement, Order, Sample

DECISIONS: Mapping[str, str] = {"A>B": "A", "B>A": "B", "A=B": TIE}
ORDERS: tuple[Order, Order] = ("AB", "BA")


def import_judgements(
    path: str | Path, samples: Sequence[Sample], *, judge: str, set_name: str
) -> list[Judgement]:
    """Return the published outputs in `path` as judgements of the samples they are about.

    Raises UserError for a row of neither form and for one that belongs to no sample, with its line.
    Samples without an output stay without; `score_set` names them.
    """
    by_key = _keys(samples)
    found: list[Judgement] = []
    for number, row in enumerate(read_jsonl(Path(path)), 1):
        where = f"{path}, line {number}"
        key = str(row.get("pair_id", row.get("id", "")))
        sample = by_key.get(key)
        if sample is None:
            raise UserError(f"{where}: {key!r} is no item of {set_name}; name the set it is of")
        for order, verdict, reply in _outputs(row, sample, where):
            found.append(_judgement(judge, set_name, sample, order, verdict, reply))
    return found


def _keys(samples: Sequence[Sample]) -> dict[str, Sample]:
    """Samples by id, by number, and by the publisher's own id of the pair."""
    found = {str(number): sample for number, sample in enumerate(samples)}
    found |= {sample.id: sample for sample in samples}
    return found | {str(s.meta["pair_id"]): s for s in samples if "pair_id" in s.meta}


def _outputs(
    row: Mapping[str, Any], sample: Sample, where: str
) -> Iterable[tuple[Order, str | None, str]]:
    if "judgments" in row:
        for order, judgment in zip(ORDERS, row["judgments"]):
            decision = (judgment or {}).get("decision")
            yield order, DECISIONS.get(str(decision)), str((judgment or {}).get("judgment", ""))
        return
    if "verdict" not in row:
        raise UserError(f"{where}: neither 'judgments' nor 'verdict' in it")
    verdict, order = row["verdict"], row.get("order", "AB")
    if order not in ORDERS:
        raise UserError(f"{where}: order {order!r} is not AB or BA")
    allowed = (*LABELS[sample.task], TIE) if sample.task == "pairwise" else LABELS[sample.task]
    if verdict is not None and str(verdict) not in allowed:
        raise UserError(f"{where}: verdict {verdict!r} is not one of {', '.join(allowed)}")
    yield order, None if verdict is None else str(verdict), str(row.get("reply", ""))


def _judgement(
    judge: str, set_name: str, sample: Sample, order: Order, verdict: str | None, reply: str
) -> Judgement:
    return Judgement(
        judge,
        set_name,
        sample.id,
        sample.task,
        order,
        "published",
        "",
        reply,
        "stop",
        "malformed" if verdict is None else "value",
        verdict,
        meta={"imported": True},
    )
