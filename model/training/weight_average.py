"""The exponential moving average of a network's weights over its training, which is measured and exported in place of the weights.

Polyak and Juditsky 1992 average all weights equally; the moving average is that of DeiT (`--model-ema-decay`) and timm. Its decay grows
with the steps, min(decay, (1 + step) / (10 + step)), as in TensorFlow's `ExponentialMovingAverage`, so that short runs do not keep
their initial weights.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from moesaic.model.network.vit import M3ViT


class WeightAverage:
    """The moving average of everything in a model's state dictionary, at first its present values.

    Batch norms' means and variances are averaged, too; integers are copied. decay: how much of the average a step keeps, 0 to below 1.
    """

    def __init__(self, model: M3ViT, decay: float) -> None:
        self._model, self._decay = model, decay
        self.weights = self._copies()
        """By the names of `M3ViT.state_dict`; of experts that are divided among ranks, this rank's."""

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the model's weights after step `step`, counted from 0."""
        decay = min(self._decay, (1 + step) / (10 + step))
        for name, value in self._model.state_dict().items():
            if value.is_floating_point():
                self.weights[name].lerp_(value, 1 - decay)
            else:
                self.weights[name].copy_(value)

    def restore(self, weights: dict[str, Tensor]) -> None:
        """Continue from what `weights` was."""
        self.weights = {name: value.to(self.weights[name], copy=True) for name, value in weights.items()}

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """A context in which the model has the averaged weights."""
        own = self._copies()
        self._model.load_state_dict(self.weights)
        try:
            yield
        finally:
            self._model.load_state_dict(own)

    def _copies(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self._model.state_dict().items()}
