"""Where the numbers come from: the manifest as tables, the scale in words, the commands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from selene_lib.figures import results as files
from selene_lib.models.names import EMBEDDED_MODEL
from selene_lib.paper.values import BASE_MODEL, BENCHMARK_NAMES, DOMAIN_NAMES
from selene_lib.pipeline.places import without_places

PRODUCED = (
    ("Samples, evaluation sets, map, contamination", files.EXPLORE, "01"),
    ("Curation ledger, pairs, example", files.CURATE, "02"),
    ("Ablation of sources, reward threshold", files.ABLATE, "03"),
    ("Adapters, training curves", files.TRAIN, "04"),
    ("Scores, task means, seeds, calibration, disagreements", files.EVALUATE, "05"),
    ("Domains, prompt formats, arena, audit", files.DOMAINS, "06"),
    ("Figures, results.json, this report", files.REPORT, "07"),
)


def step_rows(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a finished step: seconds, memory, when, commit, parameters, outputs with hashes."""
    rows = []
    for name, step in sorted(manifest.get("steps", {}).items()):
        outputs = [
            {"name": k, "bytes": v["bytes"], "sha256": v["sha256"]}
            for k, v in sorted(step.get("outputs", {}).items())
        ]
        rows.append(
            {
                "step": name,
                "seconds": step.get("wall_seconds"),
                "peak_gib": (step.get("peak_memory_bytes") or 0) / 2**30,
                "finished": step.get("finished_at", ""),
                "commit": _commit(step.get("git") or {}),
                "fingerprint": step.get("fingerprint", ""),
                "parameters": without_places(dict(sorted(step.get("parameters", {}).items()))),
                "outputs": outputs,
            }
        )
    return rows


def _commit(git: Mapping[str, Any]) -> str:
    commit = str(git.get("commit") or "no git checkout")[:12]
    return f"{commit} (with uncommitted changes)" if git.get("dirty") else commit


def machine(manifest: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Hardware and package versions of the last finished step."""
    steps: list[dict[str, Any]] = list(manifest.get("steps", {}).values())
    if not steps:
        return {}, {}
    last = max(steps, key=lambda step: step.get("finished_at", ""))
    found = last.get("hardware") or {}
    hardware = {k: v for k, v in found.items() if not k.endswith("memory_bytes")}
    for name in ("memory_bytes", "gpu_memory_bytes"):
        if found.get(name):
            hardware[name.removesuffix("_bytes")] = f"{found[name] / 2**30:.1f} GiB"
    return hardware, last.get("versions") or {}


def command_rows(run: str) -> list[dict[str, str]]:
    """The command that makes each kind of number again."""
    rows = [
        {
            "what": what,
            "where": f"artefacts/{run}/{step}/",
            "command": f"selene reproduce --run {run} --from {number} --to {number}",
        }
        for what, step, number in PRODUCED
    ]
    return [
        *rows,
        {
            "what": "All of it",
            "where": f"artefacts/{run}/",
            "command": f"selene reproduce --run {run}",
        },
        {
            "what": "The figures alone, no model",
            "where": f"artefacts/{run}/figures/",
            "command": f"selene figures --run {run}",
        },
    ]


def scale_sentences(model: str | None, set_names: list[str]) -> list[str]:
    """Say in plain words how far this run is from the paper: model and data, nothing flattering."""
    published = {name.split(":")[0] for name in set_names} & {*BENCHMARK_NAMES, *DOMAIN_NAMES}
    said = [_model_sentence(model)]
    if set_names and not published:
        none = "None of the paper's benchmarks was judged, so no number here is the paper's"
        is_made = any(name.startswith("nano-") for name in set_names)
        said.append(none + ("; sets named nano-* are generated." if is_made else "."))
    elif published and model == EMBEDDED_MODEL:
        said.append(
            "On real text a model of this size judges near chance: "
            "read every number beside its majority and random baseline."
        )
    return said


def _model_sentence(model: str | None) -> str:
    if model is None:
        return (
            "No step of this run tells which model was used, "
            "so nothing here can be compared with the paper."
        )
    if model == EMBEDDED_MODEL:
        return (
            "This is not the paper's scale: the judge is a tiny embedded model (under 10 MB) on a "
            "CPU, not an 8B model. It shows that the recipe works from end to end, "
            "not how good Selene Mini is. The run laptop does the same on real text with a real "
            "135M model."
        )
    if BASE_MODEL.lower() in model.lower():
        return (
            f"The base model is the paper's ({model}). "
            "The data are our stand-in for its 16 sources, which were not published."
        )
    return f"This is not the paper's scale: the base model is {model}, not {BASE_MODEL}."


def run_manifest(result_dir: Path) -> Mapping[str, Any]:
    """The manifest of a run, empty where there is none."""
    return files.run_object(result_dir, "manifest.json") or {}
