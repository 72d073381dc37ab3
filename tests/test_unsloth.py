"""The Unsloth path, as far as a machine without a GPU reaches; `make test-unsloth` makes the
environment and runs this file.

Unsloth rewrites transformers, peft and trl when it is imported, so only child processes import it:
this file, run as a program. They say what its functions take and default to and what it makes of
`trl.DPOTrainer`, and they train: its own forward and Triton kernels, run by Triton's interpreter,
against the transformers backend here. `answer_for_the_missing_gpu` holds what is answered in a
GPU's place. Without those answers `from_pretrained` ends in `AssertionError: Torch not compiled
with CUDA enabled`. Not reached with them: its NF4 kernels (it turns 4-bit off here), bfloat16 (the
interpreter multiplies it wrongly), checkpoints in pinned memory, `generate`, speed.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import inspect
import json
import os
import subprocess
import sys
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from training_world import make_base, make_pairs

from selene_lib.errors import UserError
from selene_lib.training.cards import CARDS
from selene_lib.training.decision import Decision, Hardware, decide
from selene_lib.training.kinds import ModelKind
from selene_lib.training.spec import TrainSpec
from selene_lib.training.unsloth_model import unsloth_load_arguments, unsloth_lora_arguments

HERE = Path(__file__).parent
KERNELS = {"_rms_layernorm_forward", "_rms_layernorm_backward", "_rope_embedding_QK"}
SHORT = 64  # tokens a document may have where packed rows are to be longer
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("unsloth") is None,
    reason="unsloth is not installed: make test-unsloth",
)

# short rows, because the interpreter is slow; under 512 tokens its checkpointing is torch's and
# needs no pinned memory
SPEC = TrainSpec(
    dtype="float32",
    device="cpu",
    gradient_checkpointing=True,
    lora_r=4,
    lora_alpha=8,
    learning_rate=1e-3,
    max_length_tokens=256,
    n_steps=5,
    batch_size=2,
    micro_batch_pairs=2,
    seed=5,
)
CPU = Hardware(cuda=False, unsloth=True, flex=True)
GPU = Hardware.of_card(CARDS["A100-80GB"], unsloth=True)
# rows that share a prompt, in the attention that each side is asked for
LAYOUTS = {
    "varlen": {"layout": "shared_prefix", "attention": "varlen"},
    "segments": {"layout": "shared_prefix", "attention": "segments"},
    "pairs": {"layout": "pairs", "attention": "causal"},
}

# parameters this project leaves alone, with the defaults it relies on; a new parameter or another
# default fails the test and wants a look
LOADING_LEFT_ALONE = {
    "token": None,
    "device_map_planner_kwargs": None,
    "rope_scaling": None,
    "resize_model_vocab": None,
    "qat_scheme": None,
    "unsloth_tiled_mlp": False,
    "text_only": False,
    "on_model_resolved": None,
    "gpu_memory_utilization": 0.5,
    "float8_kv_cache": False,
    "max_lora_rank": 64,
    "disable_log_stats": True,  # vLLM's: fast_inference
}
LORA_LEFT_ALONE = {
    "layers_to_transform": None,
    "layers_pattern": None,
    "finetune_last_n_layers": None,
    "modules_to_save": None,
    "init_lora_weights": True,
    "loftq_config": {},
    "temporary_location": "_unsloth_temporary_saved_buffers",
    "qat_scheme": None,
    "target_parameters": None,
    "ensure_weight_tying": None,
    "offload_layers": None,
}
ITS_OWN_CHOICES = {
    "load_in_4bit": True,
    "max_seq_length": 2048,
    "random_state": 3407,
    "use_gradient_checkpointing": "unsloth",
    "use_exact_model_name": False,
    "fix_tokenizer": True,
    "offload_embedding": "auto",
    "device_map": "sequential",
}
# arguments it has no name for and hands on to `transformers`
HANDED_ON = {"local_files_only"}
# fields of its DPOConfig that differ for one spec: evaluation, its own extensions, preparation of
# text we do not ask for, memory
OTHER_CONFIG_FIELDS = {
    "per_device_eval_batch_size",
    "eval_accumulation_steps",
    "dataset_num_proc",
    "torch_empty_cache_steps",
    "padding_free",
    "max_seq_length",
    "unsloth_num_chunks",
    "unsloth_logit_chunk_multiplier",
    "vllm_sampling_params",
}


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return make_base(
        tmp_path_factory.mktemp("base"),
        hidden=32,
        layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
    )


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> dict[str, Any]:
    return in_a_child("tell_names", tmp_path_factory.mktemp("names"))


@pytest.fixture(scope="module")
def trained(base, tmp_path_factory) -> dict[str, Any]:
    return in_a_child(
        "train_through_unsloth", tmp_path_factory.mktemp("unsloth"), base, TRITON_INTERPRET="1"
    )


def in_a_child(part: str, folder: Path, *arguments: Path, **settings: str) -> dict[str, Any]:
    """Run a part of this file in a process that sees no GPU; it writes `result.json` (Unsloth talks
    on stdout).
    """
    settings |= {
        "UNSLOTH_ALLOW_CPU": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONPATH": f"{HERE.parent}{os.pathsep}{HERE}",
    }
    command = [
        sys.executable,
        str(HERE / "test_unsloth.py"),
        part,
        str(folder),
        *map(str, arguments),
    ]
    done = subprocess.run(
        command, cwd=folder, env=os.environ | settings, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "result.json").read_text())


def test_every_argument_is_known_and_none_of_its_own_choices_is_left_to_it(told):
    spec = replace(SPEC, base_model="meta-llama/Llama-3.1-8B", backend="unsloth")
    decision = decide(spec, GPU)
    loading = {*unsloth_load_arguments(spec, decision), "dtype"}
    lora = set(unsloth_lora_arguments(spec, decision))
    assert loading - HANDED_ON <= set(told["from_pretrained"]) and lora <= set(
        told["get_peft_model"]
    )
    assert set(told["transformers_from_pretrained"]) >= HANDED_ON
    left = {
        name: default for name, default in told["from_pretrained"].items() if name not in loading
    }
    assert left == LOADING_LEFT_ALONE
    assert {
        name: default for name, default in told["get_peft_model"].items() if name not in lora
    } == LORA_LEFT_ALONE
    assert {name: told["from_pretrained"][name] for name in ITS_OWN_CHOICES} == ITS_OWN_CHOICES
    assert set(ITS_OWN_CHOICES) <= loading and told["get_peft_model"]["random_state"] == 3407


def test_the_judge_asks_for_what_there_is(told, base, monkeypatch):
    """What `UnslothJudge` passes is recorded by a stand-in and compared with the signatures of the
    real package.
    """
    import torch

    from selene_lib.judges.unsloth import UnslothJudge

    asked: dict[str, Any] = {}
    fake = types.ModuleType("unsloth")
    fake.__spec__ = importlib.machinery.ModuleSpec("unsloth", None)
    fake.FastLanguageModel = types.SimpleNamespace(
        from_pretrained=lambda *_, **named: asked.update(named) or ("model", "tokenizer"),
        for_inference=lambda *given: asked.update(for_inference=given),
    )
    monkeypatch.setitem(sys.modules, "unsloth", fake)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    judge = object.__new__(UnslothJudge)
    judge.path, judge.adapter, judge.quantisation = base, None, "none"
    _, tokenizer = judge._open("float32", None)
    assert tokenizer.chat_template and asked["max_seq_length"] == 512
    assert asked.pop("for_inference") == ("model",) and told["for_inference"] == ["model"]
    assert set(asked) - HANDED_ON <= set(told["from_pretrained"])


def test_our_overrides_are_there_on_the_trainer_it_puts_in_trl_s_place(told):
    assert told["bases"][:3] == ["EncodedDPOTrainer", "UnslothDPOTrainer", "_UnslothDPOTrainer"]
    overridden = told["overridden"]
    assert {
        "_prepare_dataset",
        "_precompute_ref_logps",
        "_get_train_sampler",
        "log",
        "_save_checkpoint",
    } <= set(overridden)
    assert [name for name, owner in overridden.items() if owner is None] == []
    assert (
        overridden["_prepare_dataset"]
        == overridden["_precompute_ref_logps"]
        == "_UnslothDPOTrainer"
    )


def test_its_config_of_a_spec_differs_from_trl_s_in_nothing_that_decides_a_number(told):
    plain = config_fields()
    other = {
        name
        for name in plain.keys() | told["config"].keys()
        if plain.get(name) != told["config"].get(name)
    }
    assert other <= OTHER_CONFIG_FIELDS
    assert plain["loss_type"] == told["config"]["loss_type"] == "['sigmoid', 'sft']"


@pytest.mark.parametrize("trainer", ["selene", "trl"])
def test_a_run_through_its_interpreted_kernels_equals_the_transformers_backend(
    trainer, trained, base, tmp_path
):
    ours, theirs = run(trainer, base, tmp_path), trained[trainer]
    assert theirs["backend"] == "unsloth" and ours["backend"] == "transformers"
    assert theirs["forward"] == "unsloth.models.llama"
    assert set(theirs["kernels"]) >= KERNELS
    if trainer == "selene":
        assert theirs["layout"] == ours["layout"] == "shared_prefix"
        assert (theirs["attention"], ours["attention"]) == ("varlen", "segments")
        assert theirs["n_calls"] > 0
    assert len(ours["loss"]) == SPEC.n_steps and ours["loss"][0] != ours["loss"][1]
    assert theirs["loss"] == pytest.approx(ours["loss"], rel=1e-5)
    assert theirs["margin"] == pytest.approx(ours["margin"], rel=1e-4, abs=1e-5)
    assert distance(Path(theirs["adapter"]), Path(ours["adapter"])) < 1e-3


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_log_probabilities_and_gradients_of_packed_rows_are_those_of_transformers(
    layout, checkpointing, trained, base, tmp_path
):
    """In float32; the packed rows are longer than `max_length_tokens`, which none of their
    documents is.
    """
    told = trained[f"{layout}-{checkpointing}"]
    kept = "segments" if layout == "varlen" else layout
    ours = tmp_path / "ours.safetensors"
    gradients(base, ours, dtype="float32", checkpointing=checkpointing, **LAYOUTS[kept])
    assert set(told["kernels"]) >= KERNELS
    if layout != "pairs":
        assert told["row_tokens"] > SHORT
        assert told["n_calls"] >= 1 + checkpointing
    assert differences(Path(told["path"]), ours) < 1e-5


def test_gradients_of_its_fused_adapter_kernels_are_those_of_peft(trained, base, tmp_path):
    """Float16, the only 16-bit kind the interpreter computes rightly; in float32 Unsloth leaves its
    fused kernels aside.
    """
    shared = LAYOUTS["segments"]
    gradients(base, tmp_path / "float16.safetensors", dtype="float16", **shared)
    gradients(base, tmp_path / "float32.safetensors", dtype="float32", **shared)
    theirs = Path(trained["fused"]["path"])
    # its MLP, which it patches with the adapters
    assert {"_fg_kernel", "_DWf_DW_dfg_kernel"} <= set(trained["fused"]["kernels"])
    assert distance(theirs, tmp_path / "float16.safetensors") < 0.01
    assert distance(theirs, tmp_path / "float32.safetensors") < 0.01


def test_what_it_would_change_on_its_own_is_refused(trained):
    assert "loaded" in trained["bfloat16"] and "in float16, not bfloat16" in trained["bfloat16"]
    assert "has 512 positions and unsloth would stretch them" in trained["stretched"]
    assert "with quantisation 'none', not 'nf4'" in trained["nf4"]


# --- computed on both sides


def spec_of(base: Path, **options: Any) -> TrainSpec:
    return replace(SPEC, base_model=str(base), **options)


def config_fields() -> dict[str, str]:
    """The DPOConfig of the spec, field by field, as the TRL of this process makes it."""
    from selene_lib.training.trainer import argument_values
    from selene_lib.training.trl_trainer import trl_config

    spec = replace(SPEC, trainer="trl", optimiser="adamw")
    loaded = types.SimpleNamespace(decision=decide_for_unsloth(spec, CPU))
    return {
        name: repr(value)
        for name, value in vars(
            trl_config(spec, argument_values(spec, loaded, Path("out"), 10))
        ).items()
    }


def run(trainer: str, base: Path, folder: Path) -> dict[str, Any]:
    """Train two steps and say what came of it."""
    from selene_lib.training.run import train
    from selene_lib.training.runlog import read_log

    result = train(
        spec_of(base, trainer=trainer), make_pairs(4, longest=4), folder / trainer, progress=False
    )
    log = read_log(result.log_path)
    adapter = str(result.adapter_dir / "adapter_model.safetensors")
    values = {name: [float(row[name]) for row in log] for name in ("loss", "margin")}
    chosen = {name: result.decision[name] for name in ("backend", "layout", "attention")}
    return {**values, **chosen, "adapter": adapter}


def gradients(
    base: Path, path: Path, *, dtype: str, checkpointing: bool = False, **layout: str
) -> int:
    """Write the log-probs of four packed pairs and the adapter's gradients of a weighted sum of
    them, at an adapter that is not zero; return the tokens of a row.
    """
    import torch
    from safetensors.torch import save_file

    from selene_lib.training.encoding import encode_pairs
    from selene_lib.training.forward import autocast, lay_out_for
    from selene_lib.training.logprobs import completion_inputs
    from selene_lib.training.model import open_for_training

    options = {"gradient_checkpointing": checkpointing, "max_length_tokens": SHORT, **layout}
    loaded = open_for_training(spec_of(base, dtype=dtype, **options))
    decision, tokenizer = loaded.decision, loaded.tokenizer
    adapter = {
        name: value for name, value in sorted(loaded.model.named_parameters()) if "lora_" in name
    }
    torch.manual_seed(0)
    for name, value in adapter.items():
        if "lora_B" in name:
            value.data.normal_(0, 0.1)
    pairs = encode_pairs(tokenizer, make_pairs(4, longest=4), max_length_tokens=SHORT).pairs
    assert len(pairs) == 4
    batch = lay_out_for(decision, pairs, pad_token_id=tokenizer.pad_token_id)
    loaded.model.train()
    if checkpointing and decision.backend == "transformers":
        loaded.model.gradient_checkpointing_enable({"use_reentrant": False})
        loaded.model.enable_input_require_grads()
    with autocast(decision):
        logps = loaded.model(**completion_inputs(batch, decision.attention))
    (logps * torch.linspace(-1, 1, logps.numel())).sum().backward()
    values = {name: value.grad for name, value in adapter.items()}
    save_file({"logps": logps.detach(), **values}, path)
    return batch.input_ids.shape[1]


def differences(path: Path, reference: Path) -> float:
    """The largest difference of log-probs in nats, or relative distance of a gradient."""
    from safetensors.torch import load_file

    logps, expected = (load_file(p)["logps"] for p in (path, reference))
    return max((logps - expected).abs().max().item(), distance(path, reference))


def distance(path: Path, reference: Path) -> float:
    """The largest relative distance, in norm, of two files' tensors, which have the same names."""
    from safetensors.torch import load_file

    one, other = load_file(path), load_file(reference)
    assert set(one) == set(other) and one
    return max(((one[name] - other[name]).norm() / other[name].norm()).item() for name in other)


