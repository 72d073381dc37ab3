"""The ledger adds up, says so when it does not, and comes back from its file unchanged."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selene_lib.ledger import COLUMNS, Entry, Ledger

names = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=12
).filter(lambda s: s.strip() == s)


def test_add_counts_what_is_left():
    ledger = Ledger()
    ledger.add("length", "a", 10, {"too long": 3, "empty": 0})
    assert ledger.entries == [Entry("length", "filter", "a", 10, 7, {"too long": 3})]


@pytest.mark.parametrize(
    ("n_in", "dropped", "n_out"),
    [(10, {"x": 3}, 8), (10, {"x": 3}, 6), (2, {"x": 3}, None), (5, {"x": -1}, None), (3, {}, 4)],
)
def test_a_stage_that_does_not_add_up_is_refused(n_in, dropped, n_out):
    with pytest.raises(ValueError, match="ledger stage 'length'"):
        Ledger().add("length", "a", n_in, dropped, n_out=n_out)


def test_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="kind 'guess'"):
        Ledger().add("length", "a", 1, {}, "guess")


class Row:
    def __init__(self, id_: str, source: str) -> None:
        self.id, self.source = id_, source


def test_records_that_vanish_without_a_reason_are_found():
    before = [Row("1", "a"), Row("2", "a"), Row("3", "b")]
    ledger = Ledger()
    ledger.add_records("length", before, before[1:], {"1": "too long"})
    assert [(e.source, e.n_in, e.n_out, dict(e.dropped)) for e in ledger.entries] == [
        ("a", 2, 1, {"too long": 1}),
        ("b", 1, 1, {}),
    ]
    with pytest.raises(ValueError, match="does not add up"):
        ledger.add_records("length", before, before[2:], {"1": "too long"})
    with pytest.raises(ValueError, match="does not add up"):
        ledger.add_records("length", before, before, {"1": "too long"})


def test_chain_needs_each_stage_to_begin_where_the_last_one_ended():
    ledger = Ledger()
    ledger.add("read", "a", 10, {"broken": 2})
    ledger.add("read", "b", 4, {})
    ledger.add("length", "a", 8, {"long": 1})
    ledger.check_chain()
    ledger.add("mix", "a", 8, {})
    with pytest.raises(ValueError, match="'length' left 7 items, 'mix' began with 8"):
        ledger.check_chain()


def test_totals_add_all_sources_of_a_stage():
    ledger = Ledger()
    ledger.add("length", "a", 10, {"long": 1, "short": 2})
    ledger.add("length", "b", 5, {"long": 5})
    ledger.add("critiques", "a", 7, {}, "generation")
    assert ledger.totals().to_dict("records") == [
        {"stage": "length", "kind": "filter", "n_in": 15, "n_out": 7, "n_dropped": 8},
        {"stage": "critiques", "kind": "generation", "n_in": 7, "n_out": 7, "n_dropped": 0},
    ]


counts = st.dictionaries(names, st.integers(0, 9), max_size=3)
items = st.tuples(
    names, st.sampled_from(["filter", "generation", "decision"]), names, st.integers(0, 50), counts
)


@settings(max_examples=100, deadline=None)
@given(st.lists(items, max_size=6))
def test_rows_give_back_the_ledger(entries):
    ledger = Ledger()
    for stage, kind, source, n_left, dropped in entries:
        ledger.add(stage, source, n_left + sum(dropped.values()), dropped, kind)
    assert Ledger.from_rows(ledger.rows()).rows() == ledger.rows()


def test_a_file_gives_back_the_ledger(tmp_path):
    ledger = Ledger()
    ledger.add("length", "NA", 10, {"long": 1, 'with, comma and "quote"': 2})
    ledger.add("length", "NA", 7, {"long": 1})
    ledger.add("length", "b", 0, {})
    path = ledger.write_csv(tmp_path / "ledger.csv")
    assert Ledger.read_csv(path).rows() == ledger.rows()
    assert list(ledger.to_frame().columns) == list(COLUMNS)


def test_an_edited_file_that_does_not_add_up_is_refused(tmp_path):
    ledger = Ledger()
    ledger.add("length", "a", 10, {"long": 1})
    path = ledger.write_csv(tmp_path / "ledger.csv")
    path.write_text(path.read_text().replace(",9,", ",8,"))
    with pytest.raises(ValueError, match="does not add up"):
        Ledger.read_csv(path)
