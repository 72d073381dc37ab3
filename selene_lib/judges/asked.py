"""How a judge is asked: what the caller gave, else what its adapter says, else the defaults."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from selene_lib.data.tables import is_missing, iterate_rows
from selene_lib.errors import UserError, shown, tell
from selene_lib.files import read_json
from selene_lib.files.yaml_text import read_yaml, text_in, truth_of
from selene_lib.judges.calibration import Calibration, read_calibration
from selene_lib.judges.judging import Asking
from selene_lib.judges.opinions import Criterion, Opinion
from selene_lib.judges.options import JudgeOptions
from selene_lib.judges.trained import TrainedJudge, calibration_of, read_trained
from selene_lib.models.adapters import CONFIG, read_record, weights_sha256
from selene_lib.models.fingerprints import model_folder
from selene_lib.models.names import EMBEDDED_MODEL, exported_folder, resolve_model
from selene_lib.models.packaged import PACKAGED, SMOLLM2, find_model
from selene_lib.prompts.additions import Additions, Example, check_examples
from selene_lib.prompts.presets import needs_of, rubric_of
from selene_lib.records import TASKS, USUAL_SCALE, Task, labels_of

REPLIES = ("critique", "verdict")
_SCALE = re.compile(r"([01])\s*-\s*(\d{1,2})")
_GET = f"`selene model get {SMOLLM2.name}` fetches it ({SMOLLM2.n_megabytes} MB)"


@dataclass(frozen=True)
class Asked:
    """How a judge is asked: task and scale (`kind`), rubric or criteria, calibration, options, and
    the texts that the rubrics cannot do without (`needs`).

    `models` are looked for when they are first used, so that what is wrong with the data is told
    before a missing model.
    """

    named: tuple[str, ...]
    options: JudgeOptions
    trained: TrainedJudge | None
    task: Task | None
    kind: str
    rubric: str
    criteria: tuple[Criterion, ...]
    calibration: Calibration
    needs: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, model: str | Sequence[str] | None, options: JudgeOptions, task: Task | None = None
    ) -> Asked:
        """Read the options. `task` is what the data show where no option says it."""
        named = (model,) if isinstance(model, str) else tuple(model or ())
        trained = read_trained(options.adapter)
        home = options.adapter
        if trained is None and len(named) == 1 and home is None:
            home = exported_folder(named[0])
            trained = read_trained(home)
        options = _with_trained(options, trained, home)
        task = options.task or task
        kind = kind_of(task, options.scale)
        wants_critique(options.reply or "critique")
        examples = examples_of(options.examples)
        check_examples(examples, kind)
        options = replace(options, examples=examples)
        listed = criteria_of(options.criteria or options.rubric)
        criteria = tuple(replace(c, rubric=rubric_of(c.rubric, kind)) for c in listed)
        Opinion(Asking(), criteria, options.combine)  # what is wrong there is told now
        needs = {needs_of(c.rubric) for c in listed} | {needs_of(options.rubric)}
        rubric = ""
        if options.rubric is not None and not criteria:
            rubric = rubric_of(options.rubric, kind)
        elif trained and not criteria:
            rubric = trained.rubric
        calibration = options.calibration
        return cls(
            named,
            _with_temperature(options, named),
            trained,
            task,
            kind,
            rubric,
            criteria,
            Calibration() if calibration is None else read_calibration(calibration),
            tuple(sorted(needs - {""})),
        )

    @property
    def scale(self) -> str | None:
        """The scale where it is not the usual one."""
        return self.kind.partition(" ")[2] or None

    @functools.cached_property
    def models(self) -> tuple[str, ...]:
        """The models that judge: those named, else `default_model`."""
        return self.named or (default_model(self.options.adapter),)

    @functools.cached_property
    def opened_with(self) -> JudgeOptions:
        """The options; the small model that nobody named is asked for verdicts, which it can give,
        and not for reasons.
        """
        options = self.options
        is_small = not self.named and self.models[0] in PACKAGED
        if is_small and (options.reply, options.read, options.n_samples) == (None, None, 1):
            # 1 and 10 begin with the same token
            one_token = all(len(label) == 1 or label.isalpha() for label in labels_of(self.kind))
            return replace(options, reply="verdict", read="logprob" if one_token else None)
        return options

    @functools.cached_property
    def opinion(self) -> Opinion:
        """What a judge is asked, and how its replies combine."""
        options = self.opened_with
        asking = Asking(
            options.family or family_of(self.models[0]),
            escape=options.escape,
            critique=wants_critique(options.reply or "critique"),
            additions=Additions(examples_of(options.examples), options.may_abstain),
            n_samples=options.n_samples if options.n_samples > 1 else 0,
        )
        return Opinion(asking, self.criteria, options.combine)


def kind_of(task: str | None, scale: str | None) -> str:
    """Return the task with its scale, as `records.labels_of` reads it; a UserError for neither."""
    if task is not None and task not in TASKS:
        raise UserError(f"task {task!r} is not one of {', '.join(TASKS)}")
    if scale is None:
        return task or "absolute"
    ends = _SCALE.fullmatch(scale.strip())
    if task not in (None, "absolute") or ends is None or not int(ends[1]) < int(ends[2]) <= 10:
        raise UserError(
            f"scale {scale!r}: give the lowest (0 or 1) and the highest (at most 10) of the whole "
            "scores of an absolute task, as in 1-10"
        )
    name = f"{int(ends[1])}-{int(ends[2])}"
    return "absolute" if name == USUAL_SCALE else f"absolute {name}"


def default_model(adapter: str | Path | None) -> str:
    """Return the model where none is named: the base of the adapter, else the small real one.

    The embedded model knows only its generated world and is never taken unless it is named.
    """
    if adapter:
        base = base_of(adapter)
        if base is None:
            raise UserError(
                f"{adapter} does not say which base it was trained on, or that is not here: name it"
                " as the model"
            )
        return base
    if find_model(SMOLLM2.name) is not None:
        tell(
            f"no model is named: {SMOLLM2.name} judges, the small model that is installed; it is "
            "weak until it is trained on your labels (selene train): measure it with selene agree"
        )
        return SMOLLM2.name
    raise UserError(
        f"no model is named, and the small real one is not here: {_GET}; or name one: a server as "
        "http://host/v1#model, a folder, a hub id, or embedded, which knows only its generated "
        "world"
    )


def base_of(adapter: str | Path) -> str | None:
    """Return the model that an adapter was trained on, by what its record says; None where it does
    not say, or the model is not here.
    """
    trained = read_trained(adapter)
    if trained is not None:
        return trained.base
    record = read_record(Path(adapter))
    named = str(record.get("base_model") or _base_by_peft(Path(adapter)))
    sha256 = record.get("base_sha256") or (weights_sha256(named) if named else "")
    for name in (EMBEDDED_MODEL, *PACKAGED):
        if sha256 and sha256 == _weights_of(name):
            return name
    return named if named and model_folder(named) is not None else None


def _base_by_peft(adapter: Path) -> str:
    """The base that PEFT's own file names, for adapters that others trained; empty for none."""
    path = adapter / CONFIG
    return str(read_json(path).get("base_model_name_or_path") or "") if path.is_file() else ""


