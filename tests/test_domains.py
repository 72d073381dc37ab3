"""Are the readings the ones named, and does a user's own file become a domain or a clear error?"""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selene_lib.data.loading import load
from selene_lib.data.user_domain import load_user_domain
from selene_lib.errors import UserError
from selene_lib.evaluation.readings import ceilings, domain_table, readings, select_readings
from selene_lib.records import Judgement, Sample


def always(samples, verdict, set_name=""):
    """A judge that gives the same verdict whatever it is shown: the baseline to beat."""
    return [
        Judgement(
            judge=f"always {verdict}",
            set=set_name,
            sample_id=s.id,
            task=s.task,
            order="AB",
            template="none",
            prompt_sha256="",
            reply=verdict,
            finish_reason="stop",
            status="value",
            verdict=verdict,
        )
        for s in samples
    ]


def sample(key, label, **meta):
    return Sample(
        id=str(key),
        source="s",
        task="classification",
        instruction="q",
        response="r",
        label=label,
        group=meta.pop("group", ""),
        meta=meta,
    )


def judged(samples, verdicts):
    return [
        replace(j, judge="j", verdict=v, status="value" if v else "malformed")
        for j, v in zip(always(samples, "No"), verdicts)
    ]


def by_convention(scores, metric="accuracy"):
    return {s.convention: s for s in scores if s.metric == metric}


VOTED = [
    sample(1, "Yes", question="q1", votes={"d1": "Yes", "d2": "No", "tie_break": "Yes"}),
    sample(2, "No", question="q1", votes={"d1": "No"}),
    sample(3, "No", question="q1", votes={"d2": "No"}),
    sample(4, "Yes", question="q2", votes={"d1": "Yes", "d2": "Yes"}),
]


def test_each_annotator_is_a_reading():
    names = {(r.part, r.name): [i for i, _ in r.items] for r in select_readings(VOTED)}
    assert names["q1", "adjudicated"] == ["1", "2", "3"] and names["q1", "undisputed"] == ["2", "3"]
    assert names["q1", "annotator d1"] == ["1", "2"] and names["q1", "annotator d2"] == ["1", "3"]
    assert names["q1", "every annotation"] == ["1", "1", "2", "3"] and names[
        "q2", "undisputed"
    ] == ["4"]
    assert not any("tie" in name for _, name in names)


def test_readings_by_hand():
    scores = by_convention(
        readings("set", VOTED, judged(VOTED, ["Yes", "No", None, "No"]), n_resamples=50)
    )
    assert scores["q1, adjudicated"].value == pytest.approx(2 / 3)
    assert (scores["q1, adjudicated"].bound_low, scores["q1, adjudicated"].bound_high) == (
        pytest.approx(2 / 3),
        1.0,
    )
    assert scores["q1, adjudicated"].n_unparsed == 1 and scores[
        "q1, adjudicated"
    ].baseline_majority == pytest.approx(2 / 3)
    assert scores["q1, annotator d2"].value == 0.0
    assert (
        scores["q1, every annotation"].value == pytest.approx(2 / 4)
        and scores["q1, every annotation"].n == 4
    )
    assert scores["overall, adjudicated"].value == pytest.approx((2 / 3 + 0) / 2)
    assert [c for c, s in scores.items() if s.meta["headline"]] == ["overall, adjudicated"]


def test_refusals_in_and_out_and_by_configuration():
    rows = [
        sample(1, "Yes", refusal=False, model="m", eval_mode="open"),
        sample(2, "No", refusal=True, model="m", eval_mode="open"),
        sample(3, "No", refusal=False, model="m", eval_mode="closed"),
    ]
    scores = by_convention(
        readings(
            "financebench",
            rows,
            judged(rows, ["Yes", "Yes", "No"]),
            n_resamples=50,
            published_as="Selene Mini",
        )
    )
    assert (
        scores["all, refusals as No"].value == pytest.approx(2 / 3)
        and scores["all, refusals left out"].value == 1.0
    )
    assert (
        scores["m open, refusals as No"].value == 0.5
        and scores["m closed, refusals left out"].n == 1
    )
    assert (
        scores["all, refusals as No"].published == 0.717
        and scores["m open, refusals as No"].published is None
    )
    assert scores["all, refusals left out"].ci95_low == pytest.approx(0.342, abs=0.001), (
        "Wilson's interval of 2 of 2"
    )


