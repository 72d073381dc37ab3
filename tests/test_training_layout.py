"""Sharing the prompt changes nothing but the time: log-probs, losses and gradients equal those of
two plain sequences a pair.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from training_world import make_base, make_pairs

from selene_lib.errors import UserError
from selene_lib.training.batching import global_batches, micro_batches
from selene_lib.training.encoding import EncodedPair, encode_pairs
from selene_lib.training.layout import dense_mask, documents, lay_out_pairs
from selene_lib.training.logprobs import chunked_logps, completion_inputs, sum_by_sequence
from selene_lib.training.loss import pair_loss
from selene_lib.training.model import choose_layout, open_for_training
from selene_lib.training.probe import config_obstacle, probe_layout
from selene_lib.training.spec import TrainSpec

pytestmark = pytest.mark.slow


SMALL = EncodedPair("p", (10, 11, 12), (20, 21), (30,))
WAYS = [
    ("shared_prefix", "segments", True),
    ("shared_prefix", "segments", False),
    ("shared_prefix", "dense", True),
    ("shared_prefix", "dense", False),
    ("pairs", "segments", True),
    ("pairs", "causal", False),
]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def loaded(base):
    """A model whose adapter is not the identity, so that every LoRA gradient is alive."""
    found = open_for_training(TrainSpec(base_model=str(base), lora_r=4))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in found.model.named_parameters():
            if "lora_B" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.05)
    return found


@pytest.fixture(scope="module")
def pairs(loaded):
    return encode_pairs(loaded.tokenizer, make_pairs(5), max_length_tokens=400).pairs


def test_a_shared_row_by_hand():
    batch = lay_out_pairs([SMALL], "shared_prefix", packing=True, pad_token_id=0)
    assert batch.input_ids.tolist() == [[10, 11, 12, 20, 21, 30]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 3, 4, 3]]
    assert (
        batch.predict_at.tolist() == [2, 3, 2]
        and batch.targets.tolist() == [20, 21, 30]
        and batch.owner.tolist() == [0, 0, 1]
    )
    expected = ["100000", "110000", "111000", "111100", "111110", "111001"]
    assert ["".join(str(int(x)) for x in row) for row in dense_mask(batch)[0, 0]] == expected


def test_packed_documents_are_blind_to_each_other_and_padding_sees_itself():
    other = EncodedPair("q", (40,), (41,), (42,))
    packed = dense_mask(
        lay_out_pairs([SMALL, other], "shared_prefix", packing=True, pad_token_id=0)
    )[0, 0]
    assert not packed[6:, :6].any() and not packed[:6, 6:].any()
    padded = lay_out_pairs([SMALL, other], "shared_prefix", packing=False, pad_token_id=0)
    assert padded.input_ids.tolist()[1] == [40, 41, 42, 0, 0, 0]
    assert dense_mask(padded)[1, 0].sum(1).tolist() == [1, 2, 2, 1, 1, 1]


def test_pairs_layout_and_block_multiples():
    found = [[part.tolist() for part in doc] for doc in documents(SMALL, "pairs")]
    assert found == [[[10, 11, 12], [20, 21]], [[10, 11, 12], [30]]]
    batch = lay_out_pairs([SMALL], "pairs", packing=False, pad_token_id=0, pad_to_multiple=8)
    assert batch.input_ids.shape == (2, 8) and sum(span.n_tokens for span in batch.spans) == 9


def test_chunked_log_probs_equal_the_full_softmax_with_and_without_recomputation():
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(23, 8, generator=generator, dtype=torch.float64).requires_grad_()
    head = torch.nn.Linear(8, 50, bias=False).double()
    targets = torch.randint(0, 50, (23,), generator=generator)
    full = head(hidden).float().log_softmax(-1).gather(1, targets[:, None])[:, 0]
    (want,) = torch.autograd.grad(full.sum(), hidden)
    for chunk in (4, 23, 100):
        got = chunked_logps(hidden, head, targets, chunk_tokens=chunk)
        (gradient,) = torch.autograd.grad(got.sum(), hidden)
        assert torch.allclose(got, full, atol=1e-6) and torch.allclose(gradient, want, atol=1e-6)


def _losses_and_gradients(loaded, pairs, logps_of):
    chosen, rejected, n_chosen, n_rejected = logps_of(pairs)
    reference = torch.stack(
        [torch.arange(len(pairs)) * -1.5 - 40, torch.arange(len(pairs)) * -1.1 - 41]
    )
    losses = pair_loss(chosen, rejected, n_chosen, n_rejected, reference[0], reference[1]).total
    names, parameters = zip(
        *[(n, p) for n, p in loaded.model.named_parameters() if p.requires_grad]
    )
    gradients = torch.autograd.grad(losses.mean(), parameters)
    return losses.detach(), dict(zip(names, gradients))


def _plain(loaded):
    """Two sequences a pair, one forward each, full logits: the definition."""

    def logps_of(pairs):
        sums, counts = [], []
        for pair in pairs:
            for completion in (pair.chosen_ids, pair.rejected_ids):
                ids = torch.tensor(np.concatenate([pair.prompt_ids, completion]))[None].long()
                logits = loaded.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[
                    0, len(pair.prompt_ids) - 1 : -1
                ]
                sums.append(
                    logits.log_softmax(-1).gather(1, torch.tensor(completion)[:, None]).sum()
                )
                counts.append(len(completion))
        sums, counts = torch.stack(sums), torch.tensor(counts)
        return sums[0::2], sums[1::2], counts[0::2], counts[1::2]

    return logps_of


def _through(loaded, layout, attention, packing):
    def logps_of(pairs):
        batch = lay_out_pairs(pairs, layout, packing=packing, pad_token_id=2)
        return sum_by_sequence(
            loaded.model(**completion_inputs(batch, attention)), batch.owner, batch.n_pairs
        )

    return logps_of


@pytest.mark.parametrize("layout, attention, packing", WAYS)
def test_losses_and_every_lora_gradient_equal_two_plain_sequences(
    loaded, pairs, layout, attention, packing
):
    want, want_gradients = _losses_and_gradients(loaded, pairs, _plain(loaded))
    got, gradients = _losses_and_gradients(
        loaded, pairs, _through(loaded, layout, attention, packing)
    )
    assert torch.allclose(got, want, rtol=1e-5, atol=0)
    for name, gradient in want_gradients.items():
        assert gradient.norm() > 0
        assert (gradients[name] - gradient).norm() <= 1e-5 * gradient.norm(), name


def test_gradient_checkpointing_gives_the_same_gradients(loaded, pairs):
    through = _through(loaded, "shared_prefix", "segments", True)
    want, want_gradients = _losses_and_gradients(loaded, pairs, through)
    loaded.model.gradient_checkpointing_enable({"use_reentrant": False})
    loaded.model.train()
    try:
        got, gradients = _losses_and_gradients(loaded, pairs, through)
    finally:
        loaded.model.gradient_checkpointing_disable()
    assert torch.allclose(got, want, rtol=1e-6)
    assert all((gradients[n] - g).norm() <= 1e-5 * g.norm() for n, g in want_gradients.items())


def test_a_mask_that_is_not_honoured_is_noticed(loaded):
    """The shared row under a plain causal mask: rejected sees chosen, and the probe says so."""
    broken = replace(loaded.decision, attention="causal")
    assert "sees the chosen one" in probe_layout(loaded.model, broken)


def test_models_that_cannot_honour_it_are_refused_unless_a_fallback_is_asked_for(tmp_path):
    """Mamba reads its row in order and has no mask: only plain pairs, and only when asked."""
    from training_world import make_tokenizer
    from transformers import MambaConfig, MambaForCausalLM

    make_tokenizer(tmp_path)
    torch.manual_seed(0)
    MambaForCausalLM(
        MambaConfig(vocab_size=64, hidden_size=16, num_hidden_layers=1, state_size=4)
    ).save_pretrained(tmp_path)
    spec = TrainSpec(base_model=str(tmp_path), lora_r=2, lora_targets="in_proj,x_proj")
    with pytest.raises(UserError, match=r"shared_prefix.*refused.*Set layout to 'pairs'"):
        open_for_training(spec)


def test_auto_falls_back_and_records_why(loaded, monkeypatch):
    from selene_lib.training import probe

    monkeypatch.setattr(
        probe, "config_obstacle", lambda config: "it attends in a sliding window of 8 tokens"
    )
    spec = TrainSpec(base_model="made", layout="auto")
    chosen = choose_layout(loaded.model, spec, loaded.decision)
    assert (chosen.layout, chosen.attention, chosen.packing) == ("pairs", "causal", False)
    assert "sliding window" in chosen.reasons[0]
    with pytest.raises(UserError, match="sliding window"):
        choose_layout(loaded.model, replace(spec, layout="shared_prefix"), loaded.decision)


def test_window_and_dropout_settings_are_obstacles():
    from transformers import LlamaConfig, MistralConfig, Qwen2Config

    assert config_obstacle(LlamaConfig()) is None
    assert "sliding window" in config_obstacle(MistralConfig(sliding_window=512))
    assert config_obstacle(MistralConfig(sliding_window=None)) is None
    assert config_obstacle(Qwen2Config(use_sliding_window=False)) is None
    assert "dropout" in config_obstacle(LlamaConfig(attention_dropout=0.1))


def test_micro_batches_cover_each_pair_once_and_keep_the_budget(pairs):
    for packing in (True, False):
        cut = micro_batches(pairs, "shared_prefix", max_tokens=150, packing=packing)
        assert sorted(i for group in cut for i in group) == list(range(len(pairs)))
        for group in cut:
            lengths = [pairs[i].n_shared_tokens for i in group]
            assert (
                len(group) == 1 or (sum(lengths) if packing else len(group) * max(lengths)) <= 150
            )
    assert [
        len(group) for group in micro_batches(pairs, "pairs", max_tokens=10**6, max_pairs=2)
    ] == [2, 2, 1]


def test_global_batches_are_whole_passes_in_an_order_of_their_own():
    ids = [f"p{i}" for i in range(10)]
    batches = global_batches(ids, 4, 5, seed=3)
    flat = [i for batch in batches for i in batch]
    assert sorted(flat[:10]) == sorted(flat[10:]) == list(range(10)) and flat[:10] != flat[10:]
    assert batches == global_batches(ids, 4, 5, seed=3) != global_batches(ids, 4, 5, seed=4)
    renamed = global_batches(ids[::-1], 4, 5, seed=3)
    assert [[ids[::-1][i] for i in b] for b in renamed] == [[ids[i] for i in b] for b in batches]


SIX_LAYOUTS = {
    "shared, whole batch packed": {},
    "shared, two pairs a micro-batch": {"micro_batch_pairs": 2},
    "shared, by token budget": {"micro_batch_tokens": 160},
    "shared, padded rows, dense mask": {"packing": False, "attention": "dense"},
    "pairs, packed": {"layout": "pairs"},
    "pairs, padded, one pair a micro-batch": {
        "layout": "pairs",
        "attention": "causal",
        "micro_batch_pairs": 1,
    },
}


@pytest.mark.long
def test_six_batch_layouts_give_one_trajectory_of_fifty_steps(base, tmp_path):
    from selene_lib.training.run import train

    losses = {}
    for number, (name, options) in enumerate(SIX_LAYOUTS.items()):
        spec = TrainSpec(
            base_model=str(base),
            n_steps=50,
            batch_size=4,
            lora_r=2,
            learning_rate=1e-3,
            save_every_steps=100,
            reference_cache=str(tmp_path / "reference"),
            **options,
        )
        result = train(spec, make_pairs(8), tmp_path / str(number), progress=False)
        losses[name] = np.loadtxt(result.log_path, delimiter=",", skiprows=1)[:, 1]
    first = losses.pop("shared, whole batch packed")
    assert first[0] > first[-1] + 0.5
    for name, other in losses.items():
        assert np.abs(other / first - 1).max() < 1e-6, name


def test_masks_are_kept_by_their_bytes(monkeypatch):
    from selene_lib.training import attention

    monkeypatch.setattr(attention, "_masks", attention.OrderedDict())
    monkeypatch.setattr(attention, "MASK_BYTES", 100)
    small = attention._after_prompt_mask(2, 3, torch.device("cpu"))
    assert small.tolist() == [[True] * 4 + [False], [True] * 5]
    assert attention._after_prompt_mask(2, 3, torch.device("cpu")) is small
    large = attention._after_prompt_mask(20, 30, torch.device("cpu"))
    assert list(attention._masks.values()) == [large], "over the limit the latest one alone stays"
