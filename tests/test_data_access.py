"""Readers, strictness, quarantine, lock file, hub, streaming and cards: what all adapters rely on."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from adapter_checks import free_of_counts, write_rows
from hypothesis import given, settings
from hypothesis import strategies as st
from published_shapes import SHAPES

from selene_lib.data_access import (
    NOT_LOCKED,
    BrokenRow,
    DataSpec,
    DropRow,
    Row,
    all_specs,
    dataset_card,
    find_spec,
    iter_parquet,
    list_rows,
    load,
    load_to_parquet,
    lock,
    lock_all,
    mix_card,
    read_lock,
    read_side_file,
    readers,
    revision_of,
    revisions,
    way_in,
)
from selene_lib.data_access import hub as hub_module
from selene_lib.data_access.readers import read_records
from selene_lib.errors import UserError
from selene_lib.files import read_jsonl, read_parquet, sha256_file
from selene_lib.records import Sample, unit_hash

REVISION = "0123456789abcdef0123456789abcdef01234567"


def to_samples(row: Row) -> Sample:
    if row.number("score", -1, 5) == -1:
        raise DropRow("not scored")
    return row.sample("absolute", row.text("q"), row.text("r"), label=str(int(row.number("score"))), score=row.number("score"))


SPEC = DataSpec(
    name="toy",
    role="source",
    task="absolute",
    title="Toy",
    licence="MIT",
    label="a score",
    columns={"q": "text", "r": "text", "score": "1..5 or -1"},
    to_samples=to_samples,
    shape_known_from="assumed",
    files=("*.jsonl | *.json | *.csv",),
    hub_id="owner/toy",
)


def toy_rows(n: int) -> list[dict]:
    return [{"q": f"question {i}", "r": f"response {i}", "score": 1 + i % 5} for i in range(n)]


def write_toy(data_dir: Path, rows: list[dict | str], name: str = "toy.jsonl") -> Path:
    (data_dir / "toy").mkdir(exist_ok=True)
    text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    (data_dir / "toy" / name).write_text(text, encoding="utf-8")
    return data_dir


# readers

JSON_VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3), max_leaves=5)
RECORDS = st.lists(st.dictionaries(st.text(max_size=4), JSON_VALUES, min_size=1, max_size=3), max_size=6)


@settings(max_examples=60, deadline=None)
@given(records=RECORDS, block=st.integers(1, 40), indent=st.sampled_from([None, 2]), lines=st.booleans())
def test_json_is_read_whole_at_every_block_size(tmp_path_factory, records, block, indent, lines):
    path = tmp_path_factory.mktemp("json") / "x.json"
    text = "\n".join(json.dumps(r) for r in records) if lines else json.dumps(records, indent=indent)
    path.write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readers, "BLOCK_CHARACTERS", block)
        read = list(read_records(path))
    assert [record for _, record in read] == records
    assert [place for place, _ in read] == [f"x.json, row {n}" for n in range(1, len(records) + 1)]


def test_one_object_over_several_lines_is_one_record(tmp_path):
    (tmp_path / "x.json").write_text(json.dumps({"a": [1, 2]}, indent=2))
    assert list(read_records(tmp_path / "x.json")) == [("x.json, row 1", {"a": [1, 2]})]


def test_nan_gzip_byte_order_mark_and_blank_lines(tmp_path):
    data = '\ufeff\n{"a": NaN}\n\n{"a": 1}\n'.encode()
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(data))
    records = [record for _, record in read_records(tmp_path / "x.jsonl.gz")]
    assert len(records) == 2 and records[0]["a"] != records[0]["a"] and records[1] == {"a": 1}


@pytest.mark.parametrize("first", [True, False])
def test_a_broken_json_line_costs_one_row(tmp_path, first):
    good, bad = '{"a": 1}', '{"a": '
    (tmp_path / "x.jsonl").write_text("\n".join([bad, good, good] if first else [good, bad, good]))
    records = [record for _, record in read_records(tmp_path / "x.jsonl")]
    assert [isinstance(record, BrokenRow) for record in records] == [first, not first, False]


def test_a_cut_array_names_its_row(tmp_path):
    (tmp_path / "x.json").write_text('[{"a": 1}, {"a": 2')
    *good, (place, broken) = read_records(tmp_path / "x.json")
    assert [record for _, record in good] == [{"a": 1}] and isinstance(broken, BrokenRow) and place == "x.json, row 2"


def test_cells_over_lines_and_rows_of_wrong_width(tmp_path):
    (tmp_path / "x.csv").write_text('a,b\n"one\ntwo, three",2\nshort\n3,4\n')
    records = [record for _, record in read_records(tmp_path / "x.csv")]
    assert records[0] == {"a": "one\ntwo, three", "b": "2"} and isinstance(records[1], BrokenRow) and records[2] == {"a": "3", "b": "4"}


@pytest.mark.parametrize("name", ["x.json", "x.jsonl", "x.csv"])
def test_an_empty_file_has_no_rows(tmp_path, name):
    (tmp_path / name).write_text("")
    assert list(read_records(tmp_path / name)) == []


def test_an_unknown_suffix_is_a_user_error(tmp_path):
    (tmp_path / "x.pickle").write_bytes(b"")
    with pytest.raises(UserError, match=r"no reader for .pickle; known are .jsonl"):
        list(read_records(tmp_path / "x.pickle"))


# rows


def test_accessors_name_the_column_the_place_and_what_was_expected():
    row = Row(
        {"text": " ", "n": "3", "nan": float("nan"), "flag": True, "list": ["a", 1], "deep": {"er": {"x": "y"}}}, SPEC, "f.json, row 7"
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
        assert (caught.value.column, caught.value.expected) == (column, expected) and "f.json, row 7" in str(caught.value)
    assert row.number("n") == 3 and row.text("deep.er.x") == "y" and row.text_or_none("nan") is None
    assert row.choice("flag", {True: "A"}) == "A" and not row.has("deep.er.z")


def test_ids_and_groups_follow_the_text():
    row = Row({}, SPEC, "x")
    one = row.sample("pairwise", "q", "a", response_b="b", label="A")
    assert one.id == row.sample("pairwise", "q", "a", response_b="b", label="B").id  # the label is no part of the item
    assert one.id != row.sample("pairwise", "q", "b", response_b="a", label="B").id
    assert one.group == row.sample("absolute", "q", "other", label="1").group != row.sample("absolute", "p", "a", label="1").group


# strictness


def test_at_most_one_percent_goes_to_the_quarantine(tmp_path):
    rows = toy_rows(199)
    write_toy(tmp_path, [*rows[:50], {**rows[50], "score": 9}, *rows[51:], {**rows[0], "score": -1}, "{not json"])
    quarantine = tmp_path / "quarantine.jsonl"
    result = load(SPEC, data_dir=tmp_path, quarantine=quarantine)
    assert (result.n_read, result.n_samples) == (201, 198)
    assert result.n_dropped == {
        "broken: score is not a number in -1..5": 1,
        "not scored": 1,
        "broken: (whole row) is not JSON (Expecting property name enclosed in double quotes at character 1)": 1,
    }
    first, second = read_jsonl(quarantine)
    assert (first["where"], first["column"], first["found"]) == ("toy.jsonl, row 51", "score", "9") and "question 50" in first["record"]
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
    with pytest.raises(ValueError, match=r"1000 of 1000 rows.*toy.jsonl, row 1, column 'r': expected text, found 'only q, answer, score'"):
        load(SPEC, data_dir=tmp_path)


def test_a_sample_that_its_record_refuses_is_a_broken_row(tmp_path):
    write_toy(tmp_path, [{"q": "a", "r": "b", "score": 0}])
    result = load(SPEC, data_dir=tmp_path, max_broken_share=1)
    assert result.n_samples == 0 and next(iter(result.n_dropped)).startswith("broken: (sample) is not ")


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
    assert {s.id for s in few} < {s.id for s in more} and few != load(SPEC, data_dir=tmp_path, limit=7, seed=4).samples


def test_the_ledger_of_a_load_balances(tmp_path):
    write_rows("ultrafeedback", tmp_path, n=5, spoil=False)
    write_toy(tmp_path, [*toy_rows(9), {"q": "q", "r": "r", "score": -1}])
    for spec, n_read, n_made in ((free_of_counts("ultrafeedback"), 5, 20), (SPEC, 10, 9)):
        result = load(spec, data_dir=tmp_path, limit=4)
        assert (result.n_read, result.n_made, result.n_samples) == (n_read, n_made, 4)
        assert result.n_items == result.n_made + sum(result.n_dropped.values()) == (20 if n_read == 5 else 10)
    limited = load(free_of_counts("ultrafeedback"), data_dir=tmp_path, limit=4)
    assert "| left out by the limit | 16 of 20 |" in dataset_card(limited)


def test_ways_in(tmp_path):
    assert [way_in(SPEC, where) for where in (None, tmp_path)] == ["hub", "hub"] and way_in(find_spec("halueval"), tmp_path) is None
    write_toy(tmp_path, toy_rows(1))
    assert way_in(SPEC, tmp_path) == "local"


def test_hashes_revision_and_order_of_files(tmp_path):
    write_toy(tmp_path, toy_rows(1), "b.jsonl")
    write_toy(tmp_path, toy_rows(2), "a.jsonl")
    result = load(SPEC, data_dir=tmp_path)
    assert result.files == {name: sha256_file(tmp_path / "toy" / name) for name in ("a.jsonl", "b.jsonl")} and list(result.files) == [
        "a.jsonl",
        "b.jsonl",
    ]
    assert result.revision == "local files" and result.licence == "MIT"


def test_absent_and_unknown_sets(tmp_path):
    assert not load(SPEC, data_dir=tmp_path).present
    with pytest.raises(UserError, match=r"the data folder .*nowhere does not exist; give one with --data-dir"):
        load(SPEC, data_dir=tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"no data set 'hallueval'; known are .*halueval"):
        load("hallueval", data_dir=tmp_path)
    with pytest.raises(UserError, match=r"toy: no side file 'x'"):
        read_side_file(SPEC, tmp_path, "x")
    write_toy(tmp_path, toy_rows(2), "side.txt.jsonl")
    with pytest.raises(ValueError, match=r"side.txt.jsonl holds 2 records where 3 are published"):
        read_side_file(replace(SPEC, side_files={"side.txt.jsonl": 3}), tmp_path, "side.txt.jsonl")


# streaming


def test_streamed_parquet_equals_the_list(tmp_path):
    write_toy(tmp_path, toy_rows(50))
    result = load_to_parquet(SPEC, tmp_path / "out" / "toy.parquet", data_dir=tmp_path, batch_rows=7)
    samples = load(SPEC, data_dir=tmp_path).samples
    assert read_parquet(result.path, Sample) == samples == list(iter_parquet(result.path, batch_rows=3))
    assert (result.n_samples, result.samples, result.n_read) == (50, [], 50)
    assert (
        not load_to_parquet(SPEC, tmp_path / "none.parquet", data_dir=tmp_path / "out").present and not (tmp_path / "none.parquet").exists()
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
from selene_lib.data_access import load_to_parquet
from selene_lib.data_access.catalogue import find_spec
from dataclasses import replace
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
folder = Path(sys.argv[1])
before = peak()
result = load_to_parquet(replace(find_spec("offsetbias"), published_n=None), folder / "x.parquet", data_dir=folder)
print(result.n_samples, peak() - before)
"""


