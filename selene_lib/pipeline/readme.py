"""The numbers of README and docs, made from result files.

`selene publish` writes them between their markers, and so does `python -m
selene_lib.pipeline.readme`; a test compares them. A marker pair `<!-- NAME -->...<!-- /NAME -->`
may enclose lines, part of a line or one cell of a table, and may stand in several documents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from selene_lib.evaluation.yardsticks import TFIDF as BAG_OF_WORDS
from selene_lib.files import read_json, write_text
from selene_lib.judges.names import BASE, main_judge
from selene_lib.pipeline.execution import clock
from selene_lib.pipeline.notebooks import STEPS
from selene_lib.records import TASKS

NANO = Path("reports", "nano", "results.json")
PLANNED = (("colab", "T4"), ("paper", "A100-80GB"), ("paper", "H100-80GB"))


def readme_blocks(root: Path) -> dict[str, str]:
    """Return the text of every marker.

    Results and times of the published embedded run, and predictions of `selene plan`.
    """
    reports, results = root / "reports" / "nano", read_json(root / NANO)
    blocks = {
        "results:nano": f"\n{_results_table(results)}\n",
        "said:nano": losses_in_words(results),
        "plan": f"\n{_plan_table()}\n",
    }
    seconds = {step.name: _seconds(reports / "notebooks" / f"{step.name}.ipynb") for step in STEPS}
    blocks |= {f"time:{name[:2]}": clock(value) for name, value in seconds.items()}
    blocks |= {"time:all": clock(sum(seconds.values()))}
    laptop = root / "reports" / "laptop" / "results.json"
    return blocks | laptop_blocks(read_json(laptop)) if laptop.is_file() else blocks


def laptop_blocks(results: Mapping[str, Any]) -> dict[str, str]:
    """Return what the README says of the run on real text: a row a Yes/No set, and each task in one
    sentence.
    """
    rows = results["yes_no"]
    main = main_judge(
        row["who"] for row in rows if "," not in row["who"] and row["kind"] == "judge"
    )
    table = [["set", "n", "base", "trained", "95 % interval", "majority", "bag of words", "AUC"]]
    said = []
    # test parts first, then the sets that were never trained on
    names = sorted({row["set"] for row in rows}, key=lambda name: ("_test" not in name, name))
    for name in names:
        mine = {row["who"]: row for row in rows if row["set"] == name}
        base, trained, words = mine[BASE], mine[main], mine[BAG_OF_WORDS]
        table.append(
            [
                f"`{name}`",
                str(trained["n"]),
                f"{base['accuracy']:.3f}",
                f"**{trained['accuracy']:.3f}**",
                f"{trained['accuracy_low']:.3f} to {trained['accuracy_high']:.3f}",
                f"{trained['majority']:.3f}",
                f"{words['accuracy']:.3f}",
                f"{base['auc']:.3f}, {trained['auc']:.3f}, {words['auc']:.3f}",
            ]
        )
        task, is_test, _ = name.partition("_test")
        if is_test:
            said.append(f"{task} {base['accuracy']:.2f} to {trained['accuracy']:.2f}")
    return {
        "results:laptop": f"\n{_markdown_table(table)}\n",
        "said:laptop": ", ".join(said),
    }


def losses_in_words(results: Mapping[str, Any]) -> str:
    """Return the mean over task types of the base and of each loss, over the seeds of that loss."""
    means = {r["judge"]: r["value"] for r in results["task_means"] if r["task"] == "overall"}
    by_loss: dict[str, list[float]] = {}
    for judge, value in means.items():
        by_loss.setdefault(judge.partition("-seed")[0], []).append(value)
    return ", ".join(
        f"{IN_WORDS.get(loss, loss)} {_range(values)}" for loss, values in by_loss.items()
    )


IN_WORDS = {BASE: "untrained", "dpo_nll": "DPO+NLL", "nll": "NLL alone", "dpo": "DPO alone"}


def _range(values: Sequence[float]) -> str:
    low, high = f"{min(values):.2f}", f"{max(values):.2f}"
    return low if low == high else f"{low} to {high}"


def _results_table(results: Mapping[str, Any]) -> str:
    """Return `results.json` as a Markdown table of base and every trained arm.

    By task type and over them, with interval.
    """
    overall = [row for row in results["task_means"] if row["task"] == "overall"]
    by_task = {(row["judge"], row["task"]): row["value"] for row in results["task_means"]}
    gains = {row["judge"]: row["gain_points"] for row in results["seeds"]}
    tasks = [task for task in TASKS if (BASE, task) in by_task]
    table = [["judge", *tasks, "mean", "95 % interval", "n", "unparsed", "gain, points"]]
    for row in overall:
        judge = row["judge"]
        values = [f"{by_task[judge, task]:.3f}" for task in tasks]
        mean = f"**{row['value']:.3f}**"
        interval = f"{row['ci95_low']:.3f} to {row['ci95_high']:.3f}"
        gain = "" if judge == BASE else f"{gains[judge]:+.1f}"
        counts = [str(row["n"]), str(row["n_unparsed"])]
        table.append([judge, *values, mean, interval, *counts, gain])
    return _markdown_table(table)


def _markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; the first row is the heading."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, "|---" * len(rows[0]) + "|")
    return "\n".join(lines)


def _plan_table() -> str:
    """Return what `selene plan` predicts for the runs that need a GPU: a Markdown table."""
    from selene_lib.pipeline.plan import spec_of_run
    from selene_lib.training.planner import plan_training

    hours = ("reference, h", "training in all, h")
    table = [["run", "GPU", "pairs seen", "peak memory", "tokens/s", *hours]]
    for run, device in PLANNED:
        spec = spec_of_run(run)
        found = plan_training(spec, device=device)
        table.append(
            [
                f"`{run}`",
                device,
                f"{found.n_steps * spec.batch_size:,}",
                f"{found.peak_memory_bytes / 1e9:.1f} GB",
                f"{found.tokens_per_second:,.0f}",
                f"{found.reference_hours:.1f}",
                f"{found.hours:.1f}",
            ]
        )
    return _markdown_table(table)


def _seconds(executed: Path) -> float:
    return float(read_json(executed)["metadata"]["papermill"]["duration"])


def fill(text: str, blocks: Mapping[str, str]) -> str:
    """Return a text with every block between its first pair of markers.

    A marker without a block stays as it is.
    """
    for name, block in blocks.items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        head, marker, rest = text.partition(begin)
        if marker and end in rest:
            text = head + begin + block + end + rest.partition(end)[2]
    return text


def documents(root: Path) -> list[Path]:
    """The documents with markers: the README and the pages of docs/."""
    return [root / "README.md", *sorted((root / "docs").glob("*.md"))]


def update_documents(root: Path) -> list[str]:
    """Fill the documents of a project; return the names of those that changed.

    Nothing is filled where the README or the published results are not there.
    """
    if not ((root / "README.md").is_file() and (root / NANO).is_file()):
        return []
    blocks, changed = readme_blocks(root), []
    for path in documents(root):
        text = path.read_text(encoding="utf-8")
        new = fill(text, blocks)
        if new != text:
            write_text(path, new)
            changed.append(path.relative_to(root).as_posix())
    return changed


if __name__ == "__main__":
    from selene_lib.pipeline.places import project_root

    print("\n".join(update_documents(project_root())) or "README and docs are up to date")
