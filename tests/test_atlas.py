"""The topic map through nomic's own client, against a stub of its API on this machine."""

from __future__ import annotations

import pytest
from atlas_stub import TOKEN, Atlas, serving

from selene_lib import embeddings
from selene_lib.embeddings import atlas as ours
from selene_lib.embeddings import map_dataset
from selene_lib.embeddings.page import render_page
from selene_lib.errors import UserError
from selene_lib.records import Sample

pytestmark = pytest.mark.slow

SAMPLES = [
    Sample(f"id{i}", f"s{i % 2}", "absolute", f"question {i}", "answer", licence=("MIT", "")[i % 2])
    for i in range(6)
]


@pytest.fixture
def service(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))  # the client keeps tiles below it
    monkeypatch.setenv(ours.TOKEN_VARIABLE, TOKEN)
    monkeypatch.delenv(ours.CONSENT_VARIABLE, raising=False)
    stub = Atlas()
    with serving(stub) as address:
        monkeypatch.setenv("ATLAS_API_PATH", address)
        yield stub


def build(part_rows=4):
    texts = [embeddings.map_text(s) for s in SAMPLES]
    return ours.map_with_atlas(
        SAMPLES, texts, consent=True, sleep=lambda _: None, part_rows=part_rows
    )


def test_the_real_client_logs_in_uploads_in_parts_and_reads_the_map_back(service):
    topic_map = build()
    assert service.n_parts == 2 and [r["row"] for r in service.rows] == [
        f"r{i:07d}" for i in range(6)
    ]
    assert service.rows[3] == {
        "row": "r0000003",
        "text": "question 3\nanswer",
        "source": "s1",
        "task": "absolute",
    }
    assert service.project["is_public"] is False
    assert service.index_options["indexed_field"] == "text"
    assert topic_map.ids == [s.id for s in SAMPLES] and topic_map.backend == "nomic"
    assert topic_map.x.tolist() == pytest.approx([-1.0, -0.6, -0.2, 0.2, 0.6, 1.0])
    names = [topic_map.topic_names[t] for t in topic_map.topic_index.tolist()]
    assert names == ["about s0", "about s1"] * 3
    link = topic_map.settings["link"]
    assert link == f"https://atlas.nomic.ai/data/me/{service.project['slug']}/map"
    assert link in render_page(topic_map)


def test_nothing_leaves_without_consent_and_rows_and_licences_are_named(service, monkeypatch):
    with pytest.raises(UserError) as caught:
        map_dataset(SAMPLES, backend="nomic", seed=0)
    message = str(caught.value)
    assert "3 rows of s0 (MIT)" in message and "3 rows of s1 (no licence stated)" in message
    assert ours.CONSENT_VARIABLE in message and service.asked == []
    monkeypatch.setenv(ours.CONSENT_VARIABLE, "yes")
    ours._ask_consent(SAMPLES, consent=False)


def test_a_refused_part_is_named_and_the_same_call_goes_on_with_it(service):
    service.refuse_part = 2
    with pytest.raises(UserError, match=r"took 4 of 6 rows .* the same command goes on"):
        build()
    assert not service.has_index
    build()
    assert service.n_parts == 3 and len({r["row"] for r in service.rows}) == len(service.rows) == 6
    build()
    assert service.n_parts == 3, "what is there is not uploaded again"


def test_rows_that_the_map_loses_are_an_error(service):
    service.lose_rows = 2
    with pytest.raises(UserError, match="no place for 2 of 6 rows"):
        build()


def test_a_map_that_is_never_built_is_an_error(service, monkeypatch):
    monkeypatch.setattr(ours, "WAIT_SECONDS", 10)
    service.locked_looks = 10_000
    with pytest.raises(UserError, match="has not built the map"):
        build()


def test_a_token_that_the_service_does_not_know_is_one_line(service, monkeypatch):
    monkeypatch.setenv(ours.TOKEN_VARIABLE, "nk-another")
    with pytest.raises(UserError, match=r"refused .*no longer valid") as caught:
        build()
    assert "nk-another" not in str(caught.value)


def test_a_service_out_of_reach_is_one_line(service, monkeypatch):
    monkeypatch.setenv("ATLAS_API_PATH", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="cannot be reached"):
        build()
