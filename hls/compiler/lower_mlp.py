"""Lowers a dense MLP into the residual stream."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from moesaic.hls.compiler.constants import table_name
from moesaic.hls.compiler.emitter import Rows
from moesaic.hls.compiler.prefetch import Spans, Step
from moesaic.hls.compiler.task_plan import AFTER, BEFORE, TaskPlan


def mlp_steps(plan: TaskPlan, i: int) -> Iterator[Step]:
    """A dense MLP in blocks of rows, each through all column parts of both layers."""
    a, c, e = plan.architecture, plan.configuration, plan.emitter
    name, table, norm = f"blocks.{i}.mlp", plan.table(table_name(a, i)), plan.norm(f"blocks.{i}.norm2")
    up, down = plan.parts(f"{name}.up"), plan.parts(f"{name}.down")
    normed, hidden = (0 if plan.whole else 2 * e.pitch(a.width, "int8")), e.pitch(a.mlp_hidden, "int8", spread=True)
    blocks = plan.blocks_when_empty(a.tokens, normed + hidden, c.tile_rows, "one row of the MLP's hidden layer")
    state: dict[str, Rows] = {}

    def begin(n: int, spans: Spans) -> None:
        first = blocks[n][0]
        if n == 0:
            most = max(size for _, size in blocks)
            state["hidden"] = e.rows("the MLP's hidden layer", most, a.mlp_hidden, "int8", spread=True)
            if not plan.whole:
                for which in range(2):
                    state[f"normed {which}"] = e.rows("the normalised tokens", most, a.width, "int8")
                normalise(0, spans)
        if not plan.whole and n + 1 < len(blocks):
            normalise(n + 1, spans)
        state["hidden"] = state["hidden"].holding(first)

    def normalise(n: int, spans: Spans) -> None:
        plan.layer_norm(f"blocks.{i}.norm2", spans, state[f"normed {n % 2}"].holding(blocks[n][0]), *blocks[n])

    def ascend(n: int, p: int, spans: Spans) -> None:
        if p == 0:
            begin(n, spans)
        first, count = blocks[n]
        source = plan.normed if plan.whole else state[f"normed {n % 2}"].holding(first)
        for start, size in plan.chunks(first, count, c.tile_rows, AFTER) if p == 0 else [(first, count)]:
            e.linear(up[p], spans[up[p].block], source, start, state["hidden"], start, size, table=spans[table.name])
            if plan.schedule.gelu_pass:
                columns = up[p].first_column, up[p].first_column + up[p].columns
                e.pass_over(f"{name}.gelu", state["hidden"], start, size, columns, plan.scratch)

    def descend(n: int, p: int, spans: Spans) -> None:
        first, count = blocks[n]
        last = p == len(down) - 1
        if p == 0:
            e.observe_part(f"blocks.{i}.hidden", state["hidden"], first, count, (a.tokens, a.mlp_hidden), first)
        for start, size in plan.chunks(first, count, c.tile_rows, BEFORE) if last else [(first, count)]:
            e.linear(down[p], spans[down[p].block], state["hidden"], start, plan.residual, start, size, residual=True)
        if last and n == len(blocks) - 1:
            e.free(state.values())
            e.observe_part(f"blocks.{i}.output", plan.residual, 0, a.tokens, (a.tokens, a.width), 0)

    for n in range(len(blocks)):
        for p, part in enumerate(up):
            needed = (plan.block(part), table) if plan.whole or p > 0 else (norm, plan.block(part), table)
            yield Step(f"{name}.up", needed, partial(ascend, n, p))
        for p, part in enumerate(down):
            yield Step(f"{name}.down", (plan.block(part),), partial(descend, n, p))
