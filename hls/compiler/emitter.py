"""Single instructions of one program: matrices in the activation memory, layer norms, linear layers, observations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from moesaic.hls.compiler.arena import Arena, Span, round_up
from moesaic.hls.compiler.assembler import Assembler
from moesaic.hls.compiler.constants import Constants
from moesaic.hls.compiler.prefetch import ONCE, PROGRESS, QUEUES
from moesaic.hls.compiler.weight_layout import linear_depth, linear_tile_bytes
from moesaic.spec.arithmetic import TABLE_ENTRIES
from moesaic.spec.build import Observation
from moesaic.spec.bundle import Bundle
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.isa import Destination, LoadDestination, Space


@dataclass(frozen=True)
class Rows:
    """A matrix in the activation memory: `columns` elements of `dtype` per row, rows `pitch` bytes apart.

    first: number of its row 0 among the tokens (or whatever its rows are), for buffers that hold a slice of them.
    """

    span: Span
    pitch: int
    columns: int
    dtype: str
    first: int = 0

    def part(self, first: int, count: int) -> Span:
        """The bytes of `count` rows from row `first`."""
        start = self.address(first)
        return Span(self.span.space, start, start + count * self.pitch)

    def address(self, row: int) -> int:
        return self.span.start + (row - self.first) * self.pitch

    def holding(self, first: int) -> Rows:
        """The same buffer with row `first` at its start."""
        return Rows(self.span, self.pitch, self.columns, self.dtype, first)


@dataclass(frozen=True)
class LinearPart:
    """Some column tiles of a linear layer. name: of the layer; first_column: of this part; block: its name in the weight memory."""

    name: str
    block: str
    first_column: int
    columns: int
    inputs: int


@dataclass
class FrameLayout:
    """The frame window: bump allocation. end: bytes used."""

    end: int = 0

    def allocate(self, size: int) -> int:
        start = round_up(self.end, 64)
        self.end = start + size
        return start


class Emitter:
    """Appends instructions to one program and places matrices in the activation memory.

    observe: store what `observe_part` is told in the frame window. tags: see Assembler.
    mark_progress: products write PROGRESS (see moesaic.hls.compiler.prefetch). weights_end: bytes of the shared memory that hold weights.
    """

    def __init__(
        self,
        bundle: Bundle,
        configuration: HardwareConfiguration,
        constants: Constants,
        frame: FrameLayout,
        observe: bool,
        tags: dict[str, int],
        mark_progress: bool,
        weights_end: int,
    ) -> None:
        self.bundle, self.configuration, self.constants = bundle, configuration, constants
        self.frame, self.observing, self.mark_progress = frame, observe, mark_progress
        self.observations: dict[str, Observation] = {}
        self.assembler = Assembler(configuration, tags)
        self.act = Arena("act", weights_end, configuration.act_bytes, configuration.act_word_bytes, configuration.name)

    # --- matrices -------------------------------------------------------------------------------------------------

    def pitch(self, columns: int, dtype: str, spread: bool = False) -> int:
        """Bytes from row to row. spread: an odd number of words, so that going from row to row visits all banks in turn."""
        c = self.configuration
        words = -(-(2 if dtype == "int16" else 1) * columns // c.act_word_bytes)
        if spread and c.act_banks > 1 and words % 2 == 0:
            words += 1
        return words * c.act_word_bytes

    def rows(self, what: str, rows: int, columns: int, dtype: str, spread: bool = False, top: bool = False) -> Rows:
        """A new matrix. top: at the end of the memory, where it may be UltraRAM."""
        pitch = self.pitch(columns, dtype, spread)
        return Rows(self.act.allocate(what, rows * pitch, top), pitch, columns, dtype)

    def free(self, rows: Iterable[Rows]) -> None:
        for matrix in rows:
            self.act.free(matrix.span)

    # --- instructions ---------------------------------------------------------------------------------------------

    def layer_norm(self, name: str, source: Rows, target: Rows, parameters: Span, first: int, count: int) -> None:
        """Layer norm of rows first to first + count of `source` into the same rows of `target`."""
        self.assembler.emit(
            "layer_norm", name, reads=(source.part(first, count), parameters), writes=(target.part(first, count),),
            rows=count, columns=source.columns, source_address=source.address(first), source_pitch=source.pitch,
            destination_address=target.address(first), destination_pitch=target.pitch,
            param_address=parameters.start, shift=int(self.bundle.tensors[f"{name}.shift"]),
        )  # fmt: skip

    def linear_fields(self, part: LinearPart, block: Span) -> dict[str, int]:
        """The fields of matmul that a packed part of a linear layer decides. block: where it lies in the weight memory."""
        c = self.configuration
        stride = linear_tile_bytes(c, part.inputs)
        return {
            "columns": part.columns,
            "depth": linear_depth(c, part.inputs),
            "param_address": block.start,
            "param_stride": stride,
            "b_address": block.start + 8 * c.tile_columns,
            "b_stride": stride,
        }

    def linear(
        self, part: LinearPart, block: Span, source: Rows, source_row: int, target: Rows, target_row: int, rows: int,
        residual: bool = False, table: Span | None = None, gather: bool = False, scatter: bool = False, queue: int = 0,
        queue_first: int = 0,
    ) -> None:  # fmt: skip
        """Part of a linear layer from rows of one matrix to rows of another.

        residual: added to what is there. table: where the table lies that the result passes. gather: rows of `source` are the
        tokens of the queue, scatter: those of `target`; then `rows` of them from queue_first on, at most.
        """
        size = 2 if target.dtype == "int16" else 1
        destination = Destination.RESIDUAL if residual else Destination.INT16 if size == 2 else Destination.INT8
        reads = [source.span if gather else source.part(source_row, rows), block]
        written = target.span if scatter else target.part(target_row, rows)
        if residual:
            reads.append(written)
        if table is not None:
            reads.append(table)
        if gather or scatter:
            reads.append(QUEUES)
        self.matmul(
            part.name, reads=tuple(reads), writes=(written,), rows=rows, destination=int(destination), **self.linear_fields(part, block),
            a_address=source.span.start if gather else source.address(source_row), a_pitch=source.pitch,
            d_address=(target.span.start if scatter else target.address(target_row)) + size * part.first_column, d_pitch=target.pitch,
            table_enable=int(table is not None), table_index=0 if table is None else table.start // TABLE_ENTRIES,
            gather=int(gather), scatter=int(scatter), queue=queue, queue_first=queue_first,
        )  # fmt: skip

    def pass_over(
        self, tag: str, source: Rows, first: int, count: int, columns: tuple[int, int], scratch: Rows
    ) -> None:
        """Let the vector unit read columns [columns[0], columns[1]) of some int8 rows at the rate of its scores, two bytes each.

        Results go to the one row of `scratch`, and to row statistics that nobody reads. What reads the rows next waits for it.
        """
        start = columns[0] // self.configuration.act_word_bytes * self.configuration.act_word_bytes
        statistics = Span("rows", 0, count)
        self.assembler.emit(
            "softmax", tag, reads=(source.part(first, count), statistics), writes=(scratch.span, statistics, source.part(first, count)),
            rows=count, columns=-(-(columns[1] - start) // 2), source_address=source.address(first) + start, source_pitch=source.pitch,
            destination_address=scratch.span.start, destination_pitch=0, row_base=0,
        )  # fmt: skip

    def matmul(self, tag: str, reads: tuple[Span, ...], writes: tuple[Span, ...], **fields: int) -> None:
        self.assembler.emit(
            "matmul", tag, reads=reads, writes=(*writes, PROGRESS) if self.mark_progress else writes, **fields
        )

    # --- observation ----------------------------------------------------------------------------------------------

    def clear_act(self) -> None:
        """Fill the activations' memory with zeros, so that stored padding is the same on every machine."""
        act, zeros = self.act, self.constants.size["zeros"]
        self.assembler.emit(
            "load", "clear", writes=(Span("act", act.first, act.end),), space=int(Space.CONSTANT), destination=int(LoadDestination.ACT),
            dram_offset=self.constants.offset["zeros"], local_address=act.first, bytes=zeros,
            count_1=act.size // zeros, local_stride_1=zeros, count_2=1, count_3=1,
        )  # fmt: skip

    def observe_part(
        self,
        layer: str,
        rows: Rows,
        first: int,
        count: int,
        shape: tuple[int, ...],
        at: int,
        groups: tuple[int, int] = (0, 0),
    ) -> None:
        """Store rows first to first + count of `rows` as rows `at`... of the observation of `layer`, whose whole shape is given."""
        if not self.observing:
            return
        if layer not in self.observations:
            total = rows.pitch
            for extent in shape[:-1]:
                total *= extent
            self.observations[layer] = Observation(self.frame.allocate(total), rows.pitch, shape, rows.dtype, *groups)
        span, target = rows.part(first, count), self.observations[layer].offset + at * rows.pitch
        self.assembler.emit(
            "store", layer, reads=(span,), writes=(Span("frame", target, target + span.size),), space=int(Space.FRAME),
            dram_offset=target, local_address=span.start, bytes=span.size, **ONCE,
        )  # fmt: skip
