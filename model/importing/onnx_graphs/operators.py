"""The operators of ONNX that a plain vision transformer consists of: what each makes of the tensors that it reads.

An operator gets its node and operands, and returns its results. It raises Refusal, with what was found and what was expected, for
everything that a plain vision transformer does not do.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from moesaic.model.importing.onnx_graphs.graph_file import Node
from moesaic.model.importing.onnx_graphs.values import (
    Attended,
    Centred,
    ClassProbabilities,
    Deviation,
    Embedding,
    Error,
    Gelu,
    Image,
    Integers,
    Joined,
    Linear,
    Mean,
    Normalised,
    Patches,
    Pooled,
    Probabilities,
    Refusal,
    Scores,
    Squared,
    Stored,
    Stream,
    Summed,
    Updated,
    Value,
    whole,
)

Operand = Value | Embedding | Integers | np.ndarray | None
Result = Value | Embedding | Integers | np.ndarray

_TOLERANCE = 1e-5  # of constants that an exporter rounds to float32, such as 1 / sqrt(2)
_ROUNDING = 1e-6
_ACTIVATIONS = {
    "Relu": "ReLU",
    "Sigmoid": "a sigmoid, as in SiLU, SwiGLU and quick GELU",
    "Tanh": "a hyperbolic tangent, as in GELU's tanh approximation, which is not GELU",
    "HardSwish": "hard-swish",
    "Softplus": "softplus",
    "Swish": "Swish, as in SwiGLU",
    "QuickGelu": "quick GELU",
    "Cos": "a cosine, as in rotary positions",
    "Sin": "a sine, as in rotary positions",
    "Neg": "a negation, as in rotary positions",
    "RotaryEmbedding": "rotary positions",
    "RMSNormalization": "an RMS norm",
    "SimplifiedLayerNormalization": "an RMS norm",
    "BatchNormalization": "a batch norm",
    "MaxPool": "pooling",
    "AveragePool": "pooling",
    "GlobalAveragePool": "pooling",
    "Pad": "padding, as in windowed attention",
    "Einsum": "an Einsum",
}


def apply(node: Node, operands: list[Operand], opset: int) -> list[Result]:
    """The results of a node that reads the operands; Refusal says what is not plain."""
    if node.operator != "DequantizeLinear" and all(isinstance(operand, np.ndarray | None) for operand in operands):
        return _evaluated(node, operands, opset)
    operator = _OPERATORS.get(node.operator)
    if operator is None:
        found = _ACTIVATIONS.get(node.operator, "an operation that no plain vision transformer has")
        raise Refusal(f"{found}; expected layer norm, linear layer, softmax attention, GELU or their parts")
    return operator(node, operands, opset)


def _evaluated(node: Node, operands: list[Operand], opset: int) -> list[Result]:
    """The results of a node that reads constants alone, which come from dequantised ones: others are folded before."""
    inputs = {name: operand for name, operand in zip(node.inputs, operands) if name}
    results = [name for name in node.outputs if name]
    proto = onnx.helper.make_node(node.operator, node.inputs, node.outputs, **node.attributes)
    values = [
        [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.UNDEFINED, None) for name in names]
        for names in (inputs, results)
    ]
    graph = onnx.helper.make_graph([proto], node.name, values[0], values[1])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
    return [np.asarray(result) for result in ReferenceEvaluator(model).run(results, inputs)]


# Rearrangement


def _constant(operand: Operand, what: str) -> np.ndarray:
    if not isinstance(operand, np.ndarray):
        raise Refusal(f"its {what} depends on the image; expected a constant")
    return operand


def _tensor(operand: Operand) -> Value | Embedding | Integers:
    if not isinstance(operand, Value | Embedding | Integers):
        raise Refusal("it reads a constant where a tensor that depends on the image was expected")
    return operand


def _numbers(node: Node, operands: list[Operand], position: int, name: str) -> list[int] | None:
    """Integers that older operators have as an attribute and newer ones as an input; None if they are left out."""
    if position < len(operands) and operands[position] is not None:
        return [int(n) for n in _constant(operands[position], name).ravel()]
    return list(node.attributes[name]) if name in node.attributes else None


def _move(arrange: Callable[[Node, list[Operand], tuple[int, ...]], Callable[[np.ndarray], np.ndarray]]) -> Callable:
    def operator(node: Node, operands: list[Operand], opset: int) -> list[Result]:
        tensor = _tensor(operands[0])
        return [tensor.moved(arrange(node, operands, tensor.shape))]

    return operator


def _same(node: Node, operands: list[Operand], shape: tuple[int, ...]) -> Callable:
    return lambda array: array


def _cast(node: Node, operands: list[Operand], shape: tuple[int, ...]) -> Callable:
    kind = onnx.helper.tensor_dtype_to_np_dtype(node.attributes["to"])
    if not np.issubdtype(kind, np.floating):
        raise Refusal(f"a conversion to {kind}; expected floating point")
    return lambda array: array


def _reshape(node: Node, operands: list[Operand], shape: tuple[int, ...]) -> Callable:
    wanted = _numbers(node, operands, 1, "shape") or []
    if not node.attributes.get("allowzero"):
        wanted = [shape[i] if n == 0 else n for i, n in enumerate(wanted)]
    return lambda array: array.reshape(wanted)


def _flatten(node: Node, operands: list[Operand], shape: tuple[int, ...]) -> Callable:
    axis = node.attributes.get("axis", 1) % (len(shape) + 1)
    return lambda array: array.reshape(int(np.prod(shape[:axis])), -1)


def _transpose(node: Node, operands: list[Operand], shape: tuple[int, ...]) -> Callable:
    order = node.attributes.get("perm")
    return lambda array: array.transpose(order)


def _squeeze(node: Node, operands: list[Operand], shape: tuple[int, ...]) -> Callable:
    axes = _numbers(node, operands, 1, "axes")
    return lambda array: array.squeeze(tuple(axes) if axes else None)


def _unsqueeze(node: Node, operands: list[Operand], shape: tuple[int, ...]) -> Callable:
    axes = _numbers(node, operands, 1, "axes") or []
    return lambda array: np.expand_dims(array, tuple(axes))


def _gather(node: Node, operands: list[Operand], shape: tuple[int, ...]) -> Callable:
    wanted = _constant(operands[1], "indices")
    return lambda array: array.take(wanted, axis=node.attributes.get("axis", 0))


def _slice(node: Node, operands: list[Operand], shape: tuple[int, ...]) -> Callable:
    starts, ends = (_numbers(node, operands, i, name) or [] for i, name in ((1, "starts"), (2, "ends")))
    axes = _numbers(node, operands, 3, "axes") or list(range(len(starts)))
    steps = _numbers(node, operands, 4, "steps") or [1] * len(starts)
    parts = [slice(None)] * len(shape)
    for axis, start, end, step in zip(axes, starts, ends, steps):
        before_first = step < 0 and end < -shape[axis]
        parts[axis] = slice(start, None if before_first else end, step)
    return lambda array: array[tuple(parts)]


def _expand(node: Node, operands: list[Operand], shape: tuple[int, ...]) -> Callable:
    wanted = _numbers(node, operands, 1, "shape") or []
    return lambda array: np.broadcast_to(array, np.broadcast_shapes(shape, tuple(wanted)))


def _split(node: Node, operands: list[Operand], opset: int) -> list[Result]:
    tensor, axis, count = _tensor(operands[0]), node.attributes.get("axis", 0), len(node.outputs)
    sizes = _numbers(node, operands, 1, "split")
    if sizes is None:
        part = -(-tensor.shape[axis] // count)
        sizes = [part] * (count - 1)
    ends = np.cumsum(sizes)[: count - 1]
    return [tensor.moved(lambda array, i=i: np.split(array, ends, axis)[i]) for i in range(count)]


def _concat(node: Node, operands: list[Operand], opset: int) -> list[Result]:
    axis = node.attributes["axis"]
    if any(isinstance(operand, Embedding) for operand in operands):
        patches = next(operand.patches for operand in operands if isinstance(operand, Embedding))
        parts = [_as_embedding(operand, patches) for operand in operands]
        index, constant = (np.concatenate(arrays, axis) for arrays in zip(*((p.index, p.constant) for p in parts)))
        return [Embedding(patches, index, constant)]
    parts = [as_value(operand) for operand in operands]
    first = parts[0]
    if axis % len(first.shape) == len(first.shape) - 1 and all(_is_row(part) for part in parts):
        return [_joined(node, parts)]
    if any(part.source is not first.source for part in parts):
        raise Refusal(f"it joins {first} to something else; expected constant tokens before embedded patches")
    if any(not (np.array_equal(p.scale, first.scale) and np.array_equal(p.offset, first.offset)) for p in parts):
        raise Refusal("it joins differently scaled parts, as in rotary positions; expected whole heads")
    return [first.moved(lambda _: np.concatenate([part.index for part in parts], axis))]


def _is_row(tensor: Value) -> bool:
    """Whether a tensor is one whole row of a source that is no residual stream or its layers' result: of a final norm, or a mean."""
    rows, columns = tensor.rows.ravel(), tensor.columns.ravel()
    return (
        isinstance(tensor.source, Normalised | Pooled)
        and len(columns) == tensor.source.channels
        and bool((rows == rows[0]).all() and (columns == np.arange(len(columns))).all())
    )


