"""Lowers the final layer norm and a task's head, and stores the output."""

from __future__ import annotations

from collections.abc import Iterator

from moesaic.hls.compiler.prefetch import Spans, Step
from moesaic.hls.compiler.task_plan import TaskPlan
from moesaic.spec.pathway_names import split_pathway_name


class Head:
    """The final layer norm, the task's head and the store of its output, in blocks of grid rows."""

    def __init__(self, plan: TaskPlan) -> None:
        self._plan = plan
        self._part = plan.whole_part(f"heads.{split_pathway_name(plan.target.pathway)[0]}")
        self._norm = plan.norm("norm")

    def steps(self) -> Iterator[Step]:
        """A single step."""
        yield Step(self._part.name, (self._norm, self._plan.block(self._part)), self._emit)

    def _emit(self, spans: Spans) -> None:
        plan, a, act, part = self._plan, self._plan.architecture, self._plan.act, self._part
        grid_rows, grid_columns = a.grid
        pitch = act.pitch(part.columns, "int16")
        normed = 0 if plan.whole else act.pitch(a.width, "int8")
        blocks = plan.blocks_of(grid_rows, 2 * grid_columns * (pitch + normed), 1, "one row of the task's output")
        if len(blocks) == 1 and grid_rows > 1:
            half = -(-grid_rows // 2)
            blocks = [(0, half), (half, grid_rows - half)]
        most = max(count for _, count in blocks) * grid_columns
        results = [act.place("the task's output", most, part.columns, "int16") for _ in blocks[:2]]
        buffers = [
            act.place("the normalised tokens", most + a.prefix_tokens, a.width, "int8")
            for _ in blocks[: 0 if plan.whole else 2]
        ]
        for n, (first, count) in enumerate(blocks):
            token, tokens = a.prefix_tokens + first * grid_columns, count * grid_columns
            # Prefix tokens have no output; they are normalised because that is part of the network.
            start = 0 if n == 0 else token
            source = plan.normed if plan.whole else buffers[n % len(buffers)].holding(start)
            plan.layer_norm(self._norm.name, spans, source, start, token + tokens - start)
            result = results[n % 2].holding(token)
            plan.emitter.linear(part, spans[part.block], source, token, result, token, tokens)
            plan.emitter.store_output(result, first, count)
        act.free(results + buffers)
