"""`selene` itself: its help, an example for each command, completion, errors in one line."""

from __future__ import annotations

import re
import shlex

import pytest
import typer
from doc_links import parse_problem, selene_group, selene_options

from selene_lib import cli
from selene_lib.cli.examples import EXAMPLES, commands_of_example

WIDTH = 80


def help_of(name: str) -> str:
    """Return a command's help as a terminal of 80 columns shows it."""
    here = selene_group()
    context = typer.Context(here, info_name="selene", terminal_width=WIDTH)
    for word in name.split():
        here = here.commands[word]
        context = typer.Context(here, info_name=word, parent=context, terminal_width=WIDTH)
    return here.get_help(context)


def run(monkeypatch, capsys, *arguments: str) -> tuple[int, str, str]:
    """Run `selene` here; return exit code, stdout and stderr."""
    monkeypatch.setattr("sys.argv", ["selene", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    return ended.value.code, said.out, said.err


@pytest.mark.parametrize("name", ["", "model", "data"])
def test_the_list_of_commands_is_not_cut(name):
    shown = help_of(name)
    listed = shown.partition("Commands:\n")[2].partition("\n\n")[0]
    assert listed and "..." not in listed
    assert [line for line in shown.splitlines() if len(line) > WIDTH] == []
    first_words = [line.split()[0] for line in listed.splitlines() if not line.startswith("   ")]
    group = selene_group().commands[name] if name else selene_group()
    assert first_words == list(group.commands)


@pytest.mark.parametrize("name", selene_options())
def test_every_command_ends_with_an_example_that_its_parser_takes(name):
    shown = help_of(name)
    assert [line for line in shown.splitlines() if len(line) > WIDTH] == []
    assert "\nExample:\n" in shown.replace("  Example:", "Example:"), "add one to cli/examples.py"
    assert [parse_problem(command) for command in commands_of_example(name)] == [""] * len(
        commands_of_example(name)
    )
    assert all(shlex.split(command)[0] == "selene" for command in commands_of_example(name))


def test_no_example_is_of_a_command_that_is_gone():
    assert set(EXAMPLES) <= set(selene_options())


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        ("selene judge --inptu a.csv", "--inptu"),
        ("selene train --input a.csv --out b", "--task"),
        ("selene audit --samples a -n many", "many"),
        ("selene conquer", "conquer"),
        ("selene model fetch", "fetch"),
        ("selene sources", ""),
        ("selene lab --no-browser --port 8877", ""),
        ("selene --version", ""),
        ("selene judge --help", ""),
    ],
)
def test_the_parser_finds_what_is_wrong_with_a_command(command, wrong):
    found = parse_problem(command)
    assert bool(found) == bool(wrong) and wrong in found


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["judge", "--inptu", "a.csv"],
            r"selene: no such option: --inptu.*see selene judge --help",
        ),
        (["judge"], r"selene: missing option '--input'.*see selene judge --help"),
        (["conqer"], r"selene: no such command 'conqer'.*; see selene --help"),
        (["model", "gett"], r"selene: no such command 'gett'.*; see selene model --help"),
        (["audit", "--samples", "a", "-n", "x"], r"selene: invalid value for '-n'.*"),
    ],
)
def test_a_wrong_command_line_is_told_in_one_line(monkeypatch, capsys, arguments, said):
    code, out, err = run(monkeypatch, capsys, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert re.fullmatch(said + "\n", err), err


def test_without_arguments_the_help_is_shown(monkeypatch, capsys):
    code, out, err = run(monkeypatch, capsys)
    assert code == 2 and "Commands:" in out + err


def test_the_version_is_printed(monkeypatch, capsys):
    import selene_lib

    assert run(monkeypatch, capsys, "--version") == (0, f"{selene_lib.__version__}\n", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_told_how_to_complete(monkeypatch, capsys, shell):
    monkeypatch.setenv("_SELENE_COMPLETE", f"source_{shell}")
    code, out, _ = run(monkeypatch, capsys)
    assert code == 0 and "_SELENE_COMPLETE" in out and "selene" in out


def test_commands_and_options_are_completed(monkeypatch, capsys):
    monkeypatch.setenv("_SELENE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "selene arena --vo")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert run(monkeypatch, capsys)[1].split() == ["--votes"]
    monkeypatch.setenv("COMP_WORDS", "selene ben")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert run(monkeypatch, capsys)[1].split() == ["benchmarks"]
