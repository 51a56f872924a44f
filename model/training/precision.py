"""Mixed precision: the network computes in 16 bits where that is safe, weights and updates stay float32."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

_TYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class Precision:
    """How a step computes: "float32", "bfloat16", or "float16" with the loss scaled so that small gradients survive."""

    def __init__(self, name: str = "float32", device: torch.device = torch.device("cpu")) -> None:  # noqa: B008
        self._type, self._device = _TYPES.get(name), device
        self._scaler = torch.amp.GradScaler(device.type, enabled=name == "float16")

    @property
    def scaled(self) -> bool:
        """Whether gradients may overflow, and a step be left out for it."""
        return self._scaler.is_enabled()

    def autocast(self) -> AbstractContextManager:
        """The context to run the network in."""
        return torch.autocast(self._device.type, self._type) if self._type else nullcontext()

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss, scaled in float16."""
        self._scaler.scale(loss).backward()

    def unscale(self, optimizers: list[torch.optim.Optimizer]) -> None:
        """Divide the gradients by the scale, so that their size can be judged."""
        for optimizer in optimizers:
            self._scaler.unscale_(optimizer)

    def step(self, optimizers: list[torch.optim.Optimizer]) -> None:
        """Update the weights; in float16 not with gradients that overflowed, after which the scale is halved."""
        for optimizer in optimizers:
            self._scaler.step(optimizer)
        self._scaler.update()

    def state(self) -> dict[str, float]:
        """What a later run needs to continue; empty without a scale."""
        return self._scaler.state_dict()

    def restore(self, state: dict[str, float]) -> None:
        """Continue from what `state` gave."""
        self._scaler.load_state_dict(state)
