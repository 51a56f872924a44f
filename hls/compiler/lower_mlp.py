"""Lowers a dense MLP into the residual stream."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from moesaic.hls.compiler.activations import Matrix
from moesaic.hls.compiler.constants import table_name
from moesaic.hls.compiler.lanes import Lane, row_ranges
from moesaic.hls.compiler.prefetch import Spans, Step
from moesaic.hls.compiler.program_plan import ProgramPlan
from moesaic.hls.compiler.row_chunks import AFTER, BEFORE, row_chunks


class Mlp:
    """The dense MLP of transformer block i: each block of rows, of all lanes together, goes through all column parts of both layers."""

    def __init__(self, plan: ProgramPlan, i: int, lanes: tuple[Lane, ...]) -> None:
        a, c, act = plan.architecture, plan.configuration, plan.act
        self._plan, self._block, self._lanes = plan, f"blocks.{i}", lanes
        self._norm, self._table = plan.norm(f"{self._block}.norm2"), plan.table(table_name(a, i))
        self._up, self._down = plan.parts(f"{self._block}.mlp.up"), plan.parts(f"{self._block}.mlp.down")
        normed = 0 if plan.whole else 2 * act.pitch(a.width, "int8")
        per_row = normed + act.pitch(a.mlp_hidden, "int8", spread=True)
        self._blocks = [
            (start + first, size)
            for start, count in row_ranges(lanes)
            for first, size in plan.blocks_when_empty(count, per_row, c.tile_rows, "one row of the MLP's hidden layer")
        ]

    def steps(self) -> Iterator[Step]:
        """For each block of rows, the parts of the first layer, then those of the second."""
        plan = self._plan
        for n in range(len(self._blocks)):
            for p, part in enumerate(self._up):
                first = () if plan.whole or p > 0 else (self._norm,)
                yield Step(part.name, (*first, plan.block(part), self._table), partial(self._ascend, n, p))
            for p, part in enumerate(self._down):
                yield Step(part.name, (plan.block(part),), partial(self._descend, n, p))

    def _begin(self, n: int, spans: Spans) -> None:
        plan, a = self._plan, self._plan.architecture
        if n == 0:
            most = max(size for _, size in self._blocks)
            self._hidden = plan.act.place("the MLP's hidden layer", most, a.mlp_hidden, "int8", spread=True)
            self._buffers = [
                plan.act.place("the normalised tokens", most, a.width, "int8") for _ in range(0 if plan.whole else 2)
            ]
            self._normalise(0, spans)
        if n + 1 < len(self._blocks):
            self._normalise(n + 1, spans)
        self._hidden = self._hidden.holding(self._blocks[n][0])

    def _normed(self, n: int) -> Matrix:
        """The normalised tokens of a block."""
        return self._plan.normed if self._plan.whole else self._buffers[n % 2].holding(self._blocks[n][0])

    def _normalise(self, n: int, spans: Spans) -> None:
        """norm2 of a block of rows, unless attention has already left all tokens normalised."""
        if not self._plan.whole:
            self._plan.layer_norm(self._norm.name, spans, self._normed(n), *self._blocks[n], self._lanes)

    def _ascend(self, n: int, p: int, spans: Spans) -> None:
        if p == 0:
            self._begin(n, spans)
        plan, e, part, (first, count) = self._plan, self._plan.emitter, self._up[p], self._blocks[n]
        tile_rows = plan.configuration.tile_rows
        for start, size in row_chunks(first, count, tile_rows, AFTER) if p == 0 else [(first, count)]:
            table = spans[self._table.name]
            e.linear(part, spans[part.block], self._normed(n), start, self._hidden, start, size, table=table)
            if plan.schedule.gelu_pass:
                columns = part.first_column, part.first_column + part.columns
                e.pass_over(f"{self._block}.mlp.gelu", self._hidden, start, size, columns, plan.scratch)

    def _descend(self, n: int, p: int, spans: Spans) -> None:
        plan, e, part, (first, count) = self._plan, self._plan.emitter, self._down[p], self._blocks[n]
        last = p == len(self._down) - 1
        if p == 0:
            plan.observe(f"{self._block}.hidden", self._hidden, first, count, self._lanes, plan.architecture.mlp_hidden)
        tile_rows = plan.configuration.tile_rows
        for start, size in row_chunks(first, count, tile_rows, BEFORE) if last else [(first, count)]:
            e.linear(part, spans[part.block], self._hidden, start, plan.residual, start, size, residual=True)
        if last and n == len(self._blocks) - 1:
            plan.act.free([self._hidden, *self._buffers])
            for rows in row_ranges(self._lanes):
                plan.observe_residual(f"{self._block}.output", *rows, self._lanes)
