"""From a labelled table to a trained judge: checks, split, training, resuming, judging with it."""

from __future__ import annotations

import csv
import json

import pytest
from conftest import REPOSITORY
from typer.testing import CliRunner

from selene_lib import nano
from selene_lib.cli import app
from selene_lib.errors import UserError
from selene_lib.judge import Judge, judge_file
from selene_lib.judges.trained import read_trained
from selene_lib.labels.comparing import compare, rule_verdicts, sentence
from selene_lib.labels.recipe import JudgeRecipe, balance
from selene_lib.labels.splitting import split_labels
from selene_lib.labels.table import read_labels, with_groups
from selene_lib.labels.training import train_judge
from selene_lib.models.names import resolve_model
from selene_lib.records import PreferencePair, Sample
from selene_lib.training.export import export_judge

EXAMPLE = REPOSITORY / "examples" / "support_answers"
RUBRIC = "Is it right?\nYes: it is.\nNo: it is not.\n"


def written(tmp_path, rows, name="labels.csv", header="instruction,response,label"):
    path = tmp_path / name
    with open(path, "w", encoding="utf-8", newline="") as stream:
        stream.write(header + "\n")
        csv.writer(stream, lineterminator="\n").writerows(rows)
    (tmp_path / "rubric.txt").write_text(RUBRIC, encoding="utf-8")
    return path


def rows(n, label=lambda i: ("Yes", "No")[i % 2], instruction=lambda i: f"q{i // 2}"):
    return [(instruction(i), f"answer {i}", label(i)) for i in range(n)]


def train_command(tmp_path, path, *options):
    rubric = ["--rubric", str(tmp_path / "rubric.txt")]
    common = ["--task", "classification", "--base", "embedded", "--out", str(tmp_path / "judge")]
    return CliRunner().invoke(app, ["train", "--input", str(path), *common, *rubric, *options])


