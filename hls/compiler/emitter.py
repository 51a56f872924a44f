"""Emits the instructions of one program, in terms of matrices, packed layers and tokens rather than fields."""

from __future__ import annotations

from dataclasses import dataclass

from moesaic.hls.compiler.activations import Matrix
from moesaic.hls.compiler.arena import Span
from moesaic.hls.compiler.assembler import Assembler, Entry
from moesaic.hls.compiler.frame_layout import FrameLayout
from moesaic.hls.compiler.padded_layers import PIXEL_BYTES, patch_pitch, stored_channels
from moesaic.hls.compiler.target import Member, Target
from moesaic.hls.compiler.weight_layout import linear_depth, linear_strides
from moesaic.spec.arithmetic import TABLE_ENTRIES
from moesaic.spec.isa import Destination, LoadDestination, Space
from moesaic.spec.observation import Observation

QUEUES = Span("queues", 0, 1)
"""The expert queues, treated as one resource."""
_PROGRESS = Span("progress", 0, 1)
"""A resource in name only that every matrix product writes: a load that reads it waits for all products before it."""
_WORD = (1 << 32) - 1
_ONCE = {"count_1": 1, "count_2": 1, "count_3": 1}
"""The counts of a transfer that consists of a single run."""


@dataclass(frozen=True)
class LinearPart:
    """Some column tiles of a linear layer.

    name: of the layer.
    block: the part's name in the weight memory.
    first_column: the layer's output at which the part begins.
    columns: outputs of the part.
    inputs: of the layer.
    """

    name: str
    block: str
    first_column: int
    columns: int
    inputs: int


