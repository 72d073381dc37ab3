"""What each convention gives a random judge and one that always names the first, by simulation.

python bench/conventions.py --data-dir ../shared/data
"""

from __future__ import annotations

import argparse
from pathlib import Path

from selene_lib.data import load
from selene_lib.evaluation.scoring.selection import selection_table

SETS = ("lfqa_eval", "hhh_alignment", "evalbiasbench", "instrusum", "auto_j", "infobench")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--n-runs", type=int, default=200)
    parser.add_argument("--sets", default=",".join(SETS))
    given = parser.parse_args()
    names = given.sets.split(",")
    sets = {name: load(name, data_dir=given.data_dir).samples for name in names}
    table = selection_table(sets, n_runs=given.n_runs)
    wide = table.pivot(index=["set", "metric", "convention"], columns="judge", values="value")
    spread = table[table["judge"] == "random"].set_index(["set", "metric", "convention"])["sd"]
    print(wide.join(spread.rename("sd of random")).round(3).to_string())


if __name__ == "__main__":
    main()
