"""Lowers multi-head attention: the weight memory holds keys and values of all tokens, and the keys stream past rows of queries.

Reordered attention: a tile of query rows stays in the array's operand buffer while all keys pass. The scores of the next heads are
computed before the softmax-weighted sum of the current one, so that softmax runs in parallel with the array.

Lanes take turns: keys, values, queries and scores of one are in the memories at a time.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product

from moesaic.hls.compiler.activations import Matrix
from moesaic.hls.compiler.arena import Span, round_up
from moesaic.hls.compiler.emitter import LinearPart
from moesaic.hls.compiler.lanes import Lane
from moesaic.hls.compiler.prefetch import Block, Spans, Step
from moesaic.hls.compiler.program_plan import ProgramPlan
from moesaic.hls.compiler.row_chunks import AFTER, BEFORE, Chunk, row_chunks
from moesaic.hls.compiler.weight_layout import linear_depth, parameter_bytes
from moesaic.spec.isa import Destination


@dataclass(frozen=True)
class _ScoreBlock:
    """Scores of one head for query rows [first, first + count), and the attention weights that softmax makes from them.

    row_base: index of the first of their row statistics.
    """

    head: int
    first: int
    count: int
    scores: Matrix
    weights: Matrix
    row_base: int

    @property
    def statistics(self) -> Span:
        return Span("rows", self.row_base, self.row_base + self.count)


class Attention:
    """The attention of transformer block i, from norm1 to the residual streams after its projection.

    then: what follows the projection of a lane, once the array has the next lane's queries, keys and values to work on.
    """

    def __init__(
        self, plan: ProgramPlan, i: int, lanes: tuple[Lane, ...], then: Callable[[Lane], Iterator[Step]] | None = None
    ) -> None:
        a, c = plan.architecture, plan.configuration
        self._plan, self._block, self._lanes, self._then = plan, f"blocks.{i}", lanes, then
        self._width = a.heads * plan.head_pitch
        self._keys = Block(f"{self._block}.keys", round_up(a.tokens, c.tile_columns) * self._width)
        self._values = Block(f"{self._block}.values", round_up(a.tokens, c.tile_depth) * self._width)
        self._scale = Block(f"{self._block}.scores", parameter_bytes(c), f"{self._block}.scores")
        self._norm1, self._norm2 = plan.norm(f"{self._block}.norm1"), plan.norm(f"{self._block}.norm2")
        self._query, self._key, self._value, self._projection = (
            plan.whole_part(f"{self._block}.{part}") for part in ("query", "key", "value", "projection")
        )
        self._keys_pitch = self._width * c.tile_columns
        self._values_pitch = round_up(a.tokens, c.tile_depth) * c.tile_columns

    def steps(self) -> Iterator[Step]:
        """For each lane keys and values of all its tokens, then attention and projection for each slice of query rows."""
        plan = self._plan
        query, key, value, projection = (
            plan.block(part) for part in (self._query, self._key, self._value, self._projection)
        )
        for n, lane in enumerate(self._lanes):
            slices = [(lane.first + first, count) for first, count in plan.slices]
            if plan.whole:
                begin, end = partial(self._queries_and_values, n), partial(self._all_keys, n)
                # The first lane is normalised beside its queries, each other one beside the keys of the one before it.
                ours, following = (
                    (self._norm1,) if condition else () for condition in (n == 0, n + 1 < len(self._lanes))
                )
                yield Step(f"{self._block}.norm1", (*ours, query, value, self._values), begin)
                yield Step(f"{self._block}.key", (*following, key, self._keys), end)
            else:
                for m in range(len(slices)):
                    needed = (self._norm1, key, self._keys, value, self._values)
                    yield Step(f"{self._block}.key", needed, partial(self._keys_and_values_of_slice, lane, slices, m))
            if self._then and n > 0:
                yield from self._then(self._lanes[n - 1])
            for m in range(len(slices)):
                needed = (self._keys, self._values, self._scale, *(() if plan.whole else (self._norm1, query)))
                yield Step(f"{self._block}.attention", needed, partial(self._attend, lane, slices, m))
                norm = self._norm2 if plan.whole else self._norm1
                yield Step(f"{self._block}.projection", (projection, norm), partial(self._project, lane, slices, m))
        if self._then:
            yield from self._then(self._lanes[-1])

    # --- queries, keys, values ------------------------------------------------------------------------------------

    def _queries_and_values(self, n: int, spans: Spans) -> None:
        """Queries and values of a lane; of the first one also norm1, in chunks, so that the array need not wait for the whole norm."""
        plan, c, lane = self._plan, self._plan.configuration, self._lanes[n]
        self._queries = plan.act.place("the queries", lane.tokens, self._width, "int8").holding(lane.first)
        quantum = math.lcm(c.tile_rows, c.tile_depth)
        for first, count in row_chunks(*lane.rows, quantum, BEFORE) if n == 0 else [lane.rows]:
            if n == 0:
                self._normalise(lane, (first, count), plan.normed, spans)
            plan.emitter.linear(self._query, spans[self._query.block], plan.normed, first, self._queries, first, count)
            self._compute_values(lane, plan.normed, first, count, spans)
        plan.observe_heads(f"{self._block}.query", self._queries, *lane.rows, lane)

    def _all_keys(self, n: int, spans: Spans) -> None:
        """Keys of a lane; the next one is normalised meanwhile."""
        for following in self._lanes[n + 1 : n + 2]:
            self._normalise(following, following.rows, self._plan.normed, spans)
        self._compute_keys(self._lanes[n], self._plan.normed, *self._lanes[n].rows, spans)

    def _keys_and_values_of_slice(self, lane: Lane, slices: list[Chunk], n: int, spans: Spans) -> None:
        """norm1, keys and values of one slice of tokens; the next slice is normalised meanwhile."""
        plan = self._plan
        first, count = slices[n]
        if n == 0:
            most = max(size for _, size in slices)
            self._buffers = [
                plan.act.place("the normalised tokens", most, plan.architecture.width, "int8") for _ in range(2)
            ]
            self._normalise(lane, slices[0], self._normed(slices, 0), spans)
        if n + 1 < len(slices):
            self._normalise(lane, slices[n + 1], self._normed(slices, n + 1), spans)
        self._compute_keys(lane, self._normed(slices, n), first, count, spans)
        self._compute_values(lane, self._normed(slices, n), first, count, spans)

    def _normed(self, slices: list[Chunk], n: int) -> Matrix:
        return self._buffers[n % 2].holding(slices[n][0])

    def _normalise(self, lane: Lane, rows: Chunk, target: Matrix, spans: Spans) -> None:
        self._plan.layer_norm(self._norm1.name, spans, target, *rows, (lane,))

    def _compute_keys(self, lane: Lane, source: Matrix, first: int, count: int, spans: Spans) -> None:
        offset = (first - lane.first) // self._plan.configuration.tile_columns * self._keys_pitch
        self._into_weight(
            self._key, self._keys, Destination.KEYS, offset, self._keys_pitch, source, first, count, spans
        )

    def _compute_values(self, lane: Lane, source: Matrix, first: int, count: int, spans: Spans) -> None:
        c = self._plan.configuration
        offset = (first - lane.first) // c.tile_depth * c.weight_word_bytes
        pitch = self._values_pitch
        self._into_weight(self._value, self._values, Destination.VALUES, offset, pitch, source, first, count, spans)

    def _into_weight(
        self, part: LinearPart, target: Block, destination: Destination, offset: int, pitch: int, source: Matrix, first: int,
        count: int, spans: Spans,
    ) -> None:  # fmt: skip
        self._plan.emitter.linear_to_weights(
            part, spans[part.block], source, first, count, destination, spans[target.name], offset, pitch
        )

    # --- heads ----------------------------------------------------------------------------------------------------

    def _attend(self, lane: Lane, slices: list[Chunk], n: int, spans: Spans) -> None:
        """The attention result of one slice of query rows."""
        plan, e = self._plan, self._plan.emitter
        first, count = slices[n]
        if not plan.whole:
            if n == 0:
                self._normalise(lane, slices[0], self._normed(slices, 0), spans)
                self._queries = plan.act.place("the queries", slices[0][1], self._width, "int8")
            self._queries = self._queries.holding(first)
            source = self._normed(slices, n)
            e.linear(self._query, spans[self._query.block], source, first, self._queries, first, count)
            plan.observe_heads(f"{self._block}.query", self._queries, first, count, lane)
        self._attended = plan.act.place("the attention result", count, self._width, "int8").holding(first)
        self._heads(lane, first, count, spans)
        plan.observe_heads(f"{self._block}.attention", self._attended, first, count, lane)

    def _heads(self, lane: Lane, start: int, rows: int, spans: Spans) -> None:
        """Scores, softmax and weighted sum for every head and block of query rows, with several blocks in flight."""
        plan, a, c, act = self._plan, self._plan.architecture, self._plan.configuration, self._plan.act
        flights, per_row = plan.flights, plan.score_bytes()
        limit = min(c.row_entries // flights // 2 * 2, plan.schedule.query_rows or rows)
        blocks = plan.blocks_of(rows, flights * per_row, c.tile_rows, "a row of attention scores", limit)
        most = max(count for _, count in blocks)
        scores = [act.place("attention scores", most, a.tokens, "int16", spread=True) for _ in range(flights)]
        weights = [act.place("attention weights", most, a.tokens, "int8", spread=True) for _ in range(flights)]
        entries = round_up(most, 2)
        waiting: deque[_ScoreBlock] = deque()
        for n, (head, (first, count)) in enumerate(product(range(a.heads), blocks)):
            row, which = start + first, n % flights
            s, p = scores[which].holding(row), weights[which].holding(row)
            waiting.append(_ScoreBlock(head, row, count, s, p, which * entries))
            self._compute_scores(lane, waiting[-1], spans)
            if len(waiting) == flights:
                self._compute_context(waiting.popleft(), spans)
        for block in waiting:
            self._compute_context(block, spans)
        act.free(scores + weights)

    def _compute_scores(self, lane: Lane, block: _ScoreBlock, spans: Spans) -> None:
        """Q.K^T and its softmax."""
        plan, a, c, e = self._plan, self._plan.architecture, self._plan.configuration, self._plan.emitter
        keys, scale = spans[self._keys.name], spans[self._scale.name]
        queries, s, column = self._queries, block.scores, block.head * plan.head_pitch
        e.matmul(
            self._scale.name, reads=(queries.rows(block.first, block.count), keys, scale),
            writes=(s.rows(block.first, block.count), block.statistics), destination=Destination.INT16,
            rows=block.count, columns=a.tokens, depth=plan.head_pitch, track_max=1, row_base=block.row_base,
            a_address=queries.address(block.first) + column, a_pitch=queries.pitch,
            b_address=keys.start + column * c.tile_columns, b_stride=self._keys_pitch,
            param_address=scale.start, param_stride=0, d_address=s.address(block.first), d_pitch=s.pitch,
        )  # fmt: skip
        shape, row = (a.heads, a.tokens, a.tokens), block.head * a.tokens + block.first - lane.first
        e.observe(lane.members, self._scale.name, s, block.first, block.count, shape, row)
        for _ in range(plan.schedule.softmax_sweeps):
            e.softmax(f"{self._block}.softmax", s, block.weights, block.first, block.count, block.row_base)
        e.observe(lane.members, f"{self._block}.probabilities", block.weights, block.first, block.count, shape, row)

    def _compute_context(self, block: _ScoreBlock, spans: Spans) -> None:
        """The attention result: P.V divided by the softmax sums."""
        plan, a, c, attended = self._plan, self._plan.architecture, self._plan.configuration, self._attended
        values, p, column = spans[self._values.name], block.weights, block.head * plan.head_pitch
        plan.emitter.matmul(
            f"{self._block}.context", reads=(p.rows(block.first, block.count), values, block.statistics),
            writes=(attended.rows(block.first, block.count),), destination=Destination.INT8,
            rows=block.count, columns=plan.head_pitch, depth=linear_depth(c, a.tokens), row_scale=1, row_base=block.row_base,
            output_shift=int(plan.target.bundle.tensors[f"{self._block}.attention_shift"]),
            a_address=p.address(block.first), a_pitch=p.pitch,
            b_address=values.start + column // c.tile_columns * self._values_pitch, b_stride=self._values_pitch,
            d_address=attended.address(block.first) + column, d_pitch=attended.pitch,
        )  # fmt: skip

    # --- projection -----------------------------------------------------------------------------------------------

    def _project(self, lane: Lane, slices: list[Chunk], n: int, spans: Spans) -> None:
        """Project one slice into the residual stream, and meanwhile normalise the rows for which that is possible."""
        plan, e = self._plan, self._plan.emitter
        first, count = slices[n]
        last = n == len(slices) - 1
        if not plan.whole and not last:
            self._normalise(lane, slices[n + 1], self._normed(slices, n + 1), spans)
        chunks = row_chunks(first, count, plan.configuration.tile_rows, AFTER if plan.whole else (1,))
        for start, size in chunks:
            block = spans[self._projection.block]
            e.linear(self._projection, block, self._attended, start, plan.residual, start, size, residual=True)
            if plan.whole:
                plan.layer_norm(self._norm2.name, spans, plan.normed, start, size, (lane,))
        plan.observe_residual(self._projection.name, first, count, (lane,))
        plan.act.free([self._attended])
        if last:
            plan.act.free([self._queries] if plan.whole else [self._queries, *self._buffers])
