"""Programs whose timing shows the constants of the cycle model: short ones, and a frame of a network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moesaic.hls.compiler.arena import Span, round_up
from moesaic.hls.compiler.assembler import Assembler, Entry
from moesaic.hls.compiler.lowering import lower_program
from moesaic.hls.compiler.weightless import weightless_target
from moesaic.spec.bundle import Architecture, Task
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.executor import WINDOW_ALIGNMENT, Memory, Program
from moesaic.spec.isa import PARAMETER_ENTRY, Destination, LoadDestination, Space
from moesaic.spec.joint_programs import one_picture

_NETWORK = Architecture(128, 256, 16, 96, 1, 3, 384, 8, 2, 1, ())
_QUEUES = Span("queues", 0, 1)
_PRODUCTS = Span("products", 0, 1)
"""A nominal region that every product claims to write, so that other instructions can wait for products."""
_CODE_BYTES = 1 << 16
_WINDOW_BYTES = 1 << 18


@dataclass(frozen=True, eq=False)
class Experiment:
    """A program in memory that otherwise holds only zeros.

    code: the program's bytes, at byte `code_offset` of the constant window. constant_bytes, frame_bytes: sizes of the two windows.
    """

    entries: list[Entry]
    code: bytes
    code_offset: int
    constant_bytes: int
    frame_bytes: int

    def memory(self) -> tuple[Program, Memory]:
        """Return the program's location and fresh memory to run it on."""
        constants = np.zeros(self.constant_bytes, np.uint8)
        constants[self.code_offset : self.code_offset + len(self.code)] = np.frombuffer(self.code, np.uint8)
        return Program(self.code_offset, len(self.code)), Memory(constants, np.zeros(self.frame_bytes, np.uint8))


def frame_experiment(configuration: HardwareConfiguration) -> Experiment:
    """A frame of one dense block of width 96 on 129 tokens, in which units get in each other's way as in a real network."""
    target = weightless_target(
        _NETWORK, {"normals": Task("normals", 3, 16, 1.0, 1, {})}, one_picture(["normals"]), configuration
    )
    lowered = lower_program(target)
    offset = round_up(target.constants.total, WINDOW_ALIGNMENT)
    code = lowered.emitter.program()
    return Experiment(
        lowered.entries,
        code,
        offset,
        round_up(offset + len(code), WINDOW_ALIGNMENT),
        round_up(lowered.frame_end, WINDOW_ALIGNMENT),
    )