# --- in the child


def tell_names(_folder: Path) -> dict[str, Any]:
    """Signatures, and the trainer and the configuration that stand in TRL's place."""
    from transformers import PreTrainedModel
    from unsloth import FastLanguageModel

    rewrite_trl()
    from selene_lib.training.trl_trainer import EncodedDPOTrainer

    ours, *theirs = EncodedDPOTrainer.__mro__
    names = [
        name
        for name, value in vars(ours).items()
        if inspect.isfunction(value) and name != "__init__"
    ]
    return {
        "from_pretrained": defaults(FastLanguageModel.from_pretrained),
        "get_peft_model": defaults(FastLanguageModel.get_peft_model),
        "for_inference": list(inspect.signature(FastLanguageModel.for_inference).parameters),
        "transformers_from_pretrained": list(
            inspect.signature(PreTrainedModel.from_pretrained).parameters
        ),
        "bases": [kind.__name__ for kind in EncodedDPOTrainer.__mro__],
        "overridden": {
            name: next((kind.__name__ for kind in theirs if name in vars(kind)), None)
            for name in names
        },
        "config": config_fields(),
    }


def defaults(function: Callable) -> dict[str, Any]:
    """Named parameters and their defaults, without the model."""
    named = inspect.signature(function).parameters.values()
    return {
        one.name: one.default
        for one in named
        if one.name != "model" and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    }


