"""Training arms of one run: the same pairs under other losses and seeds (notebook 04), and short runs that judge a development set (03)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selene_lib.errors import UserError
from selene_lib.files import read_json, read_parquet, write_json
from selene_lib.models.names import is_embedded, use_one_thread
from selene_lib.prompts.rendering import Prompt, parse_verdict, render
from selene_lib.records import PreferencePair, Sample, unit_hash

if TYPE_CHECKING:
    import numpy as np

    from selene_lib.training import TrainSpec

BASE = "base"
ARM = re.compile(r"^(?P<loss>[a-z_]+)-seed(?P<seed>\d+)$")
HELD_OUT = ("dpo", "nll", "margin", "reward_accuracy")


def arm_names(losses: str, seeds: str, other_seeds: str) -> list[tuple[str, int]]:
    """Return `(loss, seed)` of each arm: the first loss with `seeds`, every other one with `other_seeds`."""
    kinds = [part.strip() for part in losses.split(",") if part.strip()]
    if not kinds or not any(part.strip() for part in seeds.split(",")):
        raise UserError(f"losses {losses!r} with seeds {seeds!r} name no arm to train: give at least one of each")
    main, other = ([int(part) for part in text.split(",") if part.strip()] for text in (seeds, other_seeds))
    return [*((kinds[0], seed) for seed in main), *((kind, seed) for kind in kinds[1:] for seed in other)]


def train_arms(spec: TrainSpec, arms: Sequence[tuple[str, int]], pairs: Sequence[PreferencePair], work: Path, out: Path,
               validation: Sequence[PreferencePair] = ()) -> tuple[Any, Any, Any]:  # fmt: skip
    """Train every arm from the same base; adapters go to `out/<loss>-seed<n>`, checkpoints stay in `work`.

    Returns three tables: the curves (deterministic: arm, step, loss, margin ...), the telemetry (seconds, tokens/s, memory), and one row
    an arm of what its judge makes of the `validation` pairs that fit, whatever it was trained with: dpo, nll, margin, reward_accuracy.
    An arm that was finished before is not trained again, a broken one goes on from its last checkpoint.
    """
    import pandas as pd

    jobs = [(train, (replace_arm(spec, loss, seed), pairs, work / f"{loss}-seed{seed}", validation)) for loss, seed in arms]
    curves, telemetry, held_out = [], [], []
    for (loss, seed), result in zip(arms, side_by_side(jobs, spec.base_model, "arms")):
        name = f"{loss}-seed{seed}"
        publish_folder(result.adapter_dir, out / name)
        about = {"arm": name, "loss_kind": loss, "seed": seed}
        curves.append(pd.read_csv(result.log_path).assign(**about))
        telemetry.append(pd.read_csv(result.telemetry_path).assign(**about))
        measured = result.validation or {}  # in this order, whether just measured or read back
        held_out.append({**about, "n_pairs": result.n_validation, **{name: measured[name] for name in HELD_OUT if name in measured}})
    return pd.concat(curves, ignore_index=True), pd.concat(telemetry, ignore_index=True), pd.DataFrame(held_out)


def loss_of(judge: str) -> str:
    """Return the loss of an arm (`dpo_nll-seed0` -> `dpo_nll`); any other judge is of a kind of its own."""
    found = ARM.match(judge)
    return found["loss"] if found else judge


def held_out_pairs(pairs: Sequence[PreferencePair], n: int, seed: int) -> list[PreferencePair]:
    """Return `n` of the pairs, drawn by `(seed, id)` from all sources alike."""
    return sorted(pairs, key=lambda pair: unit_hash(seed, "held out", pair.id))[:n]


def compare_losses(held_out: Any) -> Any:
    """Return mean, lowest and highest value over the seeds of each loss, of every metric of the held-out pairs."""
    metrics = [name for name in HELD_OUT if name in held_out]
    if not metrics:
        return held_out.groupby("loss_kind", sort=False).size().rename("n_arms_without_held_out_pairs").to_frame()
    return held_out.groupby("loss_kind", sort=False)[metrics].agg(["mean", "min", "max"])


def replace_arm(spec: TrainSpec, loss: str, seed: int) -> TrainSpec:
    """Return the spec of one arm."""
    return replace(spec, loss=loss, seed=seed)  # type: ignore[arg-type]


def train(spec: TrainSpec, pairs: Sequence[PreferencePair], folder: Path, validation: Sequence[PreferencePair] = ()) -> Any:
    """Train one arm; on one thread where it is the embedded model, for which more threads are slower."""
    from selene_lib import training

    embedded = is_embedded(spec.base_model)
    if embedded:
        use_one_thread()
    return training.train(spec, pairs, folder, validation=validation, progress=not embedded)


def side_by_side(jobs: Sequence[tuple[Callable[..., Any], tuple]], model: str, what: str) -> list[Any]:
    """Run `function(*arguments)` jobs and return their results in order: one a core for the embedded model, else one after the other.

    `LOKY_MAX_CPU_COUNT=1` in the environment keeps them all in this process, one after the other.
    """
    from joblib import Parallel, cpu_count, delayed
    from tqdm.auto import tqdm

    n_jobs = min(len(jobs), cpu_count()) if is_embedded(model) else 1
    running = Parallel(n_jobs=n_jobs, return_as="generator")(delayed(function)(*arguments) for function, arguments in jobs)
    return list(tqdm(running, total=len(jobs), desc=what))


def publish_folder(source: Path, target: Path) -> None:
    """Copy a folder so that `target` is whole or absent."""
    import shutil

    temporary = target.with_name(f".{target.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(source, temporary)
    shutil.rmtree(target, ignore_errors=True)
    temporary.rename(target)


def development_items(
    dev_path: Path, validation: Sequence[PreferencePair], family: str, n_per_task: int, seed: int
) -> list[tuple[Prompt, str]]:
    """Return prompts with gold labels to judge arms on: the trusted development set if it holds any, else the validation pairs."""
    samples = read_parquet(dev_path, Sample)
    if samples:
        items = [(s.task, s.id, render(s, family=family), s.label) for s in samples if s.label]
    else:
        items = [(p.task, p.sample_id, Prompt(p.prompt, p.task, family), p.label) for p in validation]
    chosen: list[tuple[Prompt, str]] = []
    for task in ("absolute", "classification", "pairwise"):
        mine = sorted((i for i in items if i[0] == task), key=lambda i: unit_hash(seed, i[1]))
        chosen += [(prompt, str(label)) for _, _, prompt, label in mine[:n_per_task]]
    return chosen


@dataclass(frozen=True)
class ShortRun:
    """`run(pairs, seed, n_steps)`: train that long from the base, judge `items`, return 0/1 an item.

    Outcomes are kept in `folder` under a hash of what they depend on, so that a broken ablation goes on where it stopped.
    """

    spec: TrainSpec
    items: Sequence[tuple[Prompt, str]]
    folder: Path
    max_new_tokens: int

    def __call__(self, pairs: Sequence[PreferencePair], seed: int, n_steps: int) -> np.ndarray:
        import numpy as np

        identity = [self.spec.fingerprint, str(seed), str(n_steps), *(p.id for p in pairs), *(prompt.sha256 for prompt, _ in self.items)]
        key = hashlib.sha256("\n".join(identity).encode()).hexdigest()[:20]
        kept = self.folder / f"{key}.json"
        if not kept.is_file():
            result = train(replace(self.spec, seed=seed, n_steps=n_steps), list(pairs), self.folder / key)
            options = {"max_new_tokens": self.max_new_tokens, "quantisation": self.spec.quantisation}
            write_json(kept, judge_items(self.spec.base_model, result.adapter_dir, self.items, **options))
        return np.asarray(read_json(kept), dtype=float)

    def many(self, jobs: Sequence[tuple[Sequence[PreferencePair], int, int]]) -> list[np.ndarray]:
        """Run several at once (`side_by_side`); the results are those of one after the other."""
        return side_by_side([(self, job) for job in jobs], self.spec.base_model, f"ablation, {len(jobs)} arms")


def judge_items(model: str, adapter: Path | None, items: Sequence[tuple[Prompt, str]], **options: Any) -> list[int]:
    """Judge prompts once and return 1 where the verdict is the gold label, 0 elsewhere; `options` go to `LocalJudge`."""
    from selene_lib.judges import LocalJudge

    judge = LocalJudge(model, adapter=adapter, **options)
    replies = judge.judge([prompt for prompt, _ in items])
    verdicts = [parse_verdict(reply.text, prompt.task, finish_reason=reply.finish_reason) for reply, (prompt, _) in zip(replies, items)]
    return [int(verdict.value == label) for verdict, (_, label) in zip(verdicts, items)]


def reward_thresholds(pairs: Sequence[PreferencePair], drop_shares: str) -> list[float | None]:
    """Return the thresholds that drop the given shares of lowest rewards; none where the pairs were not scored."""
    from selene_lib.curation.rewards import threshold_grid

    shares = [float(part) for part in drop_shares.split(",") if part.strip()]
    scored = all(p.chosen_reward is not None for p in pairs)
    return threshold_grid(pairs, shares) if scored and shares else []


def ablate_or_keep_all(pairs: Sequence[PreferencePair], train_arm: Any, margin_arm: Any, spec: Any, thresholds: Sequence[float | None],
                       *, skip: bool) -> Any:  # fmt: skip
    """Run the ablation; with `skip`, or where there is one source only, keep every source and say that nothing was tried."""
    from selene_lib.ablation.race import COLUMNS, AblationResult, run_ablation

    sources = sorted({p.source for p in pairs})
    if not skip and len(sources) > 1:
        return run_ablation(pairs, train_arm, spec, margin_arm=margin_arm if spec.only else None, thresholds=thresholds)
    import pandas as pd

    table = pd.DataFrame(columns=list(COLUMNS))
    telemetry = pd.DataFrame(columns=["arm", "seed", "n_steps", "seconds"])
    kept = {source: {"keep": True, "finding": "not tried"} for source in sources}
    return AblationResult(table, telemetry, {"sources": kept, "reward_threshold": None, "made_with": None})
