"""Documents tell the truth: links, paths, commands and options exist, numbers are those of the
committed results, pins can be installed.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import tarfile
import tomllib

import pytest
from conftest import REPOSITORY
from doc_links import (
    FENCE,
    command_problems,
    commands_of,
    html_problems,
    link_problems,
    markdown_of,
    option_problems,
    parse_problem,
    path_problems,
    sessions,
    words,
)
from test_readme_commands import option, uncovered

from selene_lib.pipeline.readme import (
    documents,
    fill,
    losses_in_words,
    readme_blocks,
    update_documents,
)

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
NAMES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "reports/LOG.md")
PAGES = [*(REPOSITORY / name for name in NAMES), *sorted((REPOSITORY / "docs").glob("*.md"))]
DOCUMENTS = [*PAGES, *NOTEBOOKS]
REPORT = REPOSITORY / "reports" / "nano" / "report.html"


@pytest.fixture(params=DOCUMENTS, ids=lambda path: path.name)
def document(request):
    """A document's folder and its text; of a notebook, its Markdown cells."""
    path = request.param
    return path.parent, markdown_of(path) if path.suffix == ".ipynb" else path.read_text(
        encoding="utf-8"
    )


def test_links_lead_somewhere(document):
    folder, text = document
    assert link_problems(text, folder) == []


def test_paths_exist(document):
    folder, text = document
    assert path_problems(text, folder) == []


def test_commands_and_options_exist(document):
    _, text = document
    assert command_problems(commands_of(text)) == []
    assert option_problems(text) == []


def test_the_committed_report_is_whole_and_loads_nothing():
    assert html_problems(REPORT.read_text(encoding="utf-8"), REPORT.parent) == []


def test_every_command_of_the_readme_is_executed_by_a_test():
    commands = commands_of((REPOSITORY / "README.md").read_text(encoding="utf-8"))
    assert [problem for command in commands if (problem := uncovered(command))] == []


MOST_WORDS = 1200


def test_the_readme_is_short():
    """Every word between two spaces counts, those of tables, commands and markers too."""
    n_words = len((REPOSITORY / "README.md").read_text(encoding="utf-8").split())
    print(f"\nREADME.md: {n_words} words, at most {MOST_WORDS}")
    assert n_words <= MOST_WORDS


ORDER = (
    "## Two commands",
    "## Judge your own answers",
    "## Train on your own labels",
    "## Real models",
    "## Notebooks",
    "## What is reproduced, and what is not",
    "## Documentation",
)


def test_the_readme_begins_with_what_it_is_and_keeps_its_order():
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert tuple(re.findall(r"^## .+$", text, flags=re.MULTILINE)) == ORDER
    opening = text.partition("## ")[0]
    first = opening.split("\n\n")[1]
    assert len(re.findall(r"\.(?=\s|$)", first)) == 2, "what it is, in two sentences"
    assert "| critique | verdict |" in opening and "selene judge" in opening, "a judged answer"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_a_whole_command_is_one_that_its_parser_takes(page):
    """What stands in fenced blocks is meant to be typed: option by option, value by value."""
    blocks = [match[0] for match in FENCE.finditer(page.read_text(encoding="utf-8"))]
    typed = [command for block in blocks for command in commands_of(block)]
    assert [problem for command in typed if (problem := parse_problem(command))] == []


def test_the_reference_lists_every_room():
    listed = re.findall(
        r"^   selene_lib\.(\w+)$", (REPOSITORY / "docs" / "api.md").read_text(), flags=re.MULTILINE
    )
    rooms = {p.stem for p in (REPOSITORY / "selene_lib").iterdir() if p.suffix in ("", ".py")}
    assert set(listed) == rooms - {"__init__", "__pycache__"}


def test_an_input_file_of_the_readme_is_the_same_wherever_it_is_named():
    commands = [
        words(command)
        for command in commands_of((REPOSITORY / "README.md").read_text(encoding="utf-8"))
    ]
    meant = {
        (option(given, "--input"), option(given, "--task"), "--rubric" in given)
        for given in commands
        if "--input" in given
    }
    names = [name for name, *_ in meant]
    assert sorted({name for name in names if names.count(name) > 1}) == [], (
        "one file cannot be input of two tasks, or with and without a rubric"
    )


