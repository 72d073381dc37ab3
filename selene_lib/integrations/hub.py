"""A trained judge on the Hugging Face hub: adapter, card and measured agreement, in one commit.

What users wrote stays here: of the agreement's files the disagreements with their texts are taken
out, and training data, checkpoints and judgements are never sent. The key is `HF_TOKEN`, or that of
`hf auth login`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from selene_lib.errors import UserError
from selene_lib.files import read_json
from selene_lib.judges.trained import CALIBRATION
from selene_lib.models.adapters import CONFIG, RECORD, WEIGHTS, read_record
from selene_lib.training.card import recorded_facts, write_model_card

CARD = "README.md"
NEEDED = (CONFIG, WEIGHTS, RECORD)
OFFERED = (*NEEDED, CALIBRATION, "comparison.json")
AGREEMENT = "agreement.json"
WITH_TEXTS = ("agreement.html", "held_out.csv")


@dataclass(frozen=True)
class Pushed:
    """What was sent: names and sizes in bytes, and where it lies (empty after a dry run)."""

    files: Mapping[str, int]
    url: str


def push_judge(
    adapter: str | Path,
    repo_id: str,
    *,
    public: bool = False,
    with_texts: bool = False,
    dry_run: bool = False,
    message: str = "A judge, its card and its agreement",
    endpoint: str | None = None,
) -> Pushed:
    """Send an adapter's folder to `repo_id` (`owner/name`), which is made private where it is new.

    A `README.md` in the folder is the card; without one it is written from what the training
    recorded. `with_texts` sends the held-out items and the whole agreement too. Raises UserError
    for a folder that is no adapter, and for what the hub refuses.
    """
    folder = Path(adapter)
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"{folder} is no adapter of this project: {missing[0]} is not there; give the folder "
            "that `selene train --out` or notebook 04 wrote"
        )
    with TemporaryDirectory() as temporary:
        files = _files(folder, Path(temporary), repo_id, with_texts)
        sizes = {name: path.stat().st_size for name, path in files.items()}
        if dry_run:
            return Pushed(sizes, "")
        return Pushed(sizes, _send(files, repo_id, public, message, endpoint))


def _files(folder: Path, made: Path, repo_id: str, with_texts: bool) -> dict[str, Path]:
    """What is sent, by name; files that are made for it are written to `made`."""
    wanted = (*OFFERED, AGREEMENT, *WITH_TEXTS) if with_texts else OFFERED
    files = {name: folder / name for name in wanted if (folder / name).is_file()}
    if not with_texts and (folder / AGREEMENT).is_file():
        values = {k: v for k, v in read_json(folder / AGREEMENT).items() if k != "disagreements"}
        (made / AGREEMENT).write_text(json.dumps(values, indent=1), encoding="utf-8")
        files[AGREEMENT] = made / AGREEMENT
    card = folder / CARD
    if not card.is_file():
        facts = recorded_facts(folder, str(read_record(folder).get("base_model") or ""))
        facts["name"] = repo_id.rpartition("/")[2]
        write_model_card(facts, made / CARD)
        card = made / CARD
        card.write_text(card.read_text(encoding="utf-8") + _agreement(folder), encoding="utf-8")
    return {CARD: card, **files}


def _agreement(folder: Path) -> str:
    """The card's section on held-out labels; empty for an adapter that was not measured on any."""
    judge: dict[str, Any] = read_record(folder).get("judge") or {}
    measured = judge.get("agreement") or {}
    if not measured.get("sentence"):
        return ""
    lines = ["", "## Agreement with labels it was not trained on", "", measured["sentence"], ""]
    for row in measured.get("rows", ()):
        lines.append(
            f"- {row['who']}: accuracy {row['accuracy']:.3f} "
            f"[{row['accuracy_low']:.3f}, {row['accuracy_high']:.3f}], n {measured['n']}"
        )
    return "\n".join([*lines, ""])


def _send(
    files: Mapping[str, Path], repo_id: str, public: bool, message: str, endpoint: str | None
) -> str:
    import httpx
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    api = HfApi(endpoint=endpoint)
    operations = [CommitOperationAdd(name, str(path)) for name, path in files.items()]
    try:
        repository = api.create_repo(repo_id, private=not public, exist_ok=True)
        api.create_commit(repo_id, operations, commit_message=message)
    except (HfHubHTTPError, HFValidationError, httpx.HTTPError, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{repo_id} cannot be written ({reason}); set HF_TOKEN to a key that may write there, "
            "and give the name as owner/name"
        ) from error
    return str(repository)
