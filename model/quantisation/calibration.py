"""Ranges of the float network's activations, sampled on calibration images."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from moesaic.errors import UserError
from moesaic.model.network.heads import ClassificationHead, FeaturesHead
from moesaic.model.network.moe import MoE
from moesaic.model.network.vit import M3ViT, normalise
from moesaic.spec.heads import final_norm, head_layers

_BATCH = 16
_ROWS_KEPT = 2048  # rows of samples kept per point, approximately


@dataclass
class Calibration:
    """Samples by point, float32 [rows, channels], and the largest magnitudes seen in the residual stream and each task's output.

    The points are blocks.I.{norm1, query, key, value, attention, norm2, up, hidden} and the final norms (moesaic.spec.heads.final_norm)
    of the tokens that a head reads. up is the input of GELU and hidden its output, in a dense MLP or in all experts together. A
    classification's output is that of every row of the machine, before they are added up.
    """

    samples: dict[str, np.ndarray] = field(default_factory=dict)
    residual: float = 0.0
    outputs: dict[str, float] = field(default_factory=dict)


class _Recorder:
    """Collects what forward hooks see; keeps evenly spaced rows, equally many of each call."""

    def __init__(self, calls: int) -> None:
        self.parts: dict[str, list[np.ndarray]] = {}
        self.residual = 0.0
        self.outputs: dict[str, float] = {}
        self.rows_per_call = -(-_ROWS_KEPT // calls)

    def sample(self, name: str, value: Tensor, share: int = 1) -> None:
        """Keep rows of value [..., channels]; one call of the model brings `share` values of the same name."""
        rows = value.reshape(-1, value.shape[-1])
        step = max(1, len(rows) * share // self.rows_per_call)
        self.parts.setdefault(name, []).append(rows[::step].cpu().numpy().copy())

    def stream(self, value: Tensor) -> None:
        self.residual = max(self.residual, value.abs().max().item())

    def experts(self, name: str, moe: MoE, x: Tensor, task: str) -> None:
        """Record what happens inside the experts, on the tokens for which they are chosen."""
        tokens = x.flatten(0, 1)
        _, chosen, _ = moe.route(task, tokens)
        for e in range(len(moe.up_weight)):
            queue = tokens[chosen[:, e]]
            if len(queue) == 0:
                continue
            up = torch.addmm(moe.up_bias[e], queue, moe.up_weight[e])
            self.activation(name, up, share=len(moe.up_weight))
            self.stream(torch.addmm(moe.down_bias[e], F.gelu(up), moe.down_weight[e]))  # before the score shrinks it

    def activation(self, name: str, up: Tensor, share: int = 1) -> None:
        self.sample(f"{name}.up", up, share)
        self.sample(f"{name}.hidden", F.gelu(up), share)


def _hook_head(model: M3ViT, recorder: _Recorder, task: str) -> torch.utils.hooks.RemovableHandle:
    """Record what a task's head reads and the magnitude of what the machine's layers give for it."""
    c = model.configuration
    own, head = c.bundle_task(task, c.whole_pathways[task]), model.heads[task]
    tokens = [
        t for layer in head_layers(c.architecture, task, own) for t in range(layer.first, layer.first + layer.count)
    ]

    def see(module: torch.nn.Module, arguments: tuple[Tensor, ...], result: Tensor) -> None:
        read = result if isinstance(head, FeaturesHead) else arguments[0][:, tokens]
        recorder.sample(final_norm(task, own), read)
        rows = head.rows(arguments[0]) if isinstance(head, ClassificationHead) else result
        recorder.outputs[task] = max(recorder.outputs.get(task, 0.0), rows.abs().max().item())

    return head.register_forward_hook(see)


def _hooks(model: M3ViT, recorder: _Recorder) -> list[torch.utils.hooks.RemovableHandle]:
    def before(module: torch.nn.Module, see: Callable) -> torch.utils.hooks.RemovableHandle:
        return module.register_forward_pre_hook(lambda m, arguments: see(*arguments[:2]))

    def after(module: torch.nn.Module, see: Callable) -> torch.utils.hooks.RemovableHandle:
        return module.register_forward_hook(lambda m, arguments, result: see(result))

    handles = [before(model.norm, recorder.stream)]
    handles += [_hook_head(model, recorder, task) for task in model.configuration.task_names]
    for i, block in enumerate(model.blocks):

        def sample_as(name: str, i: int = i) -> Callable[[Tensor], None]:
            return lambda value: recorder.sample(f"blocks.{i}.{name}", value)

        def split_qkv(value: Tensor, i: int = i) -> None:
            for name, part in zip(("query", "key", "value"), value.chunk(3, -1)):
                recorder.sample(f"blocks.{i}.{name}", part)

        handles += [
            before(block.norm1, recorder.stream),
            before(block.norm2, recorder.stream),
            after(block.norm1, sample_as("norm1")),
            after(block.norm2, sample_as("norm2")),
            after(block.attention.qkv, split_qkv),
            before(block.attention.projection, sample_as("attention")),
        ]
        if isinstance(block.mlp, MoE):
            handles.append(
                before(
                    block.mlp, lambda x, tasks, i=i, moe=block.mlp: recorder.experts(f"blocks.{i}", moe, x, tasks[0])
                )
            )
        else:
            handles.append(after(block.mlp.up, lambda up, i=i: recorder.activation(f"blocks.{i}", up)))
            handles.append(after(block.mlp.down, recorder.stream))
    return handles


def calibrate(model: M3ViT, images: np.ndarray) -> Calibration:
    """Run every task over images uint8 [N, height, width, 3], on the model's device and current pathways, and record its activations.

    UserError that names the first point at which a value is not finite.
    """
    starts, device = range(0, len(images), _BATCH), model.device
    recorder = _Recorder(calls=len(starts) * len(model.configuration.tasks))
    result = Calibration()
    handles = _hooks(model, recorder)
    try:
        with torch.inference_mode():
            for task in model.configuration.task_names:
                for i in starts:
                    model(normalise(images[i : i + _BATCH], model.configuration.input).to(device), task)
    finally:
        for handle in handles:
            handle.remove()
    result.residual, result.outputs = recorder.residual, recorder.outputs
    result.samples = {name: np.concatenate(parts) for name, parts in recorder.parts.items()}
    _require_finite(result)
    return result


def _require_finite(calibration: Calibration) -> None:
    """Raise UserError, which names the first point whose values are not all finite."""
    seen = calibration.samples | {f"heads.{task}": np.float64(value) for task, value in calibration.outputs.items()}
    for name, values in (seen | {"the residual stream": np.float64(calibration.residual)}).items():
        if not np.isfinite(values).all():
            raise UserError(
                f"{name} is not finite on the calibration images, though every weight is: the weights before it are too large,"
                " take an earlier checkpoint"
            )


def merge(calibrations: list[Calibration]) -> Calibration:
    """The union of one or more calibrations of one model, such as one for each of its pathways."""
    names = dict.fromkeys(name for one in calibrations for name in one.samples)
    return Calibration(
        samples={
            name: np.concatenate([one.samples[name] for one in calibrations if name in one.samples]) for name in names
        },
        residual=max(one.residual for one in calibrations),
        outputs={task: max(one.outputs[task] for one in calibrations) for task in calibrations[0].outputs},
    )
