"""Activation scales: the values that the integers of activations stand for, chosen from a calibration.

All are static: one scale for the residual stream (int16) and one per tensor for the inputs of matrix products (int8). The results
of layer norms have a scale and an offset per channel; these are folded into the weights and bias of every layer that reads them, as
in RepQ-ViT (Li et al., ICCV 2023), so that the hardware sees plain int8.
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
from moesaic.files import write_file
from moesaic.model.quantisation.calibration import Calibration
from moesaic.model.quantisation.gelu import gelu, gelu_table
from moesaic.model.quantisation.settings import PtqSettings
from moesaic.model.recipes.recipe import ModelConfiguration
from moesaic.spec.arithmetic import TABLE_ENTRIES

STREAM_HEADROOM = 1.5  # factor on the range, for images unlike those of the calibration
INT16_MAX = (1 << 15) - 1
_INT8_MAX = (1 << 7) - 1
_LEAST_RANGE = 1e-6  # for values that are constant or zero
_ATTENTION_SHIFT_MAX = 7
_CLIPS = np.linspace(0.3, 1.0, 15)  # fractions of the range that the search for the least error tries
_TAIL = 0.001  # fraction of a channel's values at each end that its middle ignores
_FORMAT = "moesaic-scales-1"


@dataclass(frozen=True)
class ActivationScale:
    """An int8 activation q stands for q * scale + offset. Both are numbers, or float64 arrays [channels]."""

    scale: np.ndarray | float
    offset: np.ndarray | float = 0.0


@dataclass(frozen=True)
class BlockScales:
    """The scales of one block; a number is the value of one unit of an int8 tensor.

    The result of attention has the scale value / 2**attention_shift. gelu_index: of the GELU table's index (10 bits). hidden: of the
    table's entries, the input of an MLP's or expert's second layer.
    """

    norm1: ActivationScale
    query: float
    key: float
    value: float
    attention_shift: int
    norm2: ActivationScale
    gelu_index: float
    hidden: float

    @property
    def attention(self) -> float:
        """The value of one unit of the int8 result of attention, before the projection."""
        return self.value / 2**self.attention_shift


@dataclass(frozen=True)
class Scales:
    """The scales of a whole network.

    stream: of the residual stream (int16). final_norms: of the norms in front of the heads, by their names in a bundle. outputs: of
    each task's (int16).
    """

    settings: PtqSettings
    stream: float
    blocks: tuple[BlockScales, ...]
    final_norms: dict[str, ActivationScale]
    outputs: dict[str, float]

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
        settings = json.dumps(dataclasses.asdict(self.settings), sort_keys=True)
        write_file(path, save(content, {_FORMAT: settings}))

    @classmethod
    def load(cls, path: Path, configuration: ModelConfiguration) -> Scales:
        """Read the scales of a model with this configuration. UserError if the file is missing, damaged or for another model."""
        remedy = "make them with `moesaic qat`"
        try:
            with safe_open(path, framework="np") as file:
                settings = (file.metadata() or {})[_FORMAT]
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (a file is no mapping)
            blocks = tuple(_block(arrays, f"blocks.{i}") for i in range(configuration.depth))
            scales = cls(
                settings=PtqSettings(**json.loads(settings)),
                stream=float(arrays["stream"]),
                blocks=blocks,
                final_norms={name: _activation(arrays, name) for name in configuration.final_norms},
                outputs={task: float(arrays[f"outputs.{task}"]) for task in configuration.task_names},
            )
        except OSError as error:
            raise UserError(f"scales {path} cannot be read ({error.strerror or error}); {remedy}") from None
        except (KeyError, TypeError, ValueError, SafetensorError) as error:
            raise UserError(f"scales {path} are malformed or of another model ({error!r}); {remedy}") from None
        width = np.size(blocks[0].norm1.scale)
        if width != configuration.width or f"blocks.{configuration.depth}.query" in arrays:
            depth = sum(name.endswith(".query") for name in arrays)
            sizes = f"of {depth} blocks of width {width}"
            raise UserError(
                f"scales {path} are {sizes}, the model has {configuration.depth} of {configuration.width}; {remedy}"
            )
        return scales


def _arrays(name: str, value: ActivationScale | float) -> dict[str, np.ndarray | float]:
    if isinstance(value, ActivationScale):
        return {f"{name}.scale": value.scale, f"{name}.offset": value.offset}
    return {name: value}


def _activation(arrays: dict[str, np.ndarray], name: str) -> ActivationScale:
    return ActivationScale(arrays[f"{name}.scale"], arrays[f"{name}.offset"])


def _block(arrays: dict[str, np.ndarray], name: str) -> BlockScales:
    numbers = {part: float(arrays[f"{name}.{part}"]) for part in ("query", "key", "value", "gelu_index", "hidden")}
    return BlockScales(
        norm1=_activation(arrays, f"{name}.norm1"),
        norm2=_activation(arrays, f"{name}.norm2"),
        attention_shift=int(arrays[f"{name}.attention_shift"]),
        **numbers,
    )


def choose_scales(calibration: Calibration, configuration: ModelConfiguration, settings: PtqSettings) -> Scales:
    """The scales for a calibration. The residual stream and the outputs get the observed range times STREAM_HEADROOM."""
    search = ScaleSearch(settings)
    samples = calibration.samples
    return Scales(
        settings=settings,
        stream=STREAM_HEADROOM * max(calibration.residual, _LEAST_RANGE) / INT16_MAX,
        blocks=tuple(_block_scales(search, samples, f"blocks.{i}") for i in range(configuration.depth)),
        final_norms={name: search.per_channel(samples[name]) for name in configuration.final_norms},
        outputs={
            task: STREAM_HEADROOM * max(calibration.outputs[task], _LEAST_RANGE) / INT16_MAX
            for task in configuration.task_names
        },
    )


def _block_scales(search: ScaleSearch, samples: dict[str, np.ndarray], name: str) -> BlockScales:
    value, hidden = search.per_tensor(samples[f"{name}.value"]), search.per_tensor(samples[f"{name}.hidden"])
    return BlockScales(
        norm1=search.per_channel(samples[f"{name}.norm1"]),
        query=search.per_tensor(samples[f"{name}.query"]),
        key=search.per_tensor(samples[f"{name}.key"]),
        value=value,
        attention_shift=search.attention_shift(samples[f"{name}.attention"], value),
        norm2=search.per_channel(samples[f"{name}.norm2"]),
        gelu_index=search.of_gelu_index(samples[f"{name}.up"], hidden),
        hidden=hidden,
    )


def clipping_error(values: np.ndarray, scale: np.ndarray | float, bits: int) -> np.ndarray:
    """Mean squared error per column, [channels], of values [rows, channels] stored as signed integers of `bits` bits.

    scale: the value of one unit, one number or [channels].
    """
    top = (1 << (bits - 1)) - 1
    return np.square(np.clip(np.round(values / scale), -top - 1, top) * scale - values).mean(0)


class ScaleSearch:
    """Finds scales for values [rows, channels], as signed 8-bit integers or as indices of the GELU table, by the settings' method."""

    def __init__(self, settings: PtqSettings) -> None:
        self.by_error, self.part = settings.method == "mse", settings.percentile / 100

    def per_tensor(self, values: np.ndarray) -> float:
        """The value of one unit of int8, one for all values [rows, channels]."""
        if not self.by_error:
            return max(float(np.quantile(np.abs(values), self.part)), _LEAST_RANGE) / _INT8_MAX
        full = max(float(np.abs(values).max()), _LEAST_RANGE) / _INT8_MAX
        return full * _best([clipping_error(values, full * clip, 8).mean() for clip in _CLIPS])

    def per_channel(self, values: np.ndarray) -> ActivationScale:
        """Scale and offset, [channels] each, for values [rows, channels]; the offset is midway between two quantiles of the channel."""
        tail = _TAIL if self.by_error else (1 - self.part) / 2
        low, high = np.quantile(values.astype(np.float64), (tail, 1 - tail), axis=0)
        offset = (low + high) / 2
        if not self.by_error:
            return ActivationScale(np.maximum((high - low) / 2, _LEAST_RANGE) / _INT8_MAX, offset)
        full = np.maximum(np.abs(values - offset).max(0), _LEAST_RANGE) / _INT8_MAX
        errors = np.stack([clipping_error(values - offset, full * clip, 8) for clip in _CLIPS])
        return ActivationScale(full * _CLIPS[errors.argmin(0)], offset)

    def attention_shift(self, values: np.ndarray, value_scale: float) -> int:
        """The n, 0..7, for which the scale value_scale / 2**n suits values [rows, channels]; the hardware has only such scales."""
        shifts = range(_ATTENTION_SHIFT_MAX + 1)
        if self.by_error:
            return int(np.argmin([clipping_error(values, value_scale / 2**n, 8).mean() for n in shifts]))
        needed = self.per_tensor(values)
        return max((n for n in shifts if value_scale / 2**n >= needed), default=0)

    def of_gelu_index(self, values: np.ndarray, output_scale: float) -> float:
        """The value of one unit of the GELU table's index, for GELU inputs [rows, channels].

        It is chosen by the error of GELU's result from the table, whose entries have the unit `output_scale`, or by the percentile
        of the inputs.
        """
        half = TABLE_ENTRIES // 2
        if not self.by_error:
            return max(float(np.quantile(np.abs(values), self.part)), 1e-3) / (half - 1)
        exact = gelu(values)
        full = max(float(np.abs(values).max()), 1e-3) / (half - 1)

        def error(scale: float) -> float:
            index = np.clip(np.round(values / scale), -half, half - 1).astype(np.int64) + half
            table = gelu_table(scale, output_scale, TABLE_ENTRIES)
            return float(np.square(table[index] * output_scale - exact).mean())

        return full * _best([error(full * clip) for clip in _CLIPS])


def _best(errors: list[float]) -> float:
    """The fraction of the range, one of _CLIPS, with the least error."""
    return float(_CLIPS[int(np.argmin(errors))])
