"""Mixed precision: the network computes in 16 bits where that is safe; weights and updates stay float32."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

_TYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class Precision:
    """The number format of a training step: "float32", "bfloat16", or "float16" with a scaled loss so that small gradients survive."""

    def __init__(self, name: str = "float32", device: torch.device = torch.device("cpu")) -> None:  # noqa: B008
        self._type, self._device = _TYPES.get(name), device
        self._scaler = torch.amp.GradScaler(device.type, enabled=name == "float16")

    @property
    def scaled(self) -> bool:
        """Whether the loss is scaled, so that gradients may overflow and a step be skipped."""
        return self._scaler.is_enabled()

    def autocast(self) -> AbstractContextManager:
        """The context in which to run the network."""
        return torch.autocast(self._device.type, self._type) if self._type else nullcontext()

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss, a scalar, to the parameters'; in float16 they are scaled."""
        self._scaler.scale(loss).backward()

    def unscale(self, optimizers: list[torch.optim.Optimizer]) -> None:
        """Divide the gradients by the scale, so that they can be clipped."""
        for optimizer in optimizers:
            self._scaler.unscale_(optimizer)

    def step(self, optimizers: list[torch.optim.Optimizer]) -> None:
        """Update the weights; in float16, skip the update and halve the scale if gradients overflowed."""
        for optimizer in optimizers:
            self._scaler.step(optimizer)
        self._scaler.update()

    def state(self) -> dict[str, float]:
        """What a later run needs to continue; empty if the loss is not scaled."""
        return self._scaler.state_dict()

    def restore(self, state: dict[str, float]) -> None:
        """Continue from what `state` returned."""
        self._scaler.load_state_dict(state)
