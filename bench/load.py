"""How fast and in how much memory a set is streamed into Parquet: generated pairs in the shape of a
published set, one process per way.

python bench/load.py [n_rows]     prints rows per second and peak memory of our loader, of
`datasets` streaming, and of `json.load`. The peak is the process's, with its imports. `json.load`
and `datasets` only read the rows; our loader also checks them, makes samples with ids and groups,
and writes Parquet.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

WAYS = {
    "selene array": "load",
    "selene lines": "load",
    "datasets array": "stream",
    "datasets lines": "stream",
    "json.load array": "json",
}
MEASURE = """
import json, resource, sys, time
from dataclasses import replace
from pathlib import Path
folder, way = Path(sys.argv[1]), sys.argv[2]
start = time.perf_counter()
if way == "load":
    from selene_lib.data import find_spec, load_to_parquet
    spec = replace(find_spec("offsetbias"), published_n=None)
    n = load_to_parquet(spec, folder / "x.parquet", data_dir=folder).n_samples
elif way == "stream":
    import datasets
    file = str(next((folder / "offsetbias").iterdir()))
    rows = datasets.load_dataset("json", data_files=file, split="train", streaming=True)
    n = sum(1 for _ in rows)
else:
    n = len(json.loads(next((folder / "offsetbias").iterdir()).read_text()))
seconds = time.perf_counter() - start
print(n, round(n / seconds), round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
"""


def write_pairs(path: Path, n_rows: int, *, lines: bool) -> None:
    """Write pairs of 0.5 to 5 kB, as one JSON array on one line or as JSON Lines."""
    texts = [" word" * n for n in (40, 120, 200, 360)]
    with open(path, "w", encoding="utf-8") as stream:
        for i in range(n_rows):
            row = {
                "instruction": f"q {i}{texts[i % 4]}",
                "output_1": f"a {i}{texts[i % 3]}",
                "output_2": f"b {i}{texts[(i + 1) % 3]}",
            }
            text = json.dumps({**row, "label": 1 + i % 2})
            stream.write(f"{text}\n" if lines else f"{',' if i else '['}{text}")
        stream.write("" if lines else "]")


def main(n_rows: int = 100_000) -> None:
    print(f"{n_rows:,} rows\n{'way':<18}{'rows/s':>10}{'peak MiB':>10}{'GB read':>10}")
    for name, way in WAYS.items():
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder) / "offsetbias"
            data.mkdir()
            path = data / ("train.jsonl" if name.endswith("lines") else "train.json")
            write_pairs(path, n_rows, lines=name.endswith("lines"))
            size_gb = path.stat().st_size / 1e9
            done = subprocess.run(
                [sys.executable, "-c", MEASURE, folder, way], capture_output=True, text=True
            )
            if done.returncode:
                print(f"{name:<18}{'failed':>10}  {done.stderr.strip().splitlines()[-1][:90]}")
                continue
            n, rate, peak = map(int, done.stdout.split())
            assert n == n_rows, f"{name}: {n} of {n_rows} rows"
            print(f"{name:<18}{rate:>10,}{peak:>10,}{size_gb:>10.2f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