class Probe:
    """Builds a short program, instruction by instruction.

    Activations are read from the lower half of the activation memory and written to its upper half; weights lie in the lower three
    quarters of the weight memory. Instructions depend on each other only where the caller asks for it.
    """

    def __init__(self, configuration: HardwareConfiguration) -> None:
        self.configuration = configuration
        self._assembler = Assembler(configuration, {})
        self._half = configuration.act_bytes // 2 // configuration.act_word_bytes * configuration.act_word_bytes
        word = configuration.weight_word_bytes
        self._weights_out = 3 * configuration.weight_bytes // 4 // word * word

    def finish(self) -> Experiment:
        """Return the program built so far."""
        code = self._assembler.program()
        return Experiment(self._assembler.entries, code, 0, _CODE_BYTES + _WINDOW_BYTES, _WINDOW_BYTES)

    # --- instructions ---------------------------------------------------------------------------------------------

    def load(self, destination: LoadDestination, size: int, *, at: int = 0, queue: int | None = None) -> Probe:
        """Load `size` bytes of the constants to byte `at` of a memory. queue: skip the load if this expert queue is empty."""
        self._emit(
            "load", () if queue is None else (_QUEUES,), (Span(destination.name.lower(), at, at + size),), space=int(Space.CONSTANT),
            destination=int(destination), dram_offset=_CODE_BYTES, local_address=at, bytes=size, skip_if_empty=int(queue is not None),
            queue=queue or 0, count_1=1, count_2=1, count_3=1,
        )  # fmt: skip
        return self

    def store(self, size: int, *, runs: int = 1) -> Probe:
        """Store `runs` runs of `size` bytes from the upper half of the activation memory."""
        total = runs * size
        self._emit(
            "store", (Span("act", self._half, self._half + total),), (Span("frame", 0, total),), space=int(Space.FRAME),
            dram_offset=0, local_address=self._half, bytes=size, count_1=runs, dram_stride_1=size, local_stride_1=size, count_2=1,
            count_3=1,
        )  # fmt: skip
        return self

    def product(
        self, rows: int, column_tiles: int, steps: int, destination: Destination = Destination.INT16, gather: bool = False,
        scatter: bool = False, queue: int = 0,
    ) -> Probe:  # fmt: skip
        """Multiply `rows` rows with `steps` array steps per tile. gather, scatter: read, write the rows of the tokens in `queue`."""
        c = self.configuration
        columns, depth = column_tiles * c.tile_columns, steps * c.tile_depth
        parameters = round_up(PARAMETER_ENTRY.itemsize * c.tile_columns, c.weight_word_bytes)
        stride = parameters + depth * c.tile_columns
        to_weights = destination in (Destination.KEYS, Destination.VALUES)
        element = 1 if destination == Destination.INT8 else 2
        if to_weights:
            memory, start, pitch = "weight", self._weights_out, round_up(columns, c.tile_depth) * c.tile_columns
        else:
            memory, start, pitch = "act", self._half, round_up(element * columns, c.act_word_bytes)
        self._emit(
            "matmul", (Span("weight", 0, column_tiles * stride), *((_QUEUES,) if gather or scatter else ())),
            (Span(memory, start, start + rows * pitch), _PRODUCTS), destination=int(destination), rows=rows, columns=columns,
            depth=depth, a_address=0, a_pitch=round_up(depth, c.act_word_bytes), b_address=parameters, b_stride=stride,
            param_address=0, param_stride=stride, d_address=start, d_pitch=pitch, gather=int(gather), scatter=int(scatter), queue=queue,
            queue_first=0,
        )  # fmt: skip
        return self

    def softmax(self, rows: int, words: int, *, after: bool = False) -> Probe:
        """Take the softmax of rows with `words` words of scores per port. after: wait for all earlier products."""
        c = self.configuration
        columns = words * c.tile_columns * c.act_ports
        pitch, target = 2 * columns, round_up(columns, c.act_word_bytes)
        reads = (Span("act", 0, rows * pitch), *((_PRODUCTS,) if after else ()))
        self._emit(
            "softmax", reads, (Span("act", self._half, self._half + rows * target),), rows=rows, columns=columns,
            source_address=0, source_pitch=pitch, destination_address=self._half, destination_pitch=target, row_base=0,
        )  # fmt: skip
        return self

    def layer_norm(self, rows: int, column_tiles: int) -> Probe:
        """Normalise `rows` rows of `column_tiles` column tiles."""
        c = self.configuration
        columns = column_tiles * c.tile_columns
        self._emit(
            "layer_norm", (Span("act", 0, rows * 2 * columns),), (Span("act", self._half, self._half + rows * columns),), rows=rows,
            columns=columns, source_address=0, source_pitch=2 * columns, destination_address=self._half, destination_pitch=columns,
            param_address=0, shift=0,
        )  # fmt: skip
        return self

    def route(self, rows: int, experts: int, top_k: int = 1) -> Probe:
        """Load equal scores for all experts and route: every token goes to the first `top_k` experts."""
        pitch = round_up(2 * experts, self.configuration.act_word_bytes)
        self.load(LoadDestination.ACT, rows * pitch)
        self._emit(
            "route", (Span("act", 0, rows * pitch),), (_QUEUES,), rows=rows, columns=experts, append=0, first=0, source_address=0,
            source_pitch=pitch, top_k=top_k,
        )  # fmt: skip
        return self

    def _emit(self, name: str, reads: tuple[Span, ...], writes: tuple[Span, ...], **fields: int) -> None:
        self._assembler.emit(name, name, reads, writes, **fields)
