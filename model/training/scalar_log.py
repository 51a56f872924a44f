"""Curves of a run for TensorBoard: losses, learning rate, loads of the experts, metrics of validation."""

from pathlib import Path

import torch
from torch import Tensor

from model.network.moe import MoE, top_k_mask
from model.network.vit import M3ViT
from spec.errors import UserError
from spec.files import require_writable


class ScalarLog:
    """Writes scalars by step to a directory; nothing without one."""

    def __init__(self, directory: Path | None, first_step: int = 0) -> None:
        """first_step: what the directory holds of this step and later ones, from a run that was broken off, is hidden."""
        self._writer = None
        if directory is None:
            return
        require_writable(directory)
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise UserError("TensorBoard is not installed: pip install tensorboard, or leave --log out") from None
        self._writer = SummaryWriter(str(directory), purge_step=first_step)

    def __bool__(self) -> bool:
        return self._writer is not None

    def add(self, group: str, values: dict[str, float], step: int) -> None:
        """Values by name, shown together under `group`."""
        if self._writer:
            for name, value in values.items():
                self._writer.add_scalar(f"{group}/{name}", value, step)

    def close(self) -> None:
        if self._writer:
            self._writer.close()


@torch.no_grad()
def expert_loads(model: M3ViT, images: Tensor) -> dict[str, float]:
    """How unevenly experts are used on images as the model takes them: by task and MoE block, the largest share of the
    tokens' choices that one expert gets, times the number of experts; 1 is even.
    """
    loads: dict[str, float] = {}
    task = ""

    def watch(moe: MoE, arguments: tuple, *, block: int) -> None:
        tokens = arguments[0].flatten(0, 1)
        logits = moe.logits(task, tokens).masked_fill(~moe.kept[task], -torch.inf)
        counts = top_k_mask(logits, moe.top_k_of[task]).sum(0)
        loads[f"{task}/block {block}"] = (counts.max() * len(counts) / counts.sum()).item()

    layers = [(i, block.mlp) for i, block in enumerate(model.blocks) if isinstance(block.mlp, MoE)]
    handles = [
        moe.register_forward_pre_hook(lambda module, arguments, i=i: watch(module, arguments, block=i))
        for i, moe in layers
    ]
    try:
        for task in model.configuration.task_names if layers else ():
            model(images, task)
    finally:
        for handle in handles:
            handle.remove()
    return loads
