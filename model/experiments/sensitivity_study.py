"""Which layers lose most in integers: each group alone in integers among real layers, or alone real among integer layers."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from rich.console import Console

from moesaic.model.data.samples import Dataset
from moesaic.model.evaluation.evaluate import evaluate
from moesaic.model.network.vit import M3ViT
from moesaic.model.quantisation.fake_quantised import FakeQuantised, Parameters
from moesaic.model.quantisation.scales import Scales
from moesaic.model.recipes.recipe import ModelConfiguration
from moesaic.spec.heads import SHARED_NORM

LEVELS = ("block", "layer")
MODES = ("alone", "without")
_ATTENTION = ("norm1", "query", "key", "value", "scores", "attention", "projection")


@dataclass(frozen=True)
class Loss:
    """How one network differs from the network in real numbers, by task: signal to noise in dB, and its own metric.

    The signal is the real network's prediction, the noise the difference between the two predictions; inf if they are equal.
    """

    signal_to_noise: dict[str, float]
    metric: dict[str, float]


@dataclass(frozen=True)
class Sensitivity:
    """The losses of all groups of layers.

    mode: "alone" if a group runs in integers and the rest in real numbers, "without" if it is the other way round. real: metrics by
    task of the network in real numbers. integers: the loss of the whole integer network. groups: the loss for each group by its name.
    """

    mode: str
    real: dict[str, float]
    integers: Loss
    groups: dict[str, Loss]


def layer_groups(configuration: ModelConfiguration, level: str) -> dict[str, tuple[str, ...]]:
    """The names of the layers in each group, as `FakeQuantised` takes them; every layer is in exactly one group.

    level: "block" makes each block's attention and each block's MLP or experts a group; "layer" separates the layers in them, where
    the experts of a block count as one.
    """
    groups: dict[str, tuple[str, ...]] = {"embedding": ("patch_embed", "position")}
    for i in range(configuration.depth):
        block = f"blocks.{i}"
        attention = {f"{block}.{part}": (f"{block}.{part}",) for part in _ATTENTION}
        if configuration.is_moe(i):
            mixture: dict[str, tuple[str, ...]] = {
                f"{block}.{part}": (f"{block}.{part}",) for part in ("norm2", "router")
            }
            for part in ("up", "down"):
                experts = range(configuration.experts)
                mixture[f"{block}.experts.{part}"] = tuple(f"{block}.experts.{e}.{part}" for e in experts)
        else:
            mixture = {f"{block}.{part}": (f"{block}.{part}",) for part in ("norm2", "mlp.up", "mlp.down")}
        if level == "layer":
            groups |= attention | mixture
        else:
            groups[f"{block}.attention"] = tuple(name for names in attention.values() for name in names)
            groups[f"{block}.{'experts' if configuration.is_moe(i) else 'mlp'}"] = tuple(
                name for names in mixture.values() for name in names
            )
    norms = {"norm": ("norm",)} if SHARED_NORM in configuration.final_norms else {}
    return groups | norms | {"heads": ("heads",)}


def measure_sensitivity(
    model: M3ViT,
    rounded: M3ViT,
    scales: Scales,
    data: Dataset,
    *,
    level: str = "block",
    mode: str = "alone",
    console: Console | None = None,
) -> Sensitivity:
    """What each group of layers loses.

    rounded, scales: see `calibrated`; the integers are of this model's weights. data: has ground truth for all tasks. level: one of
    LEVELS, see `layer_groups`. mode: one of MODES, see `Sensitivity`. console: where to show a progress bar. UserError if the data does
    not fit the model, see `evaluate`.
    """
    groups = layer_groups(model.configuration, level)
    every = [name for names in groups.values() for name in names]
    with torch.no_grad():
        whole, real = FakeQuantised(rounded, scales), FakeQuantised(model, scales, ())
        integers, reals = whole.derive(), real.derive()
    signal = _Compared(real, reals)
    compared = {"real": signal, "integers": _Compared(whole, integers, signal)}
    for group, names in groups.items():
        chosen = names if mode == "alone" else [name for name in every if name not in names]
        network = FakeQuantised(model, scales, chosen)
        compared[f"group {group}"] = _Compared(network, network.choose(integers, reals), signal)
    metrics = evaluate(compared, model.configuration, data, console)

    def loss(name: str) -> Loss:
        return Loss(compared[name].signal_to_noise(), {task: values[name] for task, values in metrics.items()})

    found = {group: loss(f"group {group}") for group in groups}
    return Sensitivity(mode, {task: values["real"] for task, values in metrics.items()}, loss("integers"), found)


class _Compared:
    """A network as a `Predictor` that compares its predictions with the last ones of `signal`, which must be called before it."""

    def __init__(self, network: FakeQuantised, parameters: Parameters, signal: "_Compared | None" = None) -> None:
        self._network, self._parameters, self._signal = network, parameters, signal
        self.prediction = np.empty(0)
        self._power: dict[str, list[float]] = {}

    def __call__(self, images: np.ndarray, task: str) -> np.ndarray:
        self.prediction = self._network.predict(images, task, self._parameters)
        if self._signal is not None:
            powers = self._power.setdefault(task, [0.0, 0.0])
            powers[0] += float(np.square(self._signal.prediction).sum())
            powers[1] += float(np.square(self.prediction - self._signal.prediction).sum())
        return self.prediction

    def signal_to_noise(self) -> dict[str, float]:
        return {
            task: 10 * math.log10(signal / noise) if noise > 0 else math.inf
            for task, (signal, noise) in self._power.items()
        }
