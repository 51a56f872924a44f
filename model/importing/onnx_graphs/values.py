"""What a tensor of a graph holds: elements of a layer's result, each channel scaled and shifted, in any arrangement.

A layer's result is a matrix [rows, channels], a source. Reshape, Transpose, Split and their like only rearrange its elements, and a
tensor's `index` says which element stands where; so a reader need not know by which chain of them an exporter moves a head's channels
or a class token. Multiplying or adding a constant per channel only changes `scale` and `offset`. What is left are few kinds of layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

from moesaic.model.importing.onnx_graphs.graph_file import Node


class Refusal(Exception):
    """Why an operation is no part of a vision transformer that the machine runs."""


@dataclass(eq=False)
class Source:
    """A layer's result, [rows, channels]. node: the operation that computes it, None for the image. stored: as what integers."""

    node: Node | None
    rows: int
    channels: int
    stored: list[Stored] = field(default_factory=list, init=False)

    kind = "a result"


SourceT_co = TypeVar("SourceT_co", bound=Source, covariant=True)


@dataclass(eq=False)
class Image(Source):
    """The image: pixels by red, green and blue."""

    kind = "the image"


@dataclass(eq=False)
class Stream(Source):
    """Tokens by channels, where the blocks' updates are added up: the residual stream."""

    kind = "the residual stream"


@dataclass(eq=False)
class Embedded(Stream):
    """The residual stream before the first block."""

    embedding: Embedding


@dataclass(eq=False)
class Updated(Stream):
    """The residual stream `previous` plus an update."""

    previous: Stream
    update: Value[Linear]


@dataclass(eq=False)
class Linear(Source):
    """A linear layer of `read`: weight [channels, inputs] and bias [channels], row r of row `row_of[r]` of what it reads."""

    read: Value
    weight: np.ndarray
    bias: np.ndarray
    row_of: np.ndarray

    kind = "a linear layer"


@dataclass(eq=False)
class Centred(Source):
    """The stream minus its mean over channels."""

    of: Source

    kind = "the stream without its mean"


@dataclass(eq=False)
class Mean(Source):
    """The mean over channels, one for each row of `of`."""

    of: Source

    kind = "a mean over channels"


@dataclass(eq=False)
class Squared(Source):
    """The squares of `of`."""

    of: Source

    kind = "squares"


@dataclass(eq=False)
class Deviation(Source):
    """The standard deviation over channels, one for each row of `of`; with epsilon added to the variance.

    inverse: whether it is 1 divided by it.
    """

    of: Source
    epsilon: float
    inverse: bool = False

    kind = "a standard deviation over channels"


@dataclass(eq=False)
class Normalised(Source):
    """The result of a layer norm, before its weight and bias."""

    of: Source
    epsilon: float

    kind = "a layer norm"


@dataclass(eq=False)
class Pooled(Source):
    """The mean of rows `first` and on of `of`, channel by channel: one row."""

    of: Source
    first: int

    kind = "a mean of tokens"


@dataclass(eq=False)
class Joined(Source):
    """Rows of several layers side by side: one row."""

    parts: tuple[Value, ...]

    kind = "several vectors side by side"


@dataclass(eq=False)
class Summed(Source):
    """The sum of linear layers of one row each."""

    parts: tuple[Value[Linear], ...]

    kind = "a sum of linear layers"


@dataclass(eq=False)
class ClassProbabilities(Source):
    """Softmax of a classifier's logits."""

    logits: Value

    kind = "probabilities of classes"


@dataclass(eq=False)
class Error(Source):
    """The error function of a linear layer's result, a part of GELU."""

    of: Value[Linear]

    kind = "an error function"


@dataclass(eq=False)
class Gelu(Source):
    """GELU of a linear layer's result."""

    of: Value[Linear]

    kind = "a GELU"


@dataclass(eq=False)
class Scores(Source):
    """Products of queries and keys: rows are heads by queries, channels are keys.

    query, key: heads by tokens by channels of a head.
    """

    query: Value[Linear]
    key: Value[Linear]

    kind = "attention scores"


@dataclass(eq=False)
class Probabilities(Source):
    """Softmax of scores over keys. factor: what the products are multiplied by before."""

    scores: Scores
    factor: float

    kind = "attention probabilities"


@dataclass(eq=False)
class Attended(Source):
    """The result of attention, tokens by channels, each head's together. value: heads by tokens by channels of a head."""

    probabilities: Probabilities
    value: Value[Linear]

    kind = "a result of attention"


