"""A plain vision transformer found in a graph: from the patch embedding along the residual stream to the final norm or a classifier."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from moesaic.errors import UserError
from moesaic.model.importing.onnx_graphs.classifier_structure import FoundClassifier, read_classifier
from moesaic.model.importing.onnx_graphs.graph_file import Graph, Node
from moesaic.model.importing.onnx_graphs.operators import apply
from moesaic.model.importing.onnx_graphs.values import (
    Attended,
    ClassProbabilities,
    Embedded,
    Embedding,
    Gelu,
    Image,
    Integers,
    Linear,
    Normalised,
    Patches,
    Pooled,
    Refusal,
    Source,
    Stream,
    Summed,
    Unknown,
    Updated,
    Value,
    whole,
)

_ROUNDING = 1e-5


@dataclass(frozen=True)
class Layer:
    """A linear layer as the network needs it: weight [outputs, inputs] and bias [outputs], and the tensor that it gives."""

    weight: np.ndarray
    bias: np.ndarray
    value: Value[Linear]


@dataclass(frozen=True)
class Block:
    """A block: norms with weight and bias per channel, query, key, value, projection, and the MLP's two layers.

    The scores are query times key / sqrt(channels of a head).
    """

    norm1: Value[Normalised]
    query: Layer
    key: Layer
    value: Layer
    projection: Layer
    norm2: Value[Normalised]
    up: Layer
    down: Layer


@dataclass(frozen=True)
class VisionTransformer:
    """What a graph computes.

    prefix: the prefix tokens with their positions, float64 [prefix tokens, channels]. position: of the patches, [rows * columns,
    channels]. streams: the residual stream before the first block and after each update. norm: the final norm's tensor, called
    norm_name in the graph: of every token or, if the classifier's pooling says so, of the mean of the patches. epsilon: of every layer
    norm. classifier: what follows the final norm, if it is one.
    """

    patches: Patches
    prefix: np.ndarray
    position: np.ndarray
    blocks: tuple[Block, ...]
    streams: tuple[Stream, ...]
    norm: Value[Normalised]
    norm_name: str
    heads: int
    epsilon: float
    classifier: FoundClassifier | None = None


class Walk:
    """The tensors of a graph, as far as a plain vision transformer explains them, each by its name."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.tensors: dict[str, Value | Embedding | Integers | np.ndarray | Unknown] = {graph.image: _image(graph)}
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
    """The vision transformer in a graph, with its classifier. backbone_only: leave out what comes after the final norm.

    UserError names the first node that is no part of one: what was found there, and what was expected.
    """
    walk = Walk(graph)
    if walk.broken is not None:
        raise _refusal(graph, walk.broken)
    first, updates = _residual_stream(walk)
    if len(updates) < 2 or len(updates) % 2:
        last = updates[-1].node if updates else first.node
        raise _refusal(graph, walk.first_refused(last) or Unknown(last, "no attention and MLP follow; expected both"))
    name, norm = _final_norm(walk, updates[-1])
    blocks = tuple(_block(graph, *updates[i : i + 2]) for i in range(0, len(updates), 2))
    epsilons = {value.source.epsilon for block in blocks for value in (block.norm1, block.norm2)} | {
        norm.source.epsilon
    }
    if len(epsilons) > 1:
        raise UserError(f"{graph.path}: its layer norms have epsilons {sorted(epsilons)}; expected one for all of them")
    patches, prefix, position = _embedded(graph, first)
    classifier = None
    if not backbone_only:
        logits, classifier = _find_classifier(walk, updates[-1], norm, len(prefix))
        _require_nothing_after(walk, name, logits)
    return VisionTransformer(
        patches=patches,
        prefix=prefix,
        position=position,
        blocks=blocks,
        streams=(first, *updates),
        norm=norm,
        norm_name=name,
        heads=len(blocks[0].query.value.index),
        epsilon=epsilons.pop(),
        classifier=classifier,
    )


def _refusal(graph: Graph, unknown: Unknown) -> UserError:
    return _wrong(graph, unknown.node, unknown.reason)


def _wrong(graph: Graph, node: Node | None, reason: str) -> UserError:
    return UserError(f"{graph.path}: {node}: {reason}")


def _residual_stream(walk: Walk) -> tuple[Embedded, list[Updated]]:
    """The embedded tokens, and the residual stream after each update; UserError if the graph has none."""
    longest: list[Updated] = []
    first = None
    for tensor in walk.tensors.values():
        stream, chain = tensor.source if isinstance(tensor, Value) else None, []
        while isinstance(stream, Updated):
            chain.append(stream)
            stream = stream.previous
        if isinstance(stream, Embedded) and (first is None or len(chain) > len(longest)):
            first, longest = stream, chain[::-1]
    if first is None:
        refused = walk.first_refused()
        if refused is not None:
            raise _refusal(walk.graph, refused)
        raise UserError(f"{walk.graph.path}: it has no patch embedding and blocks: choose a vision transformer")
    return first, longest


