"""What a kind of task is: one class that says what it predicts, how it is trained, measured, decoded and drawn.

The kinds of the project are in `moesaic.model.tasks.definitions`. Another package adds one by a class of its own and an entry point
in the group `moesaic.tasks`; `moesaic.model.tasks.registry` finds both.
"""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Protocol

import numpy as np
from torch import Tensor

from moesaic.errors import UserError
from moesaic.model.tasks.loss_sets import DEFAULT_LOSSES, LOSS_SETS
from moesaic.model.tasks.losses import WeightedLoss
from moesaic.model.tasks.metrics import Meter
from moesaic.model.tasks.targets import INVALID_LABEL, Truth
from moesaic.spec.heads import KINDS
from moesaic.spec.output_description import USUAL_OUTPUT, OutputDescription


class HasTargets(Protocol):
    """A batch from a data set, or rendered scenes. targets: by kind, see `moesaic.model.tasks.targets`."""

    @property
    def targets(self) -> dict[str, np.ndarray]: ...


class Task(ABC):
    """A task of a network; each subclass is a kind of task.

    Of a kind: `kind`, its name. `channels`, the number of output channels; 0 if recipes choose it, as with classes. `truth`, what the
    ground truth is; None for a kind without any. `decoding` and `picture`, what a runtime makes of the output
    (moesaic.spec.output_description). `metric`, the metric's name with its unit, and `higher_is_better`. `opposed`: those of the
    meter's further figures for which that is the other way round. `in_short`: those that belong to a short account. `options`: what a
    recipe may set of the metric, with the usual values. `losses`: by the name of a loss set, unless `loss` is overridden.

    Of a task: `channels`, `output` (what its channels mean), `class_names` (as far as they are known), `option` (the metric's options),
    `label_smoothing` (the part of a class's probability that the loss spreads evenly over all classes, for classifications).
    UserError for a number of channels or an option that the kind does not have, or for a loss set that does not exist.
    """

    kind: ClassVar[str]
    channels: int = 0
    truth: ClassVar[Truth | None]
    decoding: ClassVar[str] = "values"
    picture: ClassVar[str] = ""
    metric: ClassVar[str]
    higher_is_better: ClassVar[bool]
    opposed: ClassVar[frozenset[str]] = frozenset()
    in_short: ClassVar[tuple[str, ...]] = ()
    options: ClassVar[Mapping[str, float]] = MappingProxyType({})
    losses: ClassVar[Mapping[str, WeightedLoss]] = MappingProxyType({})
    weight: float = 1.0
    """Of the loss, in the sum over tasks that training minimises."""

    def __init__(
        self,
        channels: int = 0,
        losses: str = DEFAULT_LOSSES,
        output: OutputDescription = USUAL_OUTPUT,
        class_names: tuple[str, ...] = (),
        options: Mapping[str, float] = MappingProxyType({}),
        label_smoothing: float = 0.0,
    ) -> None:
        if losses not in LOSS_SETS:
            raise UserError(f"unknown losses {losses!r}: choose {' or '.join(LOSS_SETS)}")
        fixed = type(self).channels
        if fixed and channels not in (0, fixed):
            raise UserError(f"task {self.kind} has {channels} channels in the recipe, it needs {fixed}")
        if channels and self.decoding == "classes" and not 2 <= channels <= INVALID_LABEL:
            raise UserError(
                f"task {self.kind} has {channels} channels in the recipe, it needs one per class, 2 to {INVALID_LABEL}"
            )
        if unknown := sorted(options.keys() - self.options.keys()):
            known = ", ".join(self.options) or "none"
            raise UserError(f"task {self.kind} has no metric option {unknown[0]!r}: it has {known}")
        self.channels, self.output, self.class_names = channels or fixed, output, class_names
        self.option, self.label_smoothing = {**self.options, **options}, label_smoothing
        self._set, self._chosen = losses, self.losses.get(losses)
        if self._chosen is not None:
            self.weight = self._chosen.weight

    @property
    def chosen(self) -> WeightedLoss:
        """The loss that the recipe's set has for this kind. UserError if it has none, as for features."""
        if self._chosen is None:
            known = ", ".join(self.losses) or "none"
            raise UserError(
                f"task {self.kind} has no loss in the set {self._set!r}: choose another set; it has {known}"
            )
        return self._chosen

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss to minimise, a scalar, of predictions [B, C, h, w] and targets [B, h, w, *values]; see `moesaic.model.tasks.losses`."""
        return self.chosen.function(prediction, target)

    @abstractmethod
    def meter(self) -> Meter:
        """A new meter of the metric."""

    @property
    def metric_name(self) -> str:
        """The metric's name, with those of its options that are not at their usual values."""
        changed = [f"{name} {value:g}" for name, value in self.option.items() if value != self.options[name]]
        return f"{self.metric} ({', '.join(changed)})" if changed else self.metric

    def measure(self, predictions: np.ndarray, targets: np.ndarray) -> float:
        """The metric of predictions [N, C, h, w] against targets [N, h, w, *values] at the same resolution."""
        meter = self.meter()
        meter.update(predictions, targets)
        return meter.result()

    def higher(self, figure: str) -> bool:
        """Whether a higher value is better of one of the meter's further figures."""
        return self.higher_is_better != (figure in self.opposed)

    def target(self, data: HasTargets, shape: tuple[int, ...]) -> np.ndarray:
        """The ground truth for predictions of this shape, in its own dtype: [N, h, w, *values], of a classification [N].

        Nearest neighbour: each output pixel takes the pixel that holds its centre.
        """
        truth = data.targets[self.kind]
        if (self.truth is not None and self.truth.whole_image) or truth.shape[1:3] == shape[2:]:
            return truth
        height, width = shape[2:]
        rows = ((np.arange(height) + 0.5) * truth.shape[1] / height).astype(np.int64)
        columns = ((np.arange(width) + 0.5) * truth.shape[2] / width).astype(np.int64)
        return truth[:, rows[:, None], columns]

    @staticmethod
    def mirrored(target: np.ndarray) -> np.ndarray:
        """The values of a target [H, W, *values] whose pixels have been mirrored left to right."""
        return target

    @staticmethod
    def rotated(target: np.ndarray, degrees: float) -> np.ndarray:
        """The values of a target [H, W, *values] whose pixels have been turned clockwise by so many degrees."""
        return target

    @staticmethod
    def scaled(target: np.ndarray, factor: float) -> np.ndarray:
        """The values of a target [H, W, *values] of an image that shows everything larger by this factor."""
        return target

    @classmethod
    def bundle_output(cls, output: OutputDescription) -> OutputDescription:
        """What a bundle says of an output of this kind: `output`, with decoding and picture where these do not go without saying."""
        if cls.kind in KINDS:
            return output
        decoding, picture = output.decoding or cls.decoding, output.picture or cls.picture
        return dataclasses.replace(output, decoding=decoding, picture=picture)
