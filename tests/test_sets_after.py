"""Sets after the paper, the publishers' folders as published, and the list of what can be
judged."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from adapter_checks import SHAPES, free_of_counts, write_rows
from published_shapes import lines
from typer.testing import CliRunner

from selene_lib.cli import app
from selene_lib.data import find_spec, list_rows, load
from selene_lib.data.benchmarks import AFTER, BENCHMARKS, JUDGED
from selene_lib.data.collection import Collection, check_names, collect_sets, spec_of
from selene_lib.data.revisions import lock_revisions, revision_of
from selene_lib.errors import UserError
from selene_lib.ledger import Ledger
from selene_lib.pipeline import chain

REAL = {  # rows, samples, labels or None where drawn, subsets
    "judgebench": (
        620,
        620,
        {"A": 336, "B": 284},
        {"knowledge": 308, "reasoning": 149, "math": 90, "coding": 73},
    ),
    "llmbar": (
        419,
        419,
        {"A": 206, "B": 213},
        {
            "llmbar-natural": 100,
            "llmbar-adver-neighbor": 134,
            "llmbar-adver-GPTInst": 92,
            "llmbar-adver-GPTOut": 47,
            "llmbar-adver-manual": 46,
        },
    ),
    "rm_bench": (
        798,
        7182,
        None,
        {"chat": 129 * 9, "code": 228 * 9, "safety-refuse": 284 * 9, "safety-response": 157 * 9},
    ),
}


@pytest.mark.parametrize("name", REAL)
def test_real_files_after_the_paper(name, data_after_dir):
    n_read, n_samples, labels, subsets = REAL[name]
    found = load(name, data_dir=data_after_dir)
    assert (found.n_read, found.n_samples, found.n_dropped) == (n_read, n_samples, {})
    assert Counter(s.meta["subset"] for s in found.samples) == subsets
    assert labels is None or Counter(s.label for s in found.samples) == labels
    assert len({s.id for s in found.samples}) == n_samples


def put(data_dir, name, files):
    for path, rows in files.items():
        lines(path)(data_dir / name, rows)


def hh(n, who):
    return [SHAPES["hh_rlhf"].record(f"{who} {i}") for i in range(n)]


def test_hh_rlhf_as_published_reads_the_training_files_only(tmp_path):
    attempts = [{"min_harmlessness_score_transcript": 0.1, "transcript": "t"}] * 5
    put(
        tmp_path,
        "hh_rlhf",
        {
            "harmless-base/train.jsonl.gz": hh(4, "harmless"),
            "harmless-base/test.jsonl.gz": hh(3, "test"),
            "helpful-base/train.jsonl.gz": hh(3, "helpful"),
            "helpful-base/test.jsonl.gz": hh(3, "test"),
            "helpful-online/train.jsonl.gz": hh(2, "online"),
            "helpful-rejection-sampled/train.jsonl.gz": hh(1, "sampled"),
            "red-team-attempts/red_team_attempts.jsonl.gz": attempts,
        },
    )
    found = load("hh_rlhf", data_dir=tmp_path)
    assert (found.n_read, found.n_samples, found.n_dropped) == (10, 10, {})
    assert set(found.files) == {
        "harmless-base/train.jsonl.gz",
        "helpful-base/train.jsonl.gz",
        "helpful-online/train.jsonl.gz",
        "helpful-rejection-sampled/train.jsonl.gz",
    }
    assert not any("test" in s.instruction for s in found.samples)
    row = next(r for r in list_rows("sources", tmp_path) if r["name"] == "hh_rlhf")
    assert (row["n"], row["n_expected"]) == (10, 160800)
    assert row["read_from"].startswith("harmless-base/train.jsonl.gz (4), ")


def test_hh_rlhf_reads_a_test_file_only_where_nothing_else_lies(tmp_path):
    put(tmp_path, "hh_rlhf", {"helpful-base/test.jsonl.gz": hh(2, "test")})
    assert load("hh_rlhf", data_dir=tmp_path).n_samples == 2
    row = next(r for r in list_rows("sources", tmp_path) if r["name"] == "hh_rlhf")
    assert row["read_from"] == "helpful-base/test.jsonl.gz"


def test_beavertails_as_published_reads_330k_out_of_xz(tmp_path):
    row = SHAPES["beavertails"].record
    put(
        tmp_path,
        "beavertails",
        {
            "round0/330k/train.jsonl.xz": [row(i) for i in range(5)],
            "round0/330k/test.jsonl.xz": [row(i) for i in range(3)],
            "round0/30k/train.jsonl.gz": [row(i) for i in range(2)],
            "round0/30k/test.jsonl.gz": [row(i) for i in range(2)],
        },
    )
    found = load("beavertails", data_dir=tmp_path)
    assert (found.n_samples, list(found.files)) == (5, ["round0/330k/train.jsonl.xz"])
    listed = next(r for r in list_rows("sources", tmp_path) if r["name"] == "beavertails")
    assert (listed["n"], listed["n_expected"]) == (5, 301_000)
    (tmp_path / "beavertails/round0/330k/train.jsonl.xz").unlink()
    listed = next(r for r in list_rows("sources", tmp_path) if r["name"] == "beavertails")
    assert (listed["n"], listed["n_expected"]) == (2, 27_200)
    assert listed["read_from"] == "round0/30k/train.jsonl.gz"


def test_the_listing_shows_part_and_expected_count(tmp_path):
    put(tmp_path, "hh_rlhf", {"harmless-base/train.jsonl.gz": hh(2, "harmless")})
    shown = CliRunner().invoke(app, ["sources", "--data-dir", str(tmp_path)]).output
    line = next(line for line in shown.splitlines() if line.startswith("hh_rlhf "))
    assert "harmless-base/train.jsonl.gz" in line and " 42537 " in line


def test_eighteen_sets_and_more_can_be_judged():
    rows = list_rows("benchmarks", None)
    runnable = {row["name"] for row in rows if row["runnable"]}
    assert len(runnable) >= 18 and runnable >= set(JUDGED)
    assert not any(r["runnable"] for r in rows if r["role"] == "reference")
    assert set(AFTER).isdisjoint(BENCHMARKS)
    assert all("after the paper" in spec.title and spec.role == "after" for spec in AFTER.values())


@pytest.mark.parametrize("name", JUDGED)
def test_every_set_can_be_read_into_a_run(name, tmp_path):
    write_rows(name, tmp_path, spoil=False)
    assert spec_of(name, "benchmark").name == name


def test_components_and_sources_are_collected(tmp_path):
    write_rows("shepherd", tmp_path, spoil=False)
    put(tmp_path, "hh_rlhf", {"helpful-base/train.jsonl.gz": hh(3, "helpful")})
    found: Collection = collect_sets(
        "hh_rlhf",
        n_per_set=5,
        data_dir=str(tmp_path),
        seed=0,
        ledger=Ledger(),
        quarantine=tmp_path / "q.jsonl",
    )
    assert (found.rows[0]["role"], found.rows[0]["n"]) == ("extra", 3)


@pytest.mark.parametrize(
    ("names", "what", "message"),
    [
        ("wicE", "sets", "unknown benchmark 'wicE'; did you mean wice"),
        ("nano-nothing", "sets", "unknown set 'nano-nothing'"),
        ("llmfao_votes", "sets", "a table of votes"),
        ("hh", "sources", "unknown source 'hh'"),
    ],
)
def test_unknown_names_are_refused(names, what, message):
    check_names("nano", what)
    with pytest.raises(UserError, match=message):
        check_names(names, what)


def test_a_dry_run_refuses_an_unknown_set():
    with pytest.raises(UserError, match="unknown benchmark 'nosuch'"):
        chain.resolve_run("nano", None, None, {"01.sets": "nano, nosuch"})
    with pytest.raises(UserError, match="unknown source 'nosuch'"):
        chain.resolve_run("nano", None, None, {"01.sources": "nosuch"})


def test_aggrefact_is_read_at_the_revision_of_the_published_numbers(tmp_path):
    spec, lock = find_spec("llm_aggrefact"), tmp_path / "lock.yaml"
    assert revision_of(spec, lock) == "29e308a0c0c8af012943b70293dfb937811f13c6"
    assert lock_revisions([spec], path=lock, refresh=True)[spec.hub_id] == spec.hub_revision
    assert "CC BY-ND" in spec.licence


def test_rm_bench_pairs_every_style_with_every_style(tmp_path):
    write_rows("rm_bench", tmp_path, n=1, spoil=False)
    samples = load(free_of_counts("rm_bench"), data_dir=tmp_path).samples
    cells = {(s.meta["right_style"], s.meta["wrong_style"]) for s in samples}
    assert len(cells) == 9
    for s in samples:
        right = s.response if s.label == "A" else s.response_b
        assert right.startswith("right")
    assert json.loads(json.dumps(dict(samples[0].meta)))["subset"] == "chat"