def _final_norm(walk: Walk, stream: Stream) -> tuple[str, Value[Normalised]]:
    """The layer norm of the last stream, or of the mean of its tokens, with its weight and bias, and the name of its tensor."""
    norms: dict[str, Value[Normalised]] = {}
    for name, tensor in walk.tensors.items():
        source = tensor.source if isinstance(tensor, Value) else None
        if isinstance(tensor, Value) and isinstance(source, Normalised) and _takes(source.of, stream):
            norms[name] = Value(source, tensor.index, tensor.scale, tensor.offset)
    if len({norm.source for norm in norms.values()}) != 1:
        found = "several layer norms" if norms else "no layer norm"
        raise _wrong(walk.graph, stream.node, f"{found} of the last residual stream; expected one, the final norm")
    name = next(iter(norms))
    for operator in ("Mul", "Add"):  # a layer norm in parts ends with its weight and bias
        readers = [node for node in walk.graph.nodes if name in node.inputs]
        if len(readers) == 1 and readers[0].operator == operator and readers[0].outputs[0] in norms:
            name = readers[0].outputs[0]
    return name, norms[name]


def _takes(source: Source, stream: Stream) -> bool:
    """Whether a norm's operand is the stream itself or a mean of its tokens."""
    return source is stream or (isinstance(source, Pooled) and source.of is stream)


def _find_classifier(
    walk: Walk, stream: Stream, norm: Value[Normalised], prefix: int
) -> tuple[tuple[str, ...], FoundClassifier | None]:
    """The classifier among the graph's outputs, and the outputs that are its logits, probabilities or parts; otherwise none and None.

    UserError, with the node, for what only begins like a classifier.
    """
    outputs = {
        name: logits for name in walk.graph.outputs if (logits := _logits_of(walk.tensors.get(name))) is not None
    }
    parts = [
        part.source for logits in outputs.values() if isinstance(logits.source, Summed) for part in logits.source.parts
    ]
    wholes = {logits.source: logits for logits in outputs.values() if logits.source not in parts}
    if not wholes:
        return (), None
    source, logits = next(iter(wholes.items()))
    try:
        found = read_classifier(logits, stream, norm, prefix)
    except Refusal as refusal:
        raise UserError(f"{walk.graph.path}: {source.node}: {refusal}; leave it out with --backbone-only") from None
    own = (source, *(part.source for part in source.parts)) if isinstance(source, Summed) else (source,)
    return tuple(name for name, logits in outputs.items() if logits.source in own), found


def _logits_of(tensor: object) -> Value | None:
    """The logits that a tensor is or makes probabilities of; None for anything else."""
    if isinstance(tensor, Value) and isinstance(tensor.source, ClassProbabilities):
        return tensor.source.logits
    return tensor if isinstance(tensor, Value) and isinstance(tensor.source, Linear | Summed) else None


def _require_nothing_after(walk: Walk, norm: str, logits: tuple[str, ...]) -> None:
    """UserError unless every node is needed for the final norm or the logits, or only passes the norm on."""
    graph, producers = walk.graph, {}
    for node in graph.nodes:
        producers |= dict.fromkeys(node.outputs, node)
    needed, names = set(), [norm, *logits]
    while names:
        node = producers.get(names.pop())
        if node is not None and node not in needed:
            needed.add(node)
            names += node.inputs
    others = [node for node in graph.nodes if node not in needed and not _passes_on(walk, node, walk.tensors[norm])]
    if others:
        refused = next((unknown for node in others if (unknown := _refused_at(walk, node)) is not None), None)
        found = f"{refused.node}: {refused.reason}; it" if refused else f"{others[0]}"
        more = f" and {len(others) - 1} more nodes" if len(others) > 1 else ""
        raise UserError(
            f"{graph.path}: {found}{more} follow the final norm ({norm}): a head that the accelerator does not run;"
            " leave it out with --backbone-only"
        )


def _refused_at(walk: Walk, node: Node) -> Unknown | None:
    """What is wrong with a node, if it was refused itself and not for what it reads."""
    found = (walk.tensors.get(name) for name in node.outputs)
    return next((value for value in found if isinstance(value, Unknown) and value.node is node), None)


def _passes_on(walk: Walk, node: Node, tensor: object) -> bool:
    """Whether a node's result is the whole tensor again, reshaped or quantised."""
    for name in filter(None, node.outputs):
        result = walk.tensors[name]
        result = result.tensor if isinstance(result, Integers) else result
        if not (isinstance(tensor, Value) and isinstance(result, Value) and result.source is tensor.source):
            return False
        if not (
            result.is_whole
            and np.array_equal(result.scale, tensor.scale)
            and np.array_equal(result.offset, tensor.offset)
        ):
            return False
    return True


