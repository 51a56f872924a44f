"""Which experts get weights of 4 bits instead of 8: those on which the tasks' results depend least, as many as a stated loss allows.

A loss is how many decibels of signal to noise a task's result loses, on pictures, against the integers with all weights in 8 bits. Noise
is the squared difference from what the network in float gives, so that no ground truth is needed. The loss of a network is the largest
of any task on any of its pathways.

1. Each expert alone gets 4 bits in the network in float. The noise of this beside that of the integers is the expert's sensitivity.
2. Integers with more or fewer experts in 4 bits, the least sensitive first, are measured as a whole, by bisection. The most experts that
   were within the stated loss are chosen: the loss holds as measured, and is no sum of sensitivities. An expert at which the loss is
   exceeded may have turned a router's choice for a token, which costs more than it does elsewhere: a few such are passed over.
"""

import copy
import dataclasses
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor
from torch.nn import Module

from moesaic.model.network.vit import M3ViT, normalise
from moesaic.model.pathways.alternatives import PathwayPlan
from moesaic.model.pathways.pathway import Experts, Pathways, moe_blocks, moe_blocks_of, on_pathways
from moesaic.model.pathways.usage import chosen_experts
from moesaic.model.quantisation.fake_quantised import FakeQuantised
from moesaic.model.quantisation.layers import linear_layers, set_linear
from moesaic.model.quantisation.measured_bits import MeasuredBits
from moesaic.model.quantisation.quantise import quantise_layer, real_linear
from moesaic.model.quantisation.scales import Scales
from moesaic.spec.pathway_names import pathway_name

_JUDGED_TOKENS, _JUDGED_PICTURES = 2048, 8  # how many losses are measured on, at least, for each task
_PASSED_OVER = 4  # experts at most
_BATCH_TOKENS = 4096
_QUIETEST = 1e-12  # of the signal: less noise counts as this much
_LEAST = float(np.finfo(np.float64).tiny)  # a signal or noise of 0 counts as this much

Rounded = tuple[M3ViT, Scales]
"""A model whose weights round to the integers of these scales, see `moesaic.model.quantisation.post_training.calibrated`."""
_Expert = tuple[int, int]  # a block's index and a number there


def choose_four_bit_experts(
    model: M3ViT,
    eight: Rounded,
    four: Rounded,
    plan: PathwayPlan,
    images: np.ndarray,
    loss: float,
    console: Console | None = None,
) -> tuple[Experts, MeasuredBits]:
    """The experts whose weights get 4 bits, and what was measured for that.

    model: in float. eight, four: the same with weights rounded to 8 bits, and with every expert's rounded to 4 bits; the scales differ
    in the bits alone. plan: the pathways. images: uint8 [N, height, width, 3], of which `judged_pictures` are taken.
    loss: decibels, above 0. An expert to which no token of these pictures goes keeps 8 bits. console: where to show a progress bar.
    UserError names a layer whose weights are too large for integers.
    """
    images = judged_pictures(images, model.configuration.tokens)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=console is None) as progress:
        judges = [
            _Judge(alternative, pathways, model, eight, four, images)
            for alternative, pathways in [(None, plan.default), *plan.alternatives.items()]
        ]
        before = _noise(judges, ())
        bar = progress.add_task("each expert in 4 bits", total=sum(judge.turns for judge in judges))
        alone: dict[_Expert, float] = {}
        for name, expert, noise in (found for judge in judges for found in judge.each_alone()):
            alone[expert] = max(alone.get(expert, 0.0), _decibels(1 + noise / before[name]))
            progress.advance(bar)
        order = sorted(alone, key=lambda expert: (alone[expert], expert))
        most = (_PASSED_OVER + 1) * len(order).bit_length()
        bar = progress.add_task("mixes of 4 and 8 bits", total=most)

        def is_within(experts: Sequence[_Expert]) -> bool:
            progress.advance(bar)
            return _lost(before, _noise(judges, experts)) <= loss

        chosen = _most_that_fit(order, is_within)
        after = _noise(judges, chosen)
        progress.update(bar, completed=most)
    signals = {name: signal for judge in judges for name, signal in judge.signals.items()}
    blocks = sorted({block for block, _ in chosen})
    return {i: tuple(sorted(e for block, e in chosen if block == i)) for i in blocks}, MeasuredBits(
        stated=loss,
        lost=_lost(before, after),
        alone={f"blocks.{i}.experts.{e}": decibels for (i, e), decibels in sorted(alone.items())},
        eight_bits={name: _decibels(signal / before[name]) for name, signal in signals.items()},
        mixed={name: _decibels(signal / after[name]) for name, signal in signals.items()},
    )


