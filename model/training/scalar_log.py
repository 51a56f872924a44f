"""A run's curves for TensorBoard: losses, learning rate, expert loads, validation metrics."""

from pathlib import Path

import numpy as np

from moesaic.errors import UserError
from moesaic.files import require_writable
from moesaic.model.network.vit import M3ViT
from moesaic.model.pathways.usage import measure_usage


class ScalarLog:
    """Scalars by step, logged to a directory; without a directory the log is falsy and `add` does nothing.

    first_step: hide what an interrupted run left in the directory for this and later steps. writes: whether this process writes;
    only one of several ranks should. UserError if the directory is not writable or TensorBoard is not installed.
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
        """Log values by name, shown together under `group`."""
        if self._writer:
            for name, value in values.items():
                self._writer.add_scalar(f"{group}/{name}", value, step)

    def close(self) -> None:
        if self._writer:
            self._writer.close()


def largest_expert_loads(model: M3ViT, images: np.ndarray) -> dict[str, float]:
    """By task and MoE block: the largest share of choices that any expert gets, times the number of experts; 1 if all are equal.

    images: uint8 [B, h, w, 3]. Measured in evaluation mode, so that batch norms do not change; the model's mode is restored.
    """
    training = model.training
    usage = measure_usage(model.eval(), images)
    model.train(training)
    return {
        f"{task}/block {i}": float(of_block.share.max() * len(of_block.share))
        for task, blocks in usage.items()
        for i, of_block in blocks.items()
    }
