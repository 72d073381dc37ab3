"""What a document promises: its links, the paths it names, the commands it prints. Each check
returns the broken ones, in words.

A command is every line of a fenced shell block, and every code span or line of another fenced block
that starts with one of `PROGRAMS` and has at least one argument (`make` alone is a name). A fenced
block is one session: its commands run in order in one folder.
"""

from __future__ import annotations

import functools
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from conftest import REPOSITORY

PROGRAMS = (
    "accelerate",
    "cd",
    "conda",
    "curl",
    "docker",
    "export",
    "git",
    "hf",
    "jupyter",
    "make",
    "ollama",
    "papermill",
    "pip",
    "poetry",
    "pytest",
    "python",
    "python3",
    "ruff",
    "selene",
    "torchrun",
    "uv",
    "vllm",
    "wget",
)
SHELLS = ("bash", "sh", "shell", "console")
FOLDERS = ("bench", "docs", "figures", "notebooks", "reports", "runs", "selene_lib", "tests")
FENCE = re.compile(r"^( *)```([\w-]*)[^\n]*\n(.*?)^\1```", flags=re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"`((?:(?!\n\s*\n)[^`])+)`")
LINK = re.compile(
    r"\]\(\s*<?([^)>\s]+)>?(?:\s+\"[^\"]*\")?\s*\)|^\[[^\]]+\]:\s*(\S+)", flags=re.MULTILINE
)
COMMENT = re.compile(r"""("(?:\\.|[^"\\])*"|'[^']*')|(?:^|(?<=\s))#.*$""")
SHELL_TOKEN = re.compile(r"""(?P<end>&&|;)|"(?:\\.|[^"\\])*"|'[^']*'|.""")
STARTS = re.compile(rf"[!$]? ?(?:\w+=\S* )*(?:\S*/)?({'|'.join(PROGRAMS)}) \S")


@dataclass(frozen=True)
class Session:
    """Commands to be run in order in one folder: a fenced block, or one code span. `python` marks
    Python code, one snippet.
    """

    where: str
    commands: tuple[str, ...]
    python: bool = False


def sessions(text: str) -> list[Session]:
    """Return every session of a Markdown text, in order of the document."""
    found = [(match.start(), _fenced(match[2], match[3])) for match in FENCE.finditer(text)]
    found += [
        (match.start(), _span(" ".join(match[1].split())))
        for match in SPAN.finditer(without_fences(text))
    ]
    return [
        Session(f"line {text.count(chr(10), 0, start) + 1}", commands, python)
        for start, (commands, python) in sorted(found)
        if commands
    ]


def without_fences(text: str) -> str:
    """Blank out fenced blocks, so that positions stay those of the text."""
    return FENCE.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def _fenced(language: str, body: str) -> tuple[tuple[str, ...], bool]:
    if language in ("python", "py"):
        return (body,), True
    lines = [line.strip() for line in re.sub(r"\s*\\\n\s*", " ", body).splitlines()]
    if language == "console":  # what the machine answers is no command
        lines = [line for line in lines if line.startswith("$ ")]
    if language not in SHELLS:
        lines = [line for line in lines if STARTS.match(line)]
    return tuple(command for line in lines for command in split_commands(line)), False


def _span(code: str) -> tuple[tuple[str, ...], bool]:
    if re.match(r"(?:from|import) selene_lib\b", code):
        return (code,), True
    return (tuple(split_commands(code)) if STARTS.match(code) else ()), False


def split_commands(line: str) -> list[str]:
    """Split a shell line at `;` and `&&` outside quotes and drop its comment; pipes and
    redirections stay in their command.
    """
    bare = re.sub(
        r"^\s*[!$] ?", "", COMMENT.sub(lambda match: match[1] or "", line)
    )  # `!` as in a notebook's cell, `$` as a prompt
    parts = [""]
    for token in SHELL_TOKEN.finditer(bare):
        if token["end"]:
            parts.append("")
        else:
            parts[-1] += token[0]
    return [part.strip() for part in parts if part.strip()]