@dataclass(eq=False)
class Value(Generic[SourceT_co]):
    """A tensor: element e is scale * source[row, channel] + offset, where index[e] is row * channels + channel.

    index: int64, of the tensor's shape. scale, offset: float64 [channels].
    """

    source: SourceT_co
    index: np.ndarray
    scale: np.ndarray
    offset: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.index.shape

    @property
    def rows(self) -> np.ndarray:
        """Each element's row in the source."""
        return self.index // self.source.channels

    @property
    def columns(self) -> np.ndarray:
        """Each element's channel in the source."""
        return self.index % self.source.channels

    @property
    def is_plain(self) -> bool:
        """Whether no channel is scaled or shifted."""
        return bool((self.scale == 1).all() and not self.offset.any())

    @property
    def is_whole(self) -> bool:
        """Whether the tensor is the whole source in its own order, whatever dimensions of length 1 it has."""
        return self.index.size == self.source.rows * self.source.channels and bool(
            (self.index.ravel() == np.arange(self.index.size)).all()
        )

    def moved(self, arrange: Callable[[np.ndarray], np.ndarray]) -> Value[SourceT_co]:
        """The tensor with its elements arranged anew."""
        return Value(self.source, arrange(self.index), self.scale, self.offset)

    def with_channels(self, scale: np.ndarray, offset: np.ndarray) -> Value[SourceT_co]:
        """The tensor with `scale` times each channel, plus `offset`."""
        return Value(self.source, self.index, self.scale * scale, self.offset * scale + offset)

    def __str__(self) -> str:
        return self.source.kind


@dataclass(eq=False)
class Patches(Source):
    """The patch embedding: weight [channels, 3, height, width] and bias [channels], for a grid of rows and columns of patches.

    It is of pixels in 0..1, in which `normalised` says that the graph itself normalises them, or of normalised pixels.
    """

    weight: np.ndarray
    bias: np.ndarray
    grid: tuple[int, int]
    normalised: bool
    streams: list[Embedded] = field(default_factory=list)

    kind = "embedded patches"

    def stream_of(self, embedding: Embedding, tokens: int) -> Embedded:
        """The residual stream that begins with the embedded tokens [..., tokens, channels]: the same one for equal tokens."""
        shape = (tokens, self.channels)
        index, constant = embedding.index.reshape(shape), embedding.constant.reshape(shape)
        for stream in self.streams:
            known = stream.embedding
            if np.array_equal(known.index, index) and np.array_equal(known.constant, constant):
                return stream
        stream = Embedded(self.node, *shape, Embedding(self, index, constant))
        self.streams.append(stream)
        return stream


@dataclass(eq=False)
class Embedding:
    """Embedded patches, prefix tokens and positions before the first block: element e is patches[index[e]] + constant[e].

    index: of the tensor's shape; -1 where only the constant counts.
    """

    patches: Patches
    index: np.ndarray
    constant: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.index.shape

    def moved(self, arrange: Callable[[np.ndarray], np.ndarray]) -> Embedding:
        """The tensor with its elements arranged anew."""
        return Embedding(self.patches, arrange(self.index), arrange(self.constant))

    def __str__(self) -> str:
        return "embedded patches"


@dataclass(frozen=True)
class Stored:
    """How a quantised graph stores scale * source + offset: integers low to high, of which n stands for (n - zero) * step.

    All arrays are float64 [channels] of the source.
    """

    scale: np.ndarray
    offset: np.ndarray
    step: np.ndarray
    zero: np.ndarray
    low: int
    high: int


@dataclass(eq=False)
class Integers:
    """A tensor between QuantizeLinear and DequantizeLinear: `tensor` as integers low to high; step, zero: as in ONNX, of any shape."""

    tensor: Value | Embedding
    step: np.ndarray
    zero: np.ndarray
    low: int
    high: int

    @property
    def shape(self) -> tuple[int, ...]:
        return self.tensor.shape

    def moved(self, arrange: Callable[[np.ndarray], np.ndarray]) -> Integers:
        """The tensor with its elements arranged anew."""
        return Integers(self.tensor.moved(arrange), self.step, self.zero, self.low, self.high)


@dataclass(frozen=True)
class Unknown:
    """A tensor computed from a refused operation: the first such node, and the reason."""

    node: Node | None
    reason: str


def whole(source: SourceT_co, shape: tuple[int, ...]) -> Value[SourceT_co]:
    """The source as a tensor of this shape, row by row."""
    return Value(
        source,
        np.arange(source.rows * source.channels).reshape(shape),
        np.ones(source.channels),
        np.zeros(source.channels),
    )