def _joined(node: Node, parts: list[Value]) -> Value[Joined]:
    """Rows side by side, as a classifier reads a class token and a mean."""
    shape = (*parts[0].shape[:-1], sum(part.index.size for part in parts))
    return whole(Joined(node, 1, shape[-1], tuple(parts)), shape)


def _as_embedding(operand: Operand, patches: Patches) -> Embedding:
    if isinstance(operand, np.ndarray):
        return Embedding(patches, np.full(operand.shape, -1), operand.astype(np.float64))
    if not isinstance(operand, Embedding) or operand.patches is not patches:
        raise Refusal("it joins embedded patches to something else; expected constant tokens")
    return operand


def _where(node: Node, operands: list[Operand], opset: int) -> list[Result]:
    condition, parts = _constant(operands[0], "condition"), operands[1:]
    if condition.all() or not condition.any():
        chosen = _tensor(parts[0] if condition.all() else parts[1])
        shape = np.broadcast_shapes(condition.shape, chosen.shape)
        return [chosen.moved(lambda array: np.broadcast_to(array, shape))]
    patches = next((operand.patches for operand in parts if isinstance(operand, Embedding)), None)
    if patches is None:
        raise Refusal("it chooses between tensors; expected that of embedded patches and a mask token alone")
    first, second = (_as_embedding(operand, patches) for operand in parts)
    index = np.where(condition, first.index, second.index)
    return [Embedding(patches, index, np.where(condition, first.constant, second.constant))]