def rewrite_trl() -> None:
    """Do to TRL what `import unsloth` does on a GPU and leaves out under its switch for machines
    without one.
    """
    from unsloth.models.rl import PatchFastRL
    from unsloth.trainer import _patch_trl_trainer

    del os.environ["UNSLOTH_ALLOW_CPU"]
    PatchFastRL()
    _patch_trl_trainer()


def answer_for_the_missing_gpu() -> None:
    """Answer what Unsloth asks of CUDA while loading, and keep its rotary tables on the CPU;
    nothing that computes is replaced.
    """
    import torch
    from unsloth.models import llama

    none = types.SimpleNamespace(name="none", total_memory=0, major=8, minor=0)
    torch.cuda.get_device_properties = lambda *_: none
    torch.cuda.get_device_capability = lambda *_: (none.major, none.minor)
    torch.cuda.current_device = lambda: 0
    llama.get_current_device = lambda: "cpu"
    llama.DEVICE_COUNT = 1

    def tables_on_the_cpu(self: Any, _index: int | None) -> int:
        self._set_cos_sin_cache(
            self._rope_cache_rows(), torch.device("cpu", 0), self._rope_cache_dtype
        )
        return 0

    llama._PerDeviceRopeCache._ensure_rope_cache = tables_on_the_cpu


