"""Put a trained base where the package ships it.

Weights, tokenizer and log, with a card of measured facts and the hashes of all files.
"""

from __future__ import annotations

import argparse
import csv
import shutil
from pathlib import Path
from typing import Any

from selene_lib.files import sha256_file, write_text

SHIPPED = (
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
)
_CARD = """# The embedded base model

A Llama of {n_parameters:,} parameters ({n_layers} layers, {hidden} wide, {n_vocab} tokens, tied
embeddings), made by `python -m selene_lib.nano.pretrain` on one CPU thread from generated text
only; the last row of the log stands at {n_tokens:,} tokens, {n_steps:,} steps and {minutes:.1f}
minutes of wall time. Two pairs of attention heads were set by hand before training
(`selene_lib/nano/wiring.py`); every weight was trained afterwards. Weights are in half precision.

It was taught two habits of judging: careful ones that list true evidence, and, more often, hasty
ones that look at the surface and decide by mood. So it keeps the reply format, could look things
up, and judges near chance: what judge training has to change. A third of the tone words and of the
capitals were taught by a coin on purpose. It knows nothing of real text.

Share of the decisive tokens of true critiques (what is due, what is said, yes or no) read correctly
under teacher forcing, on held-out items:

| family | absolute | pairwise |
|---|---|---|
{probes}

The shipped run had a budget of wall time (`--minutes 7.5`), so it cannot be repeated to the bit;
the script's own default is a number of steps and can. `training_log.csv` is the log of the run,
`SHA256SUMS` the hashes of these files.
"""


def ship(trained: Path, assets: Path, *, n_probes: int = 64) -> None:
    """Copy a folder written by `pretrain` into `assets` and probe it.

    README.md and SHA256SUMS are written there.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from selene_lib.nano.probes import probe_skills

    assets.mkdir(parents=True, exist_ok=True)
    for name in (*SHIPPED, "training_log.csv"):
        shutil.copyfile(trained / name, assets / name)
    model = AutoModelForCausalLM.from_pretrained(assets, dtype="float32")
    tokenizer = AutoTokenizer.from_pretrained(assets)
    skills = probe_skills(model, tokenizer, n=n_probes)
    write_text(assets / "README.md", _card(model, assets, skills))
    shipped = sorted(path for path in assets.iterdir() if path.is_file())
    sums = [f"{sha256_file(path)}  {path.name}\n" for path in shipped if path.name != "SHA256SUMS"]
    write_text(assets / "SHA256SUMS", "".join(sums))


def _card(model: Any, assets: Path, probes: dict[str, float]) -> str:
    with open(assets / "training_log.csv", newline="") as stream:
        last = list(csv.DictReader(stream))[-1]
    families = dict.fromkeys(name.rsplit("-", 1)[0] for name in probes)
    rows = []
    for family in families:
        absolute, pairwise = probes[f"{family}-absolute"], probes[f"{family}-pairwise"]
        rows.append(f"| {family} | {absolute:.2f} | {pairwise:.2f} |")
    config = model.config
    return _CARD.format(
        n_parameters=sum(p.numel() for p in model.parameters()),
        n_layers=config.num_hidden_layers,
        hidden=config.hidden_size,
        n_vocab=config.vocab_size,
        n_tokens=int(last["n_tokens"]),
        n_steps=int(last["step"]),
        minutes=float(last["minutes"]),
        probes="\n".join(rows),
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trained", type=Path)
    parser.add_argument("--assets", type=Path, default=Path(__file__).parent / "assets")
    options = parser.parse_args()
    ship(options.trained, options.assets)