def test_balanced_accuracy_and_kappa_by_hand():
    rows = [sample(i, label) for i, label in enumerate(["Yes"] * 2 + ["No"] * 8)]
    said = ["Yes", "No", *["No"] * 6, "Yes", "Yes"]
    scores = {s.metric: s for s in readings("set", rows, judged(rows, said), n_resamples=100)}
    assert (
        scores["accuracy"].value == pytest.approx(0.7)
        and scores["accuracy"].baseline_majority == 0.8
    )
    assert scores["balanced_accuracy"].value == pytest.approx((0.5 + 0.75) / 2)
    expected = 0.3 * 0.2 + 0.7 * 0.8
    assert scores["cohens_kappa"].value == pytest.approx((0.7 - expected) / (1 - expected))


def test_intervals_are_wider_where_a_group_repeats():
    rng = np.random.default_rng(0)
    right = np.repeat(rng.random(40) < 0.6, 5)
    alone = [sample(i, "Yes") for i in range(200)]
    grouped = [sample(i, "Yes", group=f"g{i // 5}") for i in range(200)]
    said = ["Yes" if r else "No" for r in right]
    one, many = (
        by_convention(readings("set", rows, judged(rows, said)))["all, as labelled"]
        for rows in (alone, grouped)
    )
    assert (many.ci95_high - many.ci95_low) / (one.ci95_high - one.ci95_low) == pytest.approx(
        math.sqrt(5), rel=0.15
    )


def test_agreement_of_annotators_is_the_ceiling():
    rows = [
        sample(
            i,
            "Yes",
            question="q",
            votes={"d1": "Yes", "d2": "Yes" if i < 3 else "No", "tie_break": "Yes"},
        )
        for i in range(4)
    ]
    found = {
        s.metric: s
        for s in ceilings(
            "set", [*rows, sample(9, "No", question="q", votes={"d1": "No"})], n_resamples=50
        )
    }
    assert (
        found["accuracy"].value == 0.75
        and found["accuracy"].n == 4
        and found["accuracy"].judge == "second annotator"
    )
    assert ceilings("set", [sample(1, "Yes")]) == []


def test_a_missing_judgement_is_named():
    with pytest.raises(ValueError, match="sample 4 was not judged"):
        readings("set", VOTED, judged(VOTED, ["Yes"] * 4)[:3])


def test_real_craft_md(data_dir):
    found = load("craft_md", data_dir=data_dir)
    if not found.present:
        pytest.skip("craft_md is not in the data folder")
    scores = by_convention(
        readings("craft_md", found.samples, always(found.samples, "No"), n_resamples=100)
    )
    published = {"terminology": 0.928, "diagnosis": 0.672, "history": 0.594}
    for question, expected in published.items():
        score = scores[f"{question}, adjudicated"]
        assert score.n == 180 and round(score.value, 3) == expected == round(
            score.baseline_majority, 3
        )
        assert [
            scores[f"{question}, {r}"].n
            for r in ("annotator d1", "annotator d2", "every annotation")
        ] == [120, 120, 240]
    cells = by_convention(
        readings(
            "craft_md",
            found.samples,
            always(found.samples, "No"),
            n_resamples=100,
            published_as="Selene Mini",
        )
    )
    assert [cells[f"{q}, annotator d1"].published for q in (*published, "overall")] == [
        0.92,
        0.62,
        0.68,
        0.74,
    ]
    agreement = by_convention(ceilings("craft_md", found.samples, n_resamples=100))
    assert {s.n for s in agreement.values()} == {60}
    assert [round(agreement[f"{q}, annotator agreement"].value * 60) for q in published] == [
        56,
        49,
        48,
    ]


