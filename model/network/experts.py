"""The arithmetic of routed experts, forwards and backwards, one expert's queue of tokens at a time.

A queue is gathered, goes through the expert's two layers and is added to the tokens it came from while it is in the cache;
nothing is as long as all queues together but the input of the activation function, which the backward pass needs. Written
by hand because autograd's cutting and joining of the queues costs as much as the products.
"""

import itertools
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

# Letters in shape comments: N = tokens, M = rows of all queues, n = rows of one, D = width, E = experts, H = expert hidden.


def expert_mixture(
    tokens: Tensor,
    weights: Tensor,
    token: Tensor,
    lengths: list[int],
    up_weight: Tensor,
    up_bias: Tensor,
    down_weight: Tensor,
    down_bias: Tensor,
    mask: Tensor | None = None,
) -> Tensor:
    """The sum of each token's experts, each times its weight: [N, D] for tokens [N, D].

    Row m of the queues, which lie one after the other, `lengths[e]` rows of expert e, is token `token[m]` with weight
    `weights[m]`; no token is twice in one queue. The experts are up_weight [E, D, H], up_bias [E, H], GELU, down_weight
    [E, H, D], down_bias [E, D]. mask [M, H], if given, multiplies what leaves the GELU (dropout).
    """
    experts = (up_weight, up_bias, down_weight, down_bias)
    return _ExpertMixture.apply(tokens, weights, token, lengths, *experts, mask)


def _queues(lengths: list[int]) -> Iterator[tuple[int, slice]]:
    """Each expert that has a queue, and its rows."""
    for e, (length, end) in enumerate(zip(lengths, itertools.accumulate(lengths))):
        if length:
            yield e, slice(end - length, end)


class _ExpertMixture(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, tokens, weights, token, lengths, up_weight, up_bias, down_weight, down_bias, mask):
        inner = tokens.new_empty(len(token), up_weight.shape[2])  # [M, H], before the GELU
        result = torch.zeros_like(tokens)
        for e, rows in _queues(lengths):
            torch.addmm(up_bias[e], tokens.index_select(0, token[rows]), up_weight[e], out=inner[rows])
            hidden = F.gelu(inner[rows])
            hidden = hidden if mask is None else hidden.mul_(mask[rows])
            update = torch.addmm(down_bias[e], hidden, down_weight[e]).mul_(weights[rows, None])
            result.index_add_(0, token[rows], update)
        ctx.lengths = lengths
        ctx.save_for_backward(tokens, weights, token, up_weight, down_weight, down_bias, mask, inner)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor):
        tokens, weights, token, up_weight, down_weight, down_bias, mask, inner = ctx.saved_tensors
        of_tokens, of_weights = torch.zeros_like(tokens), torch.empty_like(weights)
        of_up, of_down = torch.empty_like(up_weight), torch.empty_like(down_weight)
        of_up_bias, of_down_bias = up_weight.new_zeros(len(up_weight), up_weight.shape[2]), torch.zeros_like(down_bias)
        for e, length in enumerate(ctx.lengths):
            if not length:
                of_up[e] = of_down[e] = 0
        for e, rows in _queues(ctx.lengths):
            x, weight = tokens.index_select(0, token[rows]), weights[rows]
            hidden = F.gelu(inner[rows])
            hidden = hidden if mask is None else hidden.mul_(mask[rows])
            of_update = gradient.index_select(0, token[rows])  # times the weight, which is left to the narrow factors
            of_hidden = of_update @ down_weight[e].T
            # What the weight multiplied is hidden @ down + bias; its product with the gradient, without forming it again.
            torch.add(torch.linalg.vecdot(of_hidden, hidden), of_update @ down_bias[e], out=of_weights[rows])
            torch.mv(of_update.T, weight, out=of_down_bias[e])
            torch.mm(hidden.mul_(weight[:, None]).T, of_update, out=of_down[e])
            of_hidden.mul_(weight[:, None] if mask is None else weight[:, None] * mask[rows])
            of_inner = torch.ops.aten.gelu_backward(of_hidden, inner[rows])
            torch.sum(of_inner, 0, out=of_up_bias[e])
            torch.mm(x.T, of_inner, out=of_up[e])
            of_tokens.index_add_(0, token[rows], of_inner @ up_weight[e].T)
        return of_tokens, of_weights, None, None, of_up, of_up_bias, of_down, of_down_bias, None