def extras_of(requirement: str) -> list[str]:
    return re.findall(r"[\w-]+", requirement.partition("[")[2].partition("]")[0])


def test_what_pip_is_told_to_install_exists_and_agrees_with_the_pins():
    from packaging.requirements import Requirement

    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    pinned = dict(
        re.findall(
            r"^([\w.-]+)==([^\s;]+)",
            (REPOSITORY / "constraints.txt").read_text(encoding="utf-8"),
            flags=re.MULTILINE,
        )
    )
    pinned = {name.lower().replace("_", "-"): version for name, version in pinned.items()}
    told = [
        words(c)
        for path in PAGES
        for c in commands_of(path.read_text(encoding="utf-8"))
        if "pip install" in c
    ]
    asked = {
        extra
        for command in told
        for word in command
        if word.startswith(".")
        for extra in extras_of(word)
    }
    assert asked <= set(extras)
    for line in (
        line for name in asked for line in extras[name] if not line.startswith("selene_lib")
    ):
        requirement = Requirement(line)
        version = pinned.get(requirement.name.lower().replace("_", "-"))
        assert version is None or requirement.specifier.contains(version, prereleases=True), (
            f"{line} against {version}"
        )
    for command in told:
        for file in (command[i + 1] for i, word in enumerate(command) if word in ("-c", "-r")):
            assert (REPOSITORY / file).is_file(), file


def test_the_numbers_of_readme_and_docs_are_those_of_the_committed_results(tmp_path):
    archive = subprocess.run(
        ["git", "-C", str(REPOSITORY), "archive", "HEAD", "reports"], capture_output=True
    )
    if archive.returncode != 0:
        pytest.skip("not a git checkout with committed results")
    # not those of the working tree, which every run changes
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as committed:
        committed.extractall(tmp_path, filter="data")
    texts = {path: path.read_text(encoding="utf-8") for path in documents(REPOSITORY)}
    blocks = readme_blocks(tmp_path)
    everything = "".join(texts.values())
    assert [name for name in blocks if f"<!-- {name} -->" not in everything] == []
    stale = [path.name for path, text in texts.items() if fill(text, blocks) != text]
    assert stale == [], "run `python -m selene_lib.pipeline.readme`"