def test_real_financebench(data_dir):
    found = load("financebench", data_dir=data_dir)
    if not found.present:
        pytest.skip("financebench is not in the data folder")
    labels = [s.meta["human_label"] for s in found.samples]
    assert [labels.count(name) for name in ("Correct Answer", "Incorrect Answer", "Refusal")] == [
        1135,
        528,
        737,
    ]
    scores = by_convention(
        readings("financebench", found.samples, always(found.samples, "No"), n_resamples=100)
    )
    assert len(scores) == 2 * 17
    assert (
        scores["all, refusals as No"].value == pytest.approx(1265 / 2400)
        and scores["all, refusals left out"].n == 1663
    )
    assert scores["all, refusals left out"].baseline_majority == pytest.approx(1135 / 1663)
    table = domain_table(
        readings("financebench", found.samples, always(found.samples, "Yes"), n_resamples=100)
    )
    assert (
        len(table) == 34
        and (table.balanced_accuracy == 0.5).all()
        and (table.cohens_kappa == 0).all()
    )


YAML = """name: support_answers
file: answers.csv
task: classification
columns: {instruction: question, response: answer, reference: handbook, label: good}
rubric: Is the answer right and polite?
labels: {good: Yes, bad: No, 1: Yes}
"""
CSV = """question,answer,handbook,good
How?,So.,So.,good
"When, exactly?",Never,,bad
Where?,,Here,1
"""


def domain(tmp_path, text=YAML, data=CSV, name="answers.csv"):
    (tmp_path / name).write_text(data, encoding="utf-8")
    path = tmp_path / "domain.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_users_file_becomes_a_domain(tmp_path):
    found = load_user_domain(domain(tmp_path))
    assert [(s.instruction, s.response, s.reference, s.label) for s in found.samples] == [
        ("How?", "So.", "So.", "Yes"),
        ("When, exactly?", "Never", None, "No"),
        ("Where?", "", "Here", "Yes"),
    ]
    assert {s.rubric for s in found.samples} == {
        "Is the answer right and polite?"
    } and found.n_read == 3
    scores = by_convention(
        readings(
            "support_answers", found.samples, judged(found.samples, ["Yes"] * 3), n_resamples=50
        )
    )
    assert scores["all, as labelled"].value == pytest.approx(2 / 3)
    assert [s.id for s in load_user_domain(domain(tmp_path), limit=2).samples] == [
        s.id for s in found.samples[:2]
    ]


