"""One variable-length call a layer against the dense mask: any layout, forward and backward."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from selene_lib.training.cards import CARDS
from selene_lib.training.encoding import EncodedPair
from selene_lib.training.layout import RowBatch, dense_mask, lay_out_pairs
from selene_lib.training.varlen import kernel_for, sequences_of, shared_prefix_attention

LENGTHS = st.integers(1, 9)
DOCUMENTS = st.lists(st.tuples(LENGTHS, LENGTHS, LENGTHS), min_size=1, max_size=4)


def batch_of(lengths, layout: str, packing: bool, multiple: int) -> RowBatch:
    pairs = [
        EncodedPair(str(i), (1,) * p, (1,) * c, (1,) * r) for i, (p, c, r) in enumerate(lengths)
    ]
    return lay_out_pairs(pairs, layout, packing=packing, pad_token_id=0, pad_to_multiple=multiple)


def dense_attention(query, key, value, batch: RowBatch):
    """The same rows under the mask that says in full who sees whom."""
    groups = query.shape[2] // key.shape[2]
    key, value = (x.repeat_interleave(groups, 2) for x in (key, value))
    heads_first = (x.transpose(1, 2) for x in (query, key, value))
    attend = torch.nn.functional.scaled_dot_product_attention
    return attend(*heads_first, attn_mask=dense_mask(batch)).transpose(1, 2)


def with_gradients(attend, tensors, weights):
    leaves = [tensor.clone().requires_grad_() for tensor in tensors]
    out = attend(*leaves)
    return out.detach(), torch.autograd.grad((out * weights).sum(), leaves)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.differing_executors])
@given(
    DOCUMENTS, st.sampled_from(["shared_prefix", "pairs"]), st.booleans(), st.sampled_from([1, 8])
)
def test_it_equals_the_dense_mask_forward_and_backward(lengths, layout, packing, multiple):
    batch = batch_of(lengths, layout, packing, multiple)
    n_rows, width = batch.input_ids.shape
    draw = torch.Generator().manual_seed(len(lengths) * width)
    shapes = [(n_rows, width, 4, 8), (n_rows, width, 2, 8), (n_rows, width, 2, 8)]
    tensors = [torch.randn(shape, generator=draw, dtype=torch.float64) for shape in shapes]
    sequences = sequences_of(batch.spans, n_rows, width)
    # nobody reads what padding puts out, and its own sequence sees more than itself
    is_real = (batch.document_ids >= 0)[:, :, None, None]
    weights = torch.randn(shapes[0], generator=draw, dtype=torch.float64) * is_real

    def ours(*leaves):
        return shared_prefix_attention(*leaves, sequences)

    out, gradients = with_gradients(ours, tensors, weights)
    expected, expected_gradients = with_gradients(
        lambda *leaves: dense_attention(*leaves, batch), tensors, weights
    )
    assert ((out - expected) * is_real).abs().max() <= 1e-12
    for found, wanted in zip(gradients, expected_gradients):
        assert (found - wanted).abs().max() <= 1e-12
    again, gradients_again = with_gradients(ours, tensors, weights)
    assert torch.equal(out, again)
    assert all(torch.equal(a, b) for a, b in zip(gradients, gradients_again))


def test_the_sequences_of_one_shared_document_and_padding():
    sequences = sequences_of(batch_of([(3, 1, 2)], "shared_prefix", True, 8).spans, 1, 8)
    assert sequences.key_at.tolist() == [0, 1, 2, 3, 0, 1, 2, 4, 5, 6, 7]
    assert sequences.cu_seqlens_q.tolist() == [0, 4, 6, 8]
    assert sequences.cu_seqlens_k.tolist() == [0, 4, 9, 11]
    assert (sequences.max_seqlen_q, sequences.max_seqlen_k) == (4, 5)
    assert sequences.first_at.tolist() == [0, 1, 2, 3, 7, 8, 9, 10]
    assert sequences.again.tolist() == [0, 1, 2] and sequences.again_at.tolist() == [4, 5, 6]
    assert sequences.cu_seqlens_q.dtype == torch.int32


@pytest.mark.parametrize("card", CARDS.values(), ids=str)
def test_a_card_computes_16_bits_by_flash_from_ampere_on(card):
    dtype = torch.bfloat16 if card.native_bf16 else torch.float16
    expected = "efficient" if card.name == "T4" else "flash"
    assert kernel_for("cuda", card.capability, dtype) == expected
    assert kernel_for("cuda", card.capability, torch.float32) == "efficient"
    assert kernel_for("cpu", None, dtype) == "loop"