def test_memory_does_not_grow_with_the_set(tmp_path):
    """24,000 rows of 8 kB (190 MB of JSON, one array on one line) cost no more than a few batches of them."""
    (tmp_path / "offsetbias").mkdir()
    words = {side: f" {side}" * 1000 for side in ("one", "two")}
    with open(tmp_path / "offsetbias" / "train.json", "w", encoding="utf-8") as stream:
        for i in range(24_000):
            outputs = f'"output_1": "{i}{words["one"]}", "output_2": "{i}{words["two"]}"'
            stream.write(f'{"," if i else "["}{{"instruction": "q {i}", {outputs}, "label": {1 + i % 2}}}')
        stream.write("]")
    assert (tmp_path / "offsetbias" / "train.json").stat().st_size > 180e6
    done = subprocess.run([sys.executable, "-c", MEASURE, str(tmp_path)], capture_output=True, text=True, check=True)
    n, grown_mib = done.stdout.split()
    assert int(n) == 24_000 and float(grown_mib) < 150


# lock and hub


def test_the_lock_file_of_the_project_holds_what_is_known():
    assert read_lock() == {"lytang/LLM-AggreFact": "29e308a0c0c8af012943b70293dfb937811f13c6"} or len(read_lock()) > 1
    assert revision_of(find_spec("llm_aggrefact")) == "29e308a0c0c8af012943b70293dfb937811f13c6"
    assert revision_of(find_spec("halueval")) == "RUCAIBox/HaluEval@b7253db"


