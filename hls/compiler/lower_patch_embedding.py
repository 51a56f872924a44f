"""Lowers the patch embedding: the image, cut into patches while it is loaded, into the residual stream."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from moesaic.hls.compiler.arena import Span
from moesaic.hls.compiler.emitter import LinearPart, Rows
from moesaic.hls.compiler.padded_layers import patch_pitch
from moesaic.hls.compiler.prefetch import Block, Spans, Step
from moesaic.hls.compiler.task_plan import TaskPlan
from moesaic.spec.isa import LoadDestination, Space


def patch_embed_steps(plan: TaskPlan) -> Iterator[Step]:
    """Patches of the image, row blocks of which the next is loaded while one is embedded, added to the position embedding."""
    a, e = plan.architecture, plan.emitter
    grid_rows, grid_columns = a.grid
    depth = a.patch * patch_pitch(a) * 4
    pitch = e.pitch(depth, "int8")
    blocks = plan.blocks_of(grid_rows, grid_columns * pitch, 1, "one row of image patches")
    if len(blocks) > 1 and 2 * grid_columns * pitch <= e.act.largest_gap():
        blocks = plan.blocks_of(grid_rows, 2 * grid_columns * pitch, 1, "two rows of image patches")
    parts = plan.parts("patch_embed")
    most = max(count for _, count in blocks) * grid_columns
    buffers: list[Rows] = []
    for n, block in enumerate(blocks[:2]):
        if n == 0 or e.act.largest_gap() >= most * pitch:
            buffers.append(e.rows("the image patches", most, depth, "int8"))
            _load_patches(plan, buffers[n], *block)

    def embed(n: int, part: LinearPart, spans: Spans) -> None:
        first, count = blocks[n]
        e.linear(
            part, spans[part.block], buffers[n % len(buffers)].holding(0), 0, plan.residual,
            a.prefix_tokens + first * grid_columns, count * grid_columns, residual=True,
        )  # fmt: skip
        if part is parts[-1] and n + len(buffers) < len(blocks):
            _load_patches(plan, buffers[n % len(buffers)], *blocks[n + len(buffers)])
        if part is parts[-1] and n == len(blocks) - 1:
            e.free(buffers)
            e.observe_part("patch_embed", plan.residual, 0, a.tokens, (a.tokens, a.width), 0)

    position = Block("position", plan.constants.size["position"], "position", slots="residual")
    for n in range(len(blocks)):
        for part in parts:
            yield Step("patch_embed", (plan.block(part), position), partial(embed, n, part))


def _load_patches(plan: TaskPlan, patches: Rows, first: int, count: int) -> None:
    """Grid rows first to first + count of the image, one patch a row."""
    a = plan.architecture
    columns, run = a.grid[1], patch_pitch(a) * 4  # run: bytes of one line of a patch
    line = columns * run
    plan.emitter.assembler.emit(
        "load", "image", reads=(Span("frame", plan.image_offset, plan.image_offset + a.image_height * line),),
        writes=(patches.part(patches.first, count * columns),), space=int(Space.FRAME), destination=int(LoadDestination.ACT),
        dram_offset=plan.image_offset + first * a.patch * line, local_address=patches.span.start, bytes=run,
        count_1=a.patch, dram_stride_1=line, local_stride_1=run,
        count_2=columns, dram_stride_2=run, local_stride_2=patches.pitch,
        count_3=count, dram_stride_3=a.patch * line, local_stride_3=columns * patches.pitch,
    )  # fmt: skip
