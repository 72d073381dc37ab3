"""How long the notebooks of a published run took, which the next run of its name may expect."""

from __future__ import annotations

from pathlib import Path

from selene_lib.files import write_json
from selene_lib.pipeline.places import home, project_root
from selene_lib.pipeline.step_records import RECORD, read_object, read_record

TIMES = "times.json"


def write_times(run_dir: Path, path: Path) -> Path:
    """Write the wall seconds of each finished notebook of a run, by its name."""
    records = {p.parent.name: read_record(p.parent) for p in sorted(run_dir.glob(f"*/{RECORD}"))}
    seconds = {
        name: round(float(record["wall_seconds"]))
        for name, record in records.items()
        if record is not None and "wall_seconds" in record
    }
    write_json(path, seconds)
    return path


def usual_seconds(run: str) -> dict[str, float]:
    """Return the wall seconds of each notebook of the published run; empty where none is."""
    for root in (home(), project_root()):
        found = read_object(root / "reports" / run / TIMES)
        if found:
            return {name: float(took) for name, took in found.items() if isinstance(took, int)}
    return {}