def test_revisions_are_resolved_once_and_kept(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(revisions, "resolve_revision", lambda hub_id: asked.append(hub_id) or REVISION)
    path = tmp_path / "lock.yaml"
    assert revision_of(SPEC, path) == NOT_LOCKED
    assert lock([SPEC, SPEC], path=path) == {"owner/toy": REVISION} == read_lock(path) and revision_of(SPEC, path) == REVISION
    lock([SPEC], path=path)
    assert asked == ["owner/toy"]
    lock([SPEC], path=path, refresh=True)
    lock_all(["helpsteer"], lock_file=path)
    assert asked == ["owner/toy", "owner/toy", "nvidia/HelpSteer"] and set(read_lock(path)) == {"owner/toy", "nvidia/HelpSteer"}


def test_a_revision_typed_by_hand_is_refused(tmp_path):
    (tmp_path / "lock.yaml").write_text("owner/toy: main\n")
    with pytest.raises(ValueError, match="owner/toy is locked at 'main', which is no 40-hex revision; run `selene lock owner/toy`"):
        read_lock(tmp_path / "lock.yaml")


def test_an_unreachable_hub_is_a_user_error_with_the_remedy(monkeypatch, tmp_path):
    import httpx
    import huggingface_hub

    def refuse(self, hub_id):
        raise httpx.ConnectError("no network")

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", refuse)
    with pytest.raises(UserError, match=r"owner/toy: the hub cannot be reached \(no network\); connect, or give local files"):
        load(SPEC, data_dir=None, lock_file=tmp_path / "lock.yaml")
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda self, hub_id: type("Info", (), {"sha": "main"}))
    with pytest.raises(UserError, match="named no 40-hex revision but 'main'"):
        revisions.resolve_revision("owner/toy")
    assert not (tmp_path / "lock.yaml").exists()