def words(command: str) -> list[str]:
    """Return the words of a command as the shell would, quotes removed."""
    return shlex.split(command, comments=False)


def commands_of(text: str) -> list[str]:
    """Return every shell command of a Markdown text."""
    return [
        command for session in sessions(text) if not session.python for command in session.commands
    ]


def markdown_of(notebook: Path) -> str:
    """Return the text of a notebook's Markdown cells."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


# Links


def link_problems(text: str, folder: Path) -> list[str]:
    """Return the links of a Markdown text in `folder` that lead nowhere: no such file, no such
    heading, no proper address.
    """
    prose = re.sub(SPAN, "", without_fences(text))
    links = [match[1] or match[2] for match in LINK.finditer(prose)]
    return [problem for link in links if (problem := _link_problem(link, text, folder))]


def _link_problem(link: str, text: str, folder: Path) -> str:
    if re.match(r"\w+:", link):
        return "" if is_address(link) else f"link {link}: not an http(s) address"
    path, _, anchor = link.partition("#")
    target = folder / path
    if path and not target.exists():
        return f"link {link}: {path} is not there"
    if anchor and (not path or target.suffix == ".md"):
        headings = anchors(text if not path else target.read_text(encoding="utf-8"))
        return "" if anchor in headings else f"link {link}: no heading makes the anchor {anchor}"
    return ""


def is_address(link: str) -> bool:
    """Whether a link is an http(s) address in form; nobody asks whether the page is up."""
    parts = urlsplit(link)
    return parts.scheme in ("http", "https") and bool(
        re.fullmatch(r"[\w-]+(\.[\w-]+)+(:\d+)?", parts.netloc)
    )


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives the headings of a Markdown text."""
    headings = re.findall(r"^#+ +(.+?)\s*$", without_fences(text), flags=re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}


# Paths


def path_problems(text: str, folder: Path) -> list[str]:
    """Return the paths in code spans that do not exist, seen from the document's folder, the
    repository or the library.

    A path starts with one of the repository's folders, or has a slash and the ending of a committed
    kind of file. `<name>`, `...` and `*` stand for anything; a bare module name may lie anywhere.
    What a run or a build writes (`artefacts/...`, `figures/<run>/`, `docs/_build/`) is not looked
    for.
    """
    spans = [span for match in SPAN.finditer(without_fences(text)) for span in match[1].split()]
    return [
        f"path {span}: not there"
        for span in dict.fromkeys(spans)
        if _is_path(span) and not _exists(span, folder)
    ]


def _is_path(span: str) -> bool:
    if not re.fullmatch(r"[\w.<>*-]+(/[\w.<>*-]+)*/?", span) or re.match(
        r"artefacts/|docs/_|(figures|reports)/[^/]+/?$", span
    ):
        return False
    committed = re.search(r"\.(py|ipynb|md|toml|ya?ml|txt|html|png|json)$", span)
    inside = "/" in span and (span.split("/")[0] in FOLDERS or committed)
    return bool(inside or re.search(r"\w\.(py|md|toml)$", span))


def _exists(span: str, folder: Path) -> bool:
    pattern = re.sub(r"<[^>]+>|\.\.\.", "*", span).rstrip("/")
    if pattern.endswith(".py") and "/" not in pattern:
        return any(next((REPOSITORY / name).rglob(pattern), None) for name in FOLDERS)
    return any(
        next(place.glob(pattern), None) for place in (folder, REPOSITORY, REPOSITORY / "selene_lib")
    )


# Commands


