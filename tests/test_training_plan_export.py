"""The planner against counting and by hand; exports that judge like the adapter, and those that do
not.
"""

import json
from types import SimpleNamespace

import pytest
import torch
import yaml
from training_world import make_base, make_pairs, make_tokenizer

from selene_lib.errors import UserError
from selene_lib.judges.asked import family_of
from selene_lib.pipeline.plan import plan_generation, spec_of_run
from selene_lib.prompts.chat import encode_chat
from selene_lib.records import Sample
from selene_lib.training.card import write_model_card
from selene_lib.training.counting import GB, saved_per_token
from selene_lib.training.export import export_judge, merge_adapter
from selene_lib.training.flips import choose_merge, compare_verdicts, golden_verdicts, refuse_flips
from selene_lib.training.planner import generation_cost_usd, plan_training
from selene_lib.training.run import train
from selene_lib.training.serving import check_modelfile, serving_commands, write_modelfile
from selene_lib.training.shapes import read_shape
from selene_lib.training.spec import TrainSpec

pytestmark = pytest.mark.slow


LLAMA = TrainSpec(
    base_model="meta-llama/Llama-3.1-8B-Instruct",
    quantisation="nf4",
    batch_size=32,
    max_length_tokens=4096,
)


def test_llama_shape_by_hand():
    """The published size is 8,030,261,248; a LoRA of rank 16 on all linear layers has 41,943,040
    weights.
    """
    shape = read_shape(LLAMA)
    assert shape.n_parameters == 8_030_261_248 and shape.n_lora(16) == 41_943_040


def test_a_plan_adds_up_and_knows_what_does_not_fit():
    found = plan_training(
        LLAMA, n_pairs=64_000, prompt_tokens=1500, completion_tokens=250, device="H100-80GB"
    )
    assert found.peak_memory_bytes == pytest.approx(sum(found.memory_bytes.values()), abs=10)
    assert 5.5 * GB < found.memory_bytes["base"] < 6.5 * GB and found.fits
    assert found.n_steps == 2000 and found.tokens_per_pair == 2000
    training = found.n_steps * 32 * 2000 / found.tokens_per_second / 3600
    assert (
        found.hours == pytest.approx(training + found.reference_hours)
        and 0 < found.reference_hours < training
    )
    full = plan_training(
        TrainSpec(base_model=LLAMA.base_model, adapter="full", n_steps=1), device="A100-80GB"
    )
    assert full.fits is False


def test_sharing_the_prompt_is_in_the_plan():
    shared = plan_training(
        LLAMA, n_pairs=1000, prompt_tokens=2000, completion_tokens=100, device="A100-80GB"
    )
    plain = plan_training(
        TrainSpec(**LLAMA.to_dict() | {"layout": "pairs"}),
        n_pairs=1000,
        prompt_tokens=2000,
        completion_tokens=100,
        device="A100-80GB",
    )
    assert plain.hours / shared.hours == pytest.approx(4200 / 2200, rel=0.01)


@pytest.mark.parametrize(
    "layout, checkpointing", [("shared_prefix", False), ("pairs", False), ("shared_prefix", True)]
)
def test_activations_are_what_autograd_really_keeps(tmp_path, layout, checkpointing):
    """Saved-tensor hooks on two depths: the planner's count per layer is within 6 %."""
    per_layer = (
        _kept(tmp_path, 4, layout, checkpointing) - _kept(tmp_path, 2, layout, checkpointing)
    ) / 2
    spec = TrainSpec(base_model=str(tmp_path / "4"), lora_r=4, layout=layout)
    planned = [
        saved_per_token(
            spec,
            read_shape(TrainSpec(base_model=str(tmp_path / n))),
            checkpointing=checkpointing,
            copies=layout == "shared_prefix",
        )
        for n in ("2", "4")
    ]
    assert (planned[1] - planned[0]) / 2 == pytest.approx(per_layer, rel=0.06)


