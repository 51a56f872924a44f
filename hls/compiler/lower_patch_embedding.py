"""Lowers the patch embedding, from the image, which is cut into patches while it is loaded, to the residual stream."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from moesaic.hls.compiler.activations import Matrix
from moesaic.hls.compiler.emitter import LinearPart
from moesaic.hls.compiler.lanes import Lane
from moesaic.hls.compiler.padded_layers import patch_bytes
from moesaic.hls.compiler.prefetch import Spans, Step
from moesaic.hls.compiler.program_plan import ProgramPlan


class PatchEmbedding:
    """Adds the embedded patches of each image to the position embedding in its lane, in blocks of grid rows.

    The next block, of the same image or of the next, is loaded meanwhile. lanes: one per image, in their order.
    """

    def __init__(self, plan: ProgramPlan, lanes: tuple[Lane, ...]) -> None:
        self._plan, self._lanes = plan, lanes
        grid_rows, self._grid_columns = plan.architecture.grid
        self._patch_bytes = patch_bytes(plan.architecture)
        self._pitch = plan.act.pitch(self._patch_bytes, "int8")
        row = self._grid_columns * self._pitch
        blocks = plan.blocks_of(grid_rows, row, 1, "one row of image patches")
        if len(blocks) > 1 and 2 * row <= plan.act.largest_gap():
            blocks = plan.blocks_of(grid_rows, 2 * row, 1, "two rows of image patches")
        self._most = max(count for _, count in blocks) * self._grid_columns
        self._blocks = [(image, rows) for image in range(len(lanes)) for rows in blocks]
        self._parts = plan.parts("patch_embed")
        # One image comes before all weights; of several, those after the first one come after the weights that embed it.
        self._several = len(lanes) > 1
        most = min(len(self._blocks), plan.act.largest_gap() // (self._most * self._pitch))
        self._ahead = most if self._several else min(most, 2)
        self._buffers: list[Matrix] = []

    def steps(self) -> Iterator[Step]:
        """The load of the first blocks, then every block through all column parts of the layer."""
        plan, blocks = self._plan, self._blocks
        yield Step("image", (), partial(self._place, range(1 if self._several else self._ahead)))
        if self._several:
            first = (*map(plan.block, self._parts), plan.position(0))
            yield Step("image", first, partial(self._place, range(1, self._ahead)), fence=True)
        for n, (image, _) in enumerate(blocks):
            fence = self._several and n + self._ahead < len(blocks)
            for part in self._parts:
                needed = (plan.block(part), plan.position(image))
                yield Step("patch_embed", needed, partial(self._embed, n, part), fence)

    def _place(self, numbers: range, spans: Spans) -> None:
        """Place the buffers of these numbers, and load the first blocks into them."""
        for n in numbers:
            self._buffers.append(self._plan.act.place("the image patches", self._most, self._patch_bytes, "int8"))
            self._load(n)

    def _load(self, n: int) -> None:
        image, rows = self._blocks[n]
        self._plan.emitter.load_patches(image, self._buffer(n), *rows)

    def _buffer(self, n: int) -> Matrix:
        return self._buffers[n % self._ahead]

    def _embed(self, n: int, part: LinearPart, spans: Spans) -> None:
        plan, (image, (first, count)) = self._plan, self._blocks[n]
        lane = self._lanes[image]
        plan.emitter.linear(
            part, spans[part.block], self._buffer(n), 0, plan.residual,
            lane.first + plan.architecture.prefix_tokens + first * self._grid_columns, count * self._grid_columns, residual=True,
        )  # fmt: skip
        if part is not self._parts[-1]:
            return
        if n + self._ahead < len(self._blocks):
            self._load(n + self._ahead)
        if n + 1 == len(self._blocks) or self._blocks[n + 1][0] != image:
            plan.observe_residual("patch_embed", *lane.rows, (lane,))
        if n + 1 == len(self._blocks):
            plan.act.free(self._buffers)