class Emitter:
    """Appends instructions to the program of a target.

    Every instruction has a tag, the name of the layer to which it belongs.

    observations: where the layers' results are stored, by member of the target and layer name, for the layers stored so far.
    """

    def __init__(self, target: Target) -> None:
        self._target, self._configuration, self._tensors = target, target.configuration, target.bundle.tensors
        self._assembler = Assembler(target.configuration, {name: number for number, name in enumerate(target.tags)})
        self._frame = FrameLayout(target.frame_end)
        self._loads_ahead = target.schedule.prefetch
        self.observations: dict[Member, dict[str, Observation]] = {member: {} for member in target.members}

    @property
    def entries(self) -> list[Entry]:
        """The instructions so far, without `end`."""
        return self._assembler.entries

    @property
    def tags(self) -> tuple[str, ...]:
        """All layers named so far, including those of the target, in the order of their tag numbers."""
        return tuple(self._assembler.tags)

    @property
    def frame_end(self) -> int:
        """Bytes of the frame window in use, including what the program stores besides results."""
        return self._frame.end

    def program(self) -> bytes:
        """The encoded program including its `end`. Raises ValueError for an illegal instruction."""
        return self._assembler.program()

    # --- loads and stores -----------------------------------------------------------------------------------------

    def load_constant(
        self, name: str, offset: int, size: int, place: Span, destination: LoadDestination, queue: int | None = None,
        unpack: bool = False,
    ) -> None:  # fmt: skip
        """Load `size` bytes, from byte `offset` of the constant block `name`, into `place`.

        queue: the load is skipped if this expert queue is empty, because nothing then uses the bytes; None: it is never skipped.
        unpack: each byte holds two weights of 4 bits, and fills two bytes of `place`.

        Without prefetching, a load waits for all products before it.
        """
        reads = (() if queue is None else (QUEUES,)) + (() if self._loads_ahead else (_PROGRESS,))
        self._assembler.emit(
            "load", name, reads=reads, writes=(place,), space=int(Space.CONSTANT), destination=int(destination),
            dram_offset=self._target.constants.offset[name] + offset, local_address=place.start, bytes=size,
            skip_if_empty=int(queue is not None), queue=queue or 0, unpack=int(unpack), **_ONCE,
        )  # fmt: skip

    def load_patches(self, number: int, patches: Matrix, first: int, count: int) -> None:
        """Load grid rows [first, first + count) of image `number`, one patch per row of `patches`."""
        a, image = self._target.architecture, self._target.image_offsets[number]
        columns, patch_line = a.grid[1], patch_pitch(a) * PIXEL_BYTES
        line = columns * patch_line
        self._assembler.emit(
            "load", "image", reads=(Span("frame", image, image + a.image_height * line),),
            writes=(patches.rows(patches.first, count * columns),), space=int(Space.FRAME), destination=int(LoadDestination.ACT),
            dram_offset=image + first * a.patch * line, local_address=patches.span.start, bytes=patch_line,
            count_1=a.patch, dram_stride_1=line, local_stride_1=patch_line,
            count_2=columns, dram_stride_2=patch_line, local_stride_2=patches.pitch,
            count_3=count, dram_stride_3=a.patch * line, local_stride_3=columns * patches.pitch,
        )  # fmt: skip

    def clear(self, act: Span) -> None:
        """Fill activation memory with zeros, so that stored padding is the same on every machine."""
        constants = self._target.constants
        zeros = constants.size["zeros"]
        self._assembler.emit(
            "load", "clear", writes=(act,), space=int(Space.CONSTANT), destination=int(LoadDestination.ACT),
            dram_offset=constants.offset["zeros"], local_address=act.start, bytes=zeros,
            count_1=act.size // zeros, local_stride_1=zeros, count_2=1, count_3=1,
        )  # fmt: skip

    def store_output(self, member: Member, result: Matrix, first: int, count: int) -> None:
        """Store grid rows [first, first + count) of a member's output from the start of `result`, int16, which has a row per token."""
        a, task, output = self._target.architecture, self._target.task(member), member.output_offset
        grid_rows, grid_columns = a.grid
        run = 2 * task.upscale * stored_channels(task)
        window = Span("frame", output, output + grid_rows * grid_columns * 2 * result.columns)
        self._assembler.emit(
            "store", "output", reads=(result.rows(result.first, count * grid_columns),), writes=(window,), space=int(Space.FRAME),
            dram_offset=output + first * grid_columns * task.upscale * run, local_address=result.span.start, bytes=run,
            count_1=task.upscale, dram_stride_1=grid_columns * run, local_stride_1=run,
            count_2=grid_columns, dram_stride_2=run, local_stride_2=result.pitch,
            count_3=count, dram_stride_3=grid_columns * task.upscale * run, local_stride_3=grid_columns * result.pitch,
        )  # fmt: skip

    def store_rows(self, member: Member, result: Matrix, first: int, count: int, at: int) -> None:
        """Store rows [first, first + count) of `result`, int16, in a member's output, whose rows are those of a head, from row `at` on."""
        run, rows = 2 * stored_channels(self._target.task(member)), result.rows(first, count)
        start = member.output_offset + at * run
        self._assembler.emit(
            "store", "output", reads=(rows,), writes=(Span("frame", start, start + count * run),), space=int(Space.FRAME),
            dram_offset=start, local_address=rows.start, bytes=run, count_1=count, dram_stride_1=run, local_stride_1=result.pitch,
            count_2=1, count_3=1,
        )  # fmt: skip

    def copy_rows(self, matrix: Matrix, first: int, count: int, copies: tuple[int, ...]) -> None:
        """Copy rows [first, first + count) of `matrix` to those from each row of `copies` on, through the frame window."""
        source = matrix.rows(first, count)
        place = self._frame.allocate(source.size)
        window = Span("frame", place, place + source.size)
        transfer = {"space": int(Space.FRAME), "dram_offset": place, "bytes": source.size, **_ONCE}
        self._assembler.emit("store", "copy", reads=(source,), writes=(window,), local_address=source.start, **transfer)
        for row in copies:
            target = matrix.rows(row, count)
            self._assembler.emit(
                "load", "copy", reads=(window,), writes=(target,), destination=int(LoadDestination.ACT), local_address=target.start,
                **transfer,
            )  # fmt: skip

    def observe(
        self,
        members: tuple[Member, ...],
        layer: str,
        matrix: Matrix,
        first: int,
        count: int,
        shape: tuple[int, ...],
        at: int,
        groups: tuple[int, int] = (0, 0),
        kept: tuple[int, ...] = (),
    ) -> None:
        """If the target is observed, store rows [first, first + count) of `matrix` in the observation of `layer`, from its row `at` on.

        members: of which this is the result.
        shape: of the whole observation.
        groups, kept: group and group_pitch of the observation, and its own columns; see moesaic.spec.observation.Observation.
        """
        if not self._target.observe:
            return
        if layer not in self.observations[members[0]]:
            total = matrix.pitch
            for extent in shape[:-1]:
                total *= extent
            place = self._frame.allocate(total)
            for member in members:
                self.observations[member][layer] = Observation(place, matrix.pitch, shape, matrix.dtype, *groups, kept)
        span = matrix.rows(first, count)
        target = self.observations[members[0]][layer].offset + at * matrix.pitch
        self._assembler.emit(
            "store", layer, reads=(span,), writes=(Span("frame", target, target + span.size),), space=int(Space.FRAME),
            dram_offset=target, local_address=span.start, bytes=span.size, **_ONCE,
        )  # fmt: skip

    # --- matrix products ------------------------------------------------------------------------------------------

    def linear(
        self, part: LinearPart, block: Span, source: Matrix, source_row: int, target: Matrix, target_row: int, rows: int,
        residual: bool = False, table: Span | None = None, gather: bool = False, scatter: bool = False, queue: int = 0,
        queue_first: int = 0, score_shift: int = 0, source_byte: int = 0,
    ) -> None:  # fmt: skip
        """Emit part of a linear layer, from rows of `source`, int8, to rows of `target`, int8 or int16.

        block: where the part lies in the weight memory.
        residual: add the result to what `target` holds.
        table: where the GELU table through which the result passes lies, if any.
        gather: the rows of `source` are the tokens in the expert queue, whose number 0 is source_row.
        scatter: the rows of `target` are those tokens, whose number 0 is target_row.
        score_shift: with `scatter`, the result is in units of 2**score_shift of those of `target`.
        source_byte: where in a row of `source` the layer's inputs begin.

        With either, the product takes at most `rows` entries of the queue, from queue_first on.
        """
        wide = target.dtype == "int16"
        destination = Destination.RESIDUAL if residual else Destination.INT16 if wide else Destination.INT8
        reads = [source.span if gather else source.rows(source_row, rows), block]
        written = target.span if scatter else target.rows(target_row, rows)
        if residual:
            reads.append(written)
        if table is not None:
            reads.append(table)
        if gather or scatter:
            reads.append(QUEUES)
        self.matmul(
            part.name, reads=tuple(reads), writes=(written,), destination=destination, rows=rows, **self._packed(part, block),
            a_address=source.address(source_row) + source_byte, a_pitch=source.pitch,
            d_address=target.address(target_row) + target.element_bytes * part.first_column,
            d_pitch=target.pitch, table_enable=int(table is not None), table_index=0 if table is None else table.start // TABLE_ENTRIES,
            gather=int(gather), scatter=int(scatter), queue=queue, queue_first=queue_first, score_shift=score_shift,
        )  # fmt: skip

    def linear_to_weights(
        self, part: LinearPart, block: Span, source: Matrix, first: int, count: int, destination: Destination, target: Span,
        offset: int, pitch: int, source_byte: int = 0,
    ) -> None:  # fmt: skip
        """Emit a linear layer from rows [first, first + count) of `source`, int8, into the weight memory, as keys or values.

        target: the whole region that is written.
        offset: bytes from its start to where these rows go.
        pitch: bytes from tile to tile.
        source_byte: where in a row of `source` the layer's inputs begin.
        """
        self.matmul(
            part.name, reads=(source.rows(first, count), block), writes=(target,), destination=destination, rows=count,
            **self._packed(part, block), a_address=source.address(first) + source_byte, a_pitch=source.pitch,
            d_address=target.start + offset, d_pitch=pitch,
        )  # fmt: skip

    def _packed(self, part: LinearPart, block: Span) -> dict[str, int]:
        """The matmul fields that follow from the layout of a packed part."""
        c, bits = self._configuration, self._target.architecture.weight_bits(part.name)
        first, b_stride, param_stride = linear_strides(c, part.columns, part.inputs, bits)
        return {
            "columns": part.columns,
            "depth": linear_depth(c, part.inputs),
            "param_address": block.start,
            "param_stride": param_stride,
            "b_address": block.start + first,
            "b_stride": b_stride,
        }

    def matmul(
        self, tag: str, reads: tuple[Span, ...], writes: tuple[Span, ...], destination: Destination, **fields: int
    ) -> None:
        """Emit a matrix product, given its fields (docs/isa.md)."""
        if not self._loads_ahead:
            writes = (*writes, _PROGRESS)
        self._assembler.emit("matmul", tag, reads=reads, writes=writes, destination=int(destination), **fields)

    # --- vector unit and router -----------------------------------------------------------------------------------

    def layer_norm(self, name: str, source: Matrix, target: Matrix, parameters: Span, first: int, count: int) -> None:
        """Emit the layer norm of rows [first, first + count) of `source`, int16, into the same rows of `target`, int8."""
        self._assembler.emit(
            "layer_norm", name, reads=(source.rows(first, count), parameters), writes=(target.rows(first, count),),
            rows=count, columns=source.columns, source_address=source.address(first), source_pitch=source.pitch,
            destination_address=target.address(first), destination_pitch=target.pitch,
            param_address=parameters.start, shift=int(self._tensors[f"{name}.shift"]),
        )  # fmt: skip

    def softmax(self, tag: str, scores: Matrix, weights: Matrix, first: int, count: int, row_base: int) -> None:
        """Emit the softmax of rows [first, first + count) of `scores`, int16, into the same rows of `weights`, int8.

        row_base: index of the first of their row statistics; softmax reads the maxima there and writes the reciprocals of the sums.
        """
        statistics = Span("rows", row_base, row_base + count)
        self._softmax(
            tag, (scores.rows(first, count), statistics), (weights.rows(first, count), statistics), rows=count, columns=scores.columns,
            source_address=scores.address(first), source_pitch=scores.pitch, destination_address=weights.address(first),
            destination_pitch=weights.pitch, row_base=row_base,
        )  # fmt: skip

    def pass_over(
        self, tag: str, source: Matrix, first: int, count: int, columns: tuple[int, int], scratch: Matrix
    ) -> None:
        """Let the vector unit read columns [columns[0], columns[1]) of `count` int8 rows as it reads scores, two bytes at a time.

        The results go to the single row of `scratch` and to row statistics that nobody reads. Whatever reads the rows next waits
        for this pass.
        """
        word = self._configuration.act_word_bytes
        start = columns[0] // word * word
        rows, statistics = source.rows(first, count), Span("rows", 0, count)
        self._softmax(
            tag, (rows, statistics), (scratch.span, statistics, rows), rows=count, columns=-(-(columns[1] - start) // 2),
            source_address=source.address(first) + start, source_pitch=source.pitch, destination_address=scratch.span.start,
            destination_pitch=0, row_base=0,
        )  # fmt: skip

    def _softmax(self, tag: str, reads: tuple[Span, ...], writes: tuple[Span, ...], **fields: int) -> None:
        self._assembler.emit("softmax", tag, reads=reads, writes=writes, **fields)

    def route(
        self, tag: str, logits: Matrix, first: int, count: int, number: int, append: bool, top_k: int, absent: int = 0
    ) -> None:
        """Send tokens [first, first + count) to the queues of their top-k experts, chosen by their `logits`, int16.

        number: of the first of them in the queues, where `linear` finds them.
        append: keep what the queues already hold.
        absent: bit n says that no token may choose expert n.
        """
        masks = {"absent_low": absent & _WORD, "absent_high": absent >> 32} if absent else {}
        self._assembler.emit(
            "route", tag, reads=(logits.rows(first, count),), writes=(QUEUES,), rows=count, columns=logits.columns,
            append=int(append), first=number, source_address=logits.address(first), source_pitch=logits.pitch,
            top_k=top_k, **masks,
        )  # fmt: skip
