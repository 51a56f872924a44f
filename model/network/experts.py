"""Forward and backward pass of routed experts, one expert's queue of tokens at a time.

Each queue is gathered, passed through the expert's two layers and added to the result while it is in the cache. Only the input of
the activation function, which the backward pass needs, is stored for all queues together. The backward pass is written by hand
because with autograd, splitting and joining the queues costs as much as the matrix products.
"""

import itertools
from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Letters in shape comments: N = tokens, M = rows of all queues, D = width, E = experts, H = expert hidden.


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
    """The weighted sum of each token's expert outputs, [N, D], for tokens [N, D].

    Tokens, weights and the experts' tensors must have the same float dtype, which is also that of the result.
    The experts' queues are concatenated: `lengths[e]` rows for expert e, M in all. Row m holds the token with index `token[m]`,
    int64 [M], and weight `weights[m]`, [M]; no token occurs twice in one queue. The experts are up_weight [E, D, H],
    up_bias [E, H], GELU, down_weight [E, H, D], down_bias [E, D]. mask [M, H], if given, multiplies the GELU's output (dropout).
    """
    experts = (up_weight, up_bias, down_weight, down_bias)
    return _ExpertMixture.apply(tokens, weights, token, lengths, *experts, mask)


def _queues(lengths: list[int]) -> Iterator[tuple[int, slice]]:
    """Each expert with a non-empty queue, and the queue's rows."""
    for e, (length, end) in enumerate(zip(lengths, itertools.accumulate(lengths))):
        if length:
            yield e, slice(end - length, end)


class _Scratch:
    """Memory for one queue, reused for all: allocating anew for each costs as much as what is written to it."""

    def __init__(self, like: Tensor, lengths: list[int], **columns: int) -> None:
        longest = max(lengths, default=0)
        self._whole = {name: like.new_empty(longest, count) for name, count in columns.items()}

    def rows(self, name: str, rows: slice) -> Tensor:
        """As many rows of the buffer `name` as the queue `rows` has."""
        return self._whole[name][: rows.stop - rows.start]


class _MixtureContext(Protocol):
    """What the forward pass of `_ExpertMixture` saves for its backward pass."""

    lengths: list[int]
    saved_tensors: tuple[Any, ...]

    def save_for_backward(self, *tensors: Tensor | None) -> None: ...


class _ExpertMixture(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: _MixtureContext, tokens, weights, token, lengths, up_weight, up_bias, down_weight, down_bias, mask
    ):
        width, wide = up_weight.shape[1:]
        inner = tokens.new_empty(len(token), wide)  # [M, H], before the GELU
        result = torch.zeros_like(tokens)
        scratch = _Scratch(tokens, lengths, x=width, hidden=wide, update=width)
        for e, rows in _queues(lengths):
            x, hidden, update = (scratch.rows(name, rows) for name in ("x", "hidden", "update"))
            torch.index_select(tokens, 0, token[rows], out=x)
            torch.addmm(up_bias[e], x, up_weight[e], out=inner[rows])
            torch.ops.aten.gelu.out(inner[rows], out=hidden)
            if mask is not None:
                hidden.mul_(mask[rows])
            torch.addmm(down_bias[e], hidden, down_weight[e], out=update)
            result.index_add_(0, token[rows], update.mul_(weights[rows, None]))
        ctx.lengths = lengths
        ctx.save_for_backward(tokens, weights, token, up_weight, down_weight, down_bias, mask, inner)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: _MixtureContext, gradient: Tensor):
        tokens, weights, token, up_weight, down_weight, down_bias, mask, inner = ctx.saved_tensors
        width, wide = up_weight.shape[1:]
        of_tokens, of_weights = torch.zeros_like(tokens), torch.empty_like(weights)
        of_up, of_down = torch.empty_like(up_weight), torch.empty_like(down_weight)
        of_up_bias, of_down_bias = up_weight.new_zeros(len(up_weight), wide), torch.zeros_like(down_bias)
        for e, length in enumerate(ctx.lengths):
            if not length:
                of_up[e] = of_down[e] = 0
        scratch = _Scratch(tokens, ctx.lengths, x=width, hidden=wide, of_update=width, of_hidden=wide)
        for e, rows in _queues(ctx.lengths):
            x, hidden = scratch.rows("x", rows), scratch.rows("hidden", rows)
            of_update, of_hidden = scratch.rows("of_update", rows), scratch.rows("of_hidden", rows)
            weight = weights[rows, None]
            torch.ops.aten.gelu.out(inner[rows], out=hidden)
            if mask is not None:
                hidden.mul_(mask[rows])
            torch.index_select(gradient, 0, token[rows], out=of_update)
            torch.mm(of_update, down_weight[e].T, out=of_hidden)  # the factor `weight` follows below
            # The weight's gradient is the dot product of of_update and hidden @ down + bias, here without recomputing the latter.
            torch.add(torch.linalg.vecdot(of_hidden, hidden), of_update @ down_bias[e], out=of_weights[rows])
            of_update.mul_(weight)
            torch.sum(of_update, 0, out=of_down_bias[e])
            torch.mm(hidden.T, of_update, out=of_down[e])
            of_hidden.mul_(weight if mask is None else weight * mask[rows])
            of_inner = torch.ops.aten.gelu_backward.grad_input(of_hidden, inner[rows], grad_input=of_hidden)
            torch.sum(of_inner, 0, out=of_up_bias[e])
            torch.index_select(tokens, 0, token[rows], out=x)
            torch.mm(x.T, of_inner, out=of_up[e])
            of_x = torch.mm(of_inner, up_weight[e].T, out=of_update)
            of_tokens.index_add_(0, token[rows], of_x)
        return of_tokens, of_weights, None, None, of_up, of_up_bias, of_down, of_down_bias, None
