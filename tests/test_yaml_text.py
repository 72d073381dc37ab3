"""YAML and JSON that a person wrote: what it says, or a refusal that names the line."""

from __future__ import annotations

import time

import pytest

from selene_lib.curation.decisions import read_decisions
from selene_lib.errors import UserError, shown
from selene_lib.files.names import is_plain_name
from selene_lib.files.yaml_text import NotYamlError, parse_yaml, read_yaml
from selene_lib.judges.asked import criteria_of
from selene_lib.pipeline import presets
from selene_lib.pipeline.fingerprint import _data_of_domain
from selene_lib.pipeline.places import run_folder
from selene_lib.prompts.rubrics import read_rubric

BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi")
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", "010"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("0x10", "0x10"),
        ("2024-01-01", "2024-01-01"),
        ("on", "on"),
        ("No", "No"),
        ("true", True),
        ("~", None),
        ("-7", -7),
        ("2.50", 2.5),
        ("2.0e-5", 2e-5),
        ("{<<: {a: 1, b: 1}, a: 2}", {"a": 2, "b": 1}),
    ],
)
def test_scalars_mean_what_they_say(text, value):
    assert parse_yaml(text) == value and type(parse_yaml(text)) is type(value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (BOMB, r"aliases unfold to more than .* \(line 4\)"),
        ("[" * 5000, "nested more than"),
        ("- " * 5000, "nested more than"),
        ("a: &a [*a]", "refers to itself"),
        ("a: 1\nb: 2\na: 3", r"the key 'a' stands twice; remove one \(line 3\)"),
        ("x: {q: 1, 'q': 2}", "the key 'q' stands twice"),
        ("!!int 010", "tag"),
        ("9" * 5000, "thousands of digits"),
        ("a: {", "line 1"),
        ("x" * 3_000_000, "longer than"),
    ],
)
def test_what_is_refused_is_refused_at_once_in_one_line(text, why):
    began = time.process_time()
    with pytest.raises(NotYamlError, match=why) as error:
        parse_yaml(text)
    assert time.process_time() - began < 2 and len(str(error.value)) < 300
    assert "\n" not in str(error.value)


def test_every_reader_of_yaml_refuses_it(tmp_path):
    path = tmp_path / "deep.yaml"
    for text in ("about: " + "[" * 5000, "a: 1\na: 2", "about:\n  " + BOMB.replace("\n", "\n  ")):
        path.write_text(text)
        for read in (
            read_yaml,
            read_decisions,
            criteria_of,
            lambda path: presets.load_run(str(path)),
            lambda path: read_rubric(path, "absolute"),
        ):
            with pytest.raises(UserError, match=r"deep.yaml.* not YAML"):
                read(path)
        assert _data_of_domain(path) == []


def test_a_message_shows_the_beginning_of_a_value():
    deep: list = []
    for _ in range(5):
        deep = [deep] * 50
    assert len(shown(deep)) < 120 and shown("a" * 500).startswith("'aaa") and shown([1]) == "[1]"


def test_json_keys_and_escapes_are_those_of_json(tmp_path):
    path = tmp_path / "r.json"
    path.write_text('{"criterion": "\\ud83d\\ude00?"}')
    assert read_rubric(path, "absolute") == "\U0001f600?"
    path.write_text('{"criterion": "x", "criterion": "y"}')
    with pytest.raises(UserError, match="'criterion' stands twice"):
        read_rubric(path, "absolute")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("criterion: x\nscores: {Yes: [good], No: bad}", r"'Yes' is one text, got \['good'\]"),
        ("criterion: x\nscores: {yes: good, Yes: bad}", "describes Yes twice"),
    ],
)
def test_a_level_is_one_text(tmp_path, text, why):
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(UserError, match=why):
        read_rubric(tmp_path / "r.yaml", "classification")


def test_words_for_true_and_false_where_a_truth_is_meant(tmp_path):
    path = tmp_path / "d.yaml"
    path.write_text("sources: {a: {keep: yes}, b: {keep: 'no'}}\nreward_threshold: null\n")
    found = read_decisions(path)["sources"]
    assert found["a"]["keep"] is True and found["b"]["keep"] is False
    path.write_text("criteria:\n- {name: a, rubric: kind, veto: no}\n- {name: b, rubric: ok}\n")
    assert [one.veto for one in criteria_of(path)] == [False, False]
    path.write_text("criteria: [{name: a, rubric: {Yes: good}}]\n")
    with pytest.raises(UserError, match="'rubric' is one text"):
        criteria_of(path)


@pytest.mark.parametrize(
    "name",
    ["a\nb", "nano\n", " nano", "a b", "a.b", "", "..", "com1", "LPT9", "Nul", "\ud800", "a" * 65],
)
def test_names_that_no_folder_has_everywhere(name):
    assert not is_plain_name(name)
    with pytest.raises(UserError, match="letters, digits"):
        run_folder(name)
    with pytest.raises(UserError):
        presets.load_run(name)


def test_a_run_file_cannot_name_a_run_badly(tmp_path):
    (tmp_path / "r.yaml").write_text('name: "\\ud800"\n')
    with pytest.raises(UserError, match="letters, digits"):
        presets.load_run(str(tmp_path / "r.yaml"))