def _kept(folder, layers, layout, checkpointing):
    """Numbers kept for the backward pass, per token, of one forward through the layout."""
    from selene_lib.training.encoding import EncodedPair
    from selene_lib.training.forward import lay_out_for
    from selene_lib.training.logprobs import completion_inputs
    from selene_lib.training.model import open_for_training

    base = make_base(folder / str(layers), hidden=128, layers=layers, intermediate_size=344)
    loaded = open_for_training(TrainSpec(base_model=str(base), lora_r=4, layout=layout))
    if checkpointing:
        loaded.model.gradient_checkpointing_enable({"use_reentrant": False})
    loaded.model.train()
    batch = lay_out_for(
        loaded.decision, [EncodedPair("a", (9,) * 200, (10,) * 20, (11,) * 20)], pad_token_id=0
    )
    weights = {p.untyped_storage().data_ptr() for p in loaded.model.parameters()}
    storages, held = {}, []

    def pack(tensor):
        held.append(tensor)  # a storage that is alive cannot be counted twice under one address
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loaded.model(**completion_inputs(batch, loaded.decision.attention))
    return sum(storages.values()) / 4 / sum(span.n_tokens for span in batch.spans)


def test_unknown_shapes_devices_and_pair_counts_are_named(tmp_path):
    with pytest.raises(UserError, match=r"no config.json"):
        plan_training(TrainSpec(base_model="somebody/some-model", n_steps=1), device="T4")
    with pytest.raises(UserError, match="device 'abacus' is not known"):
        plan_training(LLAMA, n_pairs=1, device="abacus")
    with pytest.raises(UserError, match="how many pairs"):
        plan_training(LLAMA, device="T4")


def test_cost_of_a_hosted_generator_by_hand():
    assert generation_cost_usd(
        1000, 2000, 500, usd_per_million_prompt=0.5, usd_per_million_reply=2.0
    ) == pytest.approx(2.0)


def test_the_plan_of_a_run_counts_what_its_hosted_generator_is_asked(tmp_path):
    asked = {
        "01": {"sources": "a, b", "n_per_source": 50},
        "02": {"generator": "server", "generator_model": "m"},
    }
    priced = {
        **asked,
        "02": {
            **asked["02"],
            "usd_per_million_prompt_tokens": 0.5,
            "usd_per_million_reply_tokens": 2.0,
        },
    }
    for name, notebooks in (("asked", asked), ("priced", priced)):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({"notebooks": notebooks}))
    found = plan_generation(str(tmp_path / "priced.yaml"), prompt_tokens=1000, reply_tokens=100)
    assert found == {
        "n_requests_at_most": 200,
        "prompt_tokens": 200_000,
        "reply_tokens": 20_000,
        "usd": pytest.approx(0.14),
    }
    assert plan_generation(str(tmp_path / "asked.yaml"))["usd"] is None
    assert plan_generation("nano") is None
    assert plan_generation("nano", {"02.generator": "server"})["usd"] is None
    assert spec_of_run("nano", {"04.n_steps": 7}).n_steps == 7


def test_every_shipped_run_can_be_planned():
    assert spec_of_run("paper").base_model == "meta-llama/Llama-3.1-8B-Instruct"
    found = plan_training(spec_of_run("paper"), device="H100-80GB")
    assert found.fits and found.n_steps == spec_of_run("paper").n_steps


def _samples(n):
    return [
        Sample(f"s{i}", "made", "classification", "good", "kind", rubric="is it kind", label="Yes")
        for i in range(n)
    ]


class Scripted:
    """A judge that says what it is told to."""

    def __init__(self, verdicts):
        self.verdicts = verdicts

    def judge(self, prompts):
        return [
            SimpleNamespace(text=f"**Reasoning:** so\n\n**Result:** {v}", finish_reason="stop")
            for v in self.verdicts
        ]


def test_flips_are_counted_against_the_first_form_and_refused_by_name():
    samples = _samples(4)
    verdicts = {
        "adapter": golden_verdicts(Scripted(["Yes", "No", "Yes", "Yes"]), samples),
        "merged onto base": golden_verdicts(Scripted(["Yes", "Yes", "Yes", "Yes"]), samples),
        "merged onto dequantised": golden_verdicts(
            Scripted(["Yes", "No", "No", "perhaps"]), samples
        ),
    }
    comparison = compare_verdicts(verdicts, labels={s.id: s.label for s in samples})
    assert comparison.n_flips == {"merged onto base": 1, "merged onto dequantised": 2}
    assert comparison.flips[-1].verdict is None
    assert choose_merge(comparison) == "merged onto base"
    refuse_flips(comparison, allowed_share=0.5)
    with pytest.raises(
        UserError,
        match=r"merged onto base differs from adapter on 1 of 4 .*s1: No -> Yes \(gold Yes\)",
    ):
        refuse_flips(comparison, allowed_share=0.1)
    with pytest.raises(ValueError, match="not asked the same samples"):
        compare_verdicts({"a": {"x": "Yes"}, "b": {}})


