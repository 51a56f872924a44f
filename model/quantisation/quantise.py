"""Post-training quantisation: the float network and its calibration to the integer tensors of a bundle.

One static scale for the residual stream (int16), one per tensor for what the matrix products read (int8), one per output
channel for weights. The scale and offset per channel of a layer norm's result are moved into the columns and the bias of
every layer that reads it, as RepQ-ViT (Li et al., ICCV 2023) does, so that the hardware sees plain int8.
"""

import math
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from model.data.scenes import SEGMENTATION_CLASSES
from model.network.moe import MoE
from model.network.vit import M3ViT
from model.pathways.pathway import current_pathway, current_top_k
from model.quantisation.calibration import (
    Calibration,
    clipping_error,
    gelu_table,
    scale_of_gelu_index,
    scale_per_channel,
    scale_per_tensor,
)
from spec.arithmetic import EXP_FRACTION_BITS, NORM_FRACTION_BITS, TABLE_ENTRIES, fixed_point_multiplier
from spec.bundle import Architecture, Task

WEIGHT_MAX = 127
BIAS_MAX = 1 << 25  # half of what the 27-bit accumulator holds: as much is left for the products
STREAM_HEADROOM = 1.5  # for images unlike those of the calibration
_INT16_MAX = (1 << 15) - 1
_NORM_SHIFT_MAX = 24
_ATTENTION_SHIFT_MAX = 7
_OCTAVE = math.log2(math.e) * (1 << EXP_FRACTION_BITS)  # units of 1/256 octave in a power of e
_PIXEL_SCALE, _PIXEL_OFFSET = 1 / 127.5, 0.5 / 127.5  # (pixel - 128) * scale + offset is the model's input

Tensors = dict[str, np.ndarray]


@dataclass(frozen=True)
class ActivationScale:
    """What an int8 activation q stands for: q * scale + offset. Both are float64 numbers, or arrays [channels]."""

    scale: np.ndarray | float
    offset: np.ndarray | float = 0.0


def quantise_linear(
    weight: np.ndarray, bias: np.ndarray, source: ActivationScale, output_scale: float
) -> dict[str, np.ndarray]:
    """Integers of one linear layer: weight [out, in] int8, and bias int32, multiplier uint16 and shift uint8 [out].

    weight, bias: of the float layer. source: the scale of its input. output_scale: the value of one unit of the result.
    A weight's scale is its row's largest magnitude / 127, or more where the bias would pass BIAS_MAX otherwise.
    """
    folded = weight * np.broadcast_to(source.scale, weight.shape[1:])
    bias = bias + weight @ np.broadcast_to(source.offset, weight.shape[1:])
    scale = np.maximum(np.abs(folded).max(1) / WEIGHT_MAX, np.abs(bias) / BIAS_MAX)
    scale = np.where(scale > 0, scale, output_scale)
    multiplier, shift = fixed_point_multiplier(scale / output_scale)
    return {
        "weight": np.round(folded / scale[:, None]).astype(np.int8),
        "bias": np.round(bias / scale).astype(np.int32),
        "multiplier": multiplier.astype(np.uint16),
        "shift": shift.astype(np.uint8),
    }


def quantise_norm(gamma: np.ndarray, beta: np.ndarray, result: ActivationScale) -> dict[str, np.ndarray]:
    """Integers of one layer norm: gamma, beta int16 [width] and the largest shift, uint8 (), for which both fit."""
    gamma, beta = gamma / result.scale, (beta - result.offset) / result.scale
    largest = max(np.abs(gamma).max(), np.abs(beta).max())
    shift = NORM_FRACTION_BITS + math.floor(math.log2(_INT16_MAX / largest))
    shift = min(max(shift, 0), _NORM_SHIFT_MAX)
    unit = 2.0 ** (shift - NORM_FRACTION_BITS)
    return {
        "gamma": np.clip(np.round(gamma * unit), -_INT16_MAX, _INT16_MAX).astype(np.int16),
        "beta": np.clip(np.round(beta * unit), -_INT16_MAX, _INT16_MAX).astype(np.int16),
        "shift": np.uint8(shift),
    }


def describe(model: M3ViT) -> Architecture:
    """The model's sizes in the bundle's words."""
    return model.configuration.architecture


def quantise(model: M3ViT, calibration: Calibration) -> tuple[dict[str, Task], Tensors]:
    """The tasks (without metrics) and all integer tensors of the model, as spec.bundle defines them.

    Routers keep the experts that the model's routers keep; experts that no task keeps are left out.
    """
    return _Quantiser(model, calibration).run()


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


