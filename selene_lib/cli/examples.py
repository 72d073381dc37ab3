"""An example for every command, printed at the end of its help.

A test reads each with the command's own parser, so an option that is renamed here and not there
fails. A line ends at 76 characters, so that a terminal of 80 columns does not wrap it.
"""

from __future__ import annotations

EXAMPLES = {
    "reproduce": (
        "selene reproduce",
        "selene reproduce --run laptop --data-dir DIR",
        "selene reproduce --from 02 --to 05 --set 04.n_steps=50",
    ),
    "verify": ("selene verify --run nano",),
    "publish": ("selene publish --run nano",),
    "figures": ("selene figures --published",),
    "report": ("selene report --run nano", "selene report --compare nano colab"),
    "doctor": ("selene doctor",),
    "lab": ("selene lab --no-browser --port 8877",),
    "sources": ("selene sources --data-dir DIR",),
    "benchmarks": ("selene benchmarks --json",),
    "lock": ("selene lock hh_rlhf",),
    "import-outputs": (
        "selene import-outputs outputs.jsonl --set judgebench --judge theirs \\",
        "    --data-dir DIR",
    ),
    "arena": ("selene arena --votes votes.csv",),
    "judge": (
        "selene judge --input answers.csv --output judged.csv \\",
        '    --task classification --rubric "Is it helpful?" \\',
        "    --column instruction=question --column response=answer \\",
        "    --model http://localhost:8000/v1#my-model",
    ),
    "rubrics": ("selene rubrics helpfulness",),
    "score": (
        "selene score --replies judged.csv.replies.jsonl \\",
        "    --samples judged.csv.samples.parquet",
    ),
    "audit": ("selene audit --samples judged.csv.samples.parquet --model smollm2",),
    "train": (
        "selene train --input examples/support_answers/labels.csv \\",
        "    --task classification --rubric examples/support_answers/rubric.txt \\",
        "    --out my-judge",
    ),
    "agree": ("selene agree my-judge/held_out.csv --fail-under kappa=0.2",),
    "import": ("selene import rubric.json --out imported",),
    "plan": ("selene plan --run paper --device H100-80GB",),
    "export": (
        "selene export --adapter my-judge --base smollm2 --out exported \\",
        "    --golden judged.csv.samples.parquet",
    ),
    "init": ("selene init my-project",),
    "serve": (
        "selene serve --model http://localhost:8000/v1#my-model \\",
        '    --task classification --rubric "Is it helpful?"',
    ),
    "push": ("selene push my-judge owner/my-judge --dry-run",),
    "model get": ("selene model get smollm2",),
    "data get": ("selene data get laptop --out DIR",),
}
"""Lines by command; a line that ends in a backslash goes on in the next."""


def epilog(name: str) -> str | None:
    """Return the end of a command's help, kept line by line; None where it has no example."""
    lines = EXAMPLES.get(name)
    if lines is None:
        return None
    # a paragraph that begins with \b is printed as it stands
    return "\n".join(["\b", "Example:", *(f"  {line}" for line in lines)])


def commands_of_example(name: str) -> list[str]:
    """Return an example's commands, its continued lines joined."""
    return "\n".join(EXAMPLES[name]).replace("\\\n", "").splitlines()
