"""The objective against values worked out by hand in double precision, and against what TRL means
by the same name.
"""

import math

import pytest
import torch

from selene_lib.training.loss import pair_loss

# two pairs: summed log-probs, token counts, reference sums
CHOSEN, REJECTED = [-12.0, -30.0], [-15.0, -28.0]
N_CHOSEN, N_REJECTED = [4, 20], [5, 16]
REF_CHOSEN, REF_REJECTED = [-13.0, -29.0], [-14.0, -29.0]


def _tensors(dtype=torch.float64):
    return [
        torch.tensor(x, dtype=dtype)
        for x in (CHOSEN, REJECTED, N_CHOSEN, N_REJECTED, REF_CHOSEN, REF_REJECTED)
    ]


def _softplus(x):
    return math.log1p(math.exp(x))


def test_iterative_rpo_by_hand():
    """margins 0.1 * ((1) - (-1)) = 0.2 and 0.1 * ((-1) - (1)) = -0.2; NLL 12/4 and 30/20."""
    loss = pair_loss(*_tensors(), kind="dpo_nll", beta=0.1, alpha=2.0)
    assert loss.margin.tolist() == pytest.approx([0.2, -0.2], abs=1e-15)
    assert loss.total.tolist() == pytest.approx(
        [_softplus(-0.2) + 2 * 3.0, _softplus(0.2) + 2 * 1.5], abs=1e-14
    )
    assert loss.reward_correct.tolist() == [1.0, 0.0]


def test_each_term_alone_and_float32_agrees():
    double, single = _tensors(), _tensors(torch.float32)
    dpo, nll, both = (
        pair_loss(*double, kind=k, alpha=0.7).total for k in ("dpo", "nll", "dpo_nll")
    )
    assert torch.allclose(dpo + nll, both, rtol=0, atol=1e-14)
    assert nll.tolist() == pytest.approx([0.7 * 3.0, 0.7 * 1.5], abs=1e-14)
    assert torch.allclose(pair_loss(*single, alpha=0.7).total.double(), both, rtol=1e-6)


def test_label_smoothing_and_length_normalisation_by_hand():
    smooth = pair_loss(*_tensors(), kind="dpo", label_smoothing=0.1).total
    assert smooth[0].item() == pytest.approx(
        0.9 * _softplus(-0.2) + 0.1 * _softplus(0.2), abs=1e-14
    )
    short = pair_loss(*_tensors(), kind="dpo", length_normalised=True).margin
    assert short.tolist() == pytest.approx(
        [0.1 * (1 / 4 + 1 / 5), 0.1 * (-1 / 20 - 1 / 16)], abs=1e-15
    )


def test_gradient_by_hand():
    """d/dc = -beta * sigmoid(-margin) - alpha / |c|; d/dr = beta * sigmoid(-margin)."""
    chosen, rejected, *rest = _tensors()
    chosen.requires_grad_(), rejected.requires_grad_()
    pair_loss(chosen, rejected, *rest, beta=0.1, alpha=1.0).total.sum().backward()
    sigmoid = [1 / (1 + math.exp(0.2)), 1 / (1 + math.exp(-0.2))]
    assert chosen.grad.tolist() == pytest.approx(
        [-0.1 * s - 1 / n for s, n in zip(sigmoid, N_CHOSEN)], abs=1e-14
    )
    assert rejected.grad.tolist() == pytest.approx([0.1 * s for s in sigmoid], abs=1e-14)


def test_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="not one of"):
        pair_loss(*_tensors(), kind="rpo")


def token_mean_loss(chosen_logp_sum, n_chosen_tokens, dpo):
    """What TRL minimises for a micro-batch: mean DPO + all chosen NLL / all chosen tokens."""
    return dpo.mean() - chosen_logp_sum.sum() / n_chosen_tokens.sum()


def test_a_token_mean_depends_on_how_the_batch_is_cut_and_ours_does_not():
    """TRL's ["sigmoid", "sft"]: 42/24 = 1.75 nats a token over both pairs, but (3.0 + 1.5) / 2 =
    2.25 one by one.
    """
    chosen, rejected, n_chosen, n_rejected, *reference = _tensors()
    whole = pair_loss(chosen, rejected, n_chosen, n_rejected, *reference)
    at_once = token_mean_loss(chosen, n_chosen, whole.dpo)
    one_by_one = torch.stack(
        [
            token_mean_loss(chosen[i : i + 1], n_chosen[i : i + 1], whole.dpo[i : i + 1])
            for i in range(2)
        ]
    ).mean()
    assert (at_once - whole.dpo.mean()).item() == pytest.approx(1.75, abs=1e-14)
    assert (one_by_one - whole.dpo.mean()).item() == pytest.approx(2.25, abs=1e-14)
    parts = [
        pair_loss(
            *[x[i : i + 1] for x in (chosen, rejected, n_chosen, n_rejected, *reference)]
        ).total
        for i in range(2)
    ]
    assert torch.equal(torch.cat(parts), whole.total)
    assert one_by_one.item() == pytest.approx(whole.total.mean().item(), abs=1e-14)
