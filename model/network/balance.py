"""The load-balance loss: how unevenly a router spreads a batch over the experts, the same on one rank as on many."""

from typing import Protocol

import torch
import torch.distributed
from torch import Tensor

_NEVER = -1e9  # below every logit; finite, so that no product with a gradient of 0 is undefined


def sum_over_ranks(values: Tensor, group: torch.distributed.ProcessGroup | None = None) -> Tensor:
    """The sum of `values`, of any shape, over all ranks, differentiable; `values` themselves where nothing is distributed.

    The gradient is summed over the ranks too. Where a loss is a function of such a sum, every rank has the loss and the
    gradient of the whole batch once data-parallel training has averaged the gradients.
    """
    if not torch.distributed.is_initialized() or torch.distributed.get_world_size(group) == 1:
        return values
    return _Sum.apply(values, group)


class _SumContext(Protocol):
    """What the forward pass of `_Sum` leaves to its backward pass."""

    group: torch.distributed.ProcessGroup | None


class _Sum(torch.autograd.Function):
    """Sums a tensor over a group, and its gradient likewise."""

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
    """Squared coefficient of variation, variance / mean^2, of [E]."""
    return values.var(unbiased=False) / (values.mean().square() + 1e-10)


def expert_load(logits: Tensor, noisy_logits: Tensor, noise_std: Tensor | float, chosen: Tensor) -> Tensor:
    """Each expert's smoothed token count, [E]: the chance to be chosen when its own noise is drawn again, summed.

    logits without and with noise, and the choice that the latter led to, [N, E]. Shazeer et al. 2017, appendix A, equations
    8 to 10; the noise may be constant, as in Riquelme et al. 2021. An expert that has no rival has every token.
    """
    rival = noisy_logits.masked_fill(chosen, _NEVER).amax(-1, keepdim=True).clamp(min=_NEVER)
    last = noisy_logits.masked_fill(~chosen, -_NEVER).amin(-1, keepdim=True)
    margin = (logits - torch.where(chosen, rival, last)) / noise_std
    # Beyond 8 the chance is 0 or 1 to the last bit; its derivative would be a denormal, which is slow to compute with.
    return torch.special.ndtr(margin.clamp(-8, 8)).sum(0)


def balance_loss(importance: Tensor, load: Tensor, group: torch.distributed.ProcessGroup | None = None) -> Tensor:
    """Mean of the importance and the load loss of one router, a scalar >= 0; 0 when every expert has the same share.

    importance: each expert's summed weight, load: its token count, [E] of this rank's part of the batch; the ranks of
    `group` (all of them by default) add theirs. Shazeer et al. 2017, equations 6, 7 and 11.
    """
    importance, load = sum_over_ranks(torch.stack([importance, load]), group)
    return 0.5 * (squared_variation(importance) + squared_variation(load))
