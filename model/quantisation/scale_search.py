"""The choice of activation scales: ranges from some pictures, and the part of each range by the error that others show.

The error of a scale is that of what reads the tensor, not of the tensor: of the linear layers behind a norm, of attention's result
behind queries and keys, of an MLP's second layer behind its hidden units, of the next norms behind the residual stream. A value
that no reader weighs may saturate; one that a reader weighs may not. Ranges that some pictures show are exceeded on others, so the
search may also widen them.
"""

import math
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from moesaic.model.network.moe import MoE
from moesaic.model.network.vit import M3ViT
from moesaic.model.pathways.pathway import Pathways
from moesaic.model.quantisation.calibration import AttentionSample, Calibration
from moesaic.model.quantisation.gelu import gelu_table
from moesaic.model.quantisation.layers import OCTAVE, head_linears
from moesaic.model.quantisation.scales import INT16_MAX, ActivationScale, BlockScales, Scales
from moesaic.model.quantisation.settings import PtqSettings
from moesaic.spec.arithmetic import EXP_FRACTION_BITS, SCORE_SHIFT_MAX, TABLE_ENTRIES
from moesaic.spec.heads import final_norm

OUTPUT_HEADROOM = 1.5  # factor on the range of a task's output, for pictures unlike those of the calibration
_INT8_MAX = (1 << 7) - 1
_LEAST_RANGE = 1e-6  # for values that are constant or zero
_LEAST_PART = 1 / 1024  # of the widest channel's range that a constant channel is given
_LARGEST_RATIO = 1 << 13  # of a weight to a unit of its layer's result; the format ends at 2**15
_ATTENTION_SHIFTS = range(8)
_ROWS = 512  # of samples on which a candidate is judged
_LARGEST = 64  # rows of hidden units that every judgement sees
_READ_ROWS = 768  # of a reader's weights, chosen evenly
_NORM_PARTS = (4.0, 2.8, 2.0, 1.4, 1.0, 0.7)  # of a norm's range
_EQUALISED = (1.0, 0.75, 0.5)  # exponents: 1 gives each channel its own range, 0 would give all the same
_PARTS = (2.0, 1.5, 1.25, 1.0, 0.85, 0.7, 0.55, 0.4, 0.3)  # of the range of queries times keys, and of values
_HIDDEN_PARTS = tuple(1.1 * 0.85**n for n in range(40))  # of the largest hidden unit
_OUTLIER = 8.0  # times the range that other units need: a unit beyond it gets a factor
GELU_LOWEST = (-2.5, -3.5, -5.0)  # inputs below which GELU counts as constant; its minimum is at -0.75
_STREAM_PARTS = tuple(1.5 * 0.5**n for n in range(12))  # of the residual stream's largest magnitude
_TOLERANCE, _HOPELESS = 1.5, 10.0
_SCORE_LIMIT = (1 << 15) / (1 << EXP_FRACTION_BITS)  # octaves, at which scores saturate


def choose_scales(
    model: M3ViT, seen: Calibration, held_out: Calibration, pathways: Pathways, settings: PtqSettings
) -> Scales:
    """The scales for a model in evaluation mode, with ranges from one calibration, judged by another on different pictures.

    They have no expert of 4 bits: scales of activations do not depend on the bits of weights.
    pathways: each task's experts, which share the scales. With the method "percentile", `held_out` is not used.
    """
    search = _Search(model, seen, held_out, pathways, settings)
    with torch.inference_mode():
        stream = search.stream()
        return Scales(
            settings=settings,
            stream=stream,
            blocks=tuple(search.block(i, stream) for i in range(model.configuration.depth)),
            final_norms={name: search.norm(name, readers) for name, readers in _readers_of_final_norms(model).items()},
            outputs={
                task: OUTPUT_HEADROOM * max(seen.outputs[task], held_out.outputs[task], _LEAST_RANGE) / INT16_MAX
                for task in model.configuration.task_names
            },
            four_bit_experts={},
        )


class _KeptRows(NamedTuple):
    """Rows of samples, int64 [rows], and how many rows each stands for, float32 [rows, 1]."""

    rows: Tensor
    weight: Tensor


