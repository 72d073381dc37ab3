"""The ledger adds up from the first sample to the last pair, on the embedded world and on published
files.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from selene_lib.curation.critiques import generate_critiques
from selene_lib.curation.filters import apply, filter_contradictions, filter_length, filter_refusals
from selene_lib.curation.generators.teacher import TeacherGenerator
from selene_lib.curation.pairs import apply_decisions, build_pairs, filter_samples, split
from selene_lib.ledger import Ledger
from selene_lib.records import Sample

pytestmark = pytest.mark.slow


PUBLISHED = ("auto_j_training", "hh_rlhf", "halueval", "alpaca_eval_cot")


def words(text: str) -> int:
    return len(text.split())


def curate(samples: list[Sample], generator, family: str) -> tuple[Ledger, list, list]:
    """Every stage of notebooks 02 and 04 on one ledger."""
    ledger = Ledger()
    for source in dict.fromkeys(s.source for s in samples):
        ledger.add("read", source, sum(s.source == source for s in samples), {})
    left = filter_samples(samples, ledger, count_tokens=words, max_tokens=600, max_per_source=100)
    critiques = []
    if generator is not None:
        result = generate_critiques(left, generator, store=None, family=family)
        ledger.extend(result.ledger)
        critiques = result.critiques
        written = {c.sample_id for c in critiques}
        left = [s for s in left if s.id in written]
    pairs = build_pairs(left, critiques, family=family)
    for stage, found in (
        ("pair refusals", filter_refusals),
        ("contradictions", filter_contradictions),
    ):
        pairs = apply(stage, pairs, found(pairs), ledger)
    pairs = apply("pair length", pairs, filter_length(pairs, words, max_tokens=900), ledger)
    pairs, validation = split(pairs, 0.1, ledger=ledger)
    last = sorted({p.source for p in pairs})[-1]
    pairs = apply_decisions(pairs, {"sources": {last: {"keep": False}}}, ledger=ledger)
    return ledger, pairs, validation


def check(ledger: Ledger, samples: list[Sample], pairs: list) -> None:
    """Rows in = rows out + rows dropped by reason, for each source, and the chain has no gap."""
    ledger.check_chain()
    n_out = Counter(p.source for p in pairs)
    for source, n_in in Counter(s.source for s in samples).items():
        dropped = sum(row["n_dropped"] for row in ledger.rows() if row["source"] == source)
        assert n_in == n_out[source] + dropped, source
    assert all(row["reason"] for row in ledger.rows() if row["n_dropped"])


def test_the_embedded_run_adds_up(tmp_path):
    nano = pytest.importorskip("selene_lib.nano")
    samples = [s for name in nano.NANO_SOURCES for s in nano.make_source(name, 60, seed=1)]
    ledger, pairs, validation = curate(samples, TeacherGenerator(error_rate=0.4), "nano")
    check(ledger, samples, pairs)
    assert not {p.group for p in pairs} & {p.group for p in validation}
    assert any(p.with_critique for p in pairs) and sum(
        e.kind == "generation" for e in ledger.entries
    ) == len(nano.NANO_SOURCES)
    assert Ledger.read_csv(ledger.write_csv(tmp_path / "ledger.csv")).rows() == ledger.rows()


def test_published_files_add_up(data_dir: Path):
    from selene_lib.data import load
    from selene_lib.data.sources import SOURCES

    samples = []
    for name in PUBLISHED:
        samples += load(SOURCES[name], data_dir=data_dir, limit=120, seed=0).samples
    ledger, pairs, _ = curate(samples, None, "full")
    check(ledger, samples, pairs)
    assert len({p.source for p in pairs}) == 3 and not any(p.with_critique for p in pairs)
    assert apply_decisions(pairs, {"sources": {}}) == pairs
