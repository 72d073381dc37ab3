"""Strictness, quarantine, lock file, hub, streaming and cards: what all adapters rely on."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import replace
from typing import get_args

import pytest
from adapter_checks import SHAPES, free_of_counts, write_rows
from toy_set import SPEC, toy_rows, write_toy

from selene_lib.data import (
    NOT_LOCKED,
    BrokenRow,
    Row,
    all_specs,
    dataset_card,
    find_spec,
    iter_parquet,
    list_rows,
    load,
    load_to_parquet,
    mix_card,
    way_in,
)
from selene_lib.data.spec import ShapeKnownFrom
from selene_lib.errors import UserError
from selene_lib.files import read_jsonl, read_parquet, sha256_file
from selene_lib.records import Sample, unit_hash


def test_accessors_name_the_column_the_place_and_what_was_expected():
    row = Row(
        {
            "text": " ",
            "n": "3",
            "nan": float("nan"),
            "flag": True,
            "list": ["a", 1],
            "deep": {"er": {"x": "y"}},
        },
        SPEC,
        "f.json, row 7",
    )
    cases = [
        (lambda: row.text("text"), "text", "text"),
        (lambda: row.text("missing"), "missing", "text"),
        (lambda: row.get("nan"), "nan", "a value"),
        (lambda: row.number("flag"), "flag", "a number"),
        (lambda: row.number("n", 4, 5), "n", "a number in 4..5"),
        (lambda: row.choice("flag", {1: "A", 0: "B"}), "flag", "one of 1, 0"),
        (lambda: row.choice("list", {"a": "A"}), "list", "one of 'a'"),
        (lambda: row.items("list"), "list", "a list of str"),
        (lambda: row.items("list", (str, int), n=3), "list", "a list of 3 values"),
        (lambda: row.record("text"), "text", "a record"),
        (lambda: row.text_or_none("flag"), "flag", "text or null"),
        (lambda: row.choice_of("deep", "es"), "deep", "one of 'er'"),
    ]
    for call, column, expected in cases:
        with pytest.raises(BrokenRow) as caught:
            call()
        assert (caught.value.column, caught.value.expected) == (
            column,
            expected,
        ) and "f.json, row 7" in str(caught.value)
    assert row.number("n") == 3 and row.text("deep.er.x") == "y" and row.text_or_none("nan") is None
    assert row.choice("flag", {True: "A"}) == "A" and not row.has("deep.er.z")


def test_ids_and_groups_follow_the_text():
    row = Row({}, SPEC, "x")
    one = row.sample("pairwise", "q", "a", response_b="b", label="A")
    assert (
        one.id == row.sample("pairwise", "q", "a", response_b="b", label="B").id
    )  # the label is no part of the item
    assert one.id != row.sample("pairwise", "q", "b", response_b="a", label="B").id
    assert (
        one.group
        == row.sample("absolute", "q", "other", label="1").group
        != row.sample("absolute", "p", "a", label="1").group
    )


def test_at_most_one_percent_goes_to_the_quarantine(tmp_path):
    rows = toy_rows(199)
    write_toy(
        tmp_path,
        [*rows[:50], {**rows[50], "score": 9}, *rows[51:], {**rows[0], "score": -1}, "{not json"],
    )
    quarantine = tmp_path / "quarantine.jsonl"
    result = load(SPEC, data_dir=tmp_path, quarantine=quarantine)
    assert (result.n_read, result.n_samples) == (201, 198)
    assert result.n_dropped == {
        "broken: score is not a number in -1..5": 1,
        "not scored": 1,
        "broken: (whole row) is not JSON "
        "(Expecting property name enclosed in double quotes at character 1)": 1,
    }
    first, second = read_jsonl(quarantine)
    assert (first["where"], first["column"], first["found"]) == (
        "toy.jsonl, row 51",
        "score",
        "9",
    ) and "question 50" in first["record"]
    assert second["where"] == "toy.jsonl, row 201"


def test_more_than_one_percent_stops_and_names_file_row_column_and_shape(tmp_path):
    rows = toy_rows(100)
    write_toy(tmp_path, [{**rows[0], "score": 9}, {**rows[1], "r": None}, *rows[2:]])
    quarantine = tmp_path / "quarantine.jsonl"
    with pytest.raises(ValueError) as caught:
        load(SPEC, data_dir=tmp_path, quarantine=quarantine)
    for part in (
        "toy: 2 of 100 rows",
        "1%",
        "toy.jsonl, row 1",
        "'score'",
        "found 9",
        "q: text, r: text, score: 1..5 or -1",
        str(quarantine),
    ):
        assert part in str(caught.value)
    assert len(read_jsonl(quarantine)) == 2


def test_schema_drift_stops_early_and_names_the_missing_column(tmp_path):
    write_toy(tmp_path, [{"q": "a", "answer": "b", "score": 1}] * 5000)
    with pytest.raises(
        ValueError,
        match=r"1000 of 1000 rows.*toy.jsonl, row 1, column 'r': "
        "expected text, found 'only q, answer, score'",
    ):
        load(SPEC, data_dir=tmp_path)


def test_a_sample_that_its_record_refuses_is_a_broken_row(tmp_path):
    write_toy(tmp_path, [{"q": "a", "r": "b", "score": 0}])
    result = load(SPEC, data_dir=tmp_path, max_broken_share=1)
    assert result.n_samples == 0 and next(iter(result.n_dropped)).startswith(
        "broken: (sample) is not "
    )


def test_loading_again_replaces_only_its_own_quarantine(tmp_path):
    quarantine = tmp_path / "quarantine.jsonl"
    quarantine.write_text('{"set": "other", "where": "x"}\n')
    write_toy(tmp_path, [*toy_rows(200), "{"])
    for _ in range(2):
        load(SPEC, data_dir=tmp_path, quarantine=quarantine)
    assert [row["set"] for row in read_jsonl(quarantine)] == ["other", "toy"]
    write_toy(tmp_path, toy_rows(200))
    load(SPEC, data_dir=tmp_path, quarantine=quarantine)
    assert [row["set"] for row in read_jsonl(quarantine)] == ["other"]


def test_repeated_rows_keep_ids_of_their_own(tmp_path):
    write_toy(tmp_path, [*toy_rows(2), *toy_rows(2), *toy_rows(1)])
    samples = load(SPEC, data_dir=tmp_path).samples
    assert len({s.id for s in samples}) == 5 and len({s.group for s in samples}) == 2
    assert [s.id for s in load(SPEC, data_dir=tmp_path).samples] == [s.id for s in samples]


def test_a_limit_takes_the_smallest_hashes_in_file_order(tmp_path):
    write_toy(tmp_path, toy_rows(60))
    everything = load(SPEC, data_dir=tmp_path).samples
    few, more = (load(SPEC, data_dir=tmp_path, limit=n, seed=3).samples for n in (7, 20))
    wanted = set(sorted((s.id for s in everything), key=lambda id_: unit_hash(3, id_))[:7])
    assert [s.id for s in few] == [s.id for s in everything if s.id in wanted]
    assert {s.id for s in few} < {s.id for s in more} and few != load(
        SPEC, data_dir=tmp_path, limit=7, seed=4
    ).samples


def test_the_ledger_of_a_load_balances(tmp_path):
    write_rows("ultrafeedback", tmp_path, n=5, spoil=False)
    write_toy(tmp_path, [*toy_rows(9), {"q": "q", "r": "r", "score": -1}])
    for spec, n_read, n_made in ((free_of_counts("ultrafeedback"), 5, 20), (SPEC, 10, 9)):
        result = load(spec, data_dir=tmp_path, limit=4)
        assert (result.n_read, result.n_made, result.n_samples) == (n_read, n_made, 4)
        assert (
            result.n_items
            == result.n_made + sum(result.n_dropped.values())
            == (20 if n_read == 5 else 10)
        )
    limited = load(free_of_counts("ultrafeedback"), data_dir=tmp_path, limit=4)
    assert "| left out by the limit | 16 of 20 |" in dataset_card(limited)


def test_ways_in(tmp_path):
    assert [way_in(SPEC, where) for where in (None, tmp_path)] == ["hub", "hub"] and way_in(
        find_spec("halueval"), tmp_path
    ) is None
    write_toy(tmp_path, toy_rows(1))
    assert way_in(SPEC, tmp_path) == "local"


def test_hashes_revision_and_order_of_files(tmp_path):
    write_toy(tmp_path, toy_rows(1), "b.jsonl")
    write_toy(tmp_path, toy_rows(2), "a.jsonl")
    result = load(SPEC, data_dir=tmp_path)
    assert result.files == {
        name: sha256_file(tmp_path / "toy" / name) for name in ("a.jsonl", "b.jsonl")
    } and list(result.files) == [
        "a.jsonl",
        "b.jsonl",
    ]
    assert result.revision == "local files" and result.licence == "MIT"


def test_absent_and_unknown_sets(tmp_path):
    assert not load(SPEC, data_dir=tmp_path).present
    with pytest.raises(
        UserError, match=r"the data folder .*nowhere does not exist; give one with --data-dir"
    ):
        load(SPEC, data_dir=tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"no data set 'hallueval'; known are .*halueval"):
        load("hallueval", data_dir=tmp_path)


def test_streamed_parquet_equals_the_list(tmp_path):
    write_toy(tmp_path, toy_rows(50))
    result = load_to_parquet(
        SPEC, tmp_path / "out" / "toy.parquet", data_dir=tmp_path, batch_rows=7
    )
    samples = load(SPEC, data_dir=tmp_path).samples
    assert (
        read_parquet(result.path, Sample)
        == samples
        == list(iter_parquet(result.path, batch_rows=3))
    )
    assert (result.n_samples, result.samples, result.n_read) == (50, [], 50)
    assert (
        not load_to_parquet(SPEC, tmp_path / "none.parquet", data_dir=tmp_path / "out").present
        and not (tmp_path / "none.parquet").exists()
    )


def test_a_stopped_load_leaves_no_half_file(tmp_path):
    write_toy(tmp_path, [*toy_rows(3), "{"])
    with pytest.raises(ValueError, match="not of the published shape"):
        load_to_parquet(SPEC, tmp_path / "toy.parquet", data_dir=tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["toy"]


MEASURE = """
import json, resource, sys
from pathlib import Path
import pyarrow.parquet
from selene_lib.data import load_to_parquet
from selene_lib.data.catalogue import find_spec
from dataclasses import replace
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
folder = Path(sys.argv[1])
before = peak()
spec = replace(find_spec("offsetbias"), published_n=None)
result = load_to_parquet(spec, folder / "x.parquet", data_dir=folder)
print(result.n_samples, peak() - before)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_set(tmp_path):
    """24,000 rows of 8 kB (190 MB of JSON, one array on one line) cost no more than a few batches
    of them.
    """
    (tmp_path / "offsetbias").mkdir()
    words = {side: f" {side}" * 1000 for side in ("one", "two")}
    with open(tmp_path / "offsetbias" / "train.json", "w", encoding="utf-8") as stream:
        for i in range(24_000):
            outputs = f'"output_1": "{i}{words["one"]}", "output_2": "{i}{words["two"]}"'
            stream.write(
                f'{"," if i else "["}{{"instruction": "q {i}", {outputs}, "label": {1 + i % 2}}}'
            )
        stream.write("]")
    assert (tmp_path / "offsetbias" / "train.json").stat().st_size > 180e6
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path)], capture_output=True, text=True, check=True
    )
    n, grown_mib = done.stdout.split()
    assert int(n) == 24_000 and float(grown_mib) < 150