def test_the_modelfile_shows_the_training_prompt(tmp_path):
    """What Ollama sends, and what llama.cpp adds where the tokenizer does, is what the encoder
    makes.
    """
    tokenizer = make_tokenizer(tmp_path)
    text = write_modelfile(
        tokenizer, "judge.gguf", tmp_path / "Modelfile", context_tokens=2048
    ).read_text()
    template = text.split('TEMPLATE """')[1].split('"""')[0]
    sent = tokenizer.encode(template.replace("{{ .Prompt }}", "good reply"))
    assert sent == encode_chat(tokenizer, "good reply", None)
    other = (tmp_path / "Modelfile").read_text().replace("{{ .Prompt }}", " {{ .Prompt }}")
    (tmp_path / "Modelfile").write_text(other)
    with pytest.raises(UserError, match="another prompt than training did, from token"):
        check_modelfile(tmp_path / "Modelfile", tokenizer)
    assert (
        'PARAMETER stop "<|end|>"' in text
        and "PARAMETER temperature 0" in text
        and text.startswith("FROM ./judge.gguf")
    )


def test_a_bos_that_the_tokenizer_adds_by_itself_is_not_written_twice(tmp_path):
    from tokenizers.processors import TemplateProcessing

    written = {}
    for adds in (False, True):
        tokenizer = make_tokenizer(tmp_path / str(adds))
        if adds:
            bos = ("<|bos|>", tokenizer.bos_token_id)
            tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
                single="<|bos|> $A", special_tokens=[bos]
            )
        path = tmp_path / f"Modelfile-{adds}"
        written[adds] = write_modelfile(tokenizer, "j.gguf", path, context_tokens=99).read_text()
    assert 'TEMPLATE """<|bos|>' in written[False]
    assert written[True] == written[False].replace('TEMPLATE """<|bos|>', 'TEMPLATE """')


