"""The objective: DPO on summed log-probs plus the chosen side's NLL per token, by example.

Iterative RPO (arXiv 2404.19733, eq. 1), for a prompt x with chosen c and rejected r:

    L = -log sigmoid(beta * ((log pi(c|x) - log ref(c|x)) - (log pi(r|x) - log ref(r|x)))) - alpha *
    log pi(c|x) / |c|

The DPO part takes the **sum** over a completion's tokens, the NLL part the mean over the tokens of
**its own example**. The loss of a set is the mean of its examples' losses, so batch size,
accumulation, padding, packing and the number of devices cannot change the objective.

`trl.DPOTrainer(loss_type=["sigmoid", "sft"])` means something else: its `sft` is the mean over all
chosen tokens of a micro-batch, so long replies weigh more and the value depends on how the batch
was cut. Both are equal at one pair per micro-batch only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

LossKind = Literal["dpo_nll", "dpo", "nll"]


@dataclass(frozen=True)
class PairLoss:
    """Per-pair values, each [n_pairs]; `total` is minimised, the rest is for the record.

    `margin` is beta * (chosen log-ratio - rejected log-ratio), DPO's implicit reward difference;
    `reward_correct` is 1 where it is positive. `nll` is per token of the chosen side. A part that
    is not in the objective is still computed, without a gradient; without a reference (nan, as
    NLL alone is trained) dpo, margin and reward_correct are nan.
    """

    total: Tensor
    dpo: Tensor
    nll: Tensor
    margin: Tensor
    reward_correct: Tensor


def pair_loss(
    chosen_logp_sum: Tensor,
    rejected_logp_sum: Tensor,
    n_chosen_tokens: Tensor,
    n_rejected_tokens: Tensor,
    ref_chosen_logp_sum: Tensor,
    ref_rejected_logp_sum: Tensor,
    *,
    kind: LossKind = "dpo_nll",
    beta: float = 0.1,
    alpha: float = 1.0,
    label_smoothing: float = 0.0,
    length_normalised: bool = False,
) -> PairLoss:
    """Loss of each pair from its summed log-probabilities, in nats.

    All tensors have shape [n_pairs]. Equation: Iterative RPO (arXiv 2404.19733) as in the module's
    docstring; `kind` leaves a term out. `label_smoothing` e is conservative DPO, (1 - e) * -log
    sigmoid(m) + e * -log sigmoid(-m). `length_normalised` divides every log-ratio by its
    completion's token count before beta is applied: a variant for comparison, not the paper's
    objective.
    """
    from torch.nn.functional import logsigmoid

    chosen_ratio = chosen_logp_sum - ref_chosen_logp_sum
    rejected_ratio = rejected_logp_sum - ref_rejected_logp_sum
    if length_normalised:
        chosen_ratio, rejected_ratio = (
            chosen_ratio / n_chosen_tokens,
            rejected_ratio / n_rejected_tokens,
        )
    margin = beta * (chosen_ratio - rejected_ratio)
    dpo = -(1 - label_smoothing) * logsigmoid(margin) - label_smoothing * logsigmoid(-margin)
    nll = -chosen_logp_sum / n_chosen_tokens
    if kind == "dpo":
        total = dpo
    elif kind == "nll":
        total = alpha * nll
    elif kind == "dpo_nll":
        total = dpo + alpha * nll
    else:
        raise ValueError(f"loss {kind!r} is not one of dpo_nll, dpo, nll")
    margin = margin.detach()
    correct = (margin > 0).to(margin.dtype).masked_fill(margin.isnan(), float("nan"))
    return PairLoss(total, dpo.detach(), nll.detach(), margin, correct)