def test_lists_have_a_row_per_set_with_all_fields(tmp_path):
    write_rows("halueval", tmp_path, spoil=False)
    sources, benchmarks = (list_rows(role, tmp_path) for role in ("sources", "benchmarks"))
    assert len(sources) == 26 and {row["name"] for row in (*sources, *benchmarks)} == set(
        all_specs()
    )
    fields = {
        "name",
        "role",
        "task",
        "licence",
        "revision",
        "shape_known_from",
        "present",
        "n",
        "how_to_get",
    }
    for row in (*sources, *benchmarks):
        assert (
            fields <= set(row)
            and row["shape_known_from"] in get_args(ShapeKnownFrom)
            and row["how_to_get"]
            and row["licence"]
        )
    by_name = {row["name"]: row for row in sources}
    assert (by_name["halueval"]["present"], by_name["halueval"]["n"]) == (True, 3)
    assert (
        by_name["helpsteer"]["present"],
        by_name["helpsteer"]["n"],
        by_name["helpsteer"]["revision"],
    ) == (False, 35331, NOT_LOCKED)
    json.dumps(sources)
    with pytest.raises(UserError, match="no list 'x'"):
        list_rows("x", tmp_path)
    assert not any(row["present"] for row in list_rows("sources", None))


def test_card_of_a_set_and_of_a_mix(tmp_path):
    rows = [SHAPES["halueval"].record(i) for i in range(8)]
    folder = tmp_path / "halueval"
    folder.mkdir()
    SHAPES["halueval"].write(
        folder, [*rows[:6], {**rows[6], "hallucination": "no"}, {**rows[7], "hallucination": "?"}]
    )
    result = load(free_of_counts("halueval"), data_dir=tmp_path, max_broken_share=0.5)
    card = dataset_card(result, count_tokens=len)
    for part in (
        "# HaluEval (general)",
        "| licence | MIT |",
        "| rows read | 8 |",
        "| samples | 7 in 7 groups of one prompt |",
        "| classification | Yes | 6 | 85.71% |",
        "| classification | No | 1 | 14.29% |",
        "## Lengths in tokens",
        "| response | 7 | 3 | 3 | 3 | 3 |",
        "| broken: hallucination is not one of 'yes', 'no' | 1 | 12.50% |",
        f"| general_data.json | {sha256_file(folder / 'general_data.json')} |",
    ):
        assert part in card, part
    streamed = load_to_parquet(
        free_of_counts("halueval"), tmp_path / "h.parquet", data_dir=tmp_path, max_broken_share=0.5
    )
    assert dataset_card(streamed, count_tokens=len) == card
    write_rows("felm", tmp_path, spoil=False)
    mix = mix_card([result, load(free_of_counts("felm"), data_dir=tmp_path)], title="Our mix")
    felm = "| felm | 3 | 30.00% | 3 | 0 | CC BY-NC-SA 4.0 (data) | non-commercial |"
    assert "# Our mix" in mix
    assert f"{felm} hkust-nlp/felm@5d0791d |" in mix
    assert "words (no tokenizer was given)" in mix