class _Quantiser:
    def __init__(self, model: M3ViT, calibration: Calibration) -> None:
        self.model, self.calibration = model, calibration
        self.tensors: Tensors = {}
        self.stream = STREAM_HEADROOM * calibration.residual / _INT16_MAX
        self.pathway = current_pathway(model)

    def run(self) -> tuple[dict[str, Task], Tensors]:
        self._embedding()
        for i, block in enumerate(self.model.blocks):
            name = f"blocks.{i}"
            self._attention(name, block.attention, self._norm(f"{name}.norm1", block.norm1))
            source = self._norm(f"{name}.norm2", block.norm2)
            if isinstance(block.mlp, MoE):
                self._experts(i, block.mlp, source)
            else:
                self._mlp(name, block.mlp, source)
        source = self._norm("norm", self.model.norm)
        return {task: self._head(task, source) for task in self.model.configuration.task_names}, self.tensors

    def _put(self, name: str, parts: dict[str, np.ndarray]) -> None:
        for part, value in parts.items():
            self.tensors[f"{name}.{part}"] = np.asarray(value)

    def _linear(
        self, name: str, weight: np.ndarray, bias: np.ndarray, source: ActivationScale, output_scale: float
    ) -> None:
        self._put(name, quantise_linear(weight, bias, source, output_scale))

    def _embedding(self) -> None:
        c, model = self.model.configuration, self.model
        weight = _array(model.patch_embedding.weight).reshape(c.width, c.patch * c.patch, 3)
        bias = _array(model.patch_embedding.bias) + weight.sum((1, 2)) * _PIXEL_OFFSET
        weight = np.pad(weight, ((0, 0), (0, 0), (0, 1))).reshape(c.width, -1)  # the fourth byte of a pixel
        self._linear("patch_embed", weight, bias, ActivationScale(_PIXEL_SCALE), self.stream)
        position = _array(model.position)
        position[0] += _array(model.class_token)
        self.tensors["position"] = np.round(position / self.stream).astype(np.int16)

    def _norm(self, name: str, norm) -> ActivationScale:
        result = ActivationScale(*scale_per_channel(self.calibration.samples[name]))
        self._put(name, quantise_norm(_array(norm.weight), _array(norm.bias), result))
        return result

    def _attention(self, name: str, attention, source: ActivationScale) -> None:
        scales = {}
        weights, biases = _array(attention.qkv.weight), _array(attention.qkv.bias)
        for part, weight, bias in zip(("query", "key", "value"), np.split(weights, 3), np.split(biases, 3)):
            scales[part] = scale_per_tensor(self.calibration.samples[f"{name}.{part}"])
            self._linear(f"{name}.{part}", weight, bias, source, scales[part])
        ratio = scales["query"] * scales["key"] * _OCTAVE / math.sqrt(self.model.configuration.head_dim)
        multiplier, shift = fixed_point_multiplier(ratio)
        self._put(f"{name}.scores", {"multiplier": multiplier.astype(np.uint16), "shift": shift.astype(np.uint8)})
        seen = self.calibration.samples[f"{name}.attention"]
        errors = [clipping_error(seen, scales["value"] / 2**n, 8).mean() for n in range(_ATTENTION_SHIFT_MAX + 1)]
        shift = int(np.argmin(errors))
        self.tensors[f"{name}.attention_shift"] = np.asarray(shift, np.uint8)
        weight, bias = _array(attention.projection.weight), _array(attention.projection.bias)
        self._linear(f"{name}.projection", weight, bias, ActivationScale(scales["value"] / 2**shift), self.stream)

    def _gelu(self, name: str, table: str) -> tuple[float, float]:
        """Scales of the table's index and of its result; the table goes to the tensors."""
        hidden_scale = scale_per_tensor(self.calibration.samples[f"{name}.hidden"])
        index_scale = scale_of_gelu_index(self.calibration.samples[f"{name}.up"], hidden_scale, TABLE_ENTRIES)
        self.tensors[table] = gelu_table(index_scale, hidden_scale, TABLE_ENTRIES)
        return index_scale, hidden_scale

    def _mlp(self, name: str, mlp, source: ActivationScale) -> None:
        index, hidden = self._gelu(name, f"{name}.mlp.table")
        self._linear(f"{name}.mlp.up", _array(mlp.up.weight), _array(mlp.up.bias), source, index)
        down = ActivationScale(hidden)
        self._linear(f"{name}.mlp.down", _array(mlp.down.weight), _array(mlp.down.bias), down, self.stream)

    def _experts(self, i: int, moe: MoE, source: ActivationScale) -> None:
        name = f"blocks.{i}"
        for task, blocks in self.pathway.items():
            weight, bias = (_array(part)[list(blocks[i])] for part in moe.router_linear(task))
            self._linear(f"{name}.router.{task}", weight, bias, source, 1 / _OCTAVE)
        index, hidden = self._gelu(name, f"{name}.experts.table")
        up_weight, up_bias = _array(moe.up_weight), _array(moe.up_bias)
        down_weight, down_bias = _array(moe.down_weight), _array(moe.down_bias)
        for e in sorted({e for blocks in self.pathway.values() for e in blocks[i]}):
            expert = f"{name}.experts.{e}"
            self._linear(f"{expert}.up", up_weight[e].T, up_bias[e], source, index)
            self._linear(f"{expert}.down", down_weight[e].T, down_bias[e], ActivationScale(hidden), self.stream)

    def _head(self, task: str, source: ActivationScale) -> Task:
        c, head = self.model.configuration, self.model.heads[task]
        scale = STREAM_HEADROOM * max(self.calibration.outputs[task], 1e-6) / _INT16_MAX
        self._linear(f"heads.{task}", _array(head.linear.weight), _array(head.linear.bias), source, scale)
        return Task(
            kind=task,
            channels=head.channels,
            upscale=c.resolution,
            output_scale=scale,
            top_k=current_top_k(self.model, task),
            pathway=self.pathway[task],
            class_names=SEGMENTATION_CLASSES if task == "segmentation" else (),
        )
