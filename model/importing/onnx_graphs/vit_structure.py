"""A plain vision transformer found in a graph: from the patch embedding along the residual stream to the final norm."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from moesaic.errors import UserError
from moesaic.model.importing.onnx_graphs.graph_file import Graph, Node
from moesaic.model.importing.onnx_graphs.operators import apply
from moesaic.model.importing.onnx_graphs.values import (
    Attended,
    Embedding,
    Gelu,
    Image,
    Normalised,
    Patches,
    Refusal,
    Stream,
    Unknown,
    Value,
    whole,
)

_ROUNDING = 1e-5


@dataclass(frozen=True)
class Layer:
    """A linear layer as the network needs it: weight [outputs, inputs] and bias [outputs], and the tensor that it gives."""

    weight: np.ndarray
    bias: np.ndarray
    value: Value


@dataclass(frozen=True)
class Block:
    """A block: norms with weight and bias per channel, query, key, value, projection, and the MLP's two layers.

    The scores are query times key / sqrt(channels of a head).
    """

    norm1: Value
    query: Layer
    key: Layer
    value: Layer
    projection: Layer
    norm2: Value
    up: Layer
    down: Layer


@dataclass(frozen=True)
class VisionTransformer:
    """What a graph computes up to its final norm.

    prefix: the prefix tokens with their positions, float64 [prefix tokens, channels]. position: of the patches, [rows * columns,
    channels]. norm: the final norm's tensor, called norm_name in the graph. epsilon: of every layer norm.
    """

    patches: Patches
    prefix: np.ndarray
    position: np.ndarray
    blocks: tuple[Block, ...]
    norm: Value
    norm_name: str
    heads: int
    epsilon: float


class Walk:
    """The tensors of a graph, as far as a plain vision transformer explains them, each by its name."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.tensors: dict[str, Value | Embedding | np.ndarray | Unknown] = {graph.image: _image(graph)}
        self.broken: Unknown | None = None  # what stands in place of an update of the residual stream
        for node in graph.nodes:
            self._step(node)

    def _step(self, node: Node) -> None:
        operands = []
        for name in node.inputs:
            operand = self.tensors.get(name, self.graph.constants.get(name))
            if name and operand is None:
                operand = Unknown(node, f"it reads {name}, which is neither a constant nor computed from the image")
            operands.append(operand)
        unknown = next((operand for operand in operands if isinstance(operand, Unknown)), None)
        if unknown is None:
            try:
                results = apply(node, operands, self.graph.opset)
            except Refusal as refusal:
                unknown = Unknown(node, str(refusal))
            except (ValueError, IndexError, TypeError) as error:  # shapes or attributes that NumPy refuses
                unknown = Unknown(node, f"its shapes or attributes do not fit ({error})")
        if unknown is not None:
            results = [unknown] * len(node.outputs)
            streams = (isinstance(part, Value) and isinstance(part.source, Stream) for part in operands)
            if self.broken is None and node.operator == "Add" and any(streams):
                self.broken = unknown
        self.tensors.update((name, result) for name, result in zip(node.outputs, results) if name)

    def first_refused(self, after: Node | None = None) -> Unknown | None:
        """The first refused operation of the graph, or the first one after a node."""
        nodes = self.graph.nodes
        refused = (
            self.tensors.get(name) for node in nodes[nodes.index(after) if after else 0 :] for name in node.outputs
        )
        return next((value for value in refused if isinstance(value, Unknown)), None)


def _image(graph: Graph) -> Value:
    """The image, of pixels in 0..1 if the graph takes bytes."""
    channels_last = graph.image_shape[3] == 3 and graph.image_shape[1] != 3
    height, width = graph.image_shape[1:3] if channels_last else graph.image_shape[2:]
    image = whole(Image(None, height * width, 3), (1, height, width, 3))
    if not channels_last:
        image = image.moved(lambda array: array.transpose(0, 3, 1, 2))
    return image.with_channels(np.full(3, 255.0), np.zeros(3)) if graph.image_type == np.uint8 else image


