"""Lowers a head that normalises the mean of the patch tokens: a classification with the pooling "mean_before_norm"."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

from moesaic.hls.compiler.activations import Matrix
from moesaic.hls.compiler.emitter import LinearPart
from moesaic.hls.compiler.lanes import Lane
from moesaic.hls.compiler.pool_constants import HIGH, LOW, SAME, TABLE, TOKENS, padded_tokens
from moesaic.hls.compiler.prefetch import Block, Spans, Step
from moesaic.hls.compiler.program_plan import ProgramPlan
from moesaic.hls.compiler.target import Member
from moesaic.hls.compiler.weight_layout import linear_tile_bytes, parameter_bytes
from moesaic.spec.heads import final_norm, head_layers, pool
from moesaic.spec.isa import Destination, LoadDestination
from moesaic.spec.pathway_names import split_pathway_name


class PooledHead:
    """The mean of the patch tokens, its layer norm, the head's layer and the store of its one row.

    High and low bytes of the residual stream go to the weight memory, as values do in attention, and one row of
    moesaic.hls.compiler.pool_constants adds them up.
    """

    def __init__(self, plan: ProgramPlan, lane: Lane, member: Member) -> None:
        a, c, name = plan.architecture, plan.configuration, split_pathway_name(member.pathway)[0]
        task = plan.target.task(member)
        (layer,) = head_layers(a, name, task)
        self._lane, self._member = lane, member
        self._plan, self._tag, self._norm = plan, pool(name), plan.norm(final_norm(name, task))
        self._parts, self._rows = plan.parts(layer.name), padded_tokens(a, c)
        self._pitch = 2 * self._rows * c.tile_columns
        self._tiles = range(0, a.width, c.tile_columns)
        self._bytes = Block(f"{self._tag}.bytes", len(self._tiles) * self._pitch)
        self._scale = Block(self._tag, parameter_bytes(c), self._tag)
        self._high, self._low = (Block(block, linear_tile_bytes(c, 2 * c.tile_columns), block) for block in (HIGH, LOW))
        self._same, self._table = Block(SAME, linear_tile_bytes(c, c.tile_columns), SAME), plan.table(TABLE)

    def steps(self) -> Iterator[Step]:
        """The bytes, their mean with its norm, then the parts of the layer."""
        yield Step(self._tag, (self._high, self._low, self._same, self._table, self._bytes), self._split)
        yield Step(self._tag, (self._scale, self._bytes, self._norm), self._add_up)
        for n, part in enumerate(self._parts):
            yield Step(part.name, (self._plan.block(part),), partial(self._classify, n))

    def _split(self, spans: Spans) -> None:
        """Both bytes of every token, in blocks of rows."""
        plan, a, c = self._plan, self._plan.architecture, self._plan.configuration
        if plan.whole:
            blocks, low = [self._lane.rows], plan.normed
        else:
            multiple = math.lcm(c.tile_rows, c.tile_depth)
            blocks = plan.blocks_of(a.tokens, plan.act.pitch(a.width, "int8"), multiple, "a row of low bytes")
            blocks = [(self._lane.first + first, count) for first, count in blocks]
            low = plan.act.place("low bytes", max(count for _, count in blocks), a.width, "int8")
        for first, count in blocks:
            for column in self._tiles:
                self._split_tile(spans, low if plan.whole else low.holding(first), first, count, column)
        if not plan.whole:
            plan.act.free([low])

    def _split_tile(self, spans: Spans, low: Matrix, first: int, count: int, column: int) -> None:
        plan, c = self._plan, self._plan.configuration
        columns, target = min(c.tile_columns, plan.architecture.width - column), spans[self._bytes.name]
        offset = column // c.tile_columns * self._pitch + (first - self._lane.first) * c.tile_columns
        picked = LinearPart(self._tag, LOW, column, columns, 2 * c.tile_columns)
        plan.emitter.linear(
            picked, spans[LOW], plan.residual, first, low, first, count, table=spans[TABLE], source_byte=2 * column
        )
        for name, source, byte, inputs, rows in (
            (HIGH, plan.residual, 2 * column, 2 * c.tile_columns, 0),
            (SAME, low, column, c.tile_columns, self._rows),
        ):
            part = LinearPart(self._tag, name, column, columns, inputs)
            plan.emitter.linear_to_weights(
                part, spans[name], source, first, count, Destination.VALUES, target, offset + rows * c.tile_columns,
                self._pitch, source_byte=byte,
            )  # fmt: skip

    def _add_up(self, spans: Spans) -> None:
        """The mean and its layer norm."""
        plan, width, act = self._plan, self._plan.architecture.width, self._plan.act
        weights = act.place("the weights of the tokens", 1, 2 * self._rows, "int8")
        mean = act.place("the mean of the tokens", 1, width, "int16")
        self._normed = act.place("the normalised mean", 1, width, "int8")
        constants = plan.target.constants
        plan.emitter.load_constant(TOKENS, 0, constants.size[TOKENS], weights.span, LoadDestination.ACT)
        spread, scale = spans[self._bytes.name], spans[self._scale.name]
        plan.emitter.matmul(
            self._tag, reads=(weights.span, spread, scale), writes=(mean.span,), destination=Destination.INT16, rows=1,
            columns=width, depth=2 * self._rows, a_address=weights.span.start, a_pitch=weights.pitch, b_address=spread.start,
            b_stride=self._pitch, param_address=scale.start, param_stride=0, d_address=mean.span.start, d_pitch=mean.pitch,
        )  # fmt: skip
        plan.emitter.layer_norm(self._norm.name, mean, self._normed, spans[self._norm.name], 0, 1)
        plan.emitter.observe((self._member,), self._norm.name, self._normed, 0, 1, (1, width), 0)
        act.free([weights, mean])

    def _classify(self, n: int, spans: Spans) -> None:
        plan, columns = self._plan, sum(part.columns for part in self._parts)
        if n == 0:
            self._result = plan.act.place("the task's output", 1, columns, "int16")
        part = self._parts[n]
        plan.emitter.linear(part, spans[part.block], self._normed, 0, self._result, 0, 1)
        if n == len(self._parts) - 1:
            plan.emitter.store_rows(self._member, self._result, 0, 1, 0)
            plan.act.free([self._normed, self._result])
