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
from moesaic.hls.compiler.row_chunks import Chunk
from moesaic.hls.compiler.weight_layout import linear_bytes

_PARTS = 3
"""Parts in which the layer is loaded where the array is to begin early."""
_FIRST = 5 / 8
"""Share of an image that comes before its weights: the array works on it while the rest of the image is loaded."""
_WEIGHTS_SHARE = 4
"""That is done where all weights of the layer take at most this fraction of the weight memory, in which they then lie at once."""


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
        early = len(blocks) == 1 < grid_rows and self._weights_fit()
        first = self._split(grid_rows) if early else blocks
        self._blocks = [(image, rows) for image in range(len(lanes)) for rows in (first if image == 0 else blocks)]
        self._parts = plan.parts("patch_embed", _PARTS if early else 1)
        # Of several images, those after the first one come after the weights that embed it.
        self._several = len(lanes) > 1
        self._weights_first = self._several or early
        most = len(self._blocks) if self._weights_first else min(len(self._blocks), 2)
        self._ahead = max(n for n in range(1, most + 1) if n == 1 or self._room(n) <= plan.act.largest_gap())
        self._buffers: list[Matrix] = []

    def _weights_fit(self) -> bool:
        c = self._plan.configuration
        return linear_bytes(c, *self._plan.target.shapes["patch_embed"]) * _WEIGHTS_SHARE <= c.weight_bytes

    def _split(self, grid_rows: int) -> list[Chunk]:
        """Two blocks, the first of about its share of the rows, that fill as few row tiles of the array as possible."""

        def tiles(rows: int) -> int:
            return -(-rows * self._grid_columns // self._plan.configuration.tile_rows)

        first = min(range(1, grid_rows), key=lambda n: (tiles(n) + tiles(grid_rows - n), abs(n - _FIRST * grid_rows)))
        return [(0, first), (first, grid_rows - first)]

    def _rows_of_buffer(self, n: int, ahead: int) -> int:
        """Patches of the largest block that uses buffer n of so many."""
        return max(count for _, (_, count) in self._blocks[n::ahead]) * self._grid_columns

    def _room(self, ahead: int) -> int:
        """Bytes of so many buffers."""
        return sum(self._rows_of_buffer(n, ahead) for n in range(ahead)) * self._pitch

    def steps(self) -> Iterator[Step]:
        """The load of the first blocks, then every block through all column parts of the layer."""
        plan, blocks = self._plan, self._blocks
        yield Step("image", (), partial(self._place, range(1 if self._weights_first else self._ahead)))
        if self._weights_first:
            part, *others = map(plan.block, self._parts)
            later = partial(self._place, range(1, self._ahead))
            yield Step("image", (part, plan.position(0), *others), later, fence=True)
        for n, (image, _) in enumerate(blocks):
            fence = self._several and n + self._ahead < len(blocks)
            for part in self._parts:
                needed = (plan.block(part), plan.position(image))
                yield Step("patch_embed", needed, partial(self._embed, n, part), fence)

    def _place(self, numbers: range, spans: Spans) -> None:
        """Place the buffers of these numbers, and load the first blocks into them."""
        for n in numbers:
            rows = self._rows_of_buffer(n, self._ahead)
            self._buffers.append(self._plan.act.place("the image patches", rows, self._patch_bytes, "int8"))
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
