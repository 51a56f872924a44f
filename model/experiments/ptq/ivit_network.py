"""A `PlainNetwork` in I-ViT's integers, calibrated after training.

The scheme is that of the authors' `models/vit_quant.py`: int8 weights with a scale for each output, int8 activations with one scale for
a tensor, 16 bits for the residual stream, all scales from the largest magnitude seen. Their networks are trained further in these
integers for 90 epochs; this one is not.

What I-ViT does not have: experts. A router's sums are requantised twice, to 16 bits to choose by and to 8 bits for Shiftmax, whose 16-bit
results weigh the experts. Each expert is an MLP with ranges of its own, from its own tokens; the results of a block's experts share one
16-bit range before their scores weigh them. Heads' sums and the features' norm leave as they are, without an 8-bit range.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moesaic.errors import UserError
from moesaic.model.experiments.ptq import plain_network
from moesaic.model.experiments.ptq.ivit_arithmetic import (
    integer_layer_norm,
    quantised,
    requantised,
    requantised_sum,
    rounded_gelu,
    shift_gelu,
    shiftmax,
    symmetric_scale,
)
from moesaic.model.experiments.ptq.plain_network import FEATURES, PlainNetwork

Scaled = tuple[Tensor, Tensor]
"""Integers, float64, and their scale, which broadcasts to them."""

_WEIGHT_BITS, _BIAS_BITS, _ACTIVATION_BITS, _STREAM_BITS = 8, 32, 8, 16
_SCORE_BITS = 16


class Range:
    """Requantises a tensor to the largest magnitude that it had while the network was calibrated. name: for the message."""

    def __init__(self, name: str, bits: int = _ACTIVATION_BITS) -> None:
        self.name, self.bits, self.calibrating = name, bits, True
        self.largest = torch.zeros((), dtype=torch.float64)

    def __call__(self, x: Tensor, scale: Tensor, beside: Scaled | None = None) -> Scaled:
        """Integers x of a scale, or their sum with those `beside`, as integers of this range."""
        if self.calibrating:
            real = x * scale if beside is None else x * scale + beside[0] * beside[1]
            self.largest = torch.maximum(self.largest, real.abs().max())
        wanted = self._scale()
        if beside is None:
            return requantised(x, scale, wanted, self.bits), wanted
        return requantised_sum(x, scale, *beside, wanted, self.bits), wanted

    def of_real(self, x: Tensor) -> Scaled:
        """Real values as integers of this range."""
        if self.calibrating:
            self.largest = torch.maximum(self.largest, x.abs().max().double())
        return quantised(x.double(), self._scale(), self.bits), self._scale()

    def _scale(self) -> Tensor:
        if not self.largest:
            raise UserError(f"{self.name} had no value but 0 on the calibration pictures: calibrate on other pictures")
        return symmetric_scale(self.largest, self.bits)


class _Linear:
    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        weight = weight.detach().double()
        self.scale = symmetric_scale(weight.abs().amax(1), _WEIGHT_BITS)
        self.weight = quantised(weight, self.scale[:, None], _WEIGHT_BITS)
        self.bias = bias.detach().double()

    @classmethod
    def of(cls, layer: nn.Linear) -> _Linear:
        return cls(layer.weight, layer.bias)

    def __call__(self, x: Tensor, scale: Tensor) -> Scaled:
        sums_scale = self.scale * scale
        return F.linear(x, self.weight, quantised(self.bias, sums_scale, _BIAS_BITS)), sums_scale


class _Norm:
    def __init__(self, norm: nn.LayerNorm) -> None:
        self.weight, self.bias = norm.weight.detach().double(), norm.bias.detach().double()

    def __call__(self, x: Tensor) -> Scaled:
        return integer_layer_norm(x, self.weight, self.bias)


class _Attention:
    def __init__(self, attention: nn.MultiheadAttention, name: str) -> None:
        self.heads = attention.num_heads
        self.qkv = _Linear(attention.in_proj_weight, cast("Tensor", attention.in_proj_bias))
        self.projection = _Linear.of(attention.out_proj)
        parts = ("query, key and value", "scores", "result")
        self.qkv_range, self.score_range, self.result_range = (Range(f"{name}, {part}") for part in parts)
        self.update_range = Range(f"{name}, update", _STREAM_BITS)

    def __call__(self, x: Tensor, scale: Tensor) -> Scaled:
        batch, tokens, width = x.shape
        qkv, unit = self.qkv_range(*self.qkv(x, scale))
        q, k, v = qkv.view(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores, score_unit = self.score_range(q @ k.transpose(-2, -1), unit * unit * (width // self.heads) ** -0.5)
        weights, weight_unit = shiftmax(scores, score_unit, _SCORE_BITS)
        result = (weights @ v).transpose(1, 2).reshape(batch, tokens, width)
        result, result_unit = self.result_range(result, unit * weight_unit)
        return self.update_range(*self.projection(result, result_unit))


class _Mlp:
    def __init__(self, mlp: plain_network.Mlp, name: str, float_gelu: bool) -> None:
        self.float_gelu = float_gelu
        self.up, self.down = _Linear.of(mlp.up), _Linear.of(mlp.down)
        self.inner_range, self.hidden_range = Range(f"{name}, before GELU"), Range(f"{name}, hidden units")

    def __call__(self, x: Tensor, scale: Tensor) -> Scaled:
        inner, unit = self.inner_range(*self.up(x, scale))
        hidden, unit = (rounded_gelu if self.float_gelu else shift_gelu)(inner, unit)
        return self.down(*self.hidden_range(hidden, unit))


class _DenseMlp(_Mlp):
    def __init__(self, mlp: plain_network.Mlp, name: str, float_gelu: bool) -> None:
        super().__init__(mlp, name, float_gelu)
        self.update_range = Range(f"{name}, update", _STREAM_BITS)

    def update(self, x: Tensor, scale: Tensor, task: str) -> Scaled:
        return self.update_range(*self(x, scale))


class _Experts:
    def __init__(self, experts: plain_network.Experts, name: str, float_gelu: bool) -> None:
        self.top_k = experts.top_k
        self.routers = {task: _Linear.of(cast("nn.Linear", router)) for task, router in experts.routers.items()}
        self.experts = [
            _Mlp(cast("plain_network.Mlp", one), f"{name}, expert {number}", float_gelu)
            for number, one in enumerate(experts.experts)
        ]
        self.choice_range = Range(f"{name}, router", _STREAM_BITS)
        self.logit_range = Range(f"{name}, router's softmax")
        self.result_range = Range(f"{name}, experts' results", _STREAM_BITS)

    def update(self, x: Tensor, scale: Tensor, task: str) -> Scaled:
        sums = self.routers[task](x, scale)
        best = self.choice_range(*sums)[0].topk(self.top_k, -1).indices
        scores, score_unit = shiftmax(*self.logit_range(*sums), _SCORE_BITS)
        found: dict[int, tuple[tuple[Tensor, ...], Scaled]] = {}
        for number, expert in enumerate(self.experts):
            places = (best == number).any(-1).nonzero(as_tuple=True)
            if len(places[0]):
                found[number] = places, expert(x[places], scale)
        if self.result_range.calibrating:
            for _, sums in found.values():
                self.result_range(*sums)
        result, unit = torch.zeros_like(x), scale
        for number, (places, sums) in found.items():
            own, unit = self.result_range(*sums)
            result[places] = result[places] + scores[..., number, None][places] * own
        return result, unit * score_unit


class _Block:
    def __init__(self, block: plain_network.Block, name: str, float_gelu: bool) -> None:
        self.norm1, self.norm2 = _Norm(block.norm1), _Norm(block.norm2)
        self.attention = _Attention(block.attention, f"{name}, attention")
        self.mlp = (
            _Experts(block.mlp, name, float_gelu)
            if isinstance(block.mlp, plain_network.Experts)
            else _DenseMlp(block.mlp, f"{name}, MLP", float_gelu)
        )
        self.norm1_range, self.norm2_range = Range(f"{name}, first norm"), Range(f"{name}, second norm")
        self.middle_range, self.end_range = (
            Range(f"{name}, stream after {part}", _STREAM_BITS) for part in ("attention", "MLP")
        )

    def __call__(self, x: Tensor, scale: Tensor, task: str) -> Scaled:
        update = self.attention(*self.norm1_range(*self.norm1(x)))
        x, scale = self.middle_range(*update, (x, scale))
        update = self.mlp.update(*self.norm2_range(*self.norm2(x)), task)
        return self.end_range(*update, (x, scale))


class IvitNetwork:
    """See the module. Call `calibrate` once, then `predict`. float_gelu: GELU in floating point instead of ShiftGELU, rounded."""

    def __init__(self, plain: PlainNetwork, float_gelu: bool = False) -> None:
        self.plain = plain
        self.embedding = _Linear.of(plain.embedding)
        self.blocks = [
            _Block(cast("plain_network.Block", block), f"block {index}", float_gelu)
            for index, block in enumerate(plain.blocks)
        ]
        self.norm, self.norm_range = _Norm(plain.norm), Range("last norm")
        self.heads = {task: _Linear.of(cast("nn.Linear", head)) for task, head in plain.heads.items()}
        self.input_range = Range("pixels")
        self.patch_range, self.position_range, self.stream_range = (
            Range(name, _STREAM_BITS) for name in ("patch embedding", "positions", "stream before block 0")
        )

    @torch.no_grad()
    def calibrate(self, batches: Iterator[Tensor]) -> None:
        """Take ranges from normalised images, float32 [B, 3, h, w], for all tasks; then they are fixed.

        UserError if a tensor is 0 throughout, such as those of an expert that gets no token.
        """
        for images in batches:
            for task in self.plain.tasks:
                self._run(images, task)
        for found in _ranges(self):
            if not found.largest:
                raise UserError(f"{found.name} had no value on the calibration pictures: calibrate on more pictures")
            found.calibrating = False

    @torch.no_grad()
    def predict(self, images: Tensor, task: str) -> Tensor:
        """The task's prediction, float32, as `PlainNetwork` gives it."""
        return self._run(images, task).float()

    def _run(self, images: Tensor, task: str) -> Tensor:
        plain, prefix = self.plain, self.plain.sizes["prefix_tokens"]
        x, scale = self.patch_range(*self.embedding(*self.input_range.of_real(plain.patches(images))))
        x, scale = self.stream_range(F.pad(x, (0, 0, prefix, 0)), scale, self.position_range.of_real(plain.position))
        for block in self.blocks[: plain.tasks[task]["last_block"] + 1]:
            x, scale = block(x, scale, task)
        x, scale = self.norm(x)
        if plain.tasks[task]["kind"] == FEATURES:
            return x * scale
        x, scale = self.norm_range(x[:, prefix:], scale)
        x, scale = self.heads[task](x, scale)
        return plain.arranged(task, x * scale)


def _ranges(part: object) -> Iterator[Range]:
    """Every range in a network of this module."""
    if isinstance(part, Range):
        yield part
    elif isinstance(part, (list, dict)):
        for one in part.values() if isinstance(part, dict) else part:
            yield from _ranges(one)
    elif type(part).__module__ == __name__:
        yield from _ranges(vars(part))