# Arithmetic


def as_value(operand: Operand) -> Value:
    """A tensor as a Value: embedded tokens [..., tokens, channels] become the first residual stream."""
    if isinstance(operand, Value):
        return operand
    if not isinstance(operand, Embedding):
        raise Refusal("it reads a constant where a tensor that depends on the image was expected")
    shape = operand.shape
    tokens = int(np.prod(shape[:-1]))
    if shape[-1] != operand.patches.channels:
        raise Refusal(f"it reads embedded patches as {list(shape)}; expected [1, tokens, {operand.patches.channels}]")
    return whole(operand.patches.stream_of(operand, tokens), shape)


def _per_channel(tensor: Value, constant: np.ndarray, neutral: float) -> np.ndarray:
    """A constant, broadcast to the tensor, by the source's channels: float64 [channels], `neutral` where a channel is absent."""
    shape = np.broadcast_shapes(tensor.shape, constant.shape)
    if shape != tensor.shape:
        raise Refusal(f"its constant of {list(constant.shape)} widens {tensor} of {list(tensor.shape)}")
    elements = np.broadcast_to(constant, shape).astype(np.float64).ravel()
    columns = tensor.columns.ravel()
    result = np.full(tensor.source.channels, neutral)
    result[columns] = elements
    if not np.array_equal(result[columns], elements):
        meaning = {
            Scores: "a mask or relative positions",
            Linear: "rotary positions",
            Stream: "positions added after the first block",
        }.get(type(tensor.source))
        raise Refusal(
            f"its constant differs from token to token of {tensor}"
            + (f" ({meaning})" if meaning else "")
            + "; expected one number or one per channel"
        )
    return result


def _add(node: Node, operands: list[Operand], opset: int) -> list[Result]:
    left, right = operands
    if isinstance(left, np.ndarray):
        left, right = right, left
    if isinstance(right, np.ndarray):
        return [_plus_constant(left, right)]
    return [_residual(node, left, right)]


def _plus_constant(tensor: Operand, constant: np.ndarray) -> Result:
    if isinstance(tensor, Embedding):
        shape = np.broadcast_shapes(tensor.shape, constant.shape)
        index = np.broadcast_to(tensor.index, shape)
        return Embedding(tensor.patches, index, tensor.constant + constant.astype(np.float64))
    tensor = as_value(tensor)
    if isinstance(tensor.source, Stream) and constant.any():
        raise Refusal("it adds a constant to the residual stream; expected the result of attention or an MLP")
    shift = _per_channel(tensor, constant, 0.0)
    return tensor.with_channels(np.ones(len(shift)), shift)


def _residual(node: Node, left: Operand, right: Operand) -> Value:
    left, right = as_value(left), as_value(right)
    if isinstance(right.source, Stream):
        left, right = right, left
    stream, update = left.source, right.source
    if isinstance(stream, Linear) and isinstance(update, Linear) and stream.rows == update.rows == 1:
        return _summed(node, left, right)
    if not isinstance(stream, Stream):
        raise Refusal(f"it adds {left} and {right}; expected the residual stream and a linear layer")
    if not isinstance(update, Linear):
        raise Refusal(f"it adds {right} to the residual stream; expected the linear layer of attention or an MLP")
    shape = np.broadcast_shapes(left.shape, right.shape)
    if not (left.is_plain and left.is_whole and right.is_whole) or left.index.size != right.index.size:
        raise Refusal("it adds parts to the residual stream, or scales it; expected every token of both")
    added = Value(update, right.index, right.scale, right.offset)
    return whole(Updated(node, stream.rows, stream.channels, stream, added), shape)


def _summed(node: Node, left: Value, right: Value) -> Value[Summed]:
    """Two linear layers of a row each, added up as by a distilled classifier."""
    if not (left.is_whole and right.is_whole) or left.shape != right.shape:
        raise Refusal(f"it adds parts of {left} and {right}; expected a classifier's two layers")
    return whole(Summed(node, 1, left.source.channels, (left, right)), left.shape)


def _sub(node: Node, operands: list[Operand], opset: int) -> list[Result]:
    left, right = operands
    if isinstance(right, np.ndarray):
        return [_plus_constant(left, -right)]
    if isinstance(left, np.ndarray):
        raise Refusal(f"it subtracts {right} from a constant; expected a layer norm's mean from the stream")
    left, right = as_value(left), as_value(right)
    mean = right.source
    if isinstance(mean, Mean) and mean.of is left.source and right.is_plain and left.is_plain:
        shape = np.broadcast_shapes(left.shape, right.shape)
        if shape == left.shape and (np.broadcast_to(right.rows, shape) == left.rows).all():
            centred = Centred(node, mean.of.rows, mean.of.channels, mean.of)
            return [Value(centred, left.index, left.scale, left.offset)]
    raise Refusal(f"it subtracts {right} from {left}; expected a layer norm's mean from the stream")