def test_json_lines_and_other_tasks(tmp_path):
    columns = "{instruction: q, response: one, response_b: two, label: better, id: key}"
    text = f"name: d\nfile: a.jsonl\ntask: pairwise\ncolumns: {columns}\n"
    rows = [
        {"q": "x", "one": "1", "two": "2", "better": "A", "key": 1},
        {"q": "x", "one": "1", "two": "2", "better": "tie", "key": 2},
    ]
    data = "\n".join(map(json.dumps, rows))
    found = load_user_domain(domain(tmp_path, text, data, "a.jsonl")).samples
    assert [s.label for s in found] == ["A", "tie"] and len({s.id for s in found}) == 2
    columns = "{instruction: q, response: a, score: s, rubric: r}"
    text = f"name: d\nfile: a.csv\ntask: absolute\ncolumns: {columns}\n"
    found = load_user_domain(domain(tmp_path, text, "q,a,s,r\nx,y,3.5,how?\n", "a.csv")).samples
    assert (found[0].score, found[0].label, found[0].rubric) == (3.5, None, "how?")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("task: classification", "task: grading"), "'grading' is not one of absolute"),
        (("name: support_answers", ""), "the key name is missing"),
        (("rubric:", "rubrik:"), "did you mean rubric"),
        (("label: good}", "}"), "needs a column for label"),
        (("response: answer", "respons: answer"), "did you mean response"),
        (("bad: No", "bad: Nein"), "'bad' maps to 'Nein'"),
        (("answers.csv", "gone.csv"), "gone.csv does not exist"),
        (("bad: No, ", ""), "one of good, 1, found 'bad'"),
        (("response: answer", "response: reply"), "column 'reply'"),
        (("columns: {", "columns: ["), "is not YAML"),
        (("labels: {good: Yes, bad: No, 1: Yes}", "max_broken_share: much"), "must be a number"),
    ],
)
def test_mistakes_are_named(tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        load_user_domain(domain(tmp_path, YAML.replace(*change)))


def test_missing_yaml_and_empty_data_are_named(tmp_path):
    with pytest.raises(UserError, match="no domain file"):
        load_user_domain(tmp_path / "none.yaml")
    with pytest.raises(UserError, match="no row"):
        load_user_domain(domain(tmp_path, data="question,answer,handbook,good\n"))


def test_broken_rows_are_counted_where_allowed(tmp_path):
    path = domain(tmp_path, YAML + "max_broken_share: 0.5\n", CSV + "Who?,Me,,perhaps\n")
    found = load_user_domain(path, quarantine=tmp_path / "quarantine.jsonl")
    assert len(found.samples) == 3 and sum(found.n_dropped.values()) == 1 and found.n_read == 4
    assert "perhaps" in (tmp_path / "quarantine.jsonl").read_text()


def test_a_pairwise_domain_is_scored_as_a_set():
    rows = [replace(sample(i, None), task="pairwise", response_b="x", label="A") for i in range(3)]
    said = [replace(j, judge="j") for j in always(rows, "A", set_name="own")]
    scores = readings("own", rows, said, n_resamples=50)
    assert (
        any(s.metric == "accuracy" and s.value == 1.0 for s in scores)
        and len(domain_table(scores)) > 0
    )


@settings(max_examples=50, deadline=None)
@given(
    st.one_of(
        st.text(max_size=120),
        st.sampled_from(["[]", "a: [", "{}", "name: x", "name: {}\nfile: 1\ntask: []\ncolumns: 3"]),
    )
)
def test_any_yaml_is_a_domain_or_a_user_error(tmp_path_factory, text):
    with pytest.raises(UserError):
        load_user_domain(domain(tmp_path_factory.mktemp("domain"), text))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("rubric: Is the answer right and polite?", "rubric: {Yes: good}"),
            "'rubric' is one text",
        ),
        (("rubric: Is the answer right and polite?", "rubric: [a, b]"), "'rubric' is one text"),
        (("rubric: Is the answer right and polite?", r'rubric: "a\0"'), "holds a NUL"),
        (("file: answers.csv", "file: [answers.csv]"), "'file' is one text"),
        (("name: support_answers", "name: {a: b}"), "'name' is one text"),
        (("name: support_answers", "name: COM7"), "Windows"),
        (("name: support_answers", "name: a\nname: b"), "the key 'name' stands twice"),
        (("response: answer", "response: answer, response: handbook"), "'response' stands twice"),
        (("name: support_answers", "name: " + "[" * 5000), "nested more than"),
    ],
)
def test_a_domain_file_is_read_as_it_stands(tmp_path, change, message):
    assert change[0] in YAML
    with pytest.raises(UserError, match=message):
        load_user_domain(domain(tmp_path, YAML.replace(*change)))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (CSV + 'Who?,"Me,,good\n', r"answers.csv, row 4 \(line 5\)"),
        (CSV.replace("\n", ",good\n", 1), "'good' stands twice"),
        (CSV + "Who?,M\0e,,good\n", "a NUL"),
    ],
)
def test_data_that_could_be_read_in_two_ways_is_refused(tmp_path, data, message):
    with pytest.raises(UserError, match=message):
        load_user_domain(domain(tmp_path, data=data))


def test_a_field_that_stands_twice_is_refused(tmp_path):
    text = "name: d\nfile: a.jsonl\ntask: classification\n"
    text += "columns: {instruction: q, response: r, label: l}\n"
    data = '{"q": "a", "r": "b", "l": "Yes"}\n{"q": "a", "q": "b", "r": "b", "l": "Yes"}\n'
    with pytest.raises(UserError, match=r"a.jsonl, row 2.*'q' stands twice"):
        load_user_domain(domain(tmp_path, text, data, "a.jsonl"))
