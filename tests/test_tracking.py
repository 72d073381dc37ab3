"""Trackers through `report_to`: a TensorBoard run in a real training (`make test-tracking`);
Weights & Biases and MLflow by their names.
"""

from __future__ import annotations

import importlib.util

import pytest

from selene_lib.errors import UserError
from selene_lib.training.spec import TrainSpec

NEEDS = "the extra 'tracking' is not installed: make test-tracking"


def test_trackers_are_named_by_one_word_by_several_and_by_none():
    assert TrainSpec(report_to="").report_to == ()
    assert TrainSpec(report_to="wandb").report_to == ("wandb",)
    assert TrainSpec(report_to="wandb, mlflow").report_to == ("wandb", "mlflow")
    assert TrainSpec(report_to=["tensorboard"]).report_to == ("tensorboard",)
    # what a run is called does not change with who watches it
    assert TrainSpec(report_to="wandb").fingerprint == TrainSpec().fingerprint


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_tracker_that_is_not_installed_is_named_before_anything_is_trained(name):
    from selene_lib.training.trackers import check_trackers

    if importlib.util.find_spec(name):
        check_trackers([name])
        return
    with pytest.raises(UserError, match=f"pip install {name}"):
        check_trackers([name])


def test_an_unknown_tracker_is_named():
    from selene_lib.training.trackers import check_trackers

    with pytest.raises(UserError, match="'tensorbord' is none of"):
        check_trackers(["tensorbord"])


def test_a_run_s_yaml_names_trackers(tmp_path):
    from selene_lib.pipeline import presets
    from selene_lib.pipeline.notebooks import step_spec
    from selene_lib.pipeline.plan import spec_of_run

    run = tmp_path / "mine.yaml"
    run.write_text('notebooks: {"04": {report_to: "tensorboard,wandb"}}\n')
    found = presets.resolve_parameters(presets.load_run(str(run)), (step_spec("04"),), {})
    assert found["04_train_judge"]["report_to"] == "tensorboard,wandb"
    assert spec_of_run(str(run)).report_to == ("tensorboard", "wandb")


@pytest.mark.slow
def test_a_training_leaves_its_curves_with_tensorboard(tmp_path):
    pytest.importorskip("tensorboard", reason=NEEDS)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from training_world import make_base, make_pairs

    from selene_lib.training.run import train

    base = make_base(tmp_path / "base")
    spec = TrainSpec(str(base), n_steps=3, batch_size=4, device="cpu", report_to="tensorboard")
    done = train(spec, make_pairs(8), tmp_path / "run")
    (events,) = (tmp_path / "run").rglob("events.out.tfevents.*")
    found = EventAccumulator(str(events.parent))
    found.Reload()
    assert {"train/loss", "train/nll", "train/margin"} <= set(found.Tags()["scalars"])
    written = [point.value for point in found.Scalars("train/loss")]
    logged = [float(line.split(",")[1]) for line in done.log_path.read_text().splitlines()[1:]]
    assert written == pytest.approx(logged, rel=1e-5) and len(written) == 3
