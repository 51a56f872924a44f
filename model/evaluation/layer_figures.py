"""How far each layer of the integer network is from the float network, and which values do not fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from moesaic.model.network.heads import normalised
from moesaic.model.network.moe import MoE
from moesaic.model.network.vit import M3ViT, normalise
from moesaic.model.pathways.pathway import on_pathways, pathways_of
from moesaic.model.quantisation.golden_vectors import saturated_count
from moesaic.model.quantisation.integer import IntegerNetwork
from moesaic.model.quantisation.layers import OCTAVE
from moesaic.model.quantisation.residual_stream import position_means
from moesaic.model.quantisation.scales import ActivationScale, Scales
from moesaic.pages.number_formats import decimals, percent
from moesaic.pages.tables import Cell, Column, Table, Value
from moesaic.spec.heads import final_norm, is_dense

FIGURE_PICTURES = 8
"""A sufficient number of pictures: each brings every token of every layer."""

_POINTS = ("norm1", "query", "key", "value", "attention", "projection", "norm2", "hidden", "router", "output")
_MUCH_SATURATED, _POOR = 0.01, 15.0  # a share, and decibels


@dataclass(frozen=True)
class LayerFigures:
    """signal_to_noise: decibels, the float network's values against their difference from the integers'; None where only integers have
    the tensor (scores). saturated: share, 0..1, of the values at the end of their range.
    """

    signal_to_noise: float | None
    saturated: float


def measure_layers(
    model: M3ViT, network: IntegerNetwork, scales: Scales, images: np.ndarray
) -> dict[str, LayerFigures]:
    """Figures by layer, in the network's order, of images uint8 [N, height, width, 3] and all tasks together.

    The names are those of golden vectors (moesaic.spec.bundle), with the scores of all heads together, and heads.TASK for outputs.
    Both networks run on the integer network's default pathways, each on its own activations, so that a layer's noise contains that of
    all layers before it.
    """
    sums: dict[str, np.ndarray] = {}  # signal, noise, saturated values, values
    with on_pathways(model, pathways_of(network.tasks)):
        for task in model.configuration.task_names:
            for image in images[:, None]:
                record: dict[str, np.ndarray] = {}
                network.run(image, task, record)
                exact = _float_values(model, network, image, task)
                for name, integers in record.items():
                    if not name.endswith("probabilities"):
                        layer = f"heads.{task}" if name == "output" else name
                        found = _sums(name, integers, exact.get(layer), _scale_of(name, task, scales))
                        sums[layer] = sums.get(layer, 0) + found
    return {name: _figures(found) for name, found in sums.items()}


def _sums(name: str, integers: np.ndarray, exact: np.ndarray | None, scale: ActivationScale) -> np.ndarray:
    saturated = saturated_count(name, integers)
    if exact is None:
        return np.array([0.0, 0.0, saturated, integers.size])
    found = integers.reshape(exact.shape) * scale.scale + scale.offset
    return np.array([np.square(exact).sum(), np.square(found - exact).sum(), saturated, integers.size])


def _figures(sums: np.ndarray) -> LayerFigures:
    signal, noise, saturated, values = sums.tolist()
    known = signal > 0 and noise > 0
    return LayerFigures(10 * math.log10(signal / noise) if known else None, saturated / values)


def _scale_of(name: str, task: str, scales: Scales) -> ActivationScale:
    """What a recorded tensor's integers stand for."""
    if name == "output":
        return ActivationScale(scales.outputs[task])
    if name in scales.final_norms:
        return scales.final_norms[name]
    part = name.rpartition(".")[2]
    if part in ("patch_embed", "projection", "output"):
        return ActivationScale(scales.stream)
    if part in ("router", "scores"):
        return ActivationScale(1 / OCTAVE)
    block = scales.blocks[int(name.split(".")[1])]
    if part == "hidden":  # of a dense block, experts have no such record
        return block.down(0)
    found = getattr(block, part)
    return found if isinstance(found, ActivationScale) else ActivationScale(found)


