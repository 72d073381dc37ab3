"""Hardware is decided in one place: the table of decisions, the settings of a spec, and what can be
said of a GPU without one.
"""

import inspect
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from selene_lib.errors import UserError
from selene_lib.training.decision import Hardware, decide, look_at_hardware
from selene_lib.training.model import (
    pin_revision,
    refuse_other_weights,
    refuse_stretched_positions,
    unsloth_load_arguments,
    unsloth_lora_arguments,
)
from selene_lib.training.spec import TrainSpec

pytestmark = pytest.mark.slow


CPU = Hardware(cuda=False, bf16=True, unsloth=False, flex=True)
GPU = Hardware(cuda=True, bf16=True, unsloth=False, flex=True, memory_bytes=80 * 10**9)
GPU_UNSLOTH = replace(GPU, unsloth=True)
OLD_GPU = Hardware(cuda=True, bf16=False, unsloth=False, flex=False, memory_bytes=16 * 10**9)
SPEC = TrainSpec(base_model="meta-llama/Llama-3.1-8B-Instruct", revision="0" * 40)


@pytest.mark.parametrize(
    "hardware, options, expected",
    [
        (
            CPU,
            {},
            {
                "backend": "transformers",
                "attention": "segments",
                "layout": "shared_prefix",
                "dtype": "float32",
                "packing": True,
            },
        ),
        (CPU, {"trainer": "trl"}, {"attention": "causal", "layout": "pairs", "packing": False}),
        (CPU, {"layout": "pairs"}, {"attention": "segments", "layout": "pairs", "packing": True}),
        (
            GPU,
            {},
            {
                "backend": "transformers",
                "attention": "flex",
                "dtype": "bfloat16",
                "gradient_checkpointing": True,
            },
        ),
        (GPU, {"quantisation": "nf4"}, {"optimiser": "paged_adamw_8bit"}),
        (GPU_UNSLOTH, {}, {"backend": "transformers", "attention": "flex"}),
        (
            GPU_UNSLOTH,
            {"layout": "pairs"},
            {"backend": "unsloth", "attention": "causal", "packing": False},
        ),
        (
            GPU_UNSLOTH,
            {"backend": "unsloth", "layout": "auto"},
            {"backend": "unsloth", "layout": "pairs"},
        ),
        (
            GPU_UNSLOTH,
            {"backend": "transformers", "layout": "pairs"},
            {"backend": "transformers", "attention": "causal"},
        ),
        (OLD_GPU, {"quantisation": "nf4"}, {"dtype": "float16", "attention": "segments"}),
    ],
)
def test_the_table_of_decisions(hardware, options, expected):
    decision = decide(replace(SPEC, **options), hardware).to_dict()
    assert {key: decision[key] for key in expected} == expected


def test_the_micro_batch_of_a_gpu_is_what_its_memory_has_room_for():
    spec = replace(SPEC, quantisation="nf4")
    assert decide(spec, GPU).micro_batch_tokens == 16384
    small = decide(spec, replace(OLD_GPU, memory_bytes=10 * 10**9)).micro_batch_tokens
    assert 500 < small < 16384
    assert decide(replace(spec, micro_batch_tokens=7), GPU).micro_batch_tokens == 7


@pytest.mark.parametrize(
    "hardware, options, message",
    [
        (CPU, {"backend": "unsloth"}, "needs an NVIDIA GPU"),
        (GPU, {"backend": "unsloth", "layout": "pairs"}, "not installed"),
        (GPU_UNSLOTH, {"backend": "unsloth"}, "ignores the shared-prefix mask"),
        (replace(GPU, flex=False), {"attention": "flex"}, "not in this torch"),
    ],
)
def test_wishes_that_cannot_be_had_say_what_to_do(hardware, options, message):
    with pytest.raises(UserError, match=message):
        decide(replace(SPEC, **options), hardware)


def test_the_reason_for_leaving_unsloth_aside_is_recorded():
    assert "ignores the shared-prefix mask" in decide(SPEC, GPU_UNSLOTH).reasons[0]


def test_settings_are_checked_by_name_and_value():
    with pytest.raises(UserError, match="no setting 'learning_rat'"):
        TrainSpec.from_dict({"learning_rat": 1e-3})
    for options, message in [
        ({"loss": "rpo"}, "one of dpo_nll, dpo, nll"),
        ({"batch_size": 0}, "at least one pair"),
        ({"label_smoothing": 0.5}, r"\[0, 0.5\)"),
        ({"adapter": "full", "quantisation": "nf4"}, "4-bit"),
        ({"attention": "causal"}, "cannot share a prompt"),
        ({"n_steps": 0}, "at least one step"),
    ]:
        with pytest.raises(UserError, match=message):
            TrainSpec(**options)


def test_a_fingerprint_changes_with_the_meaning_and_not_with_the_presentation():
    assert (
        SPEC.fingerprint
        == replace(SPEC, report_to=("tensorboard",), save_every_steps=7).fingerprint
    )
    assert SPEC.fingerprint != replace(SPEC, alpha=0.5).fingerprint
    assert TrainSpec.from_dict(SPEC.to_dict()) == SPEC
    assert SPEC.differences(replace(SPEC, beta=0.2, save_every_steps=9).to_dict()) == [
        "beta: 0.2 there, 0.1 here"
    ]