def _mul(node: Node, operands: list[Operand], opset: int) -> list[Result]:
    left, right = operands
    if isinstance(left, np.ndarray):
        left, right = right, left
    if isinstance(right, np.ndarray):
        return [_times_constant(left, right)]
    left, right = as_value(left), as_value(right)
    if isinstance(left.source, Error) or isinstance(right.source, Deviation):
        left, right = right, left
    if left is right or (left.source is right.source and np.array_equal(left.index, right.index)):
        return [_square(node, left)]
    if isinstance(right.source, Error):
        return [_gelu_of_error(node, left, right)]
    if isinstance(left.source, Deviation) and left.source.inverse:
        return [_normalise(node, right, left)]
    if isinstance(left.source, Linear) or isinstance(right.source, Linear):
        raise Refusal(f"it multiplies {left} and {right} (SwiGLU or another gate); expected GELU and a linear layer")
    raise Refusal(f"it multiplies {left} and {right}; expected a constant")


def _times_constant(tensor: Operand, constant: np.ndarray) -> Result:
    tensor = as_value(tensor)
    if isinstance(tensor.source, Stream):
        raise Refusal("it scales the residual stream; expected a layer norm or the end of a block")
    factor = _per_channel(tensor, constant, 1.0)
    return tensor.with_channels(factor, np.zeros(len(factor)))


def _div(node: Node, operands: list[Operand], opset: int) -> list[Result]:
    left, right = operands
    if isinstance(right, np.ndarray):
        return [_times_constant(left, 1 / right.astype(np.float64))]
    if isinstance(left, np.ndarray):
        return [_inverse(node, as_value(right), left)]
    left, right = as_value(left), as_value(right)
    if isinstance(right.source, Deviation) and not right.source.inverse:
        return [_normalise(node, left, right)]
    raise Refusal(f"it divides {left} by {right}; expected a constant or a layer norm's deviation")


def _inverse(node: Node, tensor: Value, numerator: np.ndarray) -> Value:
    deviation = tensor.source
    if not isinstance(deviation, Deviation) or deviation.inverse or not tensor.is_plain or (numerator != 1).any():
        raise Refusal(f"it divides by {tensor}; expected a layer norm's deviation")
    inverse = Deviation(node, deviation.rows, 1, deviation.of, deviation.epsilon, inverse=True)
    return Value(inverse, tensor.index, tensor.scale, tensor.offset)


def _reciprocal(node: Node, operands: list[Operand], opset: int) -> list[Result]:
    return [_inverse(node, as_value(operands[0]), np.ones(1))]


# Layer norm


def _square(node: Node, tensor: Value) -> Value:
    if isinstance(tensor.source, Stream):
        raise Refusal(
            "it squares the residual stream (RMS norm); expected a layer norm, which first subtracts the mean"
        )
    if isinstance(tensor.source, Linear):
        raise Refusal(
            "it squares a linear layer (GELU's tanh approximation, which is not GELU, or an RMS norm in attention);"
            " expected exact GELU or products of queries and keys"
        )
    if not isinstance(tensor.source, Centred) or not tensor.is_plain:
        raise Refusal(f"it squares {tensor}; expected the stream without its mean, for a layer norm")
    squared = Squared(node, tensor.source.rows, tensor.source.channels, tensor.source)
    return Value(squared, tensor.index, tensor.scale, tensor.offset)


def _pow(node: Node, operands: list[Operand], opset: int) -> list[Result]:
    tensor, exponent = as_value(operands[0]), float(_constant(operands[1], "exponent").ravel()[0])
    if exponent == 2:
        return [_square(node, tensor)]
    if abs(exponent) == 0.5:
        return [_root(node, tensor, inverse=exponent < 0)]
    raise Refusal(f"it raises {tensor} to the power {exponent:g}; expected 2 or a root, for a layer norm")


def _reduce_mean(node: Node, operands: list[Operand], opset: int) -> list[Result]:
    tensor, axes = as_value(operands[0]), _numbers(node, operands, 1, "axes")
    source, kept = tensor.source, bool(node.attributes.get("keepdims", 1))
    if axes is None or len(axes) != 1:
        raise Refusal(f"it takes a mean of {tensor} over axes {axes}; expected one over channels, for a layer norm")
    if (pooled := _pooled(node, tensor, axes[0], kept)) is not None:
        return [pooled]
    rows = np.moveaxis(tensor.rows, axes[0], -1)
    every = np.sort(np.moveaxis(tensor.columns, axes[0], -1), -1)
    if (
        (rows != rows[..., :1]).any()
        or every.shape[-1] != source.channels
        or (every != np.arange(source.channels)).any()
    ):
        what = "some of the channels (qk-norm)" if isinstance(source, Linear) else "tokens"
        raise Refusal(f"it takes a mean of {tensor} over {what}; expected one over all channels, for a layer norm")
    if not tensor.is_plain:
        raise Refusal(f"it takes a mean of {tensor}, scaled; expected the residual stream")
    index = np.expand_dims(rows[..., 0], axes[0]) if kept else rows[..., 0]
    _require_stream(tensor)
    return [Value(Mean(node, source.rows, 1, source), index, np.ones(1), np.zeros(1))]