class _Search:
    """Finds the scales of one model."""

    def __init__(
        self, model: M3ViT, seen: Calibration, held_out: Calibration, pathways: Pathways, settings: PtqSettings
    ) -> None:
        self.model, self.seen, self.held_out, self.pathways = model, seen, held_out, pathways
        self.by_error, self.part = settings.method == "mse", settings.percentile / 100

    def block(self, i: int, stream: float) -> BlockScales:
        """The scales of block i. stream: the value of one unit of the residual stream."""
        name, attention = f"blocks.{i}", self.model.blocks[i].attention
        query, key, value = attention.qkv.weight.float().cpu().chunk(3)
        norm1 = self.norm(f"{name}.norm1", [query, key, value])
        queries, keys = self.query_and_key(name, _least_ranges(query, norm1), _least_ranges(key, norm1))
        projection = attention.projection.weight.float().cpu()
        values, shift = self.value(name, _least_ranges(value, norm1), projection)
        norm2 = self.norm(f"{name}.norm2", self.readers_of_norm2(i))
        index, hidden, factors = self.gelu(name, self.readers_of_hidden(i))
        score_shift = self.score_shift(name, stream)
        return BlockScales(norm1, queries, keys, values, shift, score_shift, norm2, index, hidden, factors)

    def norm(self, name: str, readers: Sequence[Tensor]) -> ActivationScale:
        """Scale and offset, [channels] each, of a layer norm's result that linear layers with these weights [out, channels] read.

        The candidates lie between a range for each channel, which spends the precision of the weights, and one for all.
        """
        low, high = self.bounds(name)
        offset, half, centre = (low + high) / 2, _not_constant((high - low) / 2), self.mean(name)
        if not self.by_error:
            return ActivationScale(half / _INT8_MAX, offset, centre)
        rows = _rows(self.held_out.samples[name]) - torch.from_numpy(offset).float()
        readers = [_spread(weight.float().cpu(), _READ_ROWS) for weight in readers]
        exact = [rows @ weight.T for weight in readers]
        units = [half**exponent * half.max() ** (1 - exponent) / _INT8_MAX for exponent in _EQUALISED]

        def error(candidate: ActivationScale) -> float:
            unit = torch.from_numpy(np.asarray(candidate.scale)).float()
            integers = (rows / unit).round().clamp(-_INT8_MAX - 1, _INT8_MAX)
            found = (_weights_rounded(weight * unit) for weight in readers)
            return sum(_relative_error(integers @ w.T, e) for w, e in zip(found, exact))

        def best(part: float) -> tuple[ActivationScale, float]:
            candidates = [ActivationScale(unit * part, offset, centre) for unit in units]
            return min(((one, error(one)) for one in candidates), key=itemgetter(1))

        return _widest([best(part) for part in _NORM_PARTS], itemgetter(1))[0]

    def query_and_key(
        self, name: str, least_query: np.ndarray, least_key: np.ndarray
    ) -> tuple[np.ndarray, ActivationScale]:
        """The scales [width] of queries, and scales and offsets of keys, judged by what attention results from them."""
        low, high = self.bounds(f"{name}.query")
        query = np.maximum(_not_constant(np.maximum(high, -low)), least_query)
        low, high = self.bounds(f"{name}.key")
        key, middle = np.maximum(_not_constant((high - low) / 2), least_key), (low + high) / 2

        def scales(part: float) -> tuple[np.ndarray, ActivationScale]:
            unit = part * (query * key).max() / _INT8_MAX**2
            return np.sqrt(unit * query / key), ActivationScale(np.sqrt(unit * key / query), middle)

        if not self.by_error:
            return scales(1.0)
        pictures, heads = self.held_out.attention[name], self.model.configuration.heads
        weights = [_attention_weights(picture, heads) for picture in pictures]

        def error(candidate: tuple[np.ndarray, ActivationScale]) -> float:
            return sum(_attention_error(one, exact, *candidate) for one, exact in zip(pictures, weights))

        return _widest([scales(part) for part in _PARTS], error)

    def value(self, name: str, least: np.ndarray, projection: Tensor) -> tuple[ActivationScale, int]:
        """Scales and offsets [width] of values, and the attention shift: the result of attention has the scale value / 2**shift."""
        low, high = self.bounds(f"{name}.value")
        half, middle = np.maximum(_not_constant((high - low) / 2), least), (low + high) / 2
        if not self.by_error:
            unit, centre = half / _INT8_MAX, self.mean(f"{name}.attention")
            low, high = self.bounds(f"{name}.attention")
            needed = np.maximum(high - middle, middle - low).max() / _INT8_MAX
            return ActivationScale(unit, middle, centre), largest_attention_shift(unit, needed)
        values, attended = (_rows(self.held_out.samples[f"{name}.{part}"]) for part in ("value", "attention"))
        weight, centre = projection.norm(dim=0), torch.from_numpy(middle).float()

        def clipping(unit: np.ndarray, rows: Tensor) -> Tensor:
            step = torch.from_numpy(unit).float()
            return ((rows - centre) / step).round().clamp(-_INT8_MAX - 1, _INT8_MAX) * step - (rows - centre)

        def value_error(unit: np.ndarray) -> float:
            return (clipping(unit, values) * weight).square().sum(1).mean().item()

        units = [half * part / _INT8_MAX for part in _PARTS]
        unit = _widest(units, value_error)
        low, high = self.bounds(f"{name}.attention")
        needed = np.maximum(high - middle, middle - low) * (unit / half)
        averaging = self.averaging(name)

        def error(candidate: tuple[np.ndarray, int]) -> float:
            unit, shift = candidate
            result = clipping(unit / 2**shift, attended) @ projection.T
            return averaging * value_error(unit) + result.square().sum(1).mean().item()

        unit, shift = min(((np.maximum(unit, needed * 2**n), n) for n in _ATTENTION_SHIFTS), key=error)
        return ActivationScale(unit, middle, self.mean(f"{name}.attention")), shift

    def averaging(self, name: str) -> float:
        """What part of the squared error of values is left in the result of attention: the mean of the sums of squared weights."""
        heads = self.model.configuration.heads
        found = [_attention_weights(one, heads).square().sum(-1).mean() for one in self.held_out.attention[name]]
        return torch.stack(found).mean().item()

    def gelu(self, name: str, readers: Sequence[Tensor]) -> tuple[ActivationScale, ActivationScale, np.ndarray]:
        """The scales of the GELU table's index and of its entries, and the factors of units, see `BlockScales`.

        readers: the weights [width, hidden] of the layers that read the units, of a dense MLP one, otherwise one for each expert.
        """
        low, high = (float(bound) for bound in self.bounds(f"{name}.up", per_channel=False))
        highest, alike = max(high, 1e-3), np.ones((len(readers), readers[0].shape[1]))
        if not self.by_error:
            return index_scale(max(low, GELU_LOWEST[-1]), highest), hidden_scale(highest), alike
        kept, every = self.kept_rows(name), self.both(f"{name}.up")
        experts = self.both(f"{name}.expert")[:, 0] if len(readers) > 1 else torch.zeros(len(every))
        rows, expert, count = every[kept.rows], experts[kept.rows], kept.weight.sqrt()
        groups = [
            (e, rows[expert == e], count[expert == e], _spread(readers[e].float().cpu(), _READ_ROWS))
            for e in expert.unique().long().tolist()
        ]
        largest = np.stack(
            [every[experts == e].amax(0).numpy() if (experts == e).any() else alike[e] for e in range(len(readers))]
        )

        def error(hidden: ActivationScale, factors: np.ndarray, index: ActivationScale | None = None) -> float:
            table = None if index is None else torch.from_numpy(gelu_table(index, hidden)).float()
            total = 0.0
            for e, up, count, weight in groups:
                factor = torch.from_numpy(factors[e]).float()
                inputs, exact = up / factor, torch.nn.functional.gelu(up)
                if index is None or table is None:
                    scaled = (torch.nn.functional.gelu(inputs) - float(hidden.offset)) / float(hidden.scale)
                    units = scaled.round().clamp(-_INT8_MAX, _INT8_MAX)
                else:
                    half = TABLE_ENTRIES // 2
                    places = ((inputs - float(index.offset)) / float(index.scale)).round().clamp(-half, half - 1)
                    units = table[places.long() + half]
                found = (units * float(hidden.scale) + float(hidden.offset)) * factor
                total += (((found - exact) * count) @ weight.T).square().sum().item()
            return total

        def factors(top: float) -> np.ndarray:
            return np.where(largest > _OUTLIER * top, largest / top, 1.0)

        tops = [part * highest for part in _HIDDEN_PARTS]
        top = _widest(tops, lambda top: error(hidden_scale(top), factors(top)))
        hidden, chosen = hidden_scale(top), factors(top)
        candidates = [index_scale(lowest, part * top) for lowest in GELU_LOWEST for part in (0.8, 1.0, 1.2)]
        return min(candidates, key=lambda index: error(hidden, chosen, index)), hidden, chosen

    def stream(self) -> float:
        """The value of one unit of the residual stream, judged by the norms that read it; int16 values beyond its range saturate."""
        names = [name for name in self.seen.samples if "stream" in name]
        updates = [name for name in self.seen.samples if name.endswith(".update")]
        largest = max(
            _LEAST_RANGE,
            *(self.magnitude(name, quantile=False) for name in names),
            *(self.magnitude(name, quantile=False) / 2**SCORE_SHIFT_MAX for name in updates),
        )
        if not self.by_error:
            return OUTPUT_HEADROOM * largest / INT16_MAX
        rows = [self.both(name) for name in names]
        exact = [_normed(x) for x in rows]
        spread = [y.var(0) + y.var() * _LEAST_PART for y in exact]
        weighed = [tuple(self.both(n) for n in (u, f"{u.removesuffix('update')}score")) for u in updates]
        typical = torch.cat([x.std(1) for x in rows]).median().clamp(min=_LEAST_RANGE)

        def error(unit: float) -> float:
            low, high = -(INT16_MAX + 1) * unit, INT16_MAX * unit
            total = 0.0
            for additions, (x, y, variance) in enumerate(zip(rows, exact, spread)):
                saturated = x.clamp(low, high)
                rounding = (unit * unit * (1 + additions) / 12) / saturated.var(1, keepdim=True).clamp(min=unit * unit)
                total += (((_normed(saturated) - y).square() + rounding) / variance).mean().item()
            for update, score in weighed:
                clamped = update.clamp(low * 2**SCORE_SHIFT_MAX, high * 2**SCORE_SHIFT_MAX)
                total += ((clamped - update) * score / typical).square().mean().item()
            return total

        return _widest([part * largest / INT16_MAX for part in _STREAM_PARTS], error)

    def score_shift(self, name: str, stream: float) -> int:
        """The shift of the experts' results in block `name`, see `BlockScales`, judged by what their scores make of them; 0 without."""
        if f"{name}.update" not in self.seen.samples:
            return 0
        if not self.by_error:
            needed = max(self.magnitude(f"{name}.update") * OUTPUT_HEADROOM / INT16_MAX / stream, 1.0)
            return min(math.ceil(math.log2(needed)), SCORE_SHIFT_MAX)
        update, score = self.both(f"{name}.update"), self.both(f"{name}.score")

        def error(shift: int) -> float:
            unit = stream * 2**shift
            found = (update / unit).round().clamp(-INT16_MAX - 1, INT16_MAX) * unit
            return ((found - update) * score).square().mean().item() + stream**2 / 12

        return _widest(range(SCORE_SHIFT_MAX, -1, -1), error)

    def bounds(self, name: str, *, per_channel: bool = True, quantile: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """The least and largest value of a point, float64 [channels] each, or of all channels; or quantiles, by the settings."""
        if self.by_error or self.part == 1 or not quantile:
            found = (
                self.seen.ranges[name].widened(self.held_out.ranges[name])
                if not self.by_error
                else self.seen.ranges[name]
            )
            low, high = found.low.astype(np.float64), found.high.astype(np.float64)
            return (low, high) if per_channel else (low.min(), high.max())
        rows = np.concatenate([one.samples[name] for one in (self.seen, self.held_out)]).astype(np.float64)
        tail = (1 - self.part) / 2
        low, high = np.quantile(rows, (tail, 1 - tail), axis=0 if per_channel else None)
        return low, high

    def magnitude(self, name: str, *, quantile: bool = True) -> float:
        """The largest magnitude of the bounds of a point."""
        return max(float(np.abs(bound).max()) for bound in self.bounds(name, quantile=quantile))

    def kept_rows(self, name: str) -> _KeptRows:
        """Rows of a point "up" to judge by: all with the largest hidden units, and some of the others, which count for more."""
        count, order = self.both(f"{name}.count")[:, 0], self.both(f"{name}.up").amax(1).argsort(descending=True)
        largest, usual = order[:_LARGEST], order[_LARGEST:].sort().values
        chosen = _spread(usual, _ROWS)
        rows = torch.cat([largest, chosen])
        weight = torch.cat([count[largest], count[chosen] * (len(usual) / max(len(chosen), 1))])[:, None]
        return _KeptRows(rows, weight)

    def both(self, name: str) -> Tensor:
        """Rows of both calibrations: for a choice among so few candidates that none can fit the pictures by chance."""
        return torch.from_numpy(np.concatenate([one.samples[name] for one in (self.seen, self.held_out)]))

    def mean(self, name: str) -> np.ndarray:
        """The mean of a point, float64 [channels]."""
        return np.concatenate([one.samples[name] for one in (self.seen, self.held_out)]).mean(0, dtype=np.float64)

    def readers_of_norm2(self, i: int) -> list[Tensor]:
        """The weights [out, width] that read the second norm of block i: of an MLP, or of its routers and the experts in use."""
        mlp = self.model.blocks[i].mlp
        if not isinstance(mlp, MoE):
            return [mlp.up.weight]
        kept = {task: one.pathway[i] for task, one in self.pathways.items() if i in one.pathway}
        used = sorted({e for experts in kept.values() for e in experts})
        routers = [mlp.router_linear(task)[0][list(experts)] for task, experts in kept.items()]
        return [*routers, mlp.up_weight[used].mT.flatten(0, 1)]

    def readers_of_hidden(self, i: int) -> list[Tensor]:
        """The weights [width, hidden] that read the hidden units of block i: of an MLP, or of each expert."""
        mlp = self.model.blocks[i].mlp
        return list(mlp.down_weight.mT) if isinstance(mlp, MoE) else [mlp.down.weight]


_Candidate = TypeVar("_Candidate")


def _widest(candidates: Sequence[_Candidate], error: Callable[[_Candidate], float]) -> _Candidate:
    """The first candidate, from the widest range to the narrowest, whose error is at most _TOLERANCE times the least of all.

    Rounding is noise that averages out behind a layer, saturation is not: at equal squared error it costs the network more.
    """
    errors: list[float] = []
    for candidate in candidates:
        errors.append(error(candidate))
        if errors[-1] > _HOPELESS * min(errors):
            break
    return next(one for one, found in zip(candidates, errors) if found <= _TOLERANCE * min(errors))


def largest_attention_shift(unit: np.ndarray, needed: float) -> int:
    """The largest attention shift at which attention's result keeps units of at least `needed`, for values with units [width]."""
    return max((n for n in _ATTENTION_SHIFTS if unit.max() / 2**n >= needed), default=0)


def _readers_of_final_norms(model: M3ViT) -> dict[str, list[Tensor]]:
    """By the name of each final norm: the weights [out, width] of the heads that read it, the identity for features."""
    c = model.configuration
    readers: dict[str, list[Tensor]] = {}
    for task in c.task_names:
        name = final_norm(task, c.bundle_task(task, c.whole_pathways[task]))
        for linear in head_linears(model, task):
            readers.setdefault(name, []).append(torch.eye(c.width) if linear is None else linear.weight)
    return readers


def hidden_scale(highest: float) -> ActivationScale:
    """The scale of hidden units in a range from GELU's minimum to `highest`, such that 0 is an integer."""
    lowest = -0.17
    scale = max(highest - lowest, 1e-3) / (2 * _INT8_MAX)
    return ActivationScale(scale, scale * (_INT8_MAX + math.floor(lowest / scale)))


def index_scale(lowest: float, highest: float) -> ActivationScale:
    """The scale of the GELU table's index for inputs in a range, with an entry at 0."""
    scale = max(highest - lowest, 1e-3) / (TABLE_ENTRIES - 1)
    return ActivationScale(scale, scale * (TABLE_ENTRIES // 2 + math.floor(lowest / scale)))


def _least_ranges(weight: Tensor, source: ActivationScale) -> np.ndarray:
    """The ranges [out] below which the integers of a layer with this weight [out, channels] would have too large a ratio."""
    return (weight.abs() * torch.from_numpy(np.asarray(source.scale)).float()).amax(1).numpy().astype(
        np.float64
    ) / _LARGEST_RATIO


def _not_constant(ranges: np.ndarray) -> np.ndarray:
    """Ranges [channels] without zeros, nor any that is a vanishing part of the widest."""
    return np.maximum(ranges, max(float(ranges.max()) * _LEAST_PART, _LEAST_RANGE))


def _spread(rows: Tensor, count: int) -> Tensor:
    """At most `count` evenly spaced rows."""
    return rows[:: max(-(-len(rows) // count), 1)]


def _rows(samples: np.ndarray) -> Tensor:
    return _spread(torch.from_numpy(samples), _ROWS)


def _weights_rounded(folded: Tensor) -> Tensor:
    """Weights [out, channels] after rounding to int8, with a scale for each row."""
    scale = folded.abs().amax(1, keepdim=True).clamp(min=torch.finfo(folded.dtype).tiny) / _INT8_MAX
    return (folded / scale).round() * scale


def _relative_error(found: Tensor, exact: Tensor) -> float:
    """The squared error of results [rows, out] relative to their variance about the mean of each column."""
    spread = (exact - exact.mean(0)).square().sum().clamp(min=1e-30)
    return ((found - exact).square().sum() / spread).item()


def _normed(x: Tensor) -> Tensor:
    return torch.nn.functional.layer_norm(x, x.shape[-1:])


def _per_head(rows: Tensor, heads: int) -> Tensor:
    """Rows [rows, width] as [heads, rows, width / heads]."""
    return rows.unflatten(-1, (heads, -1)).transpose(0, 1)


def _attention_weights(picture: AttentionSample, heads: int) -> Tensor:
    """The exact weights [heads, queries, keys] of a picture's attention."""
    q, k = (_per_head(torch.from_numpy(rows), heads) for rows in (picture.query, picture.key))
    return torch.softmax(q @ k.mT / math.sqrt(q.shape[-1]), -1)


def _attention_error(picture: AttentionSample, weights: Tensor, query: np.ndarray, key: ActivationScale) -> float:
    """The squared error of attention's result with integer queries, keys and scores, relative to its own square.

    weights: the exact ones, see `_attention_weights`.
    """
    q, k, v = (torch.from_numpy(part) for part in (picture.query, picture.key, picture.value))
    heads = len(weights)

    def integers(rows: Tensor, unit: np.ndarray | float) -> Tensor:
        return (rows / torch.from_numpy(np.asarray(unit)).float()).round().clamp(-_INT8_MAX - 1, _INT8_MAX)

    q_units, k_units = integers(q, query), integers(k - torch.from_numpy(np.asarray(key.offset)).float(), key.scale)
    octave = OCTAVE / (1 << EXP_FRACTION_BITS) / math.sqrt(q.shape[-1] / heads)
    scores = _per_head(q_units, heads) @ _per_head(k_units, heads).mT * (float((query * key.scale).max()) * octave)
    values = _per_head(v - v.mean(0), heads)
    found = torch.softmax(scores.clamp(-_SCORE_LIMIT, _SCORE_LIMIT) * math.log(2), -1) @ values
    exact = weights @ values
    return ((found - exact).square().sum() / exact.square().sum().clamp(min=1e-30)).item()
