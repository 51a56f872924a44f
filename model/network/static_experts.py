"""Routed experts in tensors whose shapes do not depend on the routing, so that the host never waits for an accelerator.

Every token's place in its experts' queues is computed where the tokens are. The queues follow one another, each filled up with zeros to
whole blocks of rows, in a buffer that is large enough for any routing; no token is dropped. Either one grouped matrix product takes all
queues (`torch.nn.functional.grouped_mm`), or each block is multiplied by its expert's matrices in a batch of equal products.
`moesaic.model.network.experts` computes the same faster on CPUs, where knowing the queues' lengths costs nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# Letters in shape comments: N = tokens, K = experts for each token, E = experts, P = rows of all queues, D = width, H = expert hidden.

BLOCK = 128
"""Rows of a block of equal products: enough for the arithmetic to hide the reading of the expert's weights."""

GROUP_ALIGNMENT = 16
"""Rows to which grouped products have their queues filled up: 32 bytes of bfloat16, where 16 are required."""


@dataclass(frozen=True)
class Queues:
    """Where tokens are in the queues of all experts.

    rows: P, a multiple of the block. place [N, K]: row of each token for each of its experts, P where it has fewer. weight [N, K]: its
    score there, 0 where it has fewer. token [P]: the row's token, N where it is filled up. ends [E]: where each expert's queue ends.
    """

    rows: int
    place: Tensor
    weight: Tensor
    token: Tensor
    ends: Tensor

    def expert_of(self, rows: Tensor) -> Tensor:
        """The experts to whose queues rows belong, int64; the last one's behind all queues."""
        return torch.searchsorted(self.ends, rows, right=True).clamp(max=len(self.ends) - 1)


def queues_of(scores: Tensor, chosen: Tensor, most: int, block: int) -> Queues:
    """The queues of tokens with these scores and choices, [N, E]; no token may have chosen more than `most` experts."""
    count, experts = chosen.shape
    rows = -(-(count * most + experts * (block - 1)) // block) * block
    lengths = chosen.sum(0)
    filled = (lengths + block - 1) // block * block
    ends = filled.cumsum(0)
    place = ends - filled + chosen.cumsum(0) - 1  # [N, E]
    first = chosen.to(torch.uint8).sort(dim=1, descending=True, stable=True)
    valid, expert = first.values[:, :most].bool(), first.indices[:, :most]
    place = place.gather(1, expert).masked_fill(~valid, rows)
    weight = scores.gather(1, expert).masked_fill(~valid, 0)
    every = torch.arange(count, device=chosen.device).unsqueeze(1).expand_as(place)
    token = torch.full((rows + 1,), count, device=chosen.device).scatter(0, place.flatten(), every.flatten())[:rows]
    return Queues(rows, place, weight, token, ends)


def has_grouped_product(tokens: Tensor, hidden: int) -> bool:
    """Whether the grouped product runs on tokens [N, D] and experts with so many hidden units without asking the host."""
    if tokens.device.type != "cuda" or tokens.dtype != torch.bfloat16:
        return False
    return torch.cuda.get_device_capability(tokens.device) >= (8, 0) and tokens.shape[1] % 8 == hidden % 8 == 0


def static_mixture(
    tokens: Tensor,
    scores: Tensor,
    chosen: Tensor,
    most: int,
    experts: tuple[Tensor, Tensor, Tensor, Tensor],
    dropout: Callable[[tuple[int, int]], Tensor | None],
    grouped: bool,
) -> Tensor:
    """The sum of each token's expert outputs times its scores, [N, D], in the dtype of the tokens; differentiable.

    tokens [N, D], scores [N, E], chosen bool [N, E], of which no row has more than `most` true. experts: up_weight [E, D, H], up_bias
    [E, H], down_weight [E, H, D], down_bias [E, D]. dropout: gives the factors of hidden units for a shape [P, H], or None. grouped:
    by a grouped product instead of blocks.
    """
    up_weight, up_bias, down_weight, down_bias = experts
    queues = queues_of(scores, chosen, most, GROUP_ALIGNMENT if grouped else BLOCK)
    layer = _grouped_layer if grouped else _block_layer
    x = F.pad(tokens, (0, 0, 0, 1)).index_select(0, queues.token)  # [P, D]
    hidden = F.gelu(layer(x, up_weight, up_bias, queues))
    factors = dropout((queues.rows, up_weight.shape[2]))
    hidden = hidden if factors is None else hidden * factors
    out = F.pad(layer(hidden, down_weight, down_bias, queues), (0, 0, 0, 1))
    parts = out.index_select(0, queues.place.flatten()).view(*queues.place.shape, -1)  # [N, K, D]
    return (parts * queues.weight.to(parts.dtype).unsqueeze(-1)).sum(1)


def _block_layer(x: Tensor, weight: Tensor, bias: Tensor, queues: Queues) -> Tensor:
    expert = queues.expert_of(torch.arange(0, queues.rows, BLOCK, device=x.device))  # of each block
    blocks = x.view(len(expert), BLOCK, -1)
    return torch.baddbmm(bias[expert].unsqueeze(1), blocks, weight[expert]).flatten(0, 1)


def _grouped_layer(x: Tensor, weight: Tensor, bias: Tensor, queues: Queues) -> Tensor:
    rows = torch.arange(queues.rows, device=x.device)
    product = F.grouped_mm(x, weight, offs=queues.ends.to(torch.int32))
    # Behind the last queue, neither the product nor its gradient is defined.
    return torch.where((rows < queues.ends[-1]).unsqueeze(1), product + bias[queues.expert_of(rows)], 0)
