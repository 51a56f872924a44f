"""Which layers lose most in integers: each in integers alone among real ones, or left out alone from the integers."""

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

LEVELS = ("block", "layer")
MODES = ("alone", "without")
_ATTENTION = ("norm1", "query", "key", "value", "scores", "attention", "projection")


@dataclass(frozen=True)
class Loss:
    """Of one network against the network in real numbers, by task: signal to noise in dB, and the task's metric.

    The signal is the real network's prediction, the noise what the other one's differs by; inf where they are equal.
    """

    signal_to_noise: dict[str, float]
    metric: dict[str, float]


@dataclass(frozen=True)
class Sensitivity:
    """mode: "alone", a group is in integers and the rest real; "without", a group is real and the rest in integers.

    real: every task's metric of the network in real numbers. integers: of the whole integer network. groups: by group's name.
    """

    mode: str
    real: dict[str, float]
    integers: Loss
    groups: dict[str, Loss]


def layer_groups(configuration: ModelConfiguration, level: str) -> dict[str, tuple[str, ...]]:
    """Every layer's name, as `FakeQuantised` takes it, by the group that it is in.

    level: "block" for attention and MLP of each block, "layer" for each kind of layer in them; all experts of a block are one.
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
    return groups | {"norm": ("norm",), "heads": ("heads",)}


def measure_sensitivity(
    model: M3ViT,
    scales: Scales,
    data: Dataset,
    *,
    level: str = "block",
    mode: str = "alone",
    console: Console | None = None,
) -> Sensitivity:
    """What each group of layers loses. data: with truth for all tasks. level, mode: one of LEVELS and of MODES."""
    groups = layer_groups(model.configuration, level)
    every = [name for names in groups.values() for name in names]
    with torch.no_grad():
        whole, real = FakeQuantised(model, scales), FakeQuantised(model, scales, ())
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
    """A network as a `Predictor`, which compares its predictions with those of the network that was asked before it."""

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