def decide_for_unsloth(
    spec: TrainSpec, hardware: Hardware, kind: ModelKind | None = None
) -> Decision:
    """The decision of a CPU, but with this backend, which the real one would refuse here, and the
    attention that it takes on a GPU.
    """
    decision = replace(decide(spec, hardware, kind), backend="unsloth")
    is_open = spec.attention == "auto" and spec.trainer == "selene"
    return replace(decision, attention="varlen") if is_open else decision


def count_calls() -> list[int]:
    """Grows by one whenever Unsloth's forward asks our attention about documents."""
    from unsloth.utils import attention_dispatch

    calls: list[int] = []
    ours = attention_dispatch._flex_shared_prefix_attention

    def counted(query: Any, *arguments: Any, **named: Any) -> Any:
        calls.append(query.shape[1])
        return ours(query, *arguments, **named)

    attention_dispatch._flex_shared_prefix_attention = counted
    return calls


def note_kernels() -> set[str]:
    """The names of the Triton kernels that are interpreted from here on, as they come."""
    from triton.runtime.interpreter import GridExecutor

    launched: set[str] = set()
    launch = GridExecutor.__call__

    def noted(self: Any, *arguments: Any, **named: Any) -> Any:
        launched.add(self.fn.__name__)
        return launch(self, *arguments, **named)

    GridExecutor.__call__ = noted
    return launched


