"""Commands towards other tools: a project folder, a judge behind HTTP, a judge on the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer

from selene_lib.cli.options import count, port_number
from selene_lib.records import Task


def init(
    folder: Annotated[Path, typer.Argument(help="folder to make, or to complete")],
) -> None:
    """Copy notebooks, runs and examples into a folder.

    No clone is needed. Files that are there already and differ are an error, and nothing is
    written.
    """
    from selene_lib.pipeline.beginning import init_project

    written = init_project(folder)
    print(f"{len(written)} files written to {folder}")
    print(f"next: cd {folder} && pip install -c constraints.txt 'selene_lib[notebooks]'")
    print("then: selene lab, or selene reproduce")


def serve(
    model: Annotated[
        str | None,
        typer.Option("--model", help="as for judge: a folder or hub id, http://host/v1#model ..."),
    ] = None,
    adapter: Annotated[str | None, typer.Option("--adapter", help="folder of an adapter")] = None,
    task: Annotated[
        str | None, typer.Option("--task", help="of items that name none; a trained judge has its")
    ] = None,
    rubric: Annotated[
        str | None,
        typer.Option("--rubric", help="of items that bring none: a preset, a file or the text"),
    ] = None,
    host: Annotated[str, typer.Option("--host", help="address to listen on")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", help="port to listen on", callback=port_number)
    ] = 8001,
    store: Annotated[
        Path | None,
        typer.Option("--store", help="judge at a server: file of replies, never paid again"),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(
            "--concurrency", help="judge at a server: requests at a time (16)", callback=count
        ),
    ] = None,
    max_waiting: Annotated[
        int,
        typer.Option(
            "--max-waiting", help="items under way at once; more are answered 429", callback=count
        ),
    ] = 1024,
    max_items: Annotated[
        int, typer.Option("--max-items", help="items of one batch request", callback=count)
    ] = 256,
    max_body_bytes: Annotated[
        int, typer.Option("--max-body-bytes", help="length of one request", callback=count)
    ] = 4_000_000,
) -> None:
    """Serve a judge over HTTP.

    POST /judge and /judge/batch, GET /health, OpenAPI at /docs. Requests that come at once are
    judged together. With the environment variable SELENE_SERVE_KEY clients must send
    `Authorization: Bearer KEY`; without one only this machine is listened to. SIGTERM or Ctrl-C
    stops it: what was taken is answered first.
    """
    from selene_lib.files import check_outputs
    from selene_lib.judge import Judge
    from selene_lib.serving.app import ServeLimits, make_app
    from selene_lib.serving.running import key_for, serve_app

    if store is not None:
        check_outputs([(store, None)], [rubric, adapter])
    key, limits = key_for(host), ServeLimits(max_waiting, max_items, max_body_bytes)
    judge = Judge(
        model,
        adapter=adapter,
        task=cast(Task | None, task),  # another word is refused by the judge
        rubric=rubric,
        store=store,
        max_concurrency=concurrency,
    )
    app = make_app(judge, key=key, limits=limits)
    print(
        f"{judge.judge.name} on http://{host}:{port}/judge "
        f"({'with' if key else 'without'} a key); stop it with Ctrl-C",
        flush=True,
    )
    serve_app(app, host, port)


def push(
    adapter: Annotated[Path, typer.Argument(help="folder of a trained adapter")],
    repo: Annotated[str, typer.Argument(help="where to on the hub: owner/name")],
    public: Annotated[
        bool, typer.Option("--public", help="for everyone, where the repository is new")
    ] = False,
    with_texts: Annotated[
        bool, typer.Option("--with-texts", help="send held-out items and disagreements too")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="list what would be sent, and send nothing")
    ] = False,
) -> None:
    """Send a trained judge to the Hugging Face hub.

    Adapter, card and measured agreement go in one commit. The key is HF_TOKEN. A new repository
    is private; your texts are sent with --with-texts only.
    """
    from selene_lib.integrations.hub import push_judge

    pushed = push_judge(adapter, repo, public=public, with_texts=with_texts, dry_run=dry_run)
    for name, size in pushed.files.items():
        print(f"{size:>12,} bytes  {name}")
    print(f"sent to {pushed.url}" if pushed.url else "nothing was sent")


COMMANDS = (init, serve, push)