def test_hub_rows_go_through_the_same_adapter(tmp_path, monkeypatch):
    """`datasets` reads a folder as it reads a hub repository: here it stands in for one."""
    monkeypatch.setattr(revisions, "resolve_revision", lambda hub_id: REVISION)
    repository = tmp_path / "repository"
    (repository / "data").mkdir(parents=True)
    SHAPES["reward_bench"].write(repository, [SHAPES["reward_bench"].record(i) for i in range(3)])
    yaml = "configs:\n- config_name: default\n  data_files:\n  - split: filtered\n    path: data/filtered-*\n"
    (repository / "README.md").write_text(f"---\n{yaml}---\n")
    spec = replace(free_of_counts("reward_bench"), hub_id=str(repository))
    seen = {}
    monkeypatch.setattr(hub_module, "_open", _record_revision(hub_module._open, seen))
    from_hub = load(spec, data_dir=None, lock_file=tmp_path / "lock.yaml")
    write_rows("reward_bench", tmp_path / "local", spoil=False)
    assert from_hub.samples == load(spec, data_dir=tmp_path / "local").samples and from_hub.n_read == 3
    assert from_hub.revision == REVISION == seen["revision"] and from_hub.files == {}
    with pytest.raises(UserError, match=r"reward_bench: .* cannot be read"):
        load(replace(spec, hub_split="test"), data_dir=None, lock_file=tmp_path / "lock.yaml")


def test_several_configurations_are_read_in_their_order(tmp_path, monkeypatch):
    monkeypatch.setattr(revisions, "resolve_revision", lambda hub_id: REVISION)
    record = {"input": "q", "targets": {"choices": ["good", "bad"], "labels": [1, 0]}}
    monkeypatch.setattr(hub_module, "_open", lambda spec, config, split, revision: [{**record, "input": f"{config} {split}"}])
    result = load(free_of_counts("hhh_alignment"), data_dir=None, lock_file=tmp_path / "lock.yaml")
    assert [(s.instruction, s.meta["category"]) for s in result.samples] == [
        (f"{category} test", category) for category in ("harmless", "helpful", "honest", "other")
    ]


