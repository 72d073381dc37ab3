"""What the commands of the README read: small files written in a sandbox, in the shapes that the
README names.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

from adapter_checks import write_rows

from selene_lib.models.names import resolve_model

ADAPTER = ("adapter_model.safetensors", "adapter_config.json")


@dataclass
class Sandbox:
    """A copy of the project in which one session runs: `folder` is the working directory and
    SELENE_HOME at once.
    """

    folder: Path
    places: dict[str, str]
    variables: dict[str, str] = field(default_factory=dict)
    task_of: dict[str, str] = field(
        default_factory=dict
    )  # of the replies that earlier commands of the session stored

    def environment(self) -> dict[str, str]:
        """Nothing a command writes, not even Jupyter's settings, leaves the sandbox; `selene` runs
        the sandbox's copy of the library.
        """
        jupyter = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
        here = dict.fromkeys(jupyter, str(self.folder / "jupyter")) | {
            "HF_HUB_OFFLINE": "1",
            "OPENAI_API_KEY": "not-a-key",
        }
        here |= {"SELENE_HOME": str(self.folder), "PYTHONPATH": str(self.folder)}
        return {
            **os.environ,
            **here,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            **self.variables,
        }


def option(given: list[str], name: str, default: str = "") -> str:
    """Return the word after an option, or after its `=`."""
    after = [given[i + 1] for i, word in enumerate(given[:-1]) if word == name]
    return (
        after
        or [word.partition("=")[2] for word in given if word.startswith(f"{name}=")]
        or [default]
    )[0]


def rows(task: str, *, with_rubric: bool) -> list[dict[str, str]]:
    """A few labelled rows in the columns that the README names."""
    labels = {
        "absolute": ("1", "5", "3", "4"),
        "classification": ("Yes", "No"),
        "pairwise": ("A", "B"),
    }[task]
    made = [
        {
            "id": f"{task}-{i}",
            "instruction": f"Name river {i}.",
            "response": f"The river is number {i}.",
            "label": labels[i % len(labels)],
        }
        for i in range(36 if task == "classification" else 4)  # an export needs 20 golden items
    ]
    more = {"response_b": "I know no river."} if task == "pairwise" else {}
    more |= {"rubric": "[Does it name a river?]"} if with_rubric else {}
    return [{**row, **more} for row in made]


def write_rubric(path: Path, given: list[str], _: Sandbox) -> None:
    labels = "12345" if option(given, "--task") == "absolute" else ("Yes", "No")
    path.write_text(
        "Does it name a river?\n" + "".join(f"{label}: it is {label}\n" for label in labels),
        encoding="utf-8",
    )


def write_input(path: Path, given: list[str], _: Sandbox) -> None:
    from selene_lib.data.table_writing import write_table

    write_table(
        path, rows(option(given, "--task", "absolute"), with_rubric="--rubric" not in given)
    )


def write_samples(path: Path, given: list[str], sandbox: Sandbox) -> None:
    """The gold labels of `--replies`' task; samples of all tasks where there are no replies."""
    from selene_lib.files import write_jsonl, write_parquet
    from selene_lib.records import TASKS, Sample

    replies = option(given, "--replies")
    tasks = [sandbox.task_of.get(replies, "absolute")] if replies else TASKS
    made = [
        Sample(source="mine", task=task, **row)
        for task in tasks
        for row in rows(task, with_rubric=True)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        write_parquet(path, made, Sample)
    else:
        write_jsonl(path, made)


def write_votes(path: Path, *_: object) -> None:
    path.write_text(
        "left,right,winner\n" + "base,trained,right\ntrained,base,left\nbase,trained,tie\n" * 4,
        encoding="utf-8",
    )


def write_data(path: Path, *_: object) -> None:
    """One source in its publisher's shape."""
    write_rows("hh_rlhf", path, spoil=False)


def write_adapter(path: Path, *_: object) -> None:
    """An adapter of the embedded base as training begins, which changes nothing yet; written by
    hand, as importing peft takes seconds.
    """
    import numpy as np
    from safetensors.numpy import save_file

    base = Path(resolve_model("embedded"))
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    shapes = {
        "lora_A": (2, config["hidden_size"]),
        "lora_B": (config["num_attention_heads"] * config["head_dim"], 2),
    }
    layers = [
        f"base_model.model.model.layers.{i}.self_attn.q_proj"
        for i in range(config["num_hidden_layers"])
    ]
    path.mkdir(parents=True)
    save_file(
        {
            f"{layer}.{k}.weight": np.zeros(s, "float32")
            for layer in layers
            for k, s in shapes.items()
        },
        path / ADAPTER[0],
    )
    settings = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": 2,
        "lora_alpha": 2,
        "target_modules": ["q_proj"],
    }
    (path / ADAPTER[1]).write_text(
        json.dumps(settings | {"base_model_name_or_path": str(base)}), encoding="utf-8"
    )
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy2(base / name, path / name)


def write_finished_run(sandbox: Sandbox) -> None:
    """The result files of a small finished run."""
    from synthetic_run import write_run

    write_run(sandbox.folder / "artefacts" / "nano", hostile=False)
