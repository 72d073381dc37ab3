"""The report: one file, everything escaped, every claim with its numbers, honest about scale."""

from __future__ import annotations

import itertools
import re
import shutil
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from synthetic_run import HOSTILE, finished_run

from selene_lib.errors import UserError
from selene_lib.paper import values as paper
from selene_lib.records import Judgement, Sample
from selene_lib.report import build_report
from selene_lib.report.cells import number
from selene_lib.report.claims import claims
from selene_lib.report.curation import evaluation_stages, training_stages
from selene_lib.report.items import mistake_counts, worst_items
from selene_lib.report.judged import Judged, read_judged
from selene_lib.report.provenance import scale_sentences

pytestmark = pytest.mark.slow


class Page(HTMLParser):
    """What a page holds: tags with attributes, ids, and the text outside scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if not self.tags or self.tags[-1][0] not in ("script", "style"):
            self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.getbasetemp() / "finished")


@pytest.fixture(scope="module")
def judged(run_dir: Path) -> Judged:
    return read_judged(run_dir)


def words_of(page: str) -> str:
    """The page's text, every gap one space."""
    return re.sub(r"\s+", " ", " ".join(Page(page).words))


@pytest.fixture(scope="module")
def report(run_dir: Path) -> str:
    return build_report(
        run_dir, run_dir.parent / "figures", run_dir.parent / "report.html", show_texts=True
    ).read_text(encoding="utf-8")


def test_the_page_needs_nothing_else_and_is_light(report: str) -> None:
    assert len(report.encode()) < 10_000_000
    page = Page(report)
    links = [a.get(key) or "" for _, a in page.tags for key in ("src", "href")]
    assert [link for link in links if link and not link.startswith(("data:", "#"))] == []
    assert "default-src 'none'" in report


def test_ids_are_unique_and_every_internal_link_has_its_place(report: str) -> None:
    page = Page(report)
    ids = [a["id"] for _, a in page.tags if a.get("id")]
    assert [i for i, n in Counter(ids).items() if n > 1] == []
    anchors = [a["href"][1:] for a in page.all("a") if (a.get("href") or "").startswith("#")]
    labels = [a["aria-labelledby"] for _, a in page.tags if a.get("aria-labelledby")]
    assert len(anchors) >= 10 and set(anchors) | set(labels) <= set(ids)


def test_headings_alt_texts_landmarks_and_table_heads_are_there(run_dir: Path, report: str) -> None:
    figures = run_dir.parent / "figures"
    page = Page(report)
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels.count(1) == 1 and max(b - a for a, b in itertools.pairwise(levels)) <= 2
    assert all(len(a.get("alt") or "") > 30 for a in page.all("img"))
    assert len(page.all("img")) == len(pd.read_csv(figures / "figures.csv"))
    assert {"header", "nav", "main", "footer"} <= {tag for tag, _ in page.tags}
    assert all(a.get("scope") for a in page.all("th"))
    assert all(a.get("title") for a in page.all("iframe")) and page.all("html")[0]["lang"] == "en"


def test_hostile_text_is_shown_and_never_run(report: str) -> None:
    page = Page(report)
    running = [s for s in page.all("script") if s.get("type") != "application/gzip"]
    assert len(running) == 1, "only the page's own script"
    assert HOSTILE in "".join(page.words)
    assert "window.broken = 1</script>" not in report


def test_the_first_lines_answer_what_was_run_and_what_came_out(report: str) -> None:
    words = words_of(report)
    first = words[: words.index("Table 1: judges and benchmarks")]
    assert "DPO+NLL lifts the tiny embedded model from 0.550 to 0.800" in first
    assert "Trained 0.800 [0.750, 0.850], base 0.550 [0.500, 0.600]: +25.0 points, n = 40" in first
    assert "Pearson correlation" not in first, "the synthetic means are of accuracy overall"
    assert "0.330 for always giving" in first and "not the paper's scale" in first
    assert "What beats it Nothing else that this run measured." in first


def test_what_beats_the_trained_judge_is_said_in_title_and_facts(
    run_dir: Path, tmp_path: Path
) -> None:
    better = tmp_path / "run"
    shutil.copytree(run_dir / "05_evaluate_benchmarks", better / "05_evaluate_benchmarks")
    path = better / "05_evaluate_benchmarks" / "task_means.csv"
    table = pd.read_csv(path)
    table.loc[table["judge"] == "nll-seed0", "value"] = 0.95
    table.to_csv(path, index=False)
    page = build_report(better, tmp_path, tmp_path / "report.html").read_text(encoding="utf-8")
    words = words_of(page)
    assert "from 0.550 to 0.800; NLL alone reaches 0.950" in words
    assert "NLL alone: 0.950 seed by seed, against 0.800, 0.780, 0.820 for DPO+NLL." in words