def find_vision_transformer(graph: Graph, backbone_only: bool) -> VisionTransformer:
    """The vision transformer in a graph. backbone_only: leave out what comes after the final norm.

    UserError names the first node that is no part of one: what was found there, and what was expected.
    """
    walk = Walk(graph)
    streams = _streams(walk)
    if walk.broken is not None:
        raise _refusal(graph, walk.broken)
    if not streams or len(streams) < 3:
        found = walk.first_refused()
        if found is not None:
            raise _refusal(graph, found)
        raise UserError(
            f"{graph.path}: no patch embedding and transformer block was found: choose a vision transformer"
        )
    if len(streams) % 2 == 0:
        cause = walk.first_refused(streams[-1].node) or Unknown(streams[-1].node, "no MLP follows the attention")
        raise _refusal(graph, cause)
    name, norm = _final_norm(walk, streams[-1])
    blocks = tuple(_block(graph, *streams[i : i + 3]) for i in range(0, len(streams) - 2, 2))
    norms = [value.source for block in blocks for value in (block.norm1, block.norm2)] + [norm.source]
    epsilons = {source.epsilon for source in norms if isinstance(source, Normalised)}
    if len(epsilons) > 1:
        raise UserError(f"{graph.path}: its layer norms have epsilons {sorted(epsilons)}; expected one for all of them")
    if not backbone_only:
        _require_nothing_after(walk, name)
    patches, prefix, position = _embedded(graph, streams[0])
    attended = streams[1].update.source.read.source
    return VisionTransformer(
        patches=patches,
        prefix=prefix,
        position=position,
        blocks=blocks,
        norm=norm,
        norm_name=name,
        heads=attended.value.shape[0],
        epsilon=epsilons.pop(),
    )


def _refusal(graph: Graph, unknown: Unknown) -> UserError:
    return _wrong(graph, unknown.node, unknown.reason)


def _wrong(graph: Graph, node: Node | None, reason: str) -> UserError:
    return UserError(f"{graph.path}: {node}: {reason}")


def _streams(walk: Walk) -> list[Stream]:
    """The longest chain of residual streams, from the embedded tokens on."""
    longest: list[Stream] = []
    for tensor in walk.tensors.values():
        if not isinstance(tensor, Value) or not isinstance(tensor.source, Stream):
            continue
        chain, stream = [], tensor.source
        while stream is not None:
            chain.append(stream)
            stream = stream.previous
        longest = max(longest, chain[::-1], key=len)
    return longest


def _final_norm(walk: Walk, stream: Stream) -> tuple[str, Value]:
    """The layer norm of the last stream with its weight and bias, and the name of its tensor."""
    graph, norms = walk.graph, {}
    for name, tensor in walk.tensors.items():
        if isinstance(tensor, Value) and isinstance(tensor.source, Normalised) and tensor.source.of is stream:
            norms.setdefault(tensor.source, name)
    if len(norms) != 1:
        found = f"{len(norms)} layer norms" if norms else "no layer norm"
        raise _wrong(graph, stream.node, f"{found} of the last residual stream; expected one, the final norm")
    name = next(iter(norms.values()))
    for operators in (("Mul",), ("Add",)):
        readers = [node for node in graph.nodes if name in node.inputs]
        if (
            len(readers) == 1
            and readers[0].operator in operators
            and isinstance(walk.tensors[readers[0].outputs[0]], Value)
        ):
            name = readers[0].outputs[0]
    return name, walk.tensors[name]


def _require_nothing_after(walk: Walk, norm: str) -> None:
    """UserError unless every node is needed for the final norm, or only passes it on."""
    graph, producers = walk.graph, {}
    for node in graph.nodes:
        producers |= dict.fromkeys(node.outputs, node)
    needed, names = set(), [norm]
    while names:
        node = producers.get(names.pop())
        if node is not None and id(node) not in needed:
            needed.add(id(node))
            names += node.inputs
    others = [node for node in graph.nodes if id(node) not in needed]
    if others:
        more = f" and {len(others) - 1} more nodes" if len(others) > 1 else ""
        raise UserError(
            f"{graph.path}: {others[0]}{more} follow the final norm ({norm}): a head that the accelerator does not run;"
            " leave it out with --backbone-only"
        )


