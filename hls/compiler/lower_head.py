"""Lowers the final layer norm and a task's head, and stores the output."""

from __future__ import annotations

from functools import partial

from moesaic.hls.compiler.arena import Span
from moesaic.hls.compiler.emitter import LinearPart
from moesaic.hls.compiler.padded_layers import stored_channels
from moesaic.hls.compiler.prefetch import Spans, Step
from moesaic.hls.compiler.task_plan import TaskPlan
from moesaic.spec.isa import Space
from moesaic.spec.pathway_names import split_pathway_name


def head_step(plan: TaskPlan) -> Step:
    """The final layer norm, the head and the store of its output, as one step."""
    part = plan.whole_part(f"heads.{split_pathway_name(plan.task_name)[0]}")
    return Step(part.name, (plan.norm("norm"), plan.block(part)), partial(_head, plan, part))


def _head(plan: TaskPlan, part: LinearPart, spans: Spans) -> None:
    """The final layer norm, the task's head and the output, in blocks of grid rows."""
    a, task, e = plan.architecture, plan.task, plan.emitter
    grid_rows, grid_columns = a.grid
    run = 2 * task.upscale * stored_channels(task)
    pitch = e.pitch(part.columns, "int16")
    output = Span("frame", plan.output_offset, plan.output_offset + grid_rows * grid_columns * 2 * part.columns)
    normed = 0 if plan.whole else e.pitch(a.width, "int8")
    blocks = plan.blocks_of(grid_rows, 2 * grid_columns * (pitch + normed), 1, "one row of the task's output")
    if len(blocks) == 1 and grid_rows > 1:
        half = -(-grid_rows // 2)
        blocks = [(0, half), (half, grid_rows - half)]
    most = max(count for _, count in blocks) * grid_columns
    results = [e.rows("the task's output", most, part.columns, "int16") for _ in blocks[:2]]
    buffers = (
        [plan.normed]
        if plan.whole
        else [e.rows("the normalised tokens", most + a.prefix_tokens, a.width, "int8") for _ in blocks[:2]]
    )
    for n, (first, count) in enumerate(blocks):
        token, tokens = a.prefix_tokens + first * grid_columns, count * grid_columns
        # Prefix tokens have no output; their norm is there because it is part of the network.
        start = 0 if n == 0 else token
        source = buffers[n % len(buffers)]
        source = source if plan.whole else source.holding(start)
        plan.layer_norm("norm", spans, source, start, token + tokens - start)
        result = results[n % 2].holding(token)
        e.linear(part, spans[part.block], source, token, result, token, tokens)
        e.assembler.emit(
            "store", "output", reads=(result.part(token, tokens),), writes=(output,), space=int(Space.FRAME),
            dram_offset=plan.output_offset + first * grid_columns * task.upscale * run, local_address=result.span.start, bytes=run,
            count_1=task.upscale, dram_stride_1=grid_columns * run, local_stride_1=run,
            count_2=grid_columns, dram_stride_2=run, local_stride_2=result.pitch,
            count_3=count, dram_stride_3=grid_columns * task.upscale * run, local_stride_3=grid_columns * result.pitch,
        )  # fmt: skip
    e.free(results)
    if not plan.whole:
        e.free(buffers)