def judged_pictures(images: np.ndarray, tokens: int) -> np.ndarray:
    """Of images [N, ...] with so many tokens each, those on which losses are measured: every one, or fewer at even distances."""
    count = max(-(-_JUDGED_TOKENS // tokens), _JUDGED_PICTURES)
    return images[:: max(len(images) // count, 1)]


def _most_that_fit(order: Sequence[_Expert], fits: Callable[[Sequence[_Expert]], bool]) -> list[_Expert]:
    """The longest beginning of a sequence that fits, without up to _PASSED_OVER experts that would not fit with those before them.

    Bisection, which takes for granted that more fit less; what is returned has been tried.
    """
    chosen: list[_Expert] = []
    rest = list(order)
    for _ in range(_PASSED_OVER + 1):
        least, most, tried = 0, len(rest), len(rest)
        while least < most:
            if fits([*chosen, *rest[:tried]]):
                least = tried
            else:
                most = tried - 1
            tried = (least + most + 1) // 2
        chosen += rest[:least]
        rest = rest[least + 1 :]
    return chosen


def _decibels(ratio: float) -> float:
    return 10 * math.log10(ratio)


def _lost(before: dict[str, float], after: dict[str, float]) -> float:
    """The largest loss of any pathway."""
    return max(_decibels(after[name] / noise) for name, noise in before.items())


def _noise(judges: Iterable["_Judge"], experts: Collection[_Expert]) -> dict[str, float]:
    """By pathway, the noise of the integers with these experts in 4 bits."""
    return {name: noise for judge in judges for name, noise in judge.noise(experts).items()}


class _Judge:
    """Measures the noise that weights of 4 bits leave in the results of one set of pathways, for some pictures.

    signals: by pathway, the square sum of the results in float. turns: how many experts `each_alone` tries.
    """

    def __init__(
        self,
        alternative: str | None,
        pathways: Pathways,
        model: M3ViT,
        eight: Rounded,
        four: Rounded,
        images: np.ndarray,
    ) -> None:
        """alternative: the name of these pathways, None for the default ones. For the others see `choose_four_bit_experts`."""
        self._model, self._pathways = copy.deepcopy(model), pathways
        self._names = {task: pathway_name(task, alternative) for task in pathways}
        size = max(1, _BATCH_TOKENS // model.configuration.tokens)
        self._batches = [images[i : i + size] for i in range(0, len(images), size)]
        self._integers = FakeQuantised(*eight, pathways=pathways)
        with torch.no_grad(), on_pathways(self._model, pathways):
            layers = {name: layer for name, layer in linear_layers(*four, pathways) if ".experts." in name}
            self._four = {name: quantise_layer(name, layer, four[1]) for name, layer in layers.items()}
            self._real = {name: real_linear(layer, self._four[name]) for name, layer in layers.items()}
            self._exact = {task: [self._float(batch, task) for batch in self._batches] for task in pathways}
            self._eight = self._integers.derive()
            self._used = {task: _used_experts(self._model, self._batches, task) for task in pathways}
        self.turns = sum(map(len, self._used.values()))
        self.signals = {name: max(_square_sum(self._exact[task]), _LEAST) for task, name in self._names.items()}

    def noise(self, experts: Collection[_Expert]) -> dict[str, float]:
        """By pathway, the noise of the integers with these experts in 4 bits."""
        chosen = {f"blocks.{i}.experts.{e}.{part}" for i, e in experts for part in ("up", "down")}
        linear = {name: self._four[name] if name in chosen else eight for name, eight in self._eight.linear.items()}
        parameters, found = dataclasses.replace(self._eight, linear=linear), {}
        with torch.no_grad():
            for task, name in self._names.items():
                results = (
                    self._integers(torch.from_numpy(batch).to(self._integers.device), task, parameters)
                    for batch in self._batches
                )
                noise = _square_sum(result - exact for result, exact in zip(results, self._exact[task]))
                found[name] = max(noise, _QUIETEST * self.signals[name], _LEAST)
        return found

    def each_alone(self) -> Iterator[tuple[str, _Expert, float]]:
        """By pathway, each expert that gets tokens, with the noise of the network in float that has this expert alone in 4 bits."""
        for task, name in self._names.items():
            before = [self._inputs(batch, task) for batch in self._batches]
            for i, e in self._used[task]:
                with self._in_four_bits(i, e):
                    results = [self._float_from(inputs[i], i, task) for inputs in before]
                yield name, (i, e), _square_sum(result - exact for result, exact in zip(results, self._exact[task]))

    def _inputs(self, batch: np.ndarray, task: str) -> dict[int, Tensor]:
        """What each MoE block of a task reads, [N, T, D], for a batch of pictures."""
        found: dict[int, Tensor] = {}

        def see(i: int) -> Callable[[Module, tuple[Any, ...]], None]:
            return lambda block, arguments: found.update({i: arguments[0]})

        handles = [self._model.blocks[i].register_forward_pre_hook(see(i)) for i in moe_blocks_of(self._model, task)]
        try:
            self._float(batch, task)
        finally:
            for handle in handles:
                handle.remove()
        return found

    def _float(self, batch: np.ndarray, task: str) -> Tensor:
        """The result of the network in float, float64, for a batch of pictures."""
        images = normalise(batch, self._model.configuration.input).to(self._model.device)
        return self._float_from(self._model.embed(images), 0, task)

    def _float_from(self, x: Tensor, block: int, task: str) -> Tensor:
        """The same, from what a block reads."""
        with torch.no_grad(), on_pathways(self._model, self._pathways):
            return self._model.forward_from(x, block, (task,))[0][task].double()

    @contextmanager
    def _in_four_bits(self, i: int, e: int) -> Iterator[None]:
        """A context in which the network in float has the weights that one expert's integers of 4 bits stand for."""
        moe = moe_blocks(self._model)[i]
        own = (moe.up_weight, moe.up_bias, moe.down_weight, moe.down_bias)
        with torch.no_grad():
            kept = [tensor[e].clone() for tensor in own]
            for part in ("up", "down"):
                name = f"blocks.{i}.experts.{e}.{part}"
                set_linear(self._model, name, *self._real[name])
            yield
            for tensor, value in zip(own, kept):
                tensor[e] = value


def _used_experts(model: M3ViT, batches: Sequence[np.ndarray], task: str) -> list[_Expert]:
    """The experts to which a task sends a token of these pictures, on the model's current pathways."""
    found = [chosen_experts(model, batch, task) for batch in batches]
    return [(i, int(e)) for i in found[0] for e in np.flatnonzero(np.any([one[i].any(0) for one in found], 0))]


def _square_sum(tensors: Iterable[Tensor]) -> float:
    return sum(float(tensor.square().sum()) for tensor in tensors)
