"""Shards of a table, judged apart and put together: the output and replies of one machine."""

from __future__ import annotations

import csv
import json

import pytest
from generators_world import ScriptedServer, serving

from selene_lib.errors import UserError
from selene_lib.files import read_jsonl
from selene_lib.judge import judge_file
from selene_lib.judges.sharding import Shard, stores_of_shards, take_over

RUBRIC = "Is it right?\nYes: it is\nNo: it is not"
N_ROWS = 40


@pytest.fixture
def table(tmp_path):
    """Forty answers, of which two pairs are equal."""
    path = tmp_path / "answers.csv"
    with open(path, "w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["instruction", "response"])
        writer.writerows([f"Question {i}?", f"Answer {i % (N_ROWS - 2)}."] for i in range(N_ROWS))
    return path


def rows_of(path):
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream))


def lines_of(path):
    return sorted(json.dumps(row, sort_keys=True) for row in read_jsonl(path))


def test_shards_put_together_are_what_one_machine_gives(table, tmp_path):
    with serving(ScriptedServer()) as server:
        asked = {"model": f"{server.base_url}#m", "task": "classification", "rubric": RUBRIC}
        asked["progress"] = False
        alone = judge_file(table, tmp_path / "alone.csv", **asked)
        assert server.n_asked == N_ROWS
        whole = tmp_path / "judged.csv"
        parts = [judge_file(table, whole, shard=f"{i}/3", **asked) for i in (1, 2, 3)]
        assert [p.output.name for p in parts] == [f"judged.shard-{i}-of-3.csv" for i in (1, 2, 3)]
        assert sum(p.n for p in parts) == N_ROWS and all(p.n for p in parts)
        assert server.n_asked == 2 * N_ROWS
        together = judge_file(table, whole, **asked)
        assert server.n_asked == 2 * N_ROWS  # nothing is asked again
        assert rows_of(whole) == rows_of(tmp_path / "alone.csv")
        assert lines_of(together.store) == lines_of(alone.store)
        assert (together.n, together.usage) == (alone.n, alone.usage)


def test_what_a_shard_has_not_answered_is_asked_when_they_are_put_together(table, tmp_path):
    with serving(ScriptedServer()) as server:
        asked = {"model": f"{server.base_url}#m", "task": "classification", "rubric": RUBRIC}
        asked["progress"] = False
        whole = tmp_path / "judged.csv"
        first = judge_file(table, whole, shard="1/2", **asked)
        with open(first.store, "ab") as stream:
            stream.write(b'{"judge": "m", "half a li')  # a worker was killed here
        done = judge_file(table, whole, **asked)
        assert server.n_asked == N_ROWS and done.n == N_ROWS and done.n_unparsed == 0


def test_replies_are_taken_over_once(table, tmp_path):
    with serving(ScriptedServer()) as server:
        asked = {"model": f"{server.base_url}#m", "task": "classification", "rubric": RUBRIC}
        judge_file(table, tmp_path / "judged.csv", shard="2/2", progress=False, **asked)
    (store,) = stores_of_shards(tmp_path / "judged.csv")
    n = len(read_jsonl(store))
    assert take_over(tmp_path / "all.jsonl", [store, store]) == n
    assert take_over(tmp_path / "all.jsonl", [store]) == 0


def test_every_item_is_of_one_shard_wherever_it_stands():
    ids = [f"row-{i}" for i in range(500)]
    shards = [Shard(i, 4) for i in (1, 2, 3, 4)]
    owners = [[shard.number for shard in shards if shard.takes(one)] for one in ids]
    assert all(len(mine) == 1 for mine in owners)
    counts = [sum(mine == [i] for mine in owners) for i in (1, 2, 3, 4)]
    assert min(counts) > 90  # of 125 on average


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "1/0"])
def test_a_shard_that_is_none_is_refused(text):
    with pytest.raises(UserError, match="as in 3/8"):
        Shard.read(text)
