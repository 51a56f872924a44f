"""Ranges and samples of the float network's activations on calibration images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from moesaic.errors import UserError
from moesaic.model.network.heads import ClassificationHead, normalised
from moesaic.model.network.moe import MoE
from moesaic.model.network.vit import M3ViT, normalise
from moesaic.model.quantisation.residual_stream import position_means
from moesaic.spec.heads import final_norm, is_dense, pools_first

_BATCH = 16
_SPLIT = 3
_ROWS_KEPT = 2048  # rows of samples kept per point, approximately
_LARGEST_KEPT = 32  # rows of each call with the largest hidden units
_STREAM_ROWS = 256  # fewer, since there are many points of the residual stream
_MOMENT_ROWS = 16384  # rows in the moments of a point, approximately
_PICTURES_KEPT, _QUERIES_KEPT = 4, 128  # whose attention is kept, and queries of each


@dataclass
class Range:
    """The least and largest value seen, float32 [channels] each."""

    low: np.ndarray
    high: np.ndarray

    def widened(self, other: Range) -> Range:
        """The range of all values that are in either."""
        return Range(np.minimum(self.low, other.low), np.maximum(self.high, other.high))


@dataclass
class Moments:
    """Of the inputs of a linear layer: the number of rows, their mean [channels], and the sum of products of deviations from it.

    products: [channels, channels]. Both are float64 and on the CPU. Deviations, because the mean of a channel may be many times its
    spread: differences of sums of squares would be noise, and no covariance.
    """

    rows: int
    mean: Tensor
    products: Tensor

    @classmethod
    def of(cls, rows: Tensor) -> Moments:
        """Of one or more rows [rows, channels]."""
        mean = rows.mean(0, dtype=torch.float64)
        deviations = (rows - mean).float()
        return cls(len(rows), mean.cpu(), (deviations.mT @ deviations).double().cpu())

    def __add__(self, other: Moments) -> Moments:
        rows, between = self.rows + other.rows, other.mean - self.mean
        part = other.rows / rows
        products = self.products + other.products + self.rows * part * between[:, None] * between
        return Moments(rows, self.mean + part * between, products)

    @property
    def covariance(self) -> Tensor:
        """[channels, channels]."""
        return self.products / self.rows


@dataclass
class AttentionSample:
    """Attention of one picture on one task: some queries, all keys and all values, float32 [rows, width] each."""

    query: np.ndarray
    key: np.ndarray
    value: np.ndarray


@dataclass
class Calibration:
    """What the float network's activations were on some pictures.

    samples: rows by point, float32 [rows, channels]. ranges: by point, of every value and not of the samples alone. The points are
    blocks.I.{norm1, query, key, value, attention, norm2, up} and the final norms (moesaic.spec.heads.final_norm) of the tokens that a
    head reads; up is the input of GELU, in a dense MLP or in all experts together. Further points are the residual stream before each
    norm, without `position_means`: blocks.I.{stream1, stream2} and stream; row by row with up, blocks.I.count, how many rows each row
    stands for (those with the largest hidden units are all kept); and in MoE blocks blocks.I.expert (its number), blocks.I.score, and
    blocks.I.update, an expert's result before the score weighs it. attention: by block, "blocks.I". outputs: the largest magnitude of
    each task's output; a classification's is that of every row of the machine, before they are added up. moments: if they were asked
    for, of the points blocks.I.{norm1, attention, norm2} and of hidden units, blocks.I.mlp.hidden or blocks.I.experts.E.hidden.
    """

    samples: dict[str, np.ndarray] = field(default_factory=dict)
    ranges: dict[str, Range] = field(default_factory=dict)
    attention: dict[str, list[AttentionSample]] = field(default_factory=dict)
    outputs: dict[str, float] = field(default_factory=dict)
    moments: dict[str, Moments] = field(default_factory=dict)


class _Recorder:
    """Collects what forward hooks see; keeps evenly spaced rows, equally many of each call."""

    def __init__(self, calls: int, moments: bool) -> None:
        self.calls, self.with_moments = calls, moments
        self.moments: dict[str, Moments] = {}
        self.parts: dict[str, list[np.ndarray]] = {}
        self.ranges: dict[str, Range] = {}
        self.attention: dict[str, list[AttentionSample]] = {}
        self.outputs: dict[str, float] = {}

    def sample(self, name: str, value: Tensor, share: int = 1, kept: int = _ROWS_KEPT) -> None:
        """Note value [..., channels]; one call of the model brings `share` values of the same name. kept: rows to keep of all calls."""
        rows = value.reshape(-1, value.shape[-1])
        self.widen(name, rows)
        self.keep(name, rows[:: self.step(rows, share, kept)])

    def step(self, rows: Tensor, share: int = 1, kept: int = _ROWS_KEPT) -> int:
        """The distance between rows to keep."""
        return max(1, len(rows) * share * self.calls // kept)

    def widen(self, name: str, rows: Tensor) -> None:
        seen = Range(*(bound.cpu().numpy() for bound in rows.aminmax(dim=0)))
        self.ranges[name] = self.ranges[name].widened(seen) if name in self.ranges else seen

    def keep(self, name: str, rows: Tensor) -> None:
        self.parts.setdefault(name, []).append(rows.cpu().numpy().copy())

    def up(self, name: str, value: Tensor, share: int = 1, **beside: Tensor) -> None:
        """Note inputs of GELU, [..., hidden], with further values of the same rows: evenly spaced rows, and those with the largest units.

        A single token can hold the hidden unit that the whole network depends on (Sun et al. 2024, "Massive activations in large
        language models").
        """
        rows = value.reshape(-1, value.shape[-1])
        self.widen(f"{name}.up", rows)
        for part, values in beside.items():
            self.widen(f"{name}.{part}", values)
        step = self.step(rows, share)
        largest = rows.amax(1).topk(min(_LARGEST_KEPT, len(rows))).indices
        count = rows.new_full((len(rows), 1), step)
        count[largest] = 1
        even = torch.arange(0, len(rows), step, device=rows.device)
        places = torch.cat([even, largest[largest % step != 0]])
        for part, values in ({"up": rows, "count": count} | beside).items():
            self.keep(f"{name}.{part}", values[places])

    def add_moments(self, name: str, value: Tensor) -> None:
        """Add rows [..., channels] to the moments of a point."""
        if self.with_moments and value.numel():
            rows = value.reshape(-1, value.shape[-1])
            found = Moments.of(rows[:: self.step(rows, kept=_MOMENT_ROWS)])
            self.moments[name] = self.moments[name] + found if name in self.moments else found

    def read_by_linear(self, name: str, value: Tensor) -> None:
        """Note value [..., channels], the input of a linear layer."""
        self.sample(name, value)
        self.add_moments(name, value)

    def hidden(self, name: str, up: Tensor) -> None:
        """Note the inputs of GELU of a dense MLP."""
        self.up(name, up)
        if self.with_moments:
            self.add_moments(f"{name}.mlp.hidden", F.gelu(up))

    def stream(self, name: str, value: Tensor) -> None:
        self.sample(name, value, kept=_STREAM_ROWS)

    def query_key_value(self, name: str, value: Tensor) -> None:
        """Note the results [N, T, 3 * width] of an attention's first layer."""
        parts = value.chunk(3, -1)
        for part, rows in zip(("query", "key", "value"), parts):
            self.sample(f"{name}.{part}", rows)
        pictures = self.attention.setdefault(name, [])
        if len(pictures) < _PICTURES_KEPT:
            first = [part[0].cpu().numpy().copy() for part in parts]
            queries = first[0][:: -(-len(first[0]) // _QUERIES_KEPT)]
            pictures.append(AttentionSample(queries, *first[1:]))

    def experts(self, name: str, moe: MoE, x: Tensor, task: str) -> None:
        """Note what happens inside the experts, on the tokens for which they are chosen."""
        tokens = x.flatten(0, 1)
        scores, chosen, _ = moe.route(task, tokens)
        share = len(moe.up_weight)
        for e in range(share):
            rows = chosen[:, e]
            queue, score = tokens[rows], scores[rows, e, None]
            if len(queue) == 0:
                continue
            up = torch.addmm(moe.up_bias[e], queue, moe.up_weight[e])
            hidden = F.gelu(up)
            self.add_moments(f"{name}.experts.{e}.hidden", hidden)
            update = torch.addmm(moe.down_bias[e], hidden, moe.down_weight[e])
            self.up(name, up, share, update=update, score=score, expert=torch.full_like(score, e))


def _hook_head(model: M3ViT, recorder: _Recorder, task: str, means: Tensor) -> torch.utils.hooks.RemovableHandle:
    """Record what a task's head reads and the magnitude of what the machine's layers give for it. means: see `position_means`."""
    c = model.configuration
    own, head = c.bundle_task(task, c.whole_pathways[task]), model.heads[task]

    def see(module: torch.nn.Module, arguments: tuple[Tensor, ...], result: Tensor) -> None:
        if pools_first(own):
            recorder.stream("stream", arguments[0] - means)
        read = normalised(head, arguments[0], result)
        recorder.sample(final_norm(task, own), read[:, c.prefix_tokens :] if is_dense(own.kind) else read)
        rows = head.rows(arguments[0]) if isinstance(head, ClassificationHead) else result
        recorder.outputs[task] = max(recorder.outputs.get(task, 0.0), rows.abs().max().item())

    return head.register_forward_hook(see)


def _hooks(model: M3ViT, recorder: _Recorder) -> list[torch.utils.hooks.RemovableHandle]:
    def before(module: torch.nn.Module, see: Callable) -> torch.utils.hooks.RemovableHandle:
        return module.register_forward_pre_hook(lambda m, arguments: see(*arguments[:2]))

    def after(module: torch.nn.Module, see: Callable) -> torch.utils.hooks.RemovableHandle:
        return module.register_forward_hook(lambda m, arguments, result: see(result))

    def read_by_linear(name: str) -> Callable[[Tensor], None]:
        return lambda value: recorder.read_by_linear(name, value)

    def stream(name: str) -> Callable[[Tensor], None]:
        return lambda value: recorder.stream(name, value - means)

    means = position_means(model)
    handles = [before(model.norm, stream("stream"))]
    handles += [_hook_head(model, recorder, task, means) for task in model.configuration.task_names]
    for i, block in enumerate(model.blocks):
        name, attention, mlp = f"blocks.{i}", block.attention, block.mlp
        handles += [
            before(block.norm1, stream(f"{name}.stream1")),
            before(block.norm2, stream(f"{name}.stream2")),
            after(block.norm1, read_by_linear(f"{name}.norm1")),
            after(block.norm2, read_by_linear(f"{name}.norm2")),
            after(attention.qkv, lambda value, name=name: recorder.query_key_value(name, value)),
            before(attention.projection, read_by_linear(f"{name}.attention")),
        ]
        if isinstance(mlp, MoE):
            handles.append(before(mlp, lambda x, tasks, n=name, m=mlp: recorder.experts(n, m, x, tasks[0])))
        else:
            handles.append(after(mlp.up, lambda value, name=name: recorder.hidden(name, value)))
    return handles


def split_pictures(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pictures that give ranges, and others, every third, on which the choice of scales is judged; all are both if there are only two."""
    if len(images) < _SPLIT:
        return images, images
    judged = np.arange(len(images)) % _SPLIT == _SPLIT - 1
    return images[~judged], images[judged]


def calibrate(model: M3ViT, images: np.ndarray, moments: bool = False) -> Calibration:
    """Run every task over images uint8 [N, height, width, 3], on the model's device and current pathways, and record its activations.

    moments: whether to record those, which takes longer.
    UserError that names the first point at which a value is not finite.
    """
    starts, device = range(0, len(images), _BATCH), model.device
    recorder = _Recorder(len(starts) * len(model.configuration.tasks), moments)
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
    result.outputs = recorder.outputs
    result.samples = {name: np.concatenate(parts) for name, parts in recorder.parts.items()}
    result.ranges, result.attention, result.moments = recorder.ranges, recorder.attention, recorder.moments
    _require_finite(result)
    return result


def _require_finite(calibration: Calibration) -> None:
    """Raise UserError, which names the first point whose values are not all finite."""
    seen = {name: np.stack([found.low, found.high]) for name, found in calibration.ranges.items()}
    for name, values in (seen | {f"heads.{task}": np.float64(v) for task, v in calibration.outputs.items()}).items():
        if not np.isfinite(values).all():
            raise UserError(
                f"{name} is not finite on the calibration images, though every weight is: the weights before it are too large,"
                " take an earlier checkpoint"
            )


def merge(calibrations: list[Calibration]) -> Calibration:
    """The union of one or more calibrations of one model, such as one for each of its pathways."""
    names = dict.fromkeys(name for one in calibrations for name in one.samples)
    ranges: dict[str, Range] = {}
    for one in calibrations:
        for name, found in one.ranges.items():
            ranges[name] = ranges[name].widened(found) if name in ranges else found
    return Calibration(
        samples={
            name: np.concatenate([one.samples[name] for one in calibrations if name in one.samples]) for name in names
        },
        ranges=ranges,
        attention={
            name: [p for one in calibrations for p in one.attention[name]] for name in calibrations[0].attention
        },
        outputs={task: max(one.outputs[task] for one in calibrations) for task in calibrations[0].outputs},
        moments=merged_moments(calibrations),
    )


def merged_moments(calibrations: list[Calibration]) -> dict[str, Moments]:
    """The moments of all calibrations together, by point."""
    moments: dict[str, Moments] = {}
    for one in calibrations:
        for name, found in one.moments.items():
            moments[name] = moments[name] + found if name in moments else found
    return moments