def command_problems(commands: list[str]) -> list[str]:
    """Return the commands that cannot be: an unknown `selene` command or option, make target,
    notebook, notebook parameter or script.
    """
    checks = {
        "selene": _selene_problem,
        "make": _make_problem,
        "papermill": _papermill_problem,
        "python": _python_problem,
    }
    problems = []
    for command in commands:
        given = [
            word for word in words(command) if not re.match(r"\w+=", word) or word.startswith("-")
        ]
        program = given[0].rsplit("/", 1)[-1] if given else ""
        if program in checks and len(given) > 1 and (problem := checks[program](given[1:])):
            problems.append(f"`{command}`: {problem}")
    return problems


@functools.cache
def selene_options() -> dict[str, set[str]]:
    """Return the commands of `selene` and the options of each; `data get` is one of the group
    `data`.
    """
    commands = {}
    for name, command in selene_group().commands.items():
        inner = getattr(command, "commands", None)
        if inner is None:
            commands[name] = command
        else:
            commands |= {f"{name} {word}": one for word, one in inner.items()}
    return {
        name: {
            "--help",
            *(
                o
                for parameter in command.params
                for o in (*parameter.opts, *parameter.secondary_opts)
                if o.startswith("-")
            ),
        }
        for name, command in commands.items()
    }


@functools.cache
def selene_group() -> Any:
    """Return the command `selene` with all its commands."""
    import typer

    from selene_lib.cli import app

    return typer.main.get_command(app)


def parse_problem(command: str) -> str:
    """Return what the command's own parser says against a whole `selene` command, or nothing:
    an unknown option, one that is missing, a value of another kind. Nothing is executed.
    """
    import typer

    given = [word for word in words(command) if not re.match(r"[A-Z_]+=", word)]
    if not given or given[0].rsplit("/", 1)[-1] != "selene" or "..." in given:
        return ""
    here, arguments = selene_group(), given[1:]
    context = typer.Context(here, info_name="selene")
    try:
        while arguments and not arguments[0].startswith("-"):
            name, here, arguments = here.resolve_command(context, arguments)
            context = typer.Context(here, info_name=name, parent=context)
            if not hasattr(here, "commands"):
                break
        here.make_context(context.info_name, list(arguments), parent=context.parent)
    except typer.Exit:  # --help, --version
        return ""
    except typer.TyperException as error:
        return f"`{command}`: {' '.join(error.format_message().split())}"
    return ""


def _selene_problem(arguments: list[str]) -> str:
    known = selene_options()
    name = arguments[0]
    if name.startswith("-"):
        own = {option for parameter in selene_group().params for option in parameter.opts}
        return "" if name in {"--help", *own} else f"no option {name}"
    if " ".join(arguments[:2]) in known:
        name, arguments = " ".join(arguments[:2]), arguments[1:]
    if name not in known:
        return f"no command {name!r}; there are {', '.join(known)}"
    if name == "lab":  # its options are JupyterLab's
        return ""
    own = arguments[1 : arguments.index("--")] if "--" in arguments else arguments[1:]
    options = [word.partition("=")[0] for word in own if re.match(r"--?[A-Za-z]", word)]
    unknown = [option for option in options if option not in known[name]]
    return (
        f"selene {name} has no option {unknown[0]}; it has {', '.join(sorted(known[name]))}"
        if unknown
        else ""
    )


def _make_problem(arguments: list[str]) -> str:
    targets = set(
        re.findall(
            r"^([\w-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE
        )
    )
    unknown = [
        word
        for word in arguments
        if not word.startswith("-") and "=" not in word and word not in targets
    ]
    return f"no target {unknown[0]!r}; there are {', '.join(sorted(targets))}" if unknown else ""


def _papermill_problem(arguments: list[str]) -> str:
    from selene_lib.pipeline.notebooks import parameter_defaults

    notebook = next((REPOSITORY / word for word in arguments if word.endswith(".ipynb")), None)
    if notebook is None or not notebook.is_file():
        return "the notebook is not there"
    given = [
        arguments[i + 1]
        for i, word in enumerate(arguments[:-1])
        if word in ("-p", "--parameters", "-r")
    ]
    unknown = [name for name in given if name not in parameter_defaults(notebook)]
    return f"the notebook has no parameter {unknown[0]!r}" if unknown else ""