def test_new_results_reach_readme_and_docs_once(tmp_path):
    for path in documents(REPOSITORY):
        target = tmp_path / path.relative_to(REPOSITORY)
        target.parent.mkdir(exist_ok=True)
        shutil.copy(path, target)
    assert update_documents(tmp_path) == []  # no results are published there
    for run in ("nano", "laptop"):
        shutil.copytree(REPOSITORY / "reports" / run, tmp_path / "reports" / run)
    update_documents(tmp_path)
    path = tmp_path / "reports" / "nano" / "results.json"
    results = json.loads(path.read_text(encoding="utf-8"))
    for row in results["task_means"]:
        row["value"] = 0.123456
    path.write_text(json.dumps(results), encoding="utf-8")
    assert update_documents(tmp_path) == ["README.md", "docs/results.md"]
    assert "untrained 0.12" in (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "**0.123**" in (tmp_path / "docs" / "results.md").read_text(encoding="utf-8")
    assert update_documents(tmp_path) == []


def test_what_the_readme_says_of_simple_rules_holds():
    """Two of the three tasks are judged better by a rule than by the trained model."""
    results = json.loads((REPOSITORY / "reports" / "laptop" / "results.json").read_text())
    rows = [row for row in results["yes_no"] if row["set"].endswith("_test")]
    beaten = set()
    for name in {row["set"] for row in rows}:
        mine = {row["who"]: row for row in rows if row["set"] == name}
        trained = max(r["accuracy"] for who, r in mine.items() if who.startswith("dpo_nll"))
        rules = [r["accuracy"] for r in mine.values() if r["kind"] != "judge"]
        beaten |= {name} if max(rules) > trained else set()
    assert beaten == {"diagnosis_test", "refusal_test"}


def test_losses_are_said_in_the_words_of_the_readme():
    means = {"base": 0.349, "dpo_nll-seed0": 0.9, "dpo_nll-seed1": 0.918, "nll-seed0": 0.97}
    rows = [{"judge": who, "task": "overall", "value": value} for who, value in means.items()]
    rows.append({"judge": "base", "task": "pairwise", "value": 0.1})
    assert losses_in_words({"task_means": rows}) == (
        "untrained 0.35, DPO+NLL 0.90 to 0.92, NLL alone 0.97"
    )


def test_the_citation_names_the_version_and_an_address_only_where_the_project_has_one():
    import yaml

    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"]
    assert citation.get("repository-code") == project["urls"].get("Repository")
    assert citation["references"][0]["url"] == project["urls"]["Paper"]


def test_nothing_large_or_private_is_tracked():
    listed = subprocess.run(
        ["git", "-C", str(REPOSITORY), "ls-files"], capture_output=True, text=True
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    paths = [
        REPOSITORY / name for name in listed.stdout.splitlines() if (REPOSITORY / name).is_file()
    ]
    assert [p.name for p in paths if p.stat().st_size > 10_000_000] == []


# The checks themselves, on made-up text: what is broken is found, what is sound is not

MADE_UP = """
    pip install selene

Use `selene plan` and `make`, or `selene reproduce
--run paper`.

```bash
selene judge --task absolute \\
    --model http://localhost:8000/v1#m --input a.csv --output "b;c.csv"   # don't stop; go && on
export OPENAI_API_KEY=sk && .venv/bin/selene plan ; rm -rf everything
```

```console
$ make test
3 passed
```

```
selene_lib/     the library
selene arena --votes v.csv
```

```python
print(1)
```
"""


def test_every_command_is_found_once_whole_and_in_order():
    found = sessions(MADE_UP)
    judge = "selene judge --task absolute --model http://localhost:8000/v1#m"
    judge += ' --input a.csv --output "b;c.csv"'
    assert [s.commands for s in found] == [
        ("selene plan",),
        ("selene reproduce --run paper",),
        (judge, "export OPENAI_API_KEY=sk", ".venv/bin/selene plan", "rm -rf everything"),
        ("make test",),
        ("selene arena --votes v.csv",),
        ("print(1)\n",),
    ]
    assert [s.python for s in found] == [False] * 5 + [True]
    assert [s.where for s in found][:3] == ["line 4", "line 4", "line 7"]


@pytest.mark.parametrize(
    ("link", "broken"),
    [
        ("README.md", False),
        ("README.md#two-commands", False),
        ("#a-heading-of-its-own", False),
        ("notebooks/", False),
        ("https://arxiv.org/abs/2501.17195", False),
        ("https://arxiv.org:443/", False),
        ("absent.md", True),
        ("README.md#no-such-heading", True),
        ("#nowhere", True),
        ("https://arxiv", True),
        ("https:/arxiv.org", True),
        ("ftp://arxiv.org/x", True),
        ("mailto:someone", True),
    ],
)
def test_a_broken_link_is_found(link, broken):
    text = f'# A heading, of its own\n\nSee [this]({link}) and ![that]({link} "title").\n'
    text += f"\n[ref]: {link}\n"
    assert len(link_problems(text, REPOSITORY)) == (3 if broken else 0)
    assert link_problems(f"`[code]({link})`\n```\n[code]({link})\n```\n", REPOSITORY) == []


@pytest.mark.parametrize(
    ("path", "broken"),
    [
        ("selene_lib/pipeline/chain.py", False),
        ("selene_lib/prompts/templates/full", False),
        ("selene_lib/data/sources/<name>.py", False),
        ("reports/<run>/", False),
        ("figures/other/", False),
        ("tests/..._sources.py", False),
        ("runs/*.yaml", False),
        ("nano/wiring.py", False),
        ("chain.py", False),
        ("__init__.py", False),
        ("CHANGELOG.md", False),
        ("artefacts/nano/05_evaluate_benchmarks/scores.csv", False),
        ("judged.csv", False),
        ("http://host/v1#model", False),
        ("selene_lib/absent.py", True),
        ("notebooks/09_absent", True),
        ("runs/absent.yaml", True),
        ("nano/absent.py", True),
        ("figures/nano/absent.png", True),
        ("absent.py", True),
        ("ABSENT.md", True),
    ],
)
def test_a_missing_path_is_found(path, broken):
    assert len(path_problems(f"Look at `{path}` there.", REPOSITORY)) == broken
    assert path_problems(f"```\n`{path}`\n```\n", REPOSITORY) == []


def test_paths_are_seen_from_the_document():
    assert (
        path_problems("`../README.md` and `example_domain/domain.yaml`", REPOSITORY / "notebooks")
        == []
    )
    assert len(path_problems("`example_domain/domain.yaml`", REPOSITORY)) == 1


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("selene reproduce --dry-run --run paper --set a.b=1", ""),
        ("selene judge --help", ""),
        ("selene figures --no-texts", ""),
        ("selene audit -n 5", ""),
        ("selene lab -- --no-browser", ""),
        ("SELENE_HOME=x .venv/bin/selene doctor", ""),
        ("make reproduce RUN=paper -n", ""),
        ("papermill notebooks/00_quickstart.ipynb out.ipynb -p run mine", ""),
        ("python bench/judge.py --json", ""),
        ("selene reproduce --dryrun", "no option --dryrun"),
        ("selene judge --task=absolute --colour=red", "no option --colour"),
        ("selene audit -k 5", "no option -k"),
        ("selene conquer", "no command 'conquer'"),
        ("selene --frobnicate", "no option --frobnicate"),
        ("selene --version", ""),
        ("make love", "no target 'love'"),
        ("papermill notebooks/09_absent.ipynb out.ipynb", "notebook is not there"),
        (
            "papermill notebooks/00_quickstart.ipynb out.ipynb -p colour red",
            "no parameter 'colour'",
        ),
        ("python bench/absent.py", "bench/absent.py is not there"),
    ],
)
def test_an_unknown_command_option_target_or_script_is_found(command, named):
    problems = command_problems(commands_of(f"Run `{command}` now."))
    assert problems == command_problems(commands_of(f"```bash\n{command}   # comment\n```"))
    assert len(problems) == bool(named)
    assert named in "".join(problems)


