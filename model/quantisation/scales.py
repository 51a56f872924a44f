"""Activation scales: the values that the integers of activations stand for.

All are static. The residual stream (int16) has one scale. Other tensors have, where the arithmetic cancels or folds them, a scale and
an offset per channel, so that the hardware sees plain int8:

- results of layer norms: folded into the weights and bias of every layer that reads them (RepQ-ViT, Li et al., ICCV 2023);
- queries and keys: channel j of a query may be divided by what channel j of every key is multiplied by, and a vector added to all
  keys adds one number to all scores of a query, which the softmax cancels; so keys need no bias;
- values: the probabilities of a query sum to 1, so scale and offset pass through attention into the projection;
- hidden units: GELU is far from symmetric about 0, so the table's index and its entries have an offset, one for all units.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from moesaic.errors import UserError
from moesaic.files import refuse_lfs_pointer, write_file
from moesaic.model.quantisation.measured_bits import MeasuredBits
from moesaic.model.quantisation.settings import PtqSettings
from moesaic.model.recipes.recipe import ModelConfiguration

INT16_MAX = (1 << 15) - 1
_FORMAT = "moesaic-scales-4"


@dataclass(frozen=True)
class ActivationScale:
    """An integer activation q stands for q * scale + offset. All are numbers, or float64 arrays [channels].

    centre: a usual value. At it, the rounding of a reader's weights makes no error, because the reader's bias makes up for it (Nagel
    et al., ICCV 2019, section 4.2).
    """

    scale: np.ndarray | float
    offset: np.ndarray | float = 0.0
    centre: np.ndarray | float = 0.0


@dataclass(frozen=True)
class BlockScales:
    """The scales of one block.

    query: float64 [width], the value of one unit of a query. key: [width] each; the product of a query's and a key's scale is the same
    in all channels. value: [width] each. The result of attention has the scale value / 2**attention_shift. score_shift: an
    expert's result, before its score weighs it, has the scale of the residual stream times 2**score_shift; 0 without experts.
    gelu_index: of the GELU table's index (10 bits), numbers. hidden: of the table's entries, numbers: the input of an MLP's or
    expert's second layer.
    unit_factors: float64 [MLPs, hidden], one MLP or every expert: a unit far larger than others is divided by its factor in front of
    GELU and multiplied by it behind. That is exact where GELU is straight, and off by at most 0.17 of the factor; others have 1.
    """

    norm1: ActivationScale
    query: np.ndarray
    key: ActivationScale
    value: ActivationScale
    attention_shift: int
    score_shift: int
    norm2: ActivationScale
    gelu_index: ActivationScale
    hidden: ActivationScale
    unit_factors: np.ndarray

    def up(self, mlp: int) -> ActivationScale:
        """Of the inputs of GELU, [hidden], in a block's MLP number 0 or in one of its experts."""
        factors, index = self.unit_factors[mlp], self.gelu_index
        return ActivationScale(index.scale * factors, index.offset * factors)

    def down(self, mlp: int) -> ActivationScale:
        """Of the hidden units, [hidden], as the second layer of that MLP or expert reads them."""
        factors, hidden = self.unit_factors[mlp], self.hidden
        return ActivationScale(hidden.scale * factors, hidden.offset * factors, hidden.centre)

    @property
    def attention(self) -> ActivationScale:
        """Of the int8 result of attention, before the projection."""
        return dataclasses.replace(self.value, scale=self.value.scale / 2**self.attention_shift)

    @property
    def score(self) -> float:
        """The value of one unit of the product of a query and a key, summed over channels."""
        return float(np.max(self.query * self.key.scale))


