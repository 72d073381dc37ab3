"""Hardware is decided in one place: the table of decisions, the settings of a spec, and what can be
said of a GPU without one.
"""

import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from selene_lib.errors import UserError
from selene_lib.training.cards import CARDS
from selene_lib.training.decision import (
    ENOUGH_TOKENS,
    UNSLOTH_MODEL_TYPES,
    Hardware,
    decide,
    look_at_hardware,
)
from selene_lib.training.kinds import ModelKind
from selene_lib.training.model import ladder, pin_revision
from selene_lib.training.spec import TrainSpec
from selene_lib.training.unsloth_model import (
    may_be_unsloth,
    refuse_other_weights,
    refuse_stretched_positions,
    unsloth_load_arguments,
    unsloth_lora_arguments,
)

pytestmark = pytest.mark.slow


CPU = Hardware(cuda=False, unsloth=False, flex=True)
GPU = Hardware.of_card(CARDS["A100-80GB"], unsloth=False)
GPU_UNSLOTH = replace(GPU, unsloth=True)
T4 = Hardware.of_card(CARDS["T4"], unsloth=False)
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
        (GPU, {}, {"backend": "transformers", "attention": "varlen", "dtype": "bfloat16"}),
        (GPU, {"quantisation": "nf4"}, {"optimiser": "paged_adamw_8bit"}),
        (
            GPU_UNSLOTH,
            {},
            {
                "backend": "unsloth",
                "layout": "shared_prefix",
                "attention": "varlen",
                "packing": True,
            },
        ),
        (GPU_UNSLOTH, {"layout": "pairs"}, {"backend": "unsloth", "attention": "varlen"}),
        (
            GPU_UNSLOTH,
            {"layout": "pairs", "attention": "causal"},
            {"backend": "unsloth", "attention": "causal", "packing": False},
        ),
        (GPU_UNSLOTH, {"backend": "unsloth", "attention": "segments"}, {"attention": "segments"}),
        (GPU_UNSLOTH, {"attention": "flex"}, {"backend": "transformers", "attention": "flex"}),
        (GPU_UNSLOTH, {"trainer": "trl"}, {"backend": "transformers", "layout": "pairs"}),
        (GPU_UNSLOTH, {"trainer": "trl", "backend": "unsloth"}, {"attention": "causal"}),
        (GPU_UNSLOTH, {"lora_first_layer": 3}, {"backend": "transformers"}),
        (
            GPU_UNSLOTH,
            {"backend": "transformers", "layout": "pairs"},
            {"backend": "transformers", "attention": "varlen"},
        ),
        (T4, {"quantisation": "nf4"}, {"dtype": "float16", "attention": "varlen"}),
    ],
)
def test_the_table_of_decisions(hardware, options, expected):
    decision = decide(replace(SPEC, **options), hardware).to_dict()
    assert {key: decision[key] for key in expected} == expected


# 8B NF4: what is kept of a token without recomputation leaves room for 8,000 tokens in 80 GB only
@pytest.mark.parametrize(
    "card, recomputed",
    [
        ("T4", True),
        ("L4", True),
        ("A10G", True),
        ("A100-40GB", True),
        ("A100-80GB", False),
        ("H100-80GB", False),
        ("H200", False),
        ("RTX-4090", True),
        ("RTX-5090", True),
    ],
)
def test_recomputation_is_left_out_where_the_plan_without_it_fits(card, recomputed):
    spec = replace(SPEC, quantisation="nf4")
    plain = decide(spec, Hardware.of_card(CARDS[card], unsloth=False))
    assert plain.gradient_checkpointing == recomputed and plain.checkpoint_skip_layers == 0
    assert recomputed or plain.micro_batch_tokens >= ENOUGH_TOKENS
    through_unsloth = decide(spec, Hardware.of_card(CARDS[card], unsloth=True))
    assert through_unsloth.gradient_checkpointing == recomputed
    assert 0 <= through_unsloth.checkpoint_skip_layers < 32
    asked = replace(spec, gradient_checkpointing=True)
    assert decide(asked, Hardware.of_card(CARDS[card], unsloth=True)).gradient_checkpointing


def test_unsloth_recomputes_only_the_layers_there_is_no_room_for():
    spec = replace(SPEC, quantisation="nf4")
    skipped = {
        name: decide(spec, Hardware.of_card(CARDS[name], unsloth=True)).checkpoint_skip_layers
        for name in ("T4", "A100-40GB")
    }
    assert skipped["T4"] < 4 and 8 < skipped["A100-40GB"] < 32
    loading = unsloth_lora_arguments(
        spec, decide(spec, Hardware.of_card(CARDS["A100-40GB"], unsloth=True))
    )
    assert loading["checkpoint_skip_layers"] == skipped["A100-40GB"]


def test_the_micro_batch_of_a_gpu_is_what_its_memory_has_room_for():
    spec = replace(SPEC, quantisation="nf4", gradient_checkpointing=True)
    assert decide(spec, GPU).micro_batch_tokens == 16384
    small = decide(spec, replace(T4, memory_bytes=12 * 10**9)).micro_batch_tokens
    assert 500 < small < 16384
    assert decide(replace(spec, micro_batch_tokens=7), GPU).micro_batch_tokens == 7