def test_progress_shows_rows(tmp_path, monkeypatch):
    write_toy(tmp_path, toy_rows(5))
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    load(SPEC, data_dir=tmp_path, progress=True)
    assert (
        "toy" in stream.getvalue()
        and "5 rows" in stream.getvalue()
        and "rows/s" in stream.getvalue()
    )


def test_importing_the_sets_is_light():
    heavy = ("torch", "pandas", "pyarrow", "datasets", "transformers")
    code = f"import sys, selene_lib.data; print([m for m in {heavy} if m in sys.modules])"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )


@pytest.mark.parametrize(
    "fault",
    [
        lambda: {}[[1]],
        lambda: {}["key"],
        lambda: [][1],
        lambda: (1).values(),
        lambda: " ".join([1]),
        lambda: float(10**400),
        lambda: "\ud800".encode(),
    ],
)
def test_whatever_a_damaged_row_raises_costs_that_row(tmp_path, fault):
    rows = toy_rows(150)
    write_toy(tmp_path, rows)

    def to_samples(row):
        return fault() if row.text("q") == rows[7]["q"] else SPEC.to_samples(row)

    whole = load(SPEC, data_dir=tmp_path)
    found = load(
        replace(SPEC, to_samples=to_samples), data_dir=tmp_path, quarantine=tmp_path / "q.jsonl"
    )
    assert found.n_samples == whole.n_samples - 1
    (broken,) = read_jsonl(tmp_path / "q.jsonl")
    assert (broken["where"], broken["column"]) == ("toy.jsonl, row 8", "(sample)")


