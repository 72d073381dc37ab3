"""The report of a run, built again, and two runs compared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from selene_lib.cli.options import RunOption


def report(
    run: RunOption = "nano",
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option("--compare", help="two runs, or folders of runs, to compare", metavar="A B"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="the HTML file to write; default: in artefacts/")
    ] = None,
    texts: Annotated[
        bool | None,
        typer.Option(help="show item texts; default: as the notebook 07 of each run does"),
    ] = None,
) -> None:
    """Build the HTML report of a run again, without a model.

    Or compare two runs with --compare: scores, and flips item by item.
    """
    from selene_lib.files import check_outputs
    from selene_lib.pipeline.publication import refuse_damaged
    from selene_lib.report import build_comparison

    if out is not None:
        check_outputs([(out, _is_report)])
    if compare is None:
        print(_build(run, out, texts))
        return
    a, b = map(_folder, compare)
    for folder in (a, b):
        refuse_damaged(folder)
    show_texts = all(_shows_texts(name) for name in compare) if texts is None else texts
    target = out or a.parent / "comparisons" / f"{a.name}_{b.name}.html"
    print(build_comparison(a, b, target, show_texts=show_texts))


def _is_report(path: Path) -> bool:
    """Whether a file is a page of ours: they name first what they may load, which is nothing."""
    with open(path, "rb") as stream:
        return b"content=\"default-src 'none'; img-src data:" in stream.read(2000)


def _build(run: str, out: Path | None, texts: bool | None) -> Path:
    from selene_lib.figures import draw_all
    from selene_lib.pipeline.places import run_folder
    from selene_lib.pipeline.presets import load_run
    from selene_lib.pipeline.publication import refuse_damaged
    from selene_lib.report import build_report

    folder = run_folder(load_run(run).name)
    refuse_damaged(folder)
    show_texts = _shows_texts(run) if texts is None else texts
    draw_all(folder, folder / "figures", show_texts=show_texts)
    target = out or folder / "report.html"
    return build_report(folder, folder / "figures", target, show_texts=show_texts)


def _folder(name: str) -> Path:
    """The folder of a run, given by its name or as a folder that holds notebook 05's results."""
    from selene_lib.figures.results import EVALUATE
    from selene_lib.pipeline.places import run_folder
    from selene_lib.pipeline.presets import load_run

    given = Path(name)
    if (given / EVALUATE).is_dir():
        return given.resolve()
    return run_folder(load_run(name).name)


def _shows_texts(name: str) -> bool:
    """Whether notebook 07 of a run shows texts; a folder alone does not tell, so it shows none."""
    from selene_lib.figures.results import EVALUATE
    from selene_lib.pipeline.chain import resolve_run

    if (Path(name) / EVALUATE).is_dir():
        return False
    _, _, resolved = resolve_run(name, "07", "07", {})
    return bool(resolved["07_report"]["show_texts"])


COMMANDS = (report,)