def _pooled(node: Node, tensor: Value, axis: int, kept: bool) -> Value[Pooled] | None:
    """The mean over tokens, from one of them to the last, of the residual stream or of a layer norm; None if it is none."""
    source = tensor.source
    rows, columns = (np.moveaxis(part, axis, -1) for part in (tensor.rows, tensor.columns))
    first = int(rows.flat[0])
    if (
        not isinstance(source, Stream | Normalised)
        or rows.shape[-1] != source.rows - first
        or (columns != columns[..., :1]).any()
        or not np.array_equal(columns[..., 0].ravel(), np.arange(source.channels))
        or (rows != np.arange(first, source.rows)).any()
    ):
        return None
    result = whole(Pooled(node, 1, source.channels, source, first), np.shape(columns[..., 0]))
    if kept:
        result = result.moved(lambda array: np.expand_dims(array, axis))
    return result.with_channels(tensor.scale, tensor.offset)


def _sqrt(node: Node, operands: list[Operand], opset: int) -> list[Result]:
    return [_root(node, as_value(operands[0]), inverse=False)]


def _root(node: Node, tensor: Value, inverse: bool) -> Value:
    mean = tensor.source
    if not isinstance(mean, Mean) or not isinstance(mean.of, Squared) or tensor.scale[0] != 1:
        raise Refusal(f"it takes a root of {tensor}; expected a layer norm's variance plus epsilon")
    squared = mean.of
    if not isinstance(squared.of, Centred):
        raise Refusal(
            "it takes a root of a mean of squares (RMS norm); expected a layer norm, which subtracts the mean"
        )
    deviation = Deviation(node, mean.rows, 1, squared.of, _written(tensor.offset[0]), inverse)
    return Value(deviation, tensor.index, np.ones(1), np.zeros(1))


def _normalise(node: Node, centred: Value, deviation: Value) -> Value:
    of = deviation.source
    shape = np.broadcast_shapes(centred.shape, deviation.shape)
    if (
        not isinstance(of, Deviation)
        or not isinstance(centred.source, Centred)
        or of.of is not centred.source
        or not (centred.is_plain and deviation.is_plain)
        or (np.broadcast_to(deviation.rows, shape) != centred.rows).any()
    ):
        raise Refusal(f"it scales {centred} by {deviation}; expected the stream without its mean and its deviation")
    source = Normalised(node, centred.source.rows, centred.source.channels, centred.source.of, of.epsilon)
    return Value(source, centred.index, centred.scale, centred.offset)


def _require_stream(tensor: Value) -> None:
    detail = {
        Linear: "qk-norm, or a norm inside attention or MLP",
        Normalised: "a norm before the first block, or post-norm",
    }
    if isinstance(tensor.source, Linear | Normalised):
        raise Refusal(f"it normalises {tensor} ({detail[type(tensor.source)]}); expected the residual stream")


def _written(epsilon: float) -> float:
    """The number that float32 stands for: 1e-6, not the nearest float32."""
    return float(str(np.float32(epsilon)))


def _layer_normalization(node: Node, operands: list[Operand], opset: int) -> list[Result]:
    tensor = as_value(operands[0])
    axis = node.attributes.get("axis", -1) % len(tensor.shape)
    _require_stream(tensor)
    if axis != len(tensor.shape) - 1 or not tensor.is_whole or tensor.shape[-1] != tensor.source.channels:
        raise Refusal(f"it normalises {tensor} over other axes than its channels; expected every token's channels")
    if not tensor.is_plain:
        raise Refusal(f"it normalises {tensor}, scaled; expected the residual stream")
    if len(node.outputs) > 1 and any(node.outputs[1:]):
        raise Refusal("it also gives mean or deviation; expected a layer norm's result alone")
    epsilon = _written(node.attributes.get("epsilon", 1e-5))
    weight = _constant(operands[1], "weight")
    bias = _constant(operands[2], "bias") if len(operands) > 2 and operands[2] is not None else np.zeros(1)
    normalised = whole(Normalised(node, *_size(tensor), tensor.source, epsilon), tensor.shape)
    return [_plus_constant(_times_constant(normalised, weight), bias)]


def _size(tensor: Value) -> tuple[int, int]:
    return tensor.source.rows, tensor.source.channels


# Linear layers