def _block(graph: Graph, before: Stream, between: Stream, after: Stream) -> Block:
    """The block whose attention is added to `before` and whose MLP is added to `between`."""
    projection, down = between.update.source, after.update.source
    attended, gelu = projection.read.source, down.read.source
    if not isinstance(attended, Attended):
        raise _wrong(graph, projection.node, f"it reads {attended.kind}; expected the result of attention")
    if not isinstance(gelu, Gelu):
        raise _wrong(graph, down.node, f"it reads {gelu.kind}; expected GELU of an MLP's first layer")
    scores = attended.probabilities.scores
    parts = {"query": scores.query, "key": scores.key, "value": attended.value}
    norm1, norm2 = parts["query"].source.read, gelu.of.source.read
    for reader, norm, stream in (
        *((part.source, norm1, before) for part in parts.values()),
        (gelu.of.source, norm2, between),
    ):
        read = reader.read
        if not isinstance(read.source, Normalised) or read.source.of is not stream:
            raise _wrong(
                graph, reader.node, f"it reads {read}; expected a layer norm of the block's own residual stream"
            )
        if not (np.array_equal(read.scale, norm.scale) and np.array_equal(read.offset, norm.offset)):
            raise _wrong(graph, reader.node, "its layer norm has another weight than the query's; expected one norm")
        if (reader.row_of != np.arange(stream.rows)).any():
            raise _wrong(graph, reader.node, "it reads some tokens, or rearranged ones; expected every token in order")
    heads = {name: _of_heads(part) for name, part in parts.items()}
    query_scale, query = _without_factor(heads["query"])
    key_scale, key = _without_factor(heads["key"])
    factor = query_scale * key_scale * attended.probabilities.factor * math.sqrt(parts["query"].shape[2])
    if abs(factor - 1) > _ROUNDING:
        query = Layer(query.weight * factor, query.bias * factor, query.value)
    if parts["query"].shape != parts["value"].shape:
        raise _wrong(
            graph,
            attended.node,
            f"its heads have {parts['query'].shape[2]} channels of keys and"
            f" {parts['value'].shape[2]} of values; expected equally many",
        )
    return Block(
        norm1=norm1,
        query=query,
        key=key,
        value=heads["value"],
        projection=_reading(between.update),
        norm2=norm2,
        up=_with_factors(gelu.of),
        down=_reading(after.update),
    )


def _with_factors(value: Value) -> Layer:
    """The linear layer that gives the tensor, its scale and offset included."""
    layer = value.source
    return Layer(layer.weight * value.scale[:, None], layer.bias * value.scale + value.offset, value)


def _of_heads(value: Value) -> Layer:
    """The linear layer that gives [heads, tokens, channels of a head], its outputs in this order."""
    layer, order = _with_factors(value), value.columns[:, 0].ravel()
    return Layer(layer.weight[order], layer.bias[order], value)


def _without_factor(layer: Layer) -> tuple[float, Layer]:
    """The one factor that the graph multiplies the layer's result by, and the layer without it; 1 if channels differ."""
    value = layer.value
    used = value.scale[value.columns[:, 0].ravel()]
    factor = float(used[0])
    if (used != factor).any() or factor == 0:
        return 1.0, layer
    return factor, Layer(layer.weight / factor, layer.bias / factor, value)


def _reading(value: Value) -> Layer:
    """The linear layer that gives an update, with the scale and offset of what it reads multiplied into it."""
    layer, read = _with_factors(value), value.source.read
    return Layer(layer.weight * read.scale, layer.bias + layer.weight @ read.offset, value)


def _embedded(graph: Graph, stream: Stream) -> tuple[Patches, np.ndarray, np.ndarray]:
    """The patch embedding, the prefix tokens with their positions, and the patches' positions."""
    embedding = stream.embedding
    patches, index, constant = embedding.patches, embedding.index, embedding.constant
    prefix = stream.rows - patches.rows
    wanted = np.full(index.shape, -1)
    wanted[max(prefix, 0) :] = np.arange(patches.rows * patches.channels).reshape(-1, patches.channels)[: stream.rows]
    if prefix < 0 or not np.array_equal(index, wanted):
        raise _wrong(graph, patches.node, "its patches do not follow the prefix tokens row by row; expected them to")
    return patches, constant[:prefix], constant[prefix:]
