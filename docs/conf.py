"""How the documentation is built: `make docs` writes HTML to `docs/_build`, without a network.

The pages are Markdown. The reference is made anew at each build, from the library's docstrings and
from the options of the `selene` commands. Whatever Sphinx warns about, a broken reference among it,
ends the build.
"""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path
from textwrap import dedent
from typing import Any

from sphinx.application import Sphinx

project = "selene_lib"
author = "The selene_lib contributors"
project_copyright = author
release = metadata.version("selene_lib")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
html_theme = "furo"
html_title = f"selene_lib {release}"
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["docs.css"]
smartquotes = False  # what a docstring quotes may be code

# A reference into this library must lead somewhere; other projects' pages are not at hand, and a
# type variable has none.
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!selene_lib\.).*"),
    ("py:class", r"selene_lib\..*\.[A-Z]"),
    ("py:class", r"selene_lib\.judges\.gathering\.(Item|Result)"),
]
# two rooms may have a class of one name: an annotation that could mean either is no broken one
suppress_warnings = ["ref.python"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "ignore-module-all": True}
autodoc_member_order = "bysource"
autodoc_mock_imports = ["inspect_ai"]  # its extra has an environment of its own
autodoc_typehints_format = "short"
add_module_names = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 90

EXAMPLE = re.compile(r"\x08\nExample:\n((?:  .*\n)*  .*)")
FIELD = re.compile(r"(Dataset|Example|Label|Metric|Prompt|Caveat|Deviations): +")


def setup(app: Sphinx) -> None:
    app.connect("builder-inited", write_commands)
    app.connect("autodoc-process-docstring", as_restructured_text)


def write_commands(app: Sphinx) -> None:
    """Write the page of the `selene` commands from their help texts and examples."""
    import typer
    from typer.cli import get_docs_for_click

    from selene_lib.cli import app as selene

    command = typer.main.get_command(selene)
    context = typer.Context(command, info_name="selene")
    page = Path(app.srcdir) / "_api" / "commands.md"
    page.parent.mkdir(exist_ok=True)
    text = get_docs_for_click(obj=command, ctx=context, name="selene")
    text = EXAMPLE.sub(lambda match: f"**Example**:\n\n```bash\n{dedent(match[1])}\n```", text)
    page.write_text(text, encoding="utf-8")


def as_restructured_text(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Turn a docstring, plain text with `code` and **stress**, into what Sphinx reads.

    Code becomes a literal; what would be markup elsewhere is escaped; the fields that open the
    module of a set (`Label: ...`) become a list of fields.
    """
    lines[:] = "\n".join(_fields(lines)).splitlines()
    parts = re.split(r"(`[^`]+`|\*\*\w[^*\n]*\*\*)", "\n".join(lines))
    for i, part in enumerate(parts):
        if part.startswith("`"):
            parts[i] = f"``{part[1:-1]}``"
        elif i % 2 == 0:
            parts[i] = re.sub(r"([*|\\]|_\b)", r"\\\1", part)
    lines[:] = "".join(parts).splitlines()


def _fields(lines: list[str]) -> list[str]:
    found: list[str] = []
    inside = False
    for line in lines:
        field = FIELD.match(line)
        inside = bool(field) or (inside and bool(line.strip()))
        if field:
            found.append(f":{field[1]}: {line[field.end() :]}")
        else:
            found.append(f"   {line.strip()}" if inside else line)
    return found