def train_through_unsloth(folder: Path, base: Path) -> dict[str, Any]:
    """Both trainers, packed rows, the fused kernels, and loads that must be refused."""
    from transformers.models.llama.modeling_llama import LlamaModel
    from unsloth.models import loader

    from selene_lib.training import model, unsloth_model

    rewrite_trl()
    answer_for_the_missing_gpu()
    unsloth_model.share_prefixes()
    calls = count_calls()
    unsloth_model.share_prefixes = lambda: None  # so that every model is counted
    model.decide = decide_for_unsloth
    launched = note_kernels()
    said: dict[str, Any] = {}

    def note() -> dict[str, Any]:
        found = {"kernels": sorted(launched), "n_calls": len(calls)}
        launched.clear(), calls.clear()
        return found

    for trainer in ("selene", "trl"):
        said[trainer] = run(trainer, base, folder) | note()
        said[trainer]["forward"] = LlamaModel.forward.__module__
    for layout, options in LAYOUTS.items():
        for checkpointing in (False, True):
            name = f"{layout}-{checkpointing}"
            path = folder / f"{name}.safetensors"
            how = {"dtype": "float32", "checkpointing": checkpointing, **options}
            row_tokens = gradients(base, path, **how)
            said[name] = {"path": str(path), "row_tokens": row_tokens, **note()}
    path = folder / "fused.safetensors"
    gradients(base, path, dtype="float16", **LAYOUTS["varlen"])
    said["fused"] = {"path": str(path), **note()}
    loader.ALLOW_BITSANDBYTES = (
        False  # as it finds by itself where bitsandbytes has no kernels for the device
    )
    refused = {
        "bfloat16": {"dtype": "bfloat16"},
        "stretched": {"max_length_tokens": 1024},
        "nf4": {"quantisation": "nf4"},
    }
    for name, options in refused.items():
        try:
            model.open_for_training(spec_of(base, **options))
        except UserError as error:
            said[name] = str(error)
    return said


def main() -> None:
    from selene_lib.training.unsloth_model import import_unsloth

    import_unsloth()  # before transformers, peft and trl
    part, folder, *rest = sys.argv[1:]
    said = {"tell_names": tell_names, "train_through_unsloth": train_through_unsloth}[part](
        Path(folder), *map(Path, rest)
    )
    (Path(folder) / "result.json").write_text(json.dumps(said))


if __name__ == "__main__":
    main()
