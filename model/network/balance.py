"""The load-balance loss: how unevenly a router spreads a batch over the experts, whether on one rank or on many."""

from typing import Protocol

import torch
import torch.distributed
from torch import Tensor

_NEVER = -1e9  # below every logit; finite, so that its product with a zero gradient is 0 and not NaN


def sum_over_ranks(values: Tensor, group: torch.distributed.ProcessGroup | None = None) -> Tensor:
    """The differentiable sum of `values`, a tensor of any shape, over the ranks of `group`; `values` itself if there is one rank.

    `group` is all ranks by default. The gradient is summed over the ranks too: if a loss is a function of such a sum, every rank
    has the loss of the whole batch, and its gradient once data-parallel training has averaged the gradients.
    """
    if not torch.distributed.is_initialized() or torch.distributed.get_world_size(group) == 1:
        return values
    return _Sum.apply(values, group)


class _SumContext(Protocol):
    """What the forward pass of `_Sum` saves for its backward pass."""

    group: torch.distributed.ProcessGroup | None


class _Sum(torch.autograd.Function):
    """Sums a tensor over a group, and its gradient as well."""

    @staticmethod
    def forward(context: _SumContext, values: Tensor, group: torch.distributed.ProcessGroup | None) -> Tensor:
        context.group = group
        total = values.clone()
        torch.distributed.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(context: _SumContext, gradient: Tensor) -> tuple[Tensor, None]:
        total = gradient.clone()
        torch.distributed.all_reduce(total, group=context.group)
        return total, None


def squared_variation(values: Tensor) -> Tensor:
    """Squared coefficient of variation, variance / mean^2, of values [E]: a scalar >= 0."""
    return values.var(unbiased=False) / (values.mean().square() + 1e-10)


def expert_load(logits: Tensor, noisy_logits: Tensor, noise_std: Tensor | float, chosen: Tensor) -> Tensor:
    """Each expert's smoothed token count, [E]: for every token the probability of being chosen if the expert's noise were redrawn.

    logits, noisy_logits: without and with noise, [N, E]. noise_std: the noise's standard deviation, [N, E], or one number as in
    Riquelme et al. 2021. chosen: bool [N, E], the choice made from the noisy logits. Shazeer et al. 2017, appendix A, equations 8 to
    10. An expert without a rival counts every token.
    """
    rival = noisy_logits.masked_fill(chosen, _NEVER).amax(-1, keepdim=True).clamp(min=_NEVER)
    last = noisy_logits.masked_fill(~chosen, -_NEVER).amin(-1, keepdim=True)
    margin = (logits - torch.where(chosen, rival, last)) / noise_std
    # Beyond 8 the probability is 0 or 1 to the last bit; its derivative would be a denormal number, which is slow.
    return torch.special.ndtr(margin.clamp(-8, 8)).sum(0)


def balance_loss(importance: Tensor, load: Tensor, group: torch.distributed.ProcessGroup | None = None) -> Tensor:
    """Mean of one router's importance loss and load loss, a scalar >= 0; 0 when every expert has the same share.

    importance: each expert's summed weight, [E]. load: its token count, [E]. Both cover this rank's part of the batch and are
    summed over the ranks of `group`, all by default. Shazeer et al. 2017, equations 6, 7 and 11.
    """
    importance, load = sum_over_ranks(torch.stack([importance, load]), group)
    return 0.5 * (squared_variation(importance) + squared_variation(load))
