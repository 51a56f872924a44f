"""Curves of a run for TensorBoard: losses, learning rate, loads of the experts, metrics of validation."""

from pathlib import Path

import numpy as np

from moesaic.errors import UserError
from moesaic.files import require_writable
from moesaic.model.network.vit import M3ViT
from moesaic.model.pathways.usage import measure_usage


class ScalarLog:
    """Scalars by step in a directory; false without one, and then `add` does nothing.

    first_step: what the directory holds of this step and later ones, from a run that was broken off, is hidden. writes: whether
    this process does; of several ranks only one should.
    """

    def __init__(self, directory: Path | None, first_step: int = 0, writes: bool = True) -> None:
        self._writer, self._wanted = None, directory is not None
        if directory is None or not writes:
            return
        require_writable(directory)
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise UserError(
                "TensorBoard is not installed: pip install tensorboard, or leave --tensorboard out"
            ) from None
        self._writer = SummaryWriter(str(directory), purge_step=first_step)

    def __bool__(self) -> bool:
        return self._wanted

    def add(self, group: str, values: dict[str, float], step: int) -> None:
        """Values by name, shown together under `group`."""
        if self._writer:
            for name, value in values.items():
                self._writer.add_scalar(f"{group}/{name}", value, step)

    def close(self) -> None:
        if self._writer:
            self._writer.close()


def largest_expert_loads(model: M3ViT, images: np.ndarray) -> dict[str, float]:
    """By task and MoE block: the largest share of the choices that one expert gets, times the number of experts; 1 is even.

    images: uint8 [B, h, w, 3]. The model is left as it was: measured in evaluation mode, so that batch norms do not move.
    """
    training = model.training
    usage = measure_usage(model.eval(), images)
    model.train(training)
    return {
        f"{task}/block {i}": float(of_block.share.max() * len(of_block.share))
        for task, blocks in usage.items()
        for i, of_block in blocks.items()
    }