def test_commands_quote_their_paths(tmp_path):
    lines = serving_commands(
        tmp_path / "a b",
        "my judge",
        base_model="base",
        adapter_dir=tmp_path / "x",
        lora_r=16,
        context_tokens=4096,
    )
    assert (
        "'my judge'" in lines["vllm"]
        and f"'{tmp_path}/a b'" in lines["gguf"]
        and "--max-lora-rank 16" in lines["vllm_adapter"]
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    base = make_base(folder / "base", hidden=64)
    spec = TrainSpec(base_model=str(base), n_steps=4, batch_size=4, lora_r=4, learning_rate=5e-3)
    return base, train(spec, make_pairs(8), folder / "run", progress=False)


def test_merged_weights_say_what_adapter_and_base_say(trained, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base, result = trained
    merged = AutoModelForCausalLM.from_pretrained(
        merge_adapter(base, result.adapter_dir, tmp_path / "merged")
    )
    plain = AutoModelForCausalLM.from_pretrained(base)
    ids = torch.tensor([[0, 4, 6, 5, 30, 31, 32]])
    untrained = plain(ids).logits
    beside = PeftModel.from_pretrained(plain, result.adapter_dir)(ids).logits
    assert (
        torch.allclose(merged(ids).logits, beside, atol=1e-4)
        and (beside - untrained).abs().max() > 0.01
    )
    rounded = AutoModelForCausalLM.from_pretrained(
        merge_adapter(base, result.adapter_dir, tmp_path / "rounded", onto="dequantised")
    )
    weights = [
        dict(model.named_parameters())["model.layers.0.mlp.up_proj.weight"].float()
        for model in (merged, rounded)
    ]
    # NF4's widest gap between two levels is 0.3 of a block's largest weight, and rounding errs by
    # half of it
    assert 0 < (weights[1] - weights[0]).abs().max() <= 0.16 * weights[0].abs().max()
    assert (rounded(ids).logits.float() - beside).abs().max() > 1e-3


def test_export_writes_everything_and_its_card_says_only_what_is_known(trained, tmp_path):
    base, result = trained
    manifest = {"training": json.loads((result.adapter_dir.parent / "training.json").read_text())}
    done = export_judge(
        base,
        result.adapter_dir,
        tmp_path,
        golden=_samples(2),
        name="tiny",
        min_readable=0,
        max_new_tokens=4,
        context_tokens=4096,
        manifest=manifest,
    )
    assert (
        done.merged_onto == "base"
        and done.comparison.n == 2
        and done.comparison.n_flips == {"merged onto base": 0}
    )
    names = {path.name for path in done.merged_dir.iterdir()}
    assert {"model.safetensors", "tokenizer.json", "Modelfile", "README.md", "config.json"} <= names
    assert {path.name for path in tmp_path.iterdir()} == {
        "merged",
        "comparison.json",
        "commands.sh",
    }
    assert "num_ctx 512" in (done.merged_dir / "Modelfile").read_text()
    assert "--max-model-len 512" in (tmp_path / "commands.sh").read_text()
    card = (done.merged_dir / "README.md").read_text()
    assert "| beta | 0.100 |" in card and "8 preference pairs, 4 steps" in card
    assert "## Scores\n\nNot recorded in this run's manifest." in card


def export_with(monkeypatch, trained, folder, answers, n=20, **options):
    """Export with golden verdicts given: those of the adapter, then those of the merged model."""
    from selene_lib.training import export

    base, result = trained
    options = {"max_new_tokens": 4, **options}
    told = iter([{f"s{i}": verdict for i, verdict in enumerate(form)} for form in answers])
    monkeypatch.setattr(export, "golden_verdicts", lambda *a, **k: next(told))
    return export_judge(
        base, result.adapter_dir, folder, golden=_samples(n), name="tiny", **options
    )


def test_export_that_flips_leaves_an_earlier_one_alone(trained, tmp_path, monkeypatch):
    yes, flipped = ["Yes"] * 20, ["No"] + ["Yes"] * 19
    with pytest.raises(UserError, match=r"on 1 of 20 golden verdicts.*s0: Yes -> No"):
        export_with(monkeypatch, trained, tmp_path, [yes, flipped])
    assert {path.name for path in tmp_path.iterdir()} == {"comparison.json"}
    good = export_with(monkeypatch, trained, tmp_path, [yes, yes])
    before = {path.name: path.read_bytes() for path in good.merged_dir.iterdir()}
    kept = (tmp_path / "comparison.json").read_bytes()
    with pytest.raises(UserError, match="export refused"):
        export_with(monkeypatch, trained, tmp_path, [yes, flipped])
    assert {path.name: path.read_bytes() for path in good.merged_dir.iterdir()} == before
    assert (tmp_path / "comparison.json").read_bytes() == kept
    # killed between setting the earlier one aside and putting the new one in its place
    good.merged_dir.rename(tmp_path / ".merged.old")
    with pytest.raises(UserError, match="export refused"):
        export_with(monkeypatch, trained, tmp_path, [yes, flipped])
    assert {path.name: path.read_bytes() for path in good.merged_dir.iterdir()} == before


def test_the_gate_needs_verdicts_that_can_be_read(trained, tmp_path, monkeypatch):
    yes, unread = ["Yes"] * 20, [None] * 20
    for answers, n in (([[], []], 0), ([unread, unread], 20), ([yes, unread], 20)):
        with pytest.raises(UserError, match=r"export refused: 0 of \d+ golden items|differs from"):
            export_with(monkeypatch, trained, tmp_path, answers, n=n)
    with pytest.raises(UserError, match=r"19 of 20 golden items .* 20 are needed"):
        export_with(monkeypatch, trained, tmp_path, [[None, *yes[1:]]] * 2)
    done = export_with(monkeypatch, trained, tmp_path, [yes, yes])
    assert "0 of 20 verdicts differ (0.0% to 16.1%" in done.comparison.describe("merged onto base")


def test_the_card_and_the_family_come_from_the_run(trained, tmp_path, monkeypatch):
    from selene_lib.training.export import trained_family

    base, result = trained
    assert trained_family(result.adapter_dir, str(base)) == "full"
    assert trained_family(result.adapter_dir, "embedded") == "nano"
    done = export_with(monkeypatch, trained, tmp_path, [["Yes"] * 20] * 2)
    card = (done.merged_dir / "README.md").read_text()
    assert "8 preference pairs, 4 steps" in card and "| lora_r | 4 |" in card
    assert "\n- seed 0\n" in card and "\n- step 4: loss " in card
    assert family_of(str(tmp_path)) == family_of(str(done.merged_dir)) == "full"


def test_card_lists_scores(tmp_path):
    rows = [
        {
            "set": "reward_bench",
            "metric": "accuracy",
            "value": 0.5123,
            "n": 10,
            "n_unparsed": 1,
            "published": 0.8913,
        }
    ]
    text = write_model_card(
        {"name": "judge", "scores": rows, "sources": ["made | here"]}, tmp_path / "card.md"
    ).read_text()
    assert (
        "| reward_bench | accuracy | 0.512 | 10 | 1 | 0.891 |" in text and "- made | here" in text
    )