def _python_problem(arguments: list[str]) -> str:
    scripts = [word for word in arguments if word.endswith(".py") and "/" in word]
    return next(
        (f"{script} is not there" for script in scripts if not (REPOSITORY / script).is_file()), ""
    )


def option_problems(text: str) -> list[str]:
    """Return the options that stand in code spans of their own (`--run nano`) and belong to no
    `selene` command.
    """
    known = set().union(*selene_options().values())
    spans = [
        span
        for match in SPAN.finditer(without_fences(text))
        for span in match[1].split()[:1]
        if span.startswith("--")
    ]
    return [
        f"option {span}: no selene command has it"
        for span in spans
        if span.partition("=")[0] not in known
    ]


# The report


class _Page(HTMLParser):
    """Collects what a page points to, loads and prints as code."""

    LOADING = (
        "src",
        "srcset",
        "poster",
        "data",
        "background",
        "action",
        "formaction",
        "xlink:href",
    )

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.frames: list[str] = []
        self.code: list[str] = []
        self.styles: list[str] = []
        self.scripts: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given[name] for name in ("id", "name") if given.get(name)}
        if "href" in given:
            (self.links if tag in ("a", "area") else self.loads).append(given["href"])
        self.loads += [given[name] for name in self.LOADING if name in given]
        self.styles += [given["style"]] if "style" in given else []
        self.frames += [given["srcdoc"]] if "srcdoc" in given else []
        if tag in ("code", "style", "script"):
            self.open.append(tag)
            self.code += [""] if tag == "code" else []

    def handle_endtag(self, tag: str) -> None:
        if self.open and tag == self.open[-1]:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        if not self.open:
            return
        if self.open[-1] == "code":
            self.code[-1] += data
        else:
            (self.styles if self.open[-1] == "style" else self.scripts).append(data)


def pages_of(html: str) -> Iterator[_Page]:
    """Parse a page and the pages of its frames."""
    page = _Page()
    page.feed(html)
    page.close()
    yield page
    for frame in page.frames:
        yield from pages_of(frame)


def html_problems(html: str, folder: Path) -> list[str]:
    """Return what is wrong with a self-contained page in `folder`: dead links and anchors, anything
    it would load, unknown commands.
    """
    problems = []
    for page in pages_of(html):
        problems += [
            problem for link in page.links if (problem := _href_problem(link, page.ids, folder))
        ]
        problems += [
            f"loads {link[:80]}"
            for link in page.loads
            if link and not link.startswith(("data:", "#"))
        ]
        for style in page.styles:
            loaded = re.findall(r"@import[^;]*|url\(\s*['\"]?(?!data:|#|['\"])[^)]*\)", style)
            problems += [f"style loads {name[:80]}" for name in loaded]
        for script in page.scripts:
            loaded = re.findall(
                r"\bfetch\(|XMLHttpRequest|\bimport\(|WebSocket|EventSource|sendBeacon|importScripts",
                script,
            )
            problems += [f"script loads by {name}" for name in loaded]
        problems += command_problems([code for code in page.code if STARTS.match(code)])
    return problems


def _href_problem(link: str, ids: set[str], folder: Path) -> str:
    if link.startswith("#"):
        return "" if link[1:] in ids or link == "#" else f"anchor {link}: nothing has this id"
    if link.startswith("data:"):
        return ""
    if re.match(r"[\w+.-]+:", link) or link.startswith("//"):
        return (
            ""
            if link.startswith("https://") and is_address(link)
            else f"link {link}: not an https address"
        )
    path = link.partition("#")[0]
    return (
        ""
        if not Path(path).is_absolute() and (folder / path).exists()
        else f"link {link}: not there"
    )