def test_a_number_of_400_digits_is_a_broken_cell():
    for value in (10**400, "1_0"):
        with pytest.raises(BrokenRow, match="column 'n': expected a number"):
            Row({"n": value}, SPEC, "x, row 1").number("n")


DAMAGE = [[1], {"a": 1}, [[1]], "", None, 10**400]


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("ragtruth", "source_id"),
        ("financebench", "financebench_id"),
        ("lfqa_verification", "question_id"),
        ("rewardbench_math_prm", "problem_id"),
        ("fine_grained_rlhf", "passages"),
        ("expertqa", "answers"),
        ("helpsteer", "helpfulness"),
        ("ultrafeedback", "completions"),
    ],
)
@pytest.mark.parametrize("value", DAMAGE, ids=lambda value: repr(value)[:12])
def test_a_publishers_damaged_cell_costs_its_row(tmp_path, name, column, value):
    spec, shape = free_of_counts(name), SHAPES[name]
    records = [shape.record(i) for i in range(4)]
    records[1] = {**records[1], column: value}
    (tmp_path / (spec.folder or name)).mkdir()
    shape.write(tmp_path / (spec.folder or name), records)
    found = load(spec, data_dir=tmp_path, max_broken_share=0.5)
    is_key = name == "rewardbench_math_prm" and isinstance(value, str | int)
    assert found.n_samples > 0 and any("broken" in why for why in found.n_dropped) != is_key


@pytest.mark.parametrize(
    ("name", "file", "column"),
    [
        ("ragtruth", "source_info.jsonl", "source_id"),
        ("financebench", "financebench_open_source.jsonl", "financebench_id"),
        ("flask_items", "model_output/chatgpt.jsonl", "question_id"),
    ],
)
def test_a_damaged_row_of_a_joined_table_is_counted_beside_the_rows(tmp_path, name, file, column):
    spec, shape = free_of_counts(name), SHAPES[name]
    folder = tmp_path / (spec.folder or name)
    folder.mkdir()
    shape.write(folder, [shape.record(i) for i in range(6)])
    joined = [json.loads(line) for line in (folder / file).read_text().splitlines()]
    joined[2][column] = [1]
    (folder / file).write_text("".join(json.dumps(row) + "\n" for row in joined))
    found = load(spec, data_dir=tmp_path, max_broken_share=0.5, quarantine=tmp_path / "q.jsonl")
    assert found.n_read == 6 and found.n_samples == 5
    assert f"{file.split('/')[-1]}, row 3" in (tmp_path / "q.jsonl").read_text()