@dataclass(frozen=True)
class Scales:
    """The scales of a whole network.

    stream: of the residual stream (int16). final_norms: of the norms in front of the heads, by their names in a bundle. outputs: of
    each task's (int16). four_bit_experts: those whose weights have 4 bits, as moesaic.spec.bundle.Architecture has them.
    measured_bits: what they were chosen by, if they were chosen by measuring.
    """

    settings: PtqSettings
    stream: float
    blocks: tuple[BlockScales, ...]
    final_norms: dict[str, ActivationScale]
    outputs: dict[str, float]
    four_bit_experts: dict[int, tuple[int, ...]]
    measured_bits: MeasuredBits | None = None

    def update(self, block: int) -> float:
        """The value of one unit of an expert's result in a block, before its score weighs it."""
        return self.stream * 2 ** self.blocks[block].score_shift

    def save(self, path: Path) -> None:
        """Write a safetensors file, completely or not at all. UserError if it cannot be written."""
        arrays: dict[str, np.ndarray | float] = {"stream": self.stream}
        for name, norm in self.final_norms.items():
            arrays |= _arrays(name, norm)
        arrays |= {f"outputs.{task}": scale for task, scale in self.outputs.items()}
        for i, block in enumerate(self.blocks):
            for field in dataclasses.fields(block):
                arrays |= _arrays(f"blocks.{i}.{field.name}", getattr(block, field.name))
        content = {name: np.asarray(value, np.float64) for name, value in arrays.items()}
        choices = {
            "settings": dataclasses.asdict(self.settings),
            "four_bit_experts": self.four_bit_experts,
            "measured_bits": self.measured_bits and dataclasses.asdict(self.measured_bits),
        }
        write_file(path, save(content, {_FORMAT: json.dumps(choices, sort_keys=True)}))

    @classmethod
    def load(cls, path: Path, configuration: ModelConfiguration) -> Scales:
        """Read the scales of a model with this configuration. UserError if the file is missing, damaged or for another model."""
        remedy = "make them with `moesaic qat`"
        refuse_lfs_pointer(path)
        try:
            with safe_open(path, framework="np") as file:
                choices = json.loads((file.metadata() or {})[_FORMAT])
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (a file is no mapping)
            blocks = tuple(_block(arrays, f"blocks.{i}") for i in range(configuration.depth))
            scales = cls(
                settings=PtqSettings(**choices["settings"]),
                stream=float(arrays["stream"]),
                blocks=blocks,
                final_norms={name: _activation(arrays, name) for name in configuration.final_norms},
                outputs={task: float(arrays[f"outputs.{task}"]) for task in configuration.task_names},
                four_bit_experts={int(block): tuple(kept) for block, kept in choices["four_bit_experts"].items()},
                measured_bits=MeasuredBits(**measured) if (measured := choices["measured_bits"]) else None,
            )
        except OSError as error:
            raise UserError(f"scales {path} cannot be read ({error.strerror or error}); {remedy}") from None
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError, SafetensorError) as error:
            raise UserError(f"scales {path} are malformed or of another model ({error!r}); {remedy}") from None
        width = np.size(blocks[0].norm1.scale)
        if width != configuration.width or f"blocks.{configuration.depth}.query" in arrays:
            depth = sum(name.endswith(".query") for name in arrays)
            sizes = f"of {depth} blocks of width {width}"
            raise UserError(
                f"scales {path} are {sizes}, the model has {configuration.depth} of {configuration.width}; {remedy}"
            )
        return scales


def _arrays(name: str, value: ActivationScale | np.ndarray | float) -> dict[str, np.ndarray | float]:
    if isinstance(value, ActivationScale):
        return {f"{name}.scale": value.scale, f"{name}.offset": value.offset, f"{name}.centre": value.centre}
    return {name: value}


def _activation(arrays: dict[str, np.ndarray], name: str) -> ActivationScale:
    parts = [arrays[f"{name}.{part}"] for part in ("scale", "offset", "centre")]
    return ActivationScale(*(part if part.ndim else float(part) for part in parts))


def _block(arrays: dict[str, np.ndarray], name: str) -> BlockScales:
    parts = ("norm1", "key", "value", "norm2", "gelu_index", "hidden")
    return BlockScales(
        query=arrays[f"{name}.query"],
        unit_factors=arrays[f"{name}.unit_factors"],
        attention_shift=int(arrays[f"{name}.attention_shift"]),
        score_shift=int(arrays[f"{name}.score_shift"]),
        **{part: _activation(arrays, f"{name}.{part}") for part in parts},
    )
