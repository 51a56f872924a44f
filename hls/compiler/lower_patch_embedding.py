"""Lowers the patch embedding, from the image, which is cut into patches while it is loaded, to the residual stream."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from moesaic.hls.compiler.activations import Matrix
from moesaic.hls.compiler.emitter import LinearPart
from moesaic.hls.compiler.padded_layers import patch_bytes
from moesaic.hls.compiler.prefetch import Spans, Step
from moesaic.hls.compiler.task_plan import TaskPlan


class PatchEmbedding:
    """Adds the embedded patches to the position embedding, in blocks of grid rows; the next block is loaded meanwhile."""

    def __init__(self, plan: TaskPlan) -> None:
        self._plan = plan
        grid_rows, self._grid_columns = plan.architecture.grid
        self._patch_bytes = patch_bytes(plan.architecture)
        self._pitch = plan.act.pitch(self._patch_bytes, "int8")
        row = self._grid_columns * self._pitch
        self._blocks = plan.blocks_of(grid_rows, row, 1, "one row of image patches")
        if len(self._blocks) > 1 and 2 * row <= plan.act.largest_gap():
            self._blocks = plan.blocks_of(grid_rows, 2 * row, 1, "two rows of image patches")
        self._parts = plan.parts("patch_embed")
        self._buffers: list[Matrix] = []

    def steps(self) -> Iterator[Step]:
        """The load of the first blocks of the image, then every block through all column parts of the layer."""
        plan = self._plan
        yield Step("image", (), self._begin)
        for n in range(len(self._blocks)):
            for part in self._parts:
                yield Step("patch_embed", (plan.block(part), plan.position()), partial(self._embed, n, part))

    def _begin(self, spans: Spans) -> None:
        """Place one buffer or, if there is room, two, and load the image's first blocks into them."""
        act, most = self._plan.act, max(count for _, count in self._blocks) * self._grid_columns
        for n in range(len(self._blocks[:2])):
            if n == 0 or act.largest_gap() >= most * self._pitch:
                self._buffers.append(act.place("the image patches", most, self._patch_bytes, "int8"))
                self._load(n)

    def _load(self, n: int) -> None:
        self._plan.emitter.load_patches(self._buffer(n), *self._blocks[n])

    def _buffer(self, n: int) -> Matrix:
        return self._buffers[n % len(self._buffers)]

    def _embed(self, n: int, part: LinearPart, spans: Spans) -> None:
        plan, (first, count) = self._plan, self._blocks[n]
        plan.emitter.linear(
            part, spans[part.block], self._buffer(n), 0, plan.residual,
            plan.architecture.prefix_tokens + first * self._grid_columns, count * self._grid_columns, residual=True,
        )  # fmt: skip
        if part is not self._parts[-1]:
            return
        if n + len(self._buffers) < len(self._blocks):
            self._load(n + len(self._buffers))
        if n == len(self._blocks) - 1:
            plan.act.free(self._buffers)
            plan.observe_residual("patch_embed", 0, plan.architecture.tokens)