def _float_values(model: M3ViT, network: IntegerNetwork, image: np.ndarray, task: str) -> dict[str, np.ndarray]:
    """The float network's values where the integer network records some, [rows, channels] float64, for one image [1, h, w, 3]."""
    found: dict[str, np.ndarray] = {}
    own = network.tasks[task]

    def note(name: str, value: Tensor) -> None:
        found[name] = value.detach().double().cpu().numpy()

    def split(block: str, value: Tensor) -> None:
        for part, rows in zip(("query", "key", "value"), value.chunk(3, -1)):
            note(f"{block}.{part}", rows)

    def route(block: str, moe: MoE, x: Tensor) -> None:
        kept = list(own.pathway[int(block.split(".")[1])])
        note(f"{block}.router", moe.logits(task, x.flatten(0, 1))[:, kept])

    def head(module: nn.Module, x: Tensor, result: Tensor) -> None:
        note(final_norm(task, own), normalised(module, x, result))
        if not is_dense(own.kind):
            return
        note(f"heads.{task}", result.movedim(1, -1))

    means = position_means(model)
    with _hooks() as hooks:
        hooks.before(model.blocks[0].norm1, lambda x: note("patch_embed", x - means))
        for i, block in enumerate(model.blocks):
            name, mlp = f"blocks.{i}", block.mlp
            hooks.after(block.norm1, lambda y, n=name: note(f"{n}.norm1", y))
            hooks.after(block.norm2, lambda y, n=name: note(f"{n}.norm2", y))
            hooks.before(block.norm2, lambda x, n=name: note(f"{n}.projection", x - means))
            hooks.after(block.attention.qkv, lambda y, n=name: split(n, y))
            hooks.before(block.attention.projection, lambda x, n=name: note(f"{n}.attention", x))
            hooks.after(block, lambda y, n=name: note(f"{n}.output", y[0] - means))
            if isinstance(mlp, MoE):
                hooks.before(mlp, lambda x, n=name, m=mlp: route(n, m, x))
            else:
                hooks.after(mlp.up, lambda y, n=name: note(f"{n}.hidden", nn.functional.gelu(y)))
        hooks.around(model.heads[task], head)
        with torch.inference_mode():
            model(normalise(image, model.configuration.input).to(model.device), task)
    return found


class _Hooks:
    def __init__(self) -> None:
        self.handles: list[torch.utils.hooks.RemovableHandle] = []

    def before(self, module: nn.Module, see: Callable[[Tensor], None]) -> None:
        self.handles.append(module.register_forward_pre_hook(lambda m, arguments: see(arguments[0])))

    def after(self, module: nn.Module, see: Callable) -> None:
        self.handles.append(module.register_forward_hook(lambda m, arguments, result: see(result)))

    def around(self, module: nn.Module, see: Callable) -> None:
        self.handles.append(module.register_forward_hook(lambda m, arguments, result: see(m, arguments[0], result)))


@contextmanager
def _hooks() -> Iterator[_Hooks]:
    hooks = _Hooks()
    try:
        yield hooks
    finally:
        for handle in hooks.handles:
            handle.remove()


def layer_table(figures: Mapping[str, LayerFigures]) -> Table:
    """A row for each block: decibels of its tensors, and the largest share of saturated values, with the tensor's name."""
    blocks = dict.fromkeys(name.split(".")[1] for name in figures if name.startswith("blocks."))
    rows: list[list[Value | Cell]] = []
    for block in blocks:
        of = {name.split(".")[2]: one for name, one in figures.items() if name.startswith(f"blocks.{block}.")}
        worst = max(of, key=lambda name: of[name].saturated)
        rows.append(
            [f"blocks.{block}", *(_decibels(of.get(point)) for point in _POINTS), *_saturation(worst, of[worst])]
        )
    for name, one in figures.items():
        if not name.startswith("blocks."):
            rows.append([name, *(None for _ in _POINTS[:-1]), _decibels(one), *_saturation("", one)])
    columns = [Column("layer"), *(Column(point, decimals(1)) for point in _POINTS)]
    return Table([*columns, Column("saturated", percent(2)), Column("in")], rows)


def _decibels(one: LayerFigures | None) -> Value | Cell:
    if one is None or one.signal_to_noise is None:
        return None
    return Cell(one.signal_to_noise, "bad") if one.signal_to_noise < _POOR else one.signal_to_noise


def _saturation(name: str, one: LayerFigures) -> tuple[Value | Cell, str]:
    if not one.saturated:
        return None, ""
    return Cell(one.saturated, "bad") if one.saturated > _MUCH_SATURATED else one.saturated, name


def layer_warnings(figures: Mapping[str, LayerFigures]) -> list[str]:
    """One line for each kind of trouble, with the layer that has most of it and what can be done about it."""
    warnings = []
    saturated = max(figures, key=lambda name: figures[name].saturated, default=None)
    if saturated is not None and figures[saturated].saturated > _MUCH_SATURATED:
        share = 100 * figures[saturated].saturated
        warnings.append(
            f"{saturated}: {share:.1f} % of its values saturate: calibrate on more varied pictures (--pictures), or train on in"
            " integers (moesaic qat)"
        )
    known = {name: one.signal_to_noise for name, one in figures.items() if one.signal_to_noise is not None}
    poor = [name for name, decibels in known.items() if decibels < _POOR]
    if poor:
        warnings.append(
            f"{poor[0]}: {known[poor[0]]:.1f} dB of signal to noise, the first of {len(poor)} layers below {_POOR:g}:"
            " calibrate on pictures like those of use (--pictures), or train on in integers (moesaic qat --distil)"
        )
    return warnings