def test_the_ledger_adds_up_and_is_that_of_fig_2(run_dir: Path) -> None:
    stages = training_stages(run_dir)
    for stage in stages:
        assert stage.n_in - sum(stage.dropped.values()) == stage.n_out
    assert [(s.n_out, t.n_in) for s, t in itertools.pairwise(stages) if s.n_out != t.n_in] == []
    drawn = pd.read_csv(run_dir.parent / "figures" / "fig2.csv")
    once = drawn.drop_duplicates(["stage", "source"]).groupby("stage", sort=False)
    counts = once[["n_in", "n_out"]].sum()
    assert [(s.n_in, s.n_out) for s in stages] == list(counts.itertuples(index=False, name=None))
    assert [s.n_out for s in evaluation_stages(run_dir)] == [160]


def test_a_hundred_thousand_judgements_stay_below_ten_megabytes(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long prompts and replies, every second one wrong; the figures are those of the run."""
    long = 'A long text with <tags> & quotes "here". ' * 250
    judges = ("dpo_nll-seed0", "base")
    asked = [(judge, order) for judge in judges for order in ("AB", "BA")]
    replies = [
        [
            Judgement(
                judge, "", "", "pairwise", order, "nano/pairwise", "0", long, "stop", "value", said
            )
            for judge, order in asked
        ]
        for said in "AB"
    ]
    sets = {
        f"set-{k}": [
            Sample(f"s{i}", f"set-{k}", "pairwise", long, long, long, long, label="A")
            for i in range(2500)
        ]
        for k in range(10)
    }
    by_item = {(name, s.id): replies[i % 2] for name in sets for i, s in enumerate(sets[name])}
    assert sum(map(len, by_item.values())) == 100_000
    found = Judged("dpo_nll-seed0", sets, by_item)
    monkeypatch.setattr("selene_lib.report.build.read_judged", lambda _: found)
    page = build_report(run_dir, run_dir.parent / "figures", tmp_path / "r.html", show_texts=True)
    megabytes = page.stat().st_size / 1e6
    print(f"\nreport of 100,000 judgements: {megabytes:.2f} MB")
    assert megabytes < 10


def test_every_loss_is_shown_over_its_seeds(report: str) -> None:
    words = re.sub(r"\s+", " ", " ".join(Page(report).words))
    assert re.search(
        r"DPO\+NLL 3 \+25\.0 \+23\.0 to \+27\.0 \+25\.0, \+23\.0, \+27\.0 3 of 3", words
    )
    assert (
        words.index("DPO+NLL 3 +25.0")
        < words.index("DPO alone 1 +15.0")
        < words.index("NLL alone 1 +17.0")
    )


@pytest.mark.parametrize(
    ("model", "sets", "said"),
    [
        ("embedded", ["nano-pairs"], "generated"),
        ("embedded", ["nano-pairs", "example_domain"], "None of the paper's benchmarks was judged"),
        ("embedded", ["auto_j"], "near chance"),
        ("embedded", ["nano-pairs", "craft_md:diagnosis"], "near chance"),
        ("unsloth/Llama-3.1-8B-Instruct", ["auto_j"], "base model is the paper's"),
        ("Qwen2.5-1.5B", ["auto_j"], "not the paper's scale"),
        (None, [], "cannot|nothing here can be compared"),
    ],
)
def test_the_scale_is_said_in_words(model: str | None, sets: list[str], said: str) -> None:
    assert re.search(said, " ".join(scale_sentences(model, sets)))


def test_every_published_cell_has_a_claim_and_ours_carries_its_numbers(run_dir: Path) -> None:
    rows = {row.set: row for row in claims(run_dir)}
    assert {c.set for c in paper.PUBLISHED if c.judge == paper.SELENE_MINI} <= set(rows)
    auto_j = rows["auto_j"]
    assert (auto_j.published, auto_j.known, auto_j.status) == (0.576, "unverified", "differs")
    assert (
        auto_j.trained.value,
        auto_j.base.value,
        auto_j.trained.n,
        auto_j.trained.n_unparsed,
    ) == (0.44, 0.41, 40, 1)
    assert auto_j.majority == auto_j.random == 0.5
    assert (rows["flask"].status, rows["flask"].trained.value) == ("not run", None)
    assert rows["flask"].why.startswith("not asked for by this run")
    assert (
        rows["nano-clinic:diagnosis"].why == "reading: adjudicated"
        and rows["nano-clinic:diagnosis"].majority == 0.67
    )
    assert rows["nano-ood-pairs"].trained.value < rows["nano-pairs"].trained.value
    assert rows["nano-clinic"].majority == 0.8, (
        "the mean over the parts goes by the name of the set"
    )
    assert (rows["craft_md"].status, rows["craft_md"].why) == (
        "not run",
        "put its files below craft_md",
    )


def test_a_set_on_which_training_hurt_is_named_in_the_first_lines(
    run_dir: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "run"
    shutil.copytree(run_dir, broken)
    path = broken / "05_evaluate_benchmarks" / "scores.csv"
    table = pd.read_csv(path)
    table.loc[(table["judge"] == "dpo_nll-seed0") & (table["set"] == "nano-ood-pairs"), "value"] = (
        0.2
    )
    table.loc[(table["judge"] == "base") & (table["set"] == "nano-grades"), "value"] = None
    table.to_csv(path, index=False)
    page = build_report(broken, tmp_path, tmp_path / "report.html").read_text(encoding="utf-8")
    words = re.sub(r"\s+", " ", "".join(Page(page).words))
    assert (
        "Trained scores below the base on nano-ood-pairs "
        "(pairwise: 0.200 against 0.500, 1 unread)." in words
    )
    assert "of 5 sets (nano-grades," in words, "a set with an undefined metric was judged, too"
    assert "undefined" in words, (
        "a metric that cannot be computed is not the same as a set that was not run"
    )


def test_a_run_without_results_says_not_run_everywhere(tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    page = build_report(
        tmp_path / "bare", tmp_path / "nowhere", tmp_path / "report.html"
    ).read_text(encoding="utf-8")
    assert page.count("not run") > 20
    assert "No step of this run tells which model was used" in "".join(Page(page).words)
    assert {row.status for row in claims(tmp_path / "bare")} == {"not run"}


def test_a_run_that_is_not_there_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="selene reproduce --run nowhere"):
        build_report(tmp_path / "nowhere", tmp_path, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_without_texts_no_item_is_shown_and_mistakes_are_counted(
    run_dir: Path, judged: Judged, tmp_path: Path
) -> None:
    page = build_report(run_dir, tmp_path / "none", tmp_path / "report.html").read_text(
        encoding="utf-8"
    )
    words = "".join(Page(page).words)
    assert "window.broken" not in page and "Instruction 3" not in page
    assert "must not be redistributed" in words and "nano-pairs-" not in page
    counts = mistake_counts(judged)
    items, n_items = worst_items(judged, show_texts=True, n_most=10_000)
    assert sum(row.n for row in counts) == n_items == len(items)
    wrong_too = sum("base wrong too" in item.kinds for item in items)
    assert sum(row.kinds["base wrong too"] for row in counts) == wrong_too
    assert f"{counts[0].set}" in words and "<iframe" not in page


def test_the_worst_come_first_and_every_set_has_its_share(judged: Judged) -> None:
    items, n_items = worst_items(judged, show_texts=True, n_most=8)
    assert len(items) == 8 < n_items
    per_set = Counter(item.set for item in items)
    assert set(per_set.values()) == {2} and len(per_set) == 4
    for name in per_set:
        severities = [item.severity for item in items if item.set == name]
        assert severities == sorted(severities, reverse=True)
    grades = [
        i for i in worst_items(judged, show_texts=False, n_most=500)[0] if i.set == "nano-grades"
    ]
    assert len(grades) > 3
    for kind in ("base right", "base wrong too"):
        off = [abs(int(i.replies[0].verdict) - int(i.gold)) for i in grades if kind in i.kinds]
        assert off == sorted(off, reverse=True), "the further off, the worse"


def test_a_right_verdict_in_both_orders_is_no_disagreement(judged: Judged) -> None:
    items, _ = worst_items(judged, show_texts=False, n_most=10_000)
    for item in items:
        mine = [r for r in item.replies if r.judge.startswith("trained")]
        assert any(not r.right for r in mine) and all(
            r.right == (r.verdict == item.gold) for r in mine
        )
        assert len(mine) == (2 if item.task == "pairwise" else 1)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (0.5, "0.500"),
        (1234.0, "1,234"),
        (1234.5, "1,234.5"),
        (7, "7"),
        (12345, "12,345"),
        (True, "True"),
        ("a", "a"),
    ],
)
def test_numbers_are_written_one_way(value: object, text: str) -> None:
    assert number(value) == text