def _conv(node: Node, operands: list[Operand], opset: int) -> list[Result]:
    image, weight = operands[0], _constant(operands[1], "weight")
    if not isinstance(image, Value) or not isinstance(image.source, Image):
        raise Refusal(f"a convolution of {image}; expected one, of the image, with a stride of its kernel")
    kernel = list(weight.shape[2:])
    wanted = {"strides": kernel, "pads": [0] * 4, "dilations": [1, 1], "group": 1, "auto_pad": b"NOTSET"}
    neutral = {"strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1], "group": 1, "auto_pad": b"NOTSET"}
    for name, value in wanted.items():
        found = node.attributes.get(name, neutral[name])
        if found != value and not (name == "auto_pad" and found == b"VALID"):
            raise Refusal(
                f"a convolution of the image with {name} {found} and a kernel of {kernel} (a convolutional stem or"
                f" network); expected {name} {value}, for patches side by side"
            )
    _, channels, height, width = image.shape
    if (
        channels != 3
        or (image.index != np.arange(height * width * 3).reshape(height, width, 3).transpose(2, 0, 1)).any()
    ):
        raise Refusal("a convolution of parts of the image; expected [1, 3, height, width]")
    bias = _constant(operands[2], "bias") if len(operands) > 2 else np.zeros(len(weight))
    weight = weight.astype(np.float64)
    bias = bias + np.einsum("dcyx,c->d", weight, image.offset)
    weight = weight * image.scale[:, None, None]
    grid = height // kernel[0], width // kernel[1]
    patches = Patches(node, grid[0] * grid[1], len(weight), weight, bias, grid, normalised=not image.is_plain)
    index = np.arange(patches.rows * patches.channels).reshape(*grid, -1).transpose(2, 0, 1)[None]
    return [Embedding(patches, index, np.zeros(index.shape))]


def _matmul(node: Node, operands: list[Operand], opset: int) -> list[Result]:
    left, right = operands
    if isinstance(right, np.ndarray):
        return [_linear(node, as_value(left), right, np.zeros(right.shape[-1]))]
    if isinstance(left, np.ndarray):
        turned = _linear(node, as_value(right).moved(lambda a: a.swapaxes(-1, -2)), left.swapaxes(-1, -2), np.zeros(1))
        return [turned.moved(lambda a: a.swapaxes(-1, -2))]
    left, right = as_value(left), as_value(right)
    if isinstance(left.source, Probabilities):
        return [_attend(node, left, right)]
    return [_score(node, left, right)]


def _gemm(node: Node, operands: list[Operand], opset: int) -> list[Result]:
    tensor, weight = as_value(operands[0]), _constant(operands[1], "weight").astype(np.float64)
    if node.attributes.get("transA"):
        tensor = tensor.moved(np.transpose)
    weight = (weight.T if node.attributes.get("transB") else weight) * node.attributes.get("alpha", 1.0)
    bias = _constant(operands[2], "bias") if len(operands) > 2 and operands[2] is not None else np.zeros(1)
    bias = np.broadcast_to(bias * node.attributes.get("beta", 1.0), (1, weight.shape[1]))[0]
    return [_linear(node, tensor, weight, bias)]


def _linear(node: Node, tensor: Value, weight: np.ndarray, bias: np.ndarray) -> Value:
    """The product with weight [inputs, outputs] plus bias [outputs], as a linear layer of all the channels of the tensor's source."""
    weight = weight.reshape(weight.shape[-2:]) if weight.size == np.prod(weight.shape[-2:]) else weight
    if weight.ndim != 2:
        raise Refusal(f"its weight is {list(weight.shape)}, another for each group; expected one matrix")
    rows, columns = tensor.rows.reshape(-1, tensor.shape[-1]), tensor.columns.reshape(-1, tensor.shape[-1])
    if (
        (rows != rows[:, :1]).any()
        or (columns != columns[:1]).any()
        or len(set(columns[0].tolist())) != len(columns[0])
    ):
        raise Refusal(f"it mixes tokens of {tensor}; expected a linear layer of each token's channels")
    every = np.zeros((weight.shape[1], tensor.source.channels))
    every[:, columns[0]] = weight.T
    bias = np.broadcast_to(bias, weight.shape[1]).astype(np.float64)
    layer = Linear(node, len(rows), weight.shape[1], tensor, every, bias, rows[:, 0])
    return whole(layer, (*tensor.shape[:-1], weight.shape[1]))


# Attention


def _heads(tensor: Value, what: str, transposed: bool = False) -> Value[Linear]:
    """The tensor as [heads, tokens, channels of a head]; it must hold every token, of the same channels for each."""
    layer = tensor.source
    if not isinstance(layer, Linear):
        detail = " (qk-norm)" if isinstance(layer, Normalised) else ""
        raise Refusal(f"its {what} is {tensor}{detail}; expected a linear layer of a layer norm")
    index = tensor.index.reshape(-1, *tensor.shape[-2:])
    heads = Value(layer, index.swapaxes(1, 2) if transposed else index, tensor.scale, tensor.offset)
    tokens = np.arange(heads.shape[1])[None, :, None]
    if (heads.columns != heads.columns[:, :1]).any() or heads.shape[1] != layer.rows or (heads.rows != tokens).any():
        raise Refusal(
            f"its {what} has {heads.shape[1]} of {layer.rows} tokens in a group (windowed or shifted attention);"
            " expected all of them in each head"
        )
    return heads


def _score(node: Node, left: Value, right: Value) -> Value[Scores]:
    if left.shape[:-2] != right.shape[:-2]:
        raise Refusal(f"it multiplies {list(left.shape)} and {list(right.shape)}; expected as many key as query heads")
    query, key = _heads(left, "query"), _heads(right, "key", transposed=True)
    heads, tokens, _ = query.shape
    return whole(Scores(node, heads * tokens, tokens, query, key), (*left.shape[:-1], right.shape[-1]))


def _softmax(node: Node, operands: list[Operand], opset: int) -> list[Result]:
    scores = as_value(operands[0])
    source = scores.source
    axis = node.attributes.get("axis", -1 if opset >= 13 else 1) % len(scores.shape)
    if isinstance(source, Linear | Summed) and source.rows == 1 and scores.is_whole and axis == len(scores.shape) - 1:
        return [whole(ClassProbabilities(node, *_size(scores), scores), scores.shape)]
    if not isinstance(source, Scores) or not scores.is_whole or axis != len(scores.shape) - 1:
        raise Refusal(f"a softmax of {scores}; expected one of the products of queries and keys, over keys")
    if (scores.scale != scores.scale[0]).any() or (scores.offset != scores.offset[0]).any():
        raise Refusal("its scores have a mask or a bias; expected products of queries and keys alone")
    return [whole(Probabilities(node, *_size(scores), source, float(scores.scale[0])), scores.shape)]


def _is_nan(node: Node, operands: list[Operand], opset: int) -> list[Result]:
    """PyTorch guards softmax against rows without a key; without a mask there is none."""
    tensor = as_value(operands[0])
    if not isinstance(tensor.source, Probabilities):
        raise Refusal(f"it looks for NaN in {tensor}; expected attention probabilities")
    return [np.zeros(tensor.shape, bool)]


def _attention(node: Node, operands: list[Operand], opset: int) -> list[Result]:
    """The whole of attention, from opset 23 on."""
    for name in ("is_causal", "softcap"):
        if node.attributes.get(name):
            raise Refusal(f"attention with {name} = {node.attributes[name]}; expected 0")
    mask = operands[3] if len(operands) > 3 else None
    if isinstance(mask, np.ndarray) and (mask.all() if mask.dtype == bool else not mask.any()):
        mask = None  # it hides nothing
    if any(operand is not None for operand in (mask, *operands[4:])) or any(node.outputs[1:]):
        raise Refusal("attention with a mask, past keys or further results; expected query, key and value alone")
    query, key, value = (as_value(operand) for operand in operands[:3])
    flat = len(query.shape) == 3
    if flat:
        counts = [node.attributes["q_num_heads"], *[node.attributes["kv_num_heads"]] * 2]
        query, key, value = (
            part.moved(lambda a, n=n: a.reshape(*a.shape[:2], n, -1).swapaxes(1, 2))
            for n, part in zip(counts, (query, key, value))
        )
    scores = _score(node, query, key.moved(lambda a: a.swapaxes(-1, -2)))
    factor = node.attributes.get("scale", 1 / np.sqrt(query.shape[-1]))
    probabilities = Probabilities(node, *_size(scores), scores.source, float(factor))
    attended = _attend(node, whole(probabilities, scores.shape), value)
    return [attended.moved(lambda a: a.swapaxes(1, 2).reshape(a.shape[0], a.shape[2], -1)) if flat else attended]


def _attend(node: Node, left: Value, right: Value) -> Value:
    probabilities = left.source
    if not isinstance(probabilities, Probabilities) or not left.is_whole or not left.is_plain:
        raise Refusal("its probabilities are scaled or rearranged; expected the softmax itself")
    value = _heads(right, "value")
    heads, tokens, channels = value.shape
    if (heads, tokens) != probabilities.scores.query.shape[:2]:
        raise Refusal(f"it has {heads} value heads, expected {probabilities.scores.query.shape[0]}, as of queries")
    attended = Attended(node, tokens, heads * channels, probabilities, value)
    index = np.arange(tokens * heads * channels).reshape(tokens, heads, channels).swapaxes(0, 1)
    shape = (*left.shape[:-1], channels)
    return Value(attended, index.reshape(shape), np.ones(attended.channels), np.zeros(attended.channels))


# GELU


def _erf(node: Node, operands: list[Operand], opset: int) -> list[Result]:
    tensor = as_value(operands[0])
    layer = tensor.source
    if not isinstance(layer, Linear):
        raise Refusal(f"an error function of {tensor}; expected one of a linear layer, in GELU")
    error = Error(node, *_size(tensor), Value(layer, tensor.index, tensor.scale, tensor.offset))
    return [Value(error, tensor.index, np.ones(error.channels), np.zeros(error.channels))]


def _gelu_of_error(node: Node, factor: Value, error: Value) -> Value:
    """k x (1 + erf(x / sqrt(2))), with x in `factor` and 1 + erf in `error`: 2 k times GELU."""
    inner = error.source.of if isinstance(error.source, Error) else None
    if inner is None or factor.source is not inner.source or not np.array_equal(factor.index, error.index):
        raise Refusal(f"it multiplies {factor} by an error function of something else; expected GELU of a linear layer")
    scale = _exact(inner.scale * np.sqrt(2))
    offset, ratio = inner.offset * np.sqrt(2), _exact(factor.scale / scale)
    if not np.allclose(factor.offset, ratio * offset, rtol=_TOLERANCE, atol=_TOLERANCE) or not np.allclose(
        error.scale, error.offset, rtol=_TOLERANCE
    ):
        raise Refusal("it is not x * (1 + erf(x / sqrt(2))); expected exact GELU")
    gelu = _gelu_of(node, Value(inner.source, inner.index, scale, offset))
    return gelu.with_channels(_exact(2 * ratio * error.scale), np.zeros(1))


def _exact(factor: np.ndarray) -> np.ndarray:
    """The factor, with what is 1 but for rounding set to 1."""
    return np.where(np.abs(factor - 1) < _ROUNDING, 1.0, factor)


def _gelu_of(node: Node, tensor: Value) -> Value:
    layer = tensor.source
    if not isinstance(layer, Linear):
        raise Refusal(f"GELU of {tensor}; expected one of a linear layer")
    source = Gelu(node, *_size(tensor), Value(layer, tensor.index, tensor.scale, tensor.offset))
    return Value(source, tensor.index, np.ones(source.channels), np.zeros(source.channels))


def _gelu(node: Node, operands: list[Operand], opset: int) -> list[Result]:
    if node.attributes.get("approximate", b"none") != b"none":
        raise Refusal("GELU's tanh approximation, which is not GELU; expected exact GELU (approximate = none)")
    return [_gelu_of(node, as_value(operands[0]))]


# Quantised graphs


def _quantize_linear(node: Node, operands: list[Operand], opset: int) -> list[Result]:
    tensor, step = operands[0], _constant(operands[1], "scale")
    if not isinstance(tensor, Value | Embedding):
        raise Refusal("it quantises integers; expected floating point")
    zero = operands[2] if len(operands) > 2 and operands[2] is not None else np.zeros(step.shape, np.uint8)
    zero = _constant(zero, "zero point")
    if not np.issubdtype(zero.dtype, np.integer):
        raise Refusal(f"it quantises to {zero.dtype}; expected integers")
    limits = np.iinfo(zero.dtype)
    axis = node.attributes.get("axis", 1)
    step, zero = (_along(axis, array.astype(np.float64), len(tensor.shape)) for array in (step, zero))
    return [Integers(tensor, step, zero, int(limits.min), int(limits.max))]


def _along(axis: int, array: np.ndarray, dimensions: int) -> np.ndarray:
    """A scale or zero point in a shape that broadcasts: a vector lies along the axis."""
    if array.size == 1:
        return array.reshape(())
    if array.ndim != 1:
        raise Refusal("it quantises by blocks; expected one scale, or one per channel")
    return array.reshape([-1 if i == axis % dimensions else 1 for i in range(dimensions)])


def _clip(node: Node, operands: list[Operand], opset: int) -> list[Result]:
    """Brevitas narrows integers so, to fewer bits or to a symmetric range."""
    integers = operands[0]
    if not isinstance(integers, Integers):
        raise Refusal("clipping, as in ReLU6; expected it of integers alone")
    bounds = [
        _constant(operands[i], "bound") if i < len(operands) and operands[i] is not None else None for i in (1, 2)
    ]
    low = integers.low if bounds[0] is None else max(integers.low, int(bounds[0]))
    high = integers.high if bounds[1] is None else min(integers.high, int(bounds[1]))
    return [Integers(integers.tensor, integers.step, integers.zero, low, high)]


def _dequantize_linear(node: Node, operands: list[Operand], opset: int) -> list[Result]:
    integers, step = operands[0], _constant(operands[1], "scale").astype(np.float64)
    zero = operands[2] if len(operands) > 2 and operands[2] is not None else np.zeros(())
    axis, zero = node.attributes.get("axis", 1), _constant(zero, "zero point").astype(np.float64)
    if isinstance(integers, np.ndarray):
        step, zero = (_along(axis, array, integers.ndim) for array in (step, zero))
        return [np.asarray((integers.astype(np.float64) - zero) * step)]
    if not isinstance(integers, Integers):
        raise Refusal("it dequantises no integers; expected the result of QuantizeLinear")
    step, zero = (_along(axis, array, len(integers.shape)) for array in (step, zero))
    if step.shape != integers.step.shape or (step != integers.step).any() or (zero != integers.zero).any():
        raise Refusal("it dequantises with another scale or zero point than QuantizeLinear's; expected the same")
    tensor = integers.tensor
    if isinstance(tensor, Value):
        step, zero = (_per_channel(tensor, np.broadcast_to(part, tensor.shape), np.nan) for part in (step, zero))
        tensor.source.stored.append(Stored(tensor.scale, tensor.offset, step, zero, integers.low, integers.high))
    return [tensor]


_OPERATORS: dict[str, Callable[[Node, list[Operand], int], list[Result]]] = {
    **{name: _move(_same) for name in ("Identity", "Dropout")},
    "Cast": _move(_cast),
    "Reshape": _move(_reshape),
    "Flatten": _move(_flatten),
    "Transpose": _move(_transpose),
    "Squeeze": _move(_squeeze),
    "Unsqueeze": _move(_unsqueeze),
    "Gather": _move(_gather),
    "Slice": _move(_slice),
    "Expand": _move(_expand),
    "Split": _split,
    "Concat": _concat,
    "Where": _where,
    "Add": _add,
    "Sub": _sub,
    "Mul": _mul,
    "Div": _div,
    "Reciprocal": _reciprocal,
    "Pow": _pow,
    "Sqrt": _sqrt,
    "ReduceMean": _reduce_mean,
    "LayerNormalization": _layer_normalization,
    "Conv": _conv,
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Softmax": _softmax,
    "IsNaN": _is_nan,
    "Attention": _attention,
    "Erf": _erf,
    "Gelu": _gelu,
    "QuantizeLinear": _quantize_linear,
    "Clip": _clip,
    "DequantizeLinear": _dequantize_linear,
}
