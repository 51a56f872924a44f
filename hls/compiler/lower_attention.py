"""Lowers multi-head attention: keys and values of all tokens in the weight memory, queries in rows, keys streaming past them.

Reordered attention: a tile of query rows stays in the array's operand buffer while all keys pass. The scores of the next heads
are computed before the softmax-weighted sum of the current one, so that softmax runs beside the array.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

from moesaic.hls.compiler.arena import Span, round_up
from moesaic.hls.compiler.emitter import LinearPart, Rows
from moesaic.hls.compiler.prefetch import Block, Spans, Step
from moesaic.hls.compiler.task_plan import AFTER, BEFORE, TaskPlan
from moesaic.hls.compiler.weight_layout import linear_depth
from moesaic.spec.isa import Destination


class Attention:
    """The attention of transformer block i, from norm1 to the residual stream after its projection."""

    def __init__(self, plan: TaskPlan, i: int) -> None:
        a, c = plan.architecture, plan.configuration
        self.plan, self.name = plan, f"blocks.{i}"
        self.width = a.heads * plan.head_pitch
        self.keys = Block(f"{self.name}.keys", round_up(a.tokens, c.tile_columns) * self.width)
        self.values = Block(f"{self.name}.values", round_up(a.tokens, c.tile_depth) * self.width)
        self.scores = Block(f"{self.name}.scores", 8 * c.tile_columns, f"{self.name}.scores")
        self.norm1, self.norm2 = plan.norm(f"{self.name}.norm1"), plan.norm(f"{self.name}.norm2")
        self.query, self.key, self.value, self.projection = (
            plan.whole_part(f"{self.name}.{part}") for part in ("query", "key", "value", "projection")
        )
        self.keys_pitch = self.width * c.tile_columns
        self.values_pitch = round_up(a.tokens, c.tile_depth) * c.tile_columns

    def steps(self) -> Iterator[Step]:
        """Keys and values of all tokens, then slice by slice of query rows attention and projection."""
        plan = self.plan
        query, key, value, projection = (
            plan.block(part) for part in (self.query, self.key, self.value, self.projection)
        )
        if plan.whole:
            yield Step(f"{self.name}.norm1", (self.norm1, query, value, self.values), self._queries_and_values)
            yield Step(f"{self.name}.key", (key, self.keys), self._all_keys)
        else:
            for n in range(len(plan.slices)):
                needed = (self.norm1, key, self.keys, value, self.values)
                yield Step(f"{self.name}.key", needed, partial(self._keys_and_values_of_slice, n))
        for n in range(len(plan.slices)):
            needed = (self.keys, self.values, self.scores, *(() if plan.whole else (self.norm1, query)))
            yield Step(f"{self.name}.attention", needed, partial(self._attend, n))
            norm = self.norm2 if plan.whole else self.norm1
            yield Step(f"{self.name}.projection", (projection, norm), partial(self._project, n))

    # --- queries, keys, values ------------------------------------------------------------------------------------

    def _queries_and_values(self, spans: Spans) -> None:
        """norm1, queries and values of all tokens, chunk by chunk, so that the array need not wait for the whole norm."""
        plan, a, c = self.plan, self.plan.architecture, self.plan.configuration
        self.queries = plan.emitter.rows("the queries", a.tokens, self.width, "int8")
        for first, count in plan.chunks(0, a.tokens, math.lcm(c.tile_rows, c.tile_depth), BEFORE):
            plan.layer_norm(self.norm1.name, spans, plan.normed, first, count)
            plan.emitter.linear(self.query, spans[self.query.block], plan.normed, first, self.queries, first, count)
            self._compute_values(plan.normed, first, count, spans)
        plan.observe_heads(f"{self.name}.query", self.queries, 0, a.tokens)

    def _all_keys(self, spans: Spans) -> None:
        self._compute_keys(self.plan.normed, 0, self.plan.architecture.tokens, spans)

    def _keys_and_values_of_slice(self, n: int, spans: Spans) -> None:
        """norm1, keys and values of one slice of tokens; the next slice is normalised meanwhile."""
        plan = self.plan
        first, count = plan.slices[n]
        if n == 0:
            most = max(size for _, size in plan.slices)
            self.normed = [
                plan.emitter.rows("the normalised tokens", most, plan.architecture.width, "int8") for _ in range(2)
            ]
            self._normalise(0, spans)
        if n + 1 < len(plan.slices):
            self._normalise(n + 1, spans)
        self._compute_keys(self._normed(n), first, count, spans)
        self._compute_values(self._normed(n), first, count, spans)

    def _normed(self, n: int) -> Rows:
        return self.normed[n % 2].holding(self.plan.slices[n][0])

    def _normalise(self, n: int, spans: Spans) -> None:
        self.plan.layer_norm(self.norm1.name, spans, self._normed(n), *self.plan.slices[n])

    def _compute_keys(self, source: Rows, first: int, count: int, spans: Spans) -> None:
        offset = first // self.plan.configuration.tile_columns * self.keys_pitch
        self._into_weight(self.key, self.keys, Destination.KEYS, offset, self.keys_pitch, source, first, count, spans)

    def _compute_values(self, source: Rows, first: int, count: int, spans: Spans) -> None:
        c = self.plan.configuration
        offset = first // c.tile_depth * c.weight_word_bytes
        pitch = self.values_pitch
        self._into_weight(self.value, self.values, Destination.VALUES, offset, pitch, source, first, count, spans)

    def _into_weight(
        self, part: LinearPart, target: Block, destination: Destination, offset: int, pitch: int, source: Rows, first: int,
        count: int, spans: Spans,
    ) -> None:  # fmt: skip
        e, weights, result = self.plan.emitter, spans[part.block], spans[target.name]
        e.matmul(
            part.name, reads=(source.part(first, count), weights), writes=(result,), **e.linear_fields(part, weights), rows=count,
            a_address=source.address(first), a_pitch=source.pitch, destination=int(destination), d_address=result.start + offset,
            d_pitch=pitch,
        )  # fmt: skip

    # --- heads ----------------------------------------------------------------------------------------------------

    def _attend(self, n: int, spans: Spans) -> None:
        """The attention result of one slice of query rows."""
        plan, e = self.plan, self.plan.emitter
        first, count = plan.slices[n]
        if not plan.whole:
            if n == 0:
                self._normalise(0, spans)
                self.queries = e.rows("the queries", plan.slices[0][1], self.width, "int8")
            self.queries = self.queries.holding(first)
            e.linear(self.query, spans[self.query.block], self._normed(n), first, self.queries, first, count)
            plan.observe_heads(f"{self.name}.query", self.queries, first, count)
        self.attended = e.rows("the attention result", count, self.width, "int8").holding(first)
        self._heads(first, count, spans)
        plan.observe_heads(f"{self.name}.attention", self.attended, first, count)

    def _heads(self, start: int, rows: int, spans: Spans) -> None:
        """Scores, softmax and weighted sum for every head and block of query rows, several blocks in flight."""
        plan, a, c, e = self.plan, self.plan.architecture, self.plan.configuration, self.plan.emitter
        flights, per_row = plan.flights, plan.score_bytes()
        limit = min(c.row_entries // flights // 2 * 2, plan.schedule.query_rows or rows)
        blocks = plan.blocks_of(rows, flights * per_row, c.tile_rows, "a row of attention scores", limit)
        most = max(count for _, count in blocks)
        scores = [e.rows("attention scores", most, a.tokens, "int16", spread=True) for _ in range(flights)]
        weights = [e.rows("attention weights", most, a.tokens, "int8", spread=True) for _ in range(flights)]
        entries = round_up(most, 2)
        waiting: list[tuple[int, int, int, Rows, int]] = []
        order = [(head, start + first, count) for head in range(a.heads) for first, count in blocks]
        for n, (head, first, count) in enumerate(order):
            s, p, base = scores[n % flights].holding(first), weights[n % flights].holding(first), n % flights * entries
            self._scores(head, first, count, s, p, base, spans)
            waiting.append((head, first, count, p, base))
            if len(waiting) == flights:
                self._context(*waiting.pop(0), spans)
        for context in waiting:
            self._context(*context, spans)
        e.free(scores + weights)

    def _scores(self, head: int, first: int, count: int, s: Rows, p: Rows, base: int, spans: Spans) -> None:
        """The scores of one head and block of rows, and their softmax. base: of the row statistics."""
        plan, a, c, e = self.plan, self.plan.architecture, self.plan.configuration, self.plan.emitter
        keys, parameters, statistics = spans[self.keys.name], spans[self.scores.name], Span("rows", base, base + count)
        e.matmul(
            self.scores.name, reads=(self.queries.part(first, count), keys, parameters), writes=(s.part(first, count), statistics),
            rows=count, columns=a.tokens, depth=plan.head_pitch, destination=int(Destination.INT16), track_max=1, row_base=base,
            a_address=self.queries.address(first) + head * plan.head_pitch, a_pitch=self.queries.pitch,
            b_address=keys.start + head * plan.head_pitch * c.tile_columns, b_stride=self.keys_pitch,
            param_address=parameters.start, param_stride=0, d_address=s.span.start, d_pitch=s.pitch,
        )  # fmt: skip
        shape, row = (a.heads, a.tokens, a.tokens), head * a.tokens + first
        e.observe_part(self.scores.name, s, first, count, shape, row)
        for _ in range(plan.schedule.softmax_sweeps):
            e.assembler.emit(
                "softmax", f"{self.name}.softmax", reads=(s.part(first, count), statistics),
                writes=(p.part(first, count), statistics), rows=count, columns=a.tokens, source_address=s.span.start,
                source_pitch=s.pitch, destination_address=p.span.start, destination_pitch=p.pitch, row_base=base,
            )  # fmt: skip
        e.observe_part(f"{self.name}.probabilities", p, first, count, shape, row)

    def _context(self, head: int, first: int, count: int, p: Rows, base: int, spans: Spans) -> None:
        """The attention result of one head and block of rows: P.V divided by the softmax sums."""
        plan, a, c, attended = self.plan, self.plan.architecture, self.plan.configuration, self.attended
        values = spans[self.values.name]
        plan.emitter.matmul(
            f"{self.name}.context", reads=(p.part(first, count), values, Span("rows", base, base + count)),
            writes=(attended.part(first, count),), rows=count, columns=plan.head_pitch, depth=linear_depth(c, a.tokens),
            destination=int(Destination.INT8), row_scale=1, row_base=base,
            output_shift=int(plan.bundle.tensors[f"{self.name}.attention_shift"]), a_address=p.span.start, a_pitch=p.pitch,
            b_address=values.start + head * plan.head_pitch // c.tile_columns * self.values_pitch, b_stride=self.values_pitch,
            d_address=attended.address(first) + head * plan.head_pitch, d_pitch=attended.pitch,
        )  # fmt: skip

    # --- projection -----------------------------------------------------------------------------------------------

    def _project(self, n: int, spans: Spans) -> None:
        """The projection of one slice into the residual stream; what can be normalised meanwhile is."""
        plan, a, e = self.plan, self.plan.architecture, self.plan.emitter
        first, count = plan.slices[n]
        last = n == len(plan.slices) - 1
        if not plan.whole and not last:
            self._normalise(n + 1, spans)
        chunks = plan.chunks(first, count, plan.configuration.tile_rows, AFTER if plan.whole else (1,))
        for start, size in chunks:
            block = spans[self.projection.block]
            e.linear(self.projection, block, self.attended, start, plan.residual, start, size, residual=True)
            if plan.whole:
                plan.layer_norm(self.norm2.name, spans, plan.normed, start, size)
        e.observe_part(self.projection.name, plan.residual, first, count, (a.tokens, a.width), first)
        e.free([self.attended])
        if last:
            e.free([self.queries] if plan.whole else [self.queries, *self.normed])
