"""The model card of an export, from a run's manifest: what is not recorded there is not said."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from selene_lib.errors import tell
from selene_lib.files import DamagedError, sha256_file, write_text
from selene_lib.judges.trained import read_trained
from selene_lib.models.adapters import read_record
from selene_lib.paper.values import marked
from selene_lib.training.checkpoints import read_own

_REMEDY = (
    "Export the adapter from the folder its training wrote, or write here what you know of it."
)


def write_model_card(
    manifest: Mapping[str, Any], out_path: str | Path, *, adapter_dir: Path | None = None
) -> Path:
    """Write a model card from a run's manifest: what it was made from and how, and its scores.

    What is not in the manifest is not said. Read are `training` (a `training.json`), `losses` and
    `seeds` (sentences), `agreement` (rows with who, accuracy and kappa, and a sentence), `scores`
    (rows with set, metric, value, n, n_unparsed, published), `sources`, `versions` and `commit`;
    each section whose entry is missing says so.
    """
    training = manifest.get("training") or {}
    spec = training.get("spec") or {}
    lines = [
        "---",
        "tags: [llm-as-a-judge, dpo, qlora]",
        f"base_model: {spec.get('base_model', 'not recorded')}",
        "---",
        "",
    ]
    lines += [
        f"# {manifest.get('name', 'judge')}",
        "",
        "A judge model: it reads a task, a response and a rubric, "
        "and replies with a critique and a verdict.",
        "",
    ]
    lines += _section(
        "Training",
        _table(["setting", "value"], [[k, v] for k, v in spec.items()]) if spec else None,
    )
    lines += _section("Data", _bullets(_data_facts(training)) if training.get("n_pairs") else None)
    lines += _section("Losses", _bullets(manifest["losses"]) if manifest.get("losses") else None)
    agreement = manifest.get("agreement") or {}
    lines += _section("Agreement with labels", _agreement(agreement) if agreement else None)
    lines += _section("Seeds", _bullets(manifest["seeds"]) if manifest.get("seeds") else None)
    lines += _section("Sources", _bullets(manifest["sources"]) if manifest.get("sources") else None)
    lines += _section("Scores", _scores(manifest["scores"]) if manifest.get("scores") else None)
    facts = [f"{k} {v}" for k, v in (manifest.get("versions") or {}).items()]
    facts += [f"commit {manifest['commit']}"] if manifest.get("commit") else []
    facts += [f"adapter SHA-256 {sha256_file(adapter_dir)}"] if adapter_dir else []
    lines += _section("Provenance", _bullets(facts) if facts else None)
    lines += _section(
        "Limits",
        _bullets(
            [
                "It may be wrong with confidence; its critique is generated text, not evidence.",
                "Order of two responses can move its verdict: ask both ways round.",
            ]
        ),
    )
    return write_text(out_path, "\n".join(lines))


def recorded_facts(adapter_dir: Path, base_model: str) -> dict[str, Any]:
    """What the folders around an adapter say of it, in the words that `write_model_card` reads.

    `training.json` stands beside the adapter, in `arms/` of the run it belongs to, or in the `work`
    of a judge of one's own labels; the run's benchmark scores, its mix of sources and the measured
    agreement are read where they are there.
    """
    arm, step = adapter_dir.name, adapter_dir.parent.parent
    folders = [adapter_dir.parent, step / "arms" / arm, adapter_dir / "work" / "training"]
    folder = next((f for f in folders if (f / "training.json").is_file()), None)
    training = _read_training(folder) if folder else None
    trained = read_trained(adapter_dir)
    names = ("torch", "transformers", "peft", "selene-lib")
    versions = {name: found for name in names if (found := _version(name))}
    spec = dict((training or {}).get("spec") or {})
    record = read_record(adapter_dir)
    if spec or record:
        base = trained.base if trained else record.get("base_model") or base_model
        spec["base_model"] = Path(base).name if Path(base).is_dir() else base
    rows = _rows(step.parent / "05_evaluate_benchmarks" / "scores.csv")
    sources = [row["source"] for row in _rows(step / "mix.csv") if row.get("source")]
    return {
        "training": {**(training or {}), "spec": spec},
        "losses": _losses(folder, training) if folder and training else [],
        "agreement": dict(trained.agreement) if trained else {},
        "seeds": _seeds(spec, step / "arms"),
        "scores": [r for r in rows if r.get("judge") == arm and r.get("headline") == "True"],
        "sources": list(dict.fromkeys(sources)),
        "versions": versions,
    }


def _read_training(folder: Path) -> dict[str, Any] | None:
    """What a training says of itself, None where that or its log is not what it wrote."""
    path = folder / "training.json"
    try:
        found = read_own(path, {"spec": dict, "n_dropped": dict, "files": dict})
        known = found["files"].get("log.csv")
        if not (folder / "log.csv").is_file() or sha256_file(folder / "log.csv") != known:
            raise DamagedError(f"{folder / 'log.csv'} is not what was written")
    except DamagedError as error:
        tell(f"{error}; the model card says nothing of the training")
        return None
    return found


def _losses(folder: Path, training: Mapping[str, Any]) -> list[str]:
    """The losses as training wrote them: its first and last step, and on the items held back."""
    steps = _rows(folder / "log.csv")
    told = [(f"step {row['step']}", row) for row in (steps[0], steps[-1])] if steps else []
    if training.get("validation"):
        told.append(("validation", training["validation"]))
    names = ("loss", "dpo", "nll", "margin", "reward_accuracy")
    return [
        f"{where}: "
        + ", ".join(f"{n} {float(row[n]):.4f}" for n in names if row.get(n) not in ("", None))
        for where, row in told
    ]


def _seeds(spec: Mapping[str, Any], arms: Path) -> list[str]:
    """The seed of this adapter, and the adapters of other seeds and losses trained beside it."""
    mine = [f"seed {spec['seed']}"] if spec.get("seed") is not None else []
    beside = sorted(path.name for path in arms.iterdir() if path.is_dir()) if arms.is_dir() else []
    return mine + ([f"trained beside it: {', '.join(beside)}"] if len(beside) > 1 else [])


def _agreement(found: Mapping[str, Any]) -> list[str]:
    rows = [
        [
            row.get("who"),
            row.get("n"),
            *(_with_interval(row, name) for name in ("accuracy", "kappa")),
        ]
        for row in found.get("rows", ())
    ]
    table = _table(["who", "n", "accuracy", "kappa"], rows) if rows else []
    told = [str(found["sentence"])] if found.get("sentence") else []
    return [*told, *([""] if told and table else []), *table]


def _with_interval(row: Mapping[str, Any], name: str) -> str:
    value, low, high = (row.get(f"{name}{end}") for end in ("", "_low", "_high"))
    if value is None:
        return ""
    width = "" if low is None or high is None else f" ({low:.3f} to {high:.3f})"
    return f"{value:.3f}{width}"


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _data_facts(training: Mapping[str, Any]) -> list[str]:
    dropped = (
        ", ".join(f"{n} {reason}" for reason, n in (training.get("n_dropped") or {}).items())
        or "none"
    )
    return [
        f"{training.get('n_pairs')} preference pairs, {training.get('n_steps')} steps",
        f"overlong pairs dropped: {dropped}",
    ]


def _scores(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    names = ["set", "metric", "value", "n", "n_unparsed", "published"]
    return _table(names, [[_score_cell(row, name) for name in names] for row in rows])


def _score_cell(row: Mapping[str, Any], name: str) -> Any:
    """A cell of the scores; a published value that nobody read at its source says so."""
    value = row.get(name)
    if name != "published" or value in (None, ""):
        return value
    return marked(float(str(value)), str(row.get("published_note") or row.get("known") or ""))


def _section(title: str, body: list[str] | None) -> list[str]:
    return [
        f"## {title}",
        "",
        *(body if body is not None else [f"Not recorded in this run's manifest. {_REMEDY}"]),
        "",
    ]


def _bullets(items: Sequence[Any]) -> list[str]:
    return [f"- {item}" for item in items]


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    def cell(value: Any) -> str:
        text = "" if value is None else str(value)
        if isinstance(value, float) and abs(value) >= 0.01:
            text = f"{value:.3f}"
        return text.replace("|", "\\|").replace("\n", " ")

    return ["| " + " | ".join(map(cell, row)) + " |" for row in (head, ["---"] * len(head), *rows)]