def test_an_option_that_no_command_has_is_found():
    assert option_problems("Give `--run nano`, `--data-dir`, or `--set key=value`.") == []
    assert len(option_problems("Give `--runs nano`.")) == 1


PAGE = (
    "<html><body><h2 id='map'>Map</h2><a href='#map'>up</a>"
    "<code>selene figures --run nano</code>{}</body></html>"
)


@pytest.mark.parametrize(
    ("part", "named"),
    [
        (
            "<a href='results.json'>data</a><a href='https://arxiv.org/abs/1'>paper</a>"
            "<a href='data:text/csv,a'>table</a>",
            "",
        ),
        (
            "<img src='data:image/png;base64,AA'>"
            "<style>p { background: url(data:image/png;base64,AA) }</style>",
            "",
        ),
        ("<svg><use xlink:href='#map'/></svg><script>var fetched = 1</script>", ""),
        ("<a href='#nowhere'>x</a>", "anchor #nowhere"),
        ("<a href='absent.json'>x</a>", "absent.json: not there"),
        ("<a href='http://arxiv.org/abs/1'>x</a>", "not an https address"),
        ("<a href='/etc/passwd'>x</a>", "/etc/passwd: not there"),
        ("<img src='https://example.org/x.png'>", "loads https://example.org/x.png"),
        ("<link rel='stylesheet' href='style.css'>", "loads style.css"),
        ("<script src='//example.org/x.js'></script>", "loads //example.org/x.js"),
        ("<style>@import 'x.css'; p {}</style>", "style loads @import"),
        ("<p style='background: url(x.png)'></p>", "style loads url(x.png)"),
        ("<script>fetch('x')</script>", "script loads by fetch("),
        (
            "<iframe srcdoc=\"&lt;img src='https://example.org/x.png'&gt;\"></iframe>",
            "loads https://example.org/x.png",
        ),
        ("<code>selene figures --all</code>", "no option --all"),
        ("<code>selene <b>conquer</b></code>", "no command 'conquer'"),
    ],
)
def test_what_is_wrong_with_a_page_is_found(part, named):
    problems = html_problems(PAGE.format(part), REPORT.parent)
    assert len(problems) == bool(named)
    assert named in "".join(problems)