BROKEN = {
    "missing column": (rows(40), "instruction,response,mark", "no column 'label'"),
    "unknown label": (
        [*rows(40), ("q", "a", "fine")],
        None,
        "row 41: label 'fine' is not one of Yes, No",
    ),
    "one class": (rows(40, label=lambda i: "Yes"), None, "every label is Yes"),
    "five rows": (rows(5), None, "5 labelled rows are too few"),
    "one instruction": (rows(40, instruction=lambda i: "q"), None, "same instruction"),
    "two labels": (
        [*rows(40), ("q3", "Answer  7", "Yes")],
        None,
        "row 41: the same item as row 8 has the label Yes here and No there",
    ),
    "three groups": (rows(40, instruction=lambda i: f"q{i % 3}"), None, "3 groups are too few"),
    "class in one group": (
        rows(40, label=lambda i: "Yes" if i < 2 else "No"),
        None,
        "would all have one label",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_table_is_one_line_and_leaves_nothing(tmp_path, case):
    content, header, words = BROKEN[case]
    path = written(tmp_path, content, header=header or "instruction,response,label")
    done = train_command(tmp_path, path)
    assert isinstance(done.exception, UserError)  # the command's `main` prints it and exits with 2
    assert words in str(done.exception)
    assert "\n" not in str(done.exception)
    assert not (tmp_path / "judge").exists()


def test_mixed_encodings_are_named_with_their_line(tmp_path):
    path = written(tmp_path, rows(40))
    path.write_bytes(path.read_bytes() + "q9,caf\xe9,Yes\n".encode("latin-1"))
    done = train_command(tmp_path, path)
    assert "line 42 is not UTF-8" in str(done.exception)
    assert not (tmp_path / "judge").exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    path = written(tmp_path, rows(40))
    (tmp_path / "judge").mkdir()
    (tmp_path / "judge" / "thesis.txt").write_text("dear")
    assert "holds something else" in str(train_command(tmp_path, path).exception)
    assert [p.name for p in (tmp_path / "judge").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("text", ["[]", "{", "null", '{"fingerprint": 5}'])
def test_a_folder_whose_claim_is_damaged_is_refused(tmp_path, text):
    path = written(tmp_path, rows(40))
    (tmp_path / "judge").mkdir()
    (tmp_path / "judge" / "labels.json").write_text(text)
    done = train_command(tmp_path, path)
    assert "labels.json is damaged" in str(done.exception)


def test_rows_are_counted_duplicates_left_out_and_own_words_read(tmp_path):
    content = [*rows(40, label=lambda i: ("good", "bad")[i % 2]), ("q0", "answer 0", "good")]
    path = written(tmp_path, [*content, ("q99", "unlabelled", "")])
    table = read_labels(
        path,
        "classification",
        rubric=tmp_path / "rubric.txt",
        labels={"good": "Yes", "bad": "No"},
    )
    assert (len(table.samples), table.n_rows) == (40, 42)
    assert (table.n_duplicates, table.n_unlabelled) == (1, 1)
    assert "Yes 20, No 20" in table.describe()[0]


def sample(i, instruction, group, label="Yes"):
    return Sample(f"s{i}", "t", "classification", instruction, f"a{i}", label=label, group=group)


def test_groups_that_share_an_instruction_are_one():
    found = with_groups([sample(0, "q", "a"), sample(1, "q", "b"), sample(2, "r", "b")])
    assert len({s.group for s in found}) == 1
    apart = with_groups([sample(0, "same", "a"), sample(1, "same", "b")])
    assert len({s.group for s in apart}) == 2


@pytest.mark.parametrize("seed", range(5))
def test_no_group_is_in_two_parts_and_labels_keep_their_shares(seed):
    items = [
        sample(i, f"q{i // 3}", f"g{i // 3}", "Yes" if i % 10 < 3 else "No") for i in range(300)
    ]
    parts = split_labels(items, holdout=0.25, validation=0.15, seed=seed)
    groups = [
        {s.group for s in part} for part in (parts.training, parts.validation, parts.held_out)
    ]
    assert not (groups[0] & groups[1] or groups[0] & groups[2] or groups[1] & groups[2])
    assert len(parts.training) + len(parts.validation) + len(parts.held_out) == 300
    assert 70 <= len(parts.held_out) <= 80
    share = sum(s.label == "Yes" for s in parts.held_out) / len(parts.held_out)
    assert share == pytest.approx(0.3, abs=0.04)


def test_rarer_labels_are_repeated_under_new_ids():
    def pair(i, label):
        return PreferencePair(
            f"p{i}", f"s{i}", "t", "classification", "?", "y", "n", False, label, "No"
        )

    found = balance([pair(i, "No") for i in range(9)] + [pair(9, "Yes"), pair(10, "Yes")], 0)
    labels = [p.label for p in found]
    assert (labels.count("No"), labels.count("Yes")) == (9, 8)  # at most four times each
    assert len({p.id for p in found}) == len(found)


def test_the_example_is_balanced_and_half_of_it_hard():
    with open(EXAMPLE / "labels.csv", encoding="utf-8") as stream:
        found = list(csv.DictReader(stream))
    assert len(found) >= 240
    assert len({row["response"] for row in found}) == len(found)
    for hard in ("yes", "no"):
        mine = [row["label"] for row in found if row["hard"] == hard]
        assert mine.count("Yes") == mine.count("No") == len(found) // 4


def example_halves():
    table = read_labels(EXAMPLE / "labels.csv", "classification", rubric=EXAMPLE / "rubric.txt")
    with open(EXAMPLE / "labels.csv", encoding="utf-8") as stream:
        hard = [row["hard"] == "yes" for row in csv.DictReader(stream)]
    easy = [s for s, h in zip(table.samples, hard) if not h]
    return easy, [s for s, h in zip(table.samples, hard) if h]


def test_no_keyword_wins_the_hard_half_of_the_example():
    easy, hard = example_halves()
    for row in compare(hard, rule_verdicts(easy, hard, 0), n_resamples=200):
        print(f"{row['who']}: {row['accuracy']:.3f} on the hard half, trained on the easy one")
        assert row["accuracy"] <= 0.75


def test_the_words_say_when_it_is_no_success():
    def row(who, accuracy, half=0.05):
        return {
            "who": who,
            "accuracy": accuracy,
            "accuracy_low": accuracy - half,
            "accuracy_high": accuracy + half,
        }

    both = [row("before", 0.053), row("after", 0.163)]
    assert "intervals apart. It is no success: majority scores 0.500" in sentence(
        [*both, row("majority", 0.5)]
    )
    good = [row("before", 0.5), row("after", 0.8)]
    assert "below it" in sentence([*good, row("majority", 0.5)])
    assert "do not show" in sentence([*good, row("TF-IDF", 0.78)])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A judge of 44 items of the embedded world, trained on the embedded base in a few steps."""
    folder = tmp_path_factory.mktemp("labels")
    items = nano.make_set("nano-classification", 44, seed=3)
    with open(folder / "labels.csv", "w", encoding="utf-8", newline="") as stream:
        out = csv.writer(stream)
        out.writerow(["question", "response", "rubric", "label"])
        out.writerows([s.instruction, s.response, s.rubric, s.label] for s in items)
    options = {
        "task": "classification",
        "columns": {"instruction": "question"},
        "recipe": JudgeRecipe(base="embedded", n_epochs=1, batch_size=16),
        "say": lambda line: None,
    }
    done = train_judge(folder / "labels.csv", folder / "judge", **options)
    return folder, done, options


@pytest.mark.slow
def test_the_trained_judge_knows_what_it_is(trained):
    folder, done, _ = trained
    settings = read_trained(folder / "judge")
    assert (settings.base, settings.task, settings.family) == ("embedded", "classification", "nano")
    assert settings.columns == {"instruction": "question"}
    assert settings.agreement["n"] == len(done.parts.held_out)
    assert [row["who"] for row in done.compared][:3] == ["before", "after", "majority"]
    assert str(folder) not in (folder / "judge" / "selene.json").read_text(encoding="utf-8")
    trained_on = {s.group for s in (*done.parts.training, *done.parts.validation)}
    assert not trained_on & {s.group for s in done.parts.held_out}


@pytest.mark.slow
def test_judging_with_it_needs_nothing_else(trained, tmp_path):
    folder, done, _ = trained
    found = judge_file(
        folder / "labels.csv",
        tmp_path / "judged.csv",
        adapter=str(folder / "judge"),
        progress=False,
    )
    assert found.n == 44
    with open(tmp_path / "judged.csv", encoding="utf-8") as stream:
        by_text = {row["response"]: row["verdict"] for row in csv.DictReader(stream)}
    said = {s.response: v for s, v in zip(done.parts.held_out, held_out_verdicts(folder))}
    assert {text: by_text[text] for text in said} == said
    item = done.parts.held_out[0]
    one = Judge(adapter=str(folder / "judge")).score(
        item.response, instruction=item.instruction, rubric=item.rubric
    )
    assert one.judgements[0].task == "classification"


@pytest.mark.slow
def test_an_exported_judge_gives_the_adapters_verdicts_and_its_card_is_filled(trained, tmp_path):
    folder, done, _ = trained
    exported = export_judge(
        resolve_model("embedded"),
        folder / "judge",
        tmp_path / "exported",
        golden=done.parts.held_out,
        name="mine",
        min_readable=1,
    )
    verdicts = []
    ways = {"a": {"adapter": str(folder / "judge")}, "b": {"model": str(tmp_path / "exported")}}
    for name, how in ways.items():
        given = {**how, "dtype": "float32", "progress": False}
        found = judge_file(folder / "labels.csv", tmp_path / f"{name}.csv", **given)
        assert found.task == "classification" and found.n == 44
        with open(tmp_path / f"{name}.csv", encoding="utf-8") as stream:
            verdicts.append([row["verdict"] for row in csv.DictReader(stream)])
    n_alike = sum(a == b for a, b in zip(*verdicts))
    print(f"{n_alike} of {len(verdicts[0])} verdicts of the exported model are the adapter's")
    assert verdicts[0] == verdicts[1]
    card = (exported.merged_dir / "README.md").read_text(encoding="utf-8")
    assert "base_model: embedded" in card and "| after |" in card
    for title in ("Training", "Data", "Losses", "Agreement with labels", "Seeds"):
        assert f"## {title}\n\nNot recorded" not in card and f"## {title}\n" in card
    assert str(folder) not in card


def held_out_verdicts(folder):
    with open(folder / "judge" / "held_out.csv", encoding="utf-8") as stream:
        return [row["verdict"] for row in csv.DictReader(stream)]


@pytest.mark.slow
def test_the_same_call_again_trains_nothing_and_other_labels_are_refused(trained, monkeypatch):
    folder, done, options = trained
    before = (folder / "judge" / "adapter_model.safetensors").read_bytes()
    monkeypatch.setattr("selene_lib.training.run.train_with_selene", None)
    again = train_judge(folder / "labels.csv", folder / "judge", **options)
    assert again.compared == done.compared
    assert (folder / "judge" / "adapter_model.safetensors").read_bytes() == before
    other = {**options, "recipe": JudgeRecipe(base="embedded", n_epochs=2)}
    with pytest.raises(UserError, match="other labels or settings"):
        train_judge(folder / "labels.csv", folder / "judge", **other)


@pytest.mark.slow
def test_its_own_held_out_file_goes_through_agree(trained):
    folder, done, _ = trained
    path = folder / "judge" / "held_out.csv"
    result = CliRunner().invoke(app, ["agree", str(path), "--out", str(folder / "again")])
    assert result.exit_code == 0, result.output
    numbers = json.loads((folder / "again.json").read_text(encoding="utf-8"))
    accuracy = next(m for m in numbers["measures"] if m["measure"] == "accuracy")
    assert accuracy["value"] == pytest.approx(done.agreement.value("accuracy"))
    assert accuracy["ci95_low"] == pytest.approx(done.compared[1]["accuracy_low"], abs=1e-6)


@pytest.mark.slow
def test_the_cells_of_notebook_09_run_on_the_embedded_base(trained, monkeypatch):
    folder, _, _ = trained
    monkeypatch.setenv("SELENE_HOME", str(folder / "home"))
    monkeypatch.chdir(REPOSITORY)
    notebook = REPOSITORY / "notebooks" / "09_train_on_your_labels.ipynb"
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    first, *rest = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
    names: dict = {"__name__": "__main__"}
    exec(first, names)
    names |= {
        "run": "mine",
        "input_file": str(folder / "labels.csv"),
        "rubric_file": "",
        "pool_file": str(folder / "labels.csv"),
        "columns": "instruction=question",
        "base": "embedded",
        "n_epochs": 0.2,
    }
    for cell in rest:
        exec(cell, names)
    step = folder / "home" / "artefacts" / "mine" / "09_train_on_your_labels"
    assert (step / "judge" / "adapter_config.json").is_file()
    assert (step / "step.json").is_file()
    assert names["pair"].chosen.startswith("**Result:** ")
    assert names["labeller"].current is not None