def test_named_hub_files_are_fetched_at_the_revision(tmp_path, monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(revisions, "resolve_revision", lambda hub_id: REVISION)
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", lambda self, hub_id, **kw: ["README.md", "human_eval_pairwise.json"])
    asked = []
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *args, **kw: asked.append((args, kw)) or str(tmp_path / args[1]))
    rows = [{"article": "a", "requirement": f"r {i}", "output_1": "x", "output_2": "y", "winner": 1} for i in range(3)]
    (tmp_path / "human_eval_pairwise.json").write_text(json.dumps(rows))
    result = load(free_of_counts("instrusum"), data_dir=None, lock_file=tmp_path / "lock.yaml")
    assert [s.label for s in result.samples] == ["A"] * 3
    assert asked == [(("Salesforce/InstruSum", "human_eval_pairwise.json"), {"repo_type": "dataset", "revision": REVISION})]
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", lambda self, hub_id, **kw: ["README.md"])
    with pytest.raises(UserError, match=r"has no file human_eval_pairwise.json; its layout changed"):
        load(free_of_counts("instrusum"), data_dir=None, lock_file=tmp_path / "lock.yaml")
    with pytest.raises(UserError, match=r"halueval is not on the hub; copy general_data.json of RUCAIBox/HaluEval, data at b7253db into"):
        load("halueval", data_dir=None, lock_file=tmp_path / "lock.yaml")


def _record_revision(opened, seen):
    def wrapped(spec, config, split, revision):
        seen["revision"] = revision
        return opened(spec, config, split, revision)

    return wrapped


# catalogue and cards


def test_lists_have_a_row_per_set_with_all_fields(tmp_path):
    write_rows("halueval", tmp_path, spoil=False)
    sources, benchmarks = (list_rows(role, tmp_path) for role in ("sources", "benchmarks"))
    assert len(sources) == 23 and {row["name"] for row in (*sources, *benchmarks)} == set(all_specs())
    fields = {"name", "role", "task", "licence", "revision", "shape_known_from", "present", "n", "how_to_get"}
    for row in (*sources, *benchmarks):
        assert (
            fields <= set(row)
            and row["shape_known_from"] in ("real rows", "dataset card", "assumed")
            and row["how_to_get"]
            and row["licence"]
        )
    by_name = {row["name"]: row for row in sources}
    assert (by_name["halueval"]["present"], by_name["halueval"]["n"]) == (True, 3)
    assert (by_name["helpsteer"]["present"], by_name["helpsteer"]["n"], by_name["helpsteer"]["revision"]) == (False, 35331, NOT_LOCKED)
    json.dumps(sources)
    with pytest.raises(UserError, match="no list 'x'"):
        list_rows("x", tmp_path)
    assert not any(row["present"] for row in list_rows("sources", None))


def test_card_of_a_set_and_of_a_mix(tmp_path):
    rows = [SHAPES["halueval"].record(i) for i in range(8)]
    folder = tmp_path / "halueval"
    folder.mkdir()
    SHAPES["halueval"].write(folder, [*rows[:6], {**rows[6], "hallucination": "no"}, {**rows[7], "hallucination": "?"}])
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
    streamed = load_to_parquet(free_of_counts("halueval"), tmp_path / "h.parquet", data_dir=tmp_path, max_broken_share=0.5)
    assert dataset_card(streamed, count_tokens=len) == card
    write_rows("felm", tmp_path, spoil=False)
    mix = mix_card([result, load(free_of_counts("felm"), data_dir=tmp_path)], title="Our mix")
    assert "# Our mix" in mix and "| felm | 3 | 30.00% | 3 | 0 | CC BY-NC-SA 4.0 (data) | non-commercial | hkust-nlp/felm@5d0791d |" in mix
    assert "words (no tokenizer was given)" in mix


def test_progress_shows_rows(tmp_path, monkeypatch):
    write_toy(tmp_path, toy_rows(5))
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    load(SPEC, data_dir=tmp_path, progress=True)
    assert "toy" in stream.getvalue() and "5 rows" in stream.getvalue() and "rows/s" in stream.getvalue()


def test_importing_the_sets_is_light():
    heavy = ("torch", "pandas", "pyarrow", "datasets", "transformers")
    code = f"import sys, selene_lib.data_access; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