def _block(graph: Graph, attention: Updated, mlp: Updated) -> Block:
    """The block whose attention and MLP give these updates."""
    projection, down = attention.update.source, mlp.update.source
    attended, gelu = projection.read.source, down.read.source
    if not isinstance(attended, Attended):
        raise _wrong(graph, projection.node, f"it reads {attended.kind}; expected the result of attention")
    if not isinstance(gelu, Gelu):
        raise _wrong(graph, down.node, f"it reads {gelu.kind}; expected GELU of an MLP's first layer")
    scores = attended.probabilities.scores
    query, key, value = scores.query, scores.key, attended.value
    norm1 = _norm_of(graph, query.source, attention.previous)
    for part in (key, value):
        norm = _norm_of(graph, part.source, attention.previous)
        if not (np.array_equal(norm.scale, norm1.scale) and np.array_equal(norm.offset, norm1.offset)):
            raise _wrong(
                graph, part.source.node, "its layer norm has another weight than the query's; expected one norm"
            )
    if query.shape != value.shape:
        sizes = f"{query.shape[2]} channels of keys and {value.shape[2]} of values"
        raise _wrong(graph, attended.node, f"its heads have {sizes}; expected equally many")
    (query_factor, query), (key_factor, key) = _without_factor(query), _without_factor(key)
    factor = query_factor * key_factor * attended.probabilities.factor * math.sqrt(query.shape[2])
    if abs(factor - 1) > _ROUNDING:
        query = query.with_channels(np.full(1, factor), np.zeros(1))
    return Block(
        norm1=norm1,
        query=_of_heads(query),
        key=_of_heads(key),
        value=_of_heads(value),
        projection=_reading(attention.update),
        norm2=_norm_of(graph, gelu.of.source, mlp.previous),
        up=_with_factors(gelu.of),
        down=_reading(mlp.update),
    )


def _norm_of(graph: Graph, layer: Linear, stream: Stream) -> Value[Normalised]:
    """The layer norm that a linear layer reads, which is to be of every token of the stream."""
    read, norm = layer.read, layer.read.source
    if not isinstance(norm, Normalised) or norm.of is not stream:
        raise _wrong(graph, layer.node, f"it reads {read}; expected a layer norm of the block's own residual stream")
    if not np.array_equal(layer.row_of, np.arange(stream.rows)):
        raise _wrong(graph, layer.node, "it reads some tokens, or rearranged ones; expected every token in order")
    return Value(norm, read.index, read.scale, read.offset)


def _with_factors(value: Value[Linear]) -> Layer:
    """The linear layer that gives the tensor, its scale and offset included."""
    layer = value.source
    return Layer(layer.weight * value.scale[:, None], layer.bias * value.scale + value.offset, value)


def _of_heads(value: Value[Linear]) -> Layer:
    """The linear layer that gives [heads, tokens, channels of a head], its outputs in this order."""
    layer, order = _with_factors(value), value.columns[:, 0].ravel()
    return Layer(layer.weight[order], layer.bias[order], value)


def _without_factor(value: Value[Linear]) -> tuple[float, Value[Linear]]:
    """The one factor that the graph multiplies a layer's result by, and the tensor without it; 1 if channels differ."""
    used = value.scale[value.columns[:, 0].ravel()]
    factor = float(used[0])
    if (used != factor).any() or factor == 0:
        return 1.0, value
    return factor, value.with_channels(np.full(1, 1 / factor), np.zeros(1))


def _reading(value: Value[Linear]) -> Layer:
    """The linear layer that gives an update, with the scale and offset of what it reads multiplied into it."""
    layer, read = _with_factors(value), value.source.read
    return Layer(layer.weight * read.scale, layer.bias + layer.weight @ read.offset, value)


def _embedded(graph: Graph, stream: Embedded) -> tuple[Patches, np.ndarray, np.ndarray]:
    """The patch embedding, the prefix tokens with their positions, and the patches' positions."""
    embedding = stream.embedding
    patches, index, constant = embedding.patches, embedding.index, embedding.constant
    prefix = stream.rows - patches.rows
    wanted = np.full(index.shape, -1)
    wanted[max(prefix, 0) :] = np.arange(patches.rows * patches.channels).reshape(-1, patches.channels)[: stream.rows]
    if prefix < 0 or not np.array_equal(index, wanted):
        raise _wrong(graph, patches.node, "its patches do not follow the prefix tokens row by row; expected them to")
    return patches, constant[:prefix], constant[prefix:]
