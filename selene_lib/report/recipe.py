"""The card of the recipe: each choice beside the paper's value, its relatives' and ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selene_lib.files import write_text

NOT_PUBLISHED = "not published"


@dataclass(frozen=True)
class Choice:
    """One choice of the recipe.

    `paper` is what is known of Selene Mini's, with how it is known; `relatives` what related
    recipes publish; `parameter` the notebook and its parameter that set ours (`02.critique_share`).
    """

    what: str
    paper: str
    relatives: str
    parameter: str


_SFR = "SFR-Judge"
CHOICES: tuple[Choice, ...] = (
    Choice(
        "base model",
        "Llama-3.1-8B-Instruct (read)",
        f"{_SFR}: Llama-3.1-8B-Instruct",
        "04.base_model",
    ),
    Choice(
        "training sources",
        "16 public sets, 577k points; only Feedback Collection is named (read)",
        f"{_SFR}: 22 sources",
        "01.sources",
    ),
    Choice("samples a source", NOT_PUBLISHED, "labels balanced per task", "01.n_per_source"),
    Choice(
        "critiques",
        "chain-of-thought critiques, synthetic (read); how, not published",
        f"{_SFR}: 20 samples of a 70B teacher at T = .7, kept by verdict; FARE: 4 samples",
        "02.critique_method",
    ),
    Choice("replies a prompt", NOT_PUBLISHED, f"{_SFR}: 20; FARE: 4", "02.n_samples"),
    Choice("pairs a prompt", NOT_PUBLISHED, NOT_PUBLISHED, "02.max_pairs"),
    Choice(
        "share with a critique",
        "some pairs hold only the judgement (unverified); the share, not published",
        f"{_SFR}: 70 %",
        "02.critique_share",
    ),
    Choice("response deduction", NOT_PUBLISHED, f"{_SFR}: 15 %", "02.deduction_share"),
    Choice(
        "both orders of a pair",
        NOT_PUBLISHED,
        "J1, Table 8: JudgeBench consistent accuracy 36.6 -> 42.0",
        "02.both_orders",
    ),
    Choice("scales of absolute scores", "1-5 (read)", "FARE: 0-1, 1-3, 1-5", "02.scales"),
    Choice(
        "reward model",
        "ArmoRM (unverified)",
        NOT_PUBLISHED,
        "02.reward_model",
    ),
    Choice(
        "reward thresholds",
        "decided by ablation (read); the values, not published",
        "per source in some",
        "03.threshold_by",
    ),
    Choice("inclusion of a source", "decided by ablation (read)", NOT_PUBLISHED, "03.skip"),
    Choice("balance of labels", NOT_PUBLISHED, f"{_SFR}: per task", "02.balance_by"),
    Choice(
        "loss",
        "DPO + NLL on the chosen side (read, of a relative: Iterative RPO)",
        f"{_SFR}: DPO + NLL; no SFT-only baseline published",
        "04.losses",
    ),
    Choice(
        "beta, alpha",
        "0.1 and 1.0 (unverified)",
        "GLIDER: the same",
        "04.beta",
    ),
    Choice(
        "learning rate",
        NOT_PUBLISHED,
        "GLIDER: 5e-7 (full fine-tuning), cosine, warm-up .05",
        "04.learning_rate",
    ),
    Choice("batch size", NOT_PUBLISHED, NOT_PUBLISHED, "04.batch_size"),
    Choice("steps", NOT_PUBLISHED, "GLIDER: 1 epoch", "04.n_steps"),
    Choice(
        "prompt templates",
        "five published YAML templates (read)",
        f"{_SFR}: task-specific prompts for six sets",
        "02.template_family",
    ),
    Choice("reply that is asked for", "critique, then judgement (read)", "the same", "05.reply"),
)


def recipe_rows(parameters: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return a row a choice: choice, paper, relatives, ours, parameter.

    `parameters` maps a notebook's name to the values it ran with; a choice that the run does not
    name says so.
    """
    rows = []
    for choice in CHOICES:
        number, _, name = choice.parameter.partition(".")
        found = next((v for k, v in parameters.items() if k.startswith(number)), {})
        ours = str(found[name]) if name in found else "not a parameter of this run"
        row = {"choice": choice.what, "paper": choice.paper, "relatives": choice.relatives}
        rows.append({**row, "ours": ours or "none", "parameter": choice.parameter})
    return rows


def write_recipe_card(path: Path, run: str, parameters: Mapping[str, Mapping[str, Any]]) -> Path:
    """Write the card as Markdown; return its path."""
    names = ("choice", "paper", "relatives", "ours", "parameter")
    head = ("choice", "the paper", "relatives", "ours", "set by")
    lines = [
        f"# The recipe of run {run}",
        "",
        "What is known of the paper's says how it is known; what nobody read is *not published* or",
        "*unverified*, and ours is then our choice.",
        "",
        f"| {' | '.join(head)} |",
        f"| {' | '.join('---' for _ in head)} |",
    ]
    for row in recipe_rows(parameters):
        cells = [row[name].replace("|", "\\|").replace("\n", " ") for name in names]
        lines.append(f"| {' | '.join(cells)} |")
    return write_text(path, "\n".join([*lines, ""]))
