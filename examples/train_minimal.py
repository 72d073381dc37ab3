"""From data to a trained judge on one screen: the embedded world, 30 steps, a minute on a CPU.

python examples/train_minimal.py [folder]      writes the adapter, its logs and its checkpoints
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from selene_lib import Judge, TrainSpec, nano, train
from selene_lib.curation.critiques import generate_critiques
from selene_lib.curation.filters import filter_gold
from selene_lib.curation.generators.teacher import TeacherGenerator
from selene_lib.curation.pairs import build_pairs, split
from selene_lib.models.names import EMBEDDED_MODEL, resolve_model


def main(folder: Path) -> None:
    samples = []
    for source in nano.NANO_SOURCES:
        samples += filter_gold(nano.make_source(source, 60, seed=0)).kept

    # Two critiques a sample, one for the right verdict and one for a wrong one, make a pair.
    found = generate_critiques(samples, TeacherGenerator(), store=None, family="nano")
    pairs, held_out = split(build_pairs(samples, found.critiques, family="nano"), 0.1)
    print(f"{len(samples)} samples, {len(pairs)} pairs to train on, {len(held_out)} held out")

    spec = TrainSpec(
        base_model=resolve_model(EMBEDDED_MODEL),
        loss="dpo_nll",
        n_steps=30,
        batch_size=8,
        learning_rate=2e-3,
        max_length_tokens=512,
    )
    result = train(spec, pairs, folder, held_out)
    print({name: round(value, 3) for name, value in (result.validation or {}).items()})

    items = nano.make_set("nano-classification", 40, seed=7)
    for name, adapter in (("base", None), ("trained", result.adapter_dir)):
        judge = Judge(EMBEDDED_MODEL, adapter=adapter, max_new_tokens=110)
        findings = judge.score_samples(items)
        n_right = sum(f.label == item.label for f, item in zip(findings, items))
        print(f"{name}: {n_right} of {len(items)} right; the first: {findings[0].critique!r}")
    print(f"adapter: {result.adapter_dir}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="judge-")))