@pytest.mark.parametrize(
    "hardware, options, message",
    [
        (CPU, {"backend": "unsloth"}, "needs an NVIDIA GPU: set backend to 'transformers'"),
        (GPU, {"backend": "unsloth"}, "not installed.*selene_lib.gpu"),
        (GPU_UNSLOTH, {"backend": "unsloth", "attention": "dense"}, "set attention to 'auto'"),
        (GPU_UNSLOTH, {"backend": "unsloth", "lora_first_layer": 2}, "set lora_first_layer to 0"),
        (replace(GPU, flex=False), {"attention": "flex"}, "not in this torch"),
        (T4, {"attention": "flex"}, "no backward pass on a card of compute capability 7.5"),
    ],
)
def test_wishes_that_cannot_be_had_say_what_to_do(hardware, options, message):
    with pytest.raises(UserError, match=message):
        decide(replace(SPEC, **options), hardware)


@pytest.mark.parametrize(
    "kind, options, said",
    [
        (ModelKind("phi3"), {}, "not for phi3"),
        (ModelKind("mistral", "it attends in a sliding window of 4096 tokens"), {}, "cannot pack"),
        (ModelKind("llama", None, 2048), {"max_length_tokens": 4096}, "stretch the model's 2048"),
    ],
)
def test_a_model_that_unsloth_cannot_pack_goes_elsewhere_or_is_refused(kind, options, said):
    spec = replace(SPEC, **options)
    left = decide(spec, GPU_UNSLOTH, kind)
    assert left.backend == "transformers" and said in left.reasons[0]
    with pytest.raises(UserError, match=f"{said}.*set.*backend to 'transformers'"):
        decide(replace(spec, backend="unsloth"), GPU_UNSLOTH, kind)
    for model_type in UNSLOTH_MODEL_TYPES:
        assert decide(SPEC, GPU_UNSLOTH, ModelKind(model_type)).backend == "unsloth"


def test_unsloth_is_imported_first_wherever_it_may_be_chosen():
    assert may_be_unsloth(SPEC, GPU_UNSLOTH) and not may_be_unsloth(SPEC, GPU)
    assert not may_be_unsloth(replace(SPEC, backend="transformers"), GPU_UNSLOTH)
    assert not may_be_unsloth(replace(SPEC, trainer="trl"), GPU_UNSLOTH)
    assert may_be_unsloth(replace(SPEC, trainer="trl", backend="unsloth"), GPU_UNSLOTH)


def test_what_is_tried_in_turn():
    def rungs(**options):
        spec = replace(SPEC, **options)
        return [(rung.layout, rung.attention) for rung in ladder(spec, decide(spec, GPU))]

    assert rungs() == [("shared_prefix", "varlen"), ("shared_prefix", "segments")]
    assert rungs(attention="varlen") == [("shared_prefix", "varlen")]
    assert rungs(layout="auto") == [
        ("shared_prefix", "varlen"),
        ("shared_prefix", "segments"),
        ("pairs", "varlen"),
        ("pairs", "segments"),
        ("pairs", "causal"),
    ]
    assert rungs(layout="pairs") == [
        ("pairs", "varlen"),
        ("pairs", "segments"),
        ("pairs", "causal"),
    ]


def test_settings_are_checked_by_name_and_value():
    with pytest.raises(UserError, match="no setting 'learning_rat'"):
        TrainSpec.from_dict({"learning_rat": 1e-3})
    for options, message in [
        ({"loss": "rpo"}, "one of dpo_nll, dpo, nll"),
        ({"batch_size": 0}, "at least one pair"),
        ({"label_smoothing": 0.5}, r"\[0, 0.5\)"),
        ({"label_smoothing": 0.1, "trainer": "trl"}, "ignores label_smoothing"),
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
        gradient_checkpointing=True,
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


def test_a_dry_run_names_backend_layout_and_attention_of_every_card(capsys):
    from selene_lib.cli.running import print_dry_run

    print_dry_run("colab", None, None, {"04.backend": "unsloth"})
    lines = [line for line in capsys.readouterr().out.splitlines() if " 04 on " in line]
    assert len(lines) == 4
    for line, card, dtype in zip(
        lines, ("T4", "L4", "A100-80GB", "H100-80GB"), ("float16", *["bfloat16"] * 3)
    ):
        assert f"04 on {card}: backend unsloth, layout shared_prefix, attention varlen" in line
        assert dtype in line and "tokens at once" in line
    print_dry_run("colab", None, None, {"04.backend": "unsloth", "04.attention": "flex"})
    assert "04 on T4: refused: backend 'unsloth' takes no attention" in capsys.readouterr().out


def test_a_notebook_says_with_words_and_zero_what_is_left_to_the_plan():
    words = {"gradient_checkpointing": "auto", "micro_batch_tokens": 0}
    assert TrainSpec(**words) == TrainSpec()
    assert TrainSpec(gradient_checkpointing="off").gradient_checkpointing is False
    with pytest.raises(UserError, match="auto, on or off"):
        TrainSpec(gradient_checkpointing="maybe")