def test_a_moving_revision_and_a_missing_folder_are_refused(tmp_path):
    with pytest.raises(UserError, match="not a 40-hex commit"):
        pin_revision(replace(SPEC, revision="main"))
    with pytest.raises(UserError, match="no such folder"):
        pin_revision(replace(SPEC, base_model=str(tmp_path / "absent")))
    with pytest.raises(UserError, match="base_model is empty"):
        pin_revision(TrainSpec())
    assert pin_revision(SPEC) == SPEC
    assert pin_revision(TrainSpec(base_model=str(tmp_path))).revision is None


def test_a_gpu_asked_for_and_absent_is_named():
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(UserError, match="torch sees no CUDA GPU"):
        look_at_hardware("cuda")


def test_unsloth_is_given_every_setting_it_would_choose_itself():
    """Its own defaults: seed 3407, sequence length 2048, 4-bit on, repositories of its own by a
    like name (see test_unsloth.py).
    """
    spec = replace(
        SPEC,
        backend="unsloth",
        layout="pairs",
        quantisation="nf4",
        lora_r=8,
        lora_alpha=24,
        seed=5,
        max_length_tokens=777,
    )
    loading = unsloth_load_arguments(spec, decide(spec, GPU_UNSLOTH))
    expected = {
        "load_in_4bit": True,
        "max_seq_length": 777,
        "random_state": 5,
        "use_exact_model_name": True,
        "fix_tokenizer": False,
        "device_map": {"": 0},
        "use_gradient_checkpointing": "unsloth",
        "full_finetuning": False,
    }
    assert {name: loading[name] for name in expected} == expected
    lora = unsloth_lora_arguments(spec, decide(spec, GPU_UNSLOTH))
    assert (
        lora["r"],
        lora["lora_alpha"],
        lora["random_state"],
        lora["use_gradient_checkpointing"],
    ) == (8, 24, 5, "unsloth")
    assert len(lora["target_modules"]) == 7 and lora["bias"] == "none"


def test_full_fine_tuning_with_unsloth_checkpoints_as_decided():
    """It takes this at loading alone: there is no adapter whose arguments could say it."""
    spec = replace(SPEC, backend="unsloth", layout="pairs", adapter="full")
    for wanted, given in [(True, "unsloth"), (False, False)]:
        spec = replace(spec, gradient_checkpointing=wanted)
        loading = unsloth_load_arguments(spec, decide(spec, GPU_UNSLOTH))
        assert (
            loading["full_finetuning"],
            loading["use_gradient_checkpointing"],
            loading["float32_mixed_precision"],
        ) == (
            True,
            given,
            False,
        )


def test_what_unsloth_would_change_on_its_own_is_refused():
    """Rotary positions stretched to the length asked for; another precision or quantisation than
    asked for, which it only prints.
    """
    import torch
    from transformers import LlamaConfig

    config = LlamaConfig(max_position_embeddings=SPEC.max_length_tokens)
    refuse_stretched_positions(SPEC, config)
    with pytest.raises(UserError, match="would stretch them to max_length_tokens=2049"):
        refuse_stretched_positions(replace(SPEC, max_length_tokens=2049), config)

    def loaded(dtype, **flags):
        return SimpleNamespace(
            get_input_embeddings=lambda: torch.nn.Embedding(2, 2, dtype=dtype), **flags
        )

    spec = replace(SPEC, layout="pairs", quantisation="nf4")
    decision = decide(spec, GPU_UNSLOTH)
    refuse_other_weights(loaded(torch.bfloat16, is_loaded_in_4bit=True), spec, decision)
    with pytest.raises(UserError, match="in float16, not bfloat16"):
        refuse_other_weights(loaded(torch.float16, is_loaded_in_4bit=True), spec, decision)
    with pytest.raises(UserError, match="with quantisation 'none', not 'nf4'"):
        refuse_other_weights(loaded(torch.bfloat16), spec, decision)


def test_importing_the_package_loads_nothing_heavy():
    program = (
        "import sys\n"
        "import selene_lib.training.spec, selene_lib.training.run, selene_lib.training.planner\n"
        "print({'torch', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    "name, kind", [("accelerate_ddp", "MULTI_GPU"), ("accelerate_fsdp", "FSDP")]
)
def test_accelerate_reads_the_shipped_configurations(name, kind):
    from accelerate.commands.config.config_args import ClusterConfig

    path = Path(__file__).parent.parent / "runs" / f"{name}.yaml"
    config = ClusterConfig.from_yaml_file(str(path))
    assert config.distributed_type == kind and config.mixed_precision == "bf16"
    assert set(yaml.safe_load(path.read_text())) <= set(inspect.signature(ClusterConfig).parameters)


def test_flex_blocks_are_the_dense_mask():
    """The mask function FlexAttention would compile on a GPU, evaluated in full here."""
    import torch
    from torch.nn.attention.flex_attention import create_mask

    from selene_lib.training import layout
    from selene_lib.training.encoding import EncodedPair

    pairs = [EncodedPair("a", (1, 2, 3), (4, 5), (6,)), EncodedPair("b", (7,), (8,), (9, 10))]
    batch = layout.lay_out_pairs(
        pairs, "shared_prefix", packing=True, pad_token_id=0, pad_to_multiple=16
    )
    blocks = layout.block_mask(batch)
    n_rows, width = batch.input_ids.shape
    seen = create_mask(blocks.mask_mod, n_rows, 1, width, width, device="cpu")
    assert torch.equal(seen, layout.dense_mask(batch))