def _weights_of(name: str) -> str:
    is_here = name == EMBEDDED_MODEL or find_model(name) is not None
    return weights_sha256(resolve_model(name)) if is_here else ""


def _with_trained(
    options: JudgeOptions, trained: TrainedJudge | None, home: str | Path | None
) -> JudgeOptions:
    """Fill what was not given with what a judge of one's own labels, which lies in `home`, was
    trained with.
    """
    if trained is None:
        return options
    found = {
        name: getattr(trained, name)
        for name in ("family", "reply", "read", "dtype", "max_prompt_tokens")
        if getattr(options, name) is None
    }
    if options.task is None:
        found["task"] = trained.task
    if options.calibration is None:
        found["calibration"] = calibration_of(home)
    return replace(options, **found)


def criteria_of(given: Any) -> tuple[Criterion, ...]:
    """Return criteria; none where a rubric is given and no list of them.

    Given is a list of them, or a YAML or JSON file with `criteria`: a list of name, rubric (a
    preset, a file or the text) and, where wanted, weight and veto.
    """
    if isinstance(given, str | Path):
        path = Path(given)
        is_file = path.suffix in (".yaml", ".yml", ".json") and path.is_file()
        given = _read_criteria(path) if is_file else ()
    return tuple(given or ())


def _read_criteria(path: Path) -> list[Criterion]:
    found = read_yaml(path)
    rows = found.get("criteria") if isinstance(found, dict) else None
    if not isinstance(rows, list):
        return []
    try:
        return [Criterion(**_criterion(path, row)) for row in rows]
    except TypeError as error:
        raise UserError(
            f"{path}: a criterion has name, rubric, and where wanted weight and veto ({error})"
        ) from error


def _criterion(path: Path, row: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise TypeError(f"not {shown(row)}")
    named = [key for key in ("name", "rubric") if key in row]
    texts: dict[str, Any] = {key: text_in(path, key, row[key]) for key in named}
    veto = truth_of(row.get("veto", False))
    if veto is None:
        raise TypeError(f"veto is true or false, not {shown(row['veto'])}")
    return {**row, **texts, "veto": veto}


def examples_of(given: Sequence[Example] | str | Path) -> tuple[Example, ...]:
    """Return judged examples: those given, or the rows of a table with `response` and `verdict`,
    and where there are such `instruction`, `response_b` and `reasoning`.
    """
    if not isinstance(given, str | Path):
        return tuple(given)
    known = [f.name for f in fields(Example)]
    found = []
    for number, row in iterate_rows(given):
        mine = {name: str(row[name]) for name in known if not is_missing(row.get(name))}
        if not {"response", "verdict"} <= set(mine):
            raise UserError(
                f"{given}, row {number}: an example needs a response and the verdict it deserves"
            )
        found.append(Example(**mine))
    return tuple(found)


def _with_temperature(options: JudgeOptions, models: Sequence[str]) -> JudgeOptions:
    """Several replies to one question need a temperature, or they are all the same."""
    if options.n_samples < 1:
        raise UserError(f"samples is {options.n_samples}; it must be at least 1")
    if options.n_samples == 1:
        return options
    if options.read == "logprob":
        raise UserError(
            "read='logprob' gives the probabilities themselves, so that samples add nothing: leave "
            "samples out, or write replies (--reply critique --read greedy)"
        )
    if options.temperature == 0:
        raise UserError("samples at temperature 0 are all the same: give a temperature such as 1")
    is_replay = bool(models) and all(model.startswith("replay:") for model in models)
    if is_replay or options.temperature is not None:  # what was replied is what it is
        return options
    return replace(options, temperature=1.0)


def family_of(model: str) -> str:
    """The template family a model was made for: small ones know, or can learn, short wording."""
    if model == EMBEDDED_MODEL:
        return "nano"
    if model in PACKAGED:
        return "lean"
    folder = exported_folder(model)
    record = read_record(folder) if folder else {}  # an exported judge says its own
    return str(record.get("family") or "full")


def wants_critique(reply: str) -> bool:
    """Tell whether a reply is to hold reasons; a UserError for an unknown kind."""
    if reply not in REPLIES:
        raise UserError(f"reply {reply!r} is not one of {', '.join(REPLIES)}")
    return reply == "critique"
