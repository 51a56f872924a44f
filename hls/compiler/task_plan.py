"""What the parts of a task's lowering share: the division of the memories, column parts of layers, chunks and blocks of rows."""

from __future__ import annotations

import math
from itertools import product

from moesaic.errors import UserError
from moesaic.hls.compiler.arena import Ring, Span, round_up
from moesaic.hls.compiler.constants import Constants
from moesaic.hls.compiler.emitter import Emitter, FrameLayout, LinearPart, Rows
from moesaic.hls.compiler.padded_layers import head_pitch, linear_shapes, patch_pitch, stored_channels
from moesaic.hls.compiler.prefetch import Block, Prefetcher, SlotPool, Spans
from moesaic.hls.compiler.schedule import Schedule
from moesaic.hls.compiler.weight_layout import linear_tile_bytes, norm_bytes
from moesaic.spec.arithmetic import NORM_WIDTH_MAX, TABLE_ENTRIES
from moesaic.spec.bundle import Bundle, pathways
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.isa import OPERAND_BYTES, LoadDestination

BEFORE = (1, 2, 3, 3)
"""Relative sizes of chunks of which nothing hides the first."""
AFTER = (3, 3, 2, 1)
"""Relative sizes of chunks of which nothing hides the last."""

_PART_SHARE = 12
"""A linear layer is loaded in parts of at most 1 / _PART_SHARE of the weight memory."""
_NORM_SLOTS = 6
_WEIGHT_BITS = 8
_SCORES = ((4, 3), (3, 3), (2, 3), (4, 2), (2, 2), (1, 3), (1, 2), (1, 1))
"""Row tiles of attention scores in a block, and blocks in flight, in order of preference: three hide the softmax of one."""

Chunk = tuple[int, int]
"""First row and number of rows."""


class TaskPlan:
    """One task's frame on one configuration, before its instructions. task_name: of its pathway (moesaic.spec.pathway_names).

    residual: the residual stream, all tokens. whole: whole matrices of all tokens fit beside it; then normed holds the
    normalised tokens. slices: of query rows in attention, one if whole; flights: blocks of scores at a time.
    weights_end: bytes of the memory that activations and weights share which hold weights. scratch: a row for results of a pass of
    its own for GELU, if the schedule has one.
    """

    def __init__(
        self,
        bundle: Bundle,
        configuration: HardwareConfiguration,
        constants: Constants,
        task: str,
        frame: FrameLayout,
        image_offset: int,
        output_offset: int,
        observe: bool,
        tags: dict[str, int],
        schedule: Schedule,
        weights_end: int,
    ) -> None:
        self.bundle, self.configuration, self.constants, self.task_name = bundle, configuration, constants, task
        self.architecture, self.task, self.schedule = bundle.architecture, pathways(bundle.tasks)[task], schedule
        self.image_offset, self.output_offset, self.weights_end = image_offset, output_offset, weights_end
        self.shapes = linear_shapes(bundle.architecture, bundle.tasks, configuration)
        self.head_pitch = head_pitch(self.architecture, configuration)
        self.emitter = Emitter(
            bundle, configuration, constants, frame, observe, tags, not schedule.prefetch, weights_end
        )
        self._check_limits()
        a, c, e = self.architecture, self.configuration, self.emitter
        self.residual = e.rows("the residual stream", a.tokens, a.width, "int16", top=True)
        self._norm_slot = round_up(norm_bytes(c, a.width), c.act_word_bytes)
        self._norm_slots = e.act.allocate("the layer-norm parameters", _NORM_SLOTS * self._norm_slot)
        if schedule.gelu_pass:
            self.scratch = e.rows("the results of a GELU pass", 1, max(a.mlp_hidden, a.expert_hidden), "int8")
        self.slices = self._plan_slices()
        self.whole = len(self.slices) == 1
        if self.whole:
            self.normed = e.rows("the normalised tokens", a.tokens, a.width, "int8")

    def prefetcher(self) -> Prefetcher:
        """What emits the steps of the program, with their loads."""
        c, e = self.configuration, self.emitter
        words = (c.weight_bytes + self.weights_end) // c.weight_word_bytes
        pools = {
            "residual": SlotPool(LoadDestination.ACT, [self.residual.span]),
            "tables": SlotPool(LoadDestination.TABLE, _slots("table", 0, TABLE_ENTRIES, c.tables)),
            "norms": SlotPool(LoadDestination.ACT, _slots("act", self._norm_slots.start, self._norm_slot, _NORM_SLOTS)),
        }
        ring = Ring(Span("weight", 0, words * c.weight_word_bytes))
        # Of the experts of a few tokens most are not chosen: loads on suspicion would be almost all in vain.
        suspect = self.schedule.expert_tokens is None
        return Prefetcher(e.assembler, self.constants, ring, pools, c.name, self.schedule.prefetch, suspect)

    def _plan_slices(self) -> list[Chunk]:
        """Query rows in as few slices as their buffers fit: normalised rows, queries, attention result, scores, weights."""
        a, c, e = self.architecture, self.configuration, self.emitter
        quantum = math.lcm(c.tile_rows, c.tile_columns, c.tile_depth)
        room, wide = e.act.largest_gap(), e.pitch(a.heads * self.head_pitch, "int8")
        for (tiles, flights), count in product(_SCORES, range(1, -(-a.tokens // quantum) + 1)):
            rows = a.tokens if count == 1 else round_up(-(-a.tokens // count), quantum)
            normed = e.pitch(a.width, "int8") * (1 if count == 1 else 2)
            heads = self.score_bytes() * min(tiles * c.tile_rows, rows) * flights
            if rows * (normed + 2 * wide) + heads <= room:
                self.flights = flights
                return [(first, min(rows, a.tokens - first)) for first in range(0, a.tokens, rows)]
        rows = min(quantum, a.tokens)
        raise UserError(
            f"the model does not fit configuration {c.name}: attention of {rows} query rows needs"
            f" {rows * (2 * e.pitch(a.width, 'int8') + 2 * wide) + self.score_bytes() * min(c.tile_rows, rows)} bytes of act memory,"
            f" {room} of {c.act_bytes} are available beside the residual stream; use a larger configuration or a smaller image or model"
        )

    def score_bytes(self) -> int:
        """Bytes of one row of scores and of attention weights."""
        tokens, e = self.architecture.tokens, self.emitter
        return e.pitch(tokens, "int16", spread=True) + e.pitch(tokens, "int8", spread=True)

    def parts(self, name: str) -> list[LinearPart]:
        """The column parts in which a linear layer is loaded."""
        c = self.configuration
        outputs, inputs = self.shapes[name]
        tiles = -(-outputs // c.tile_columns)
        most = max(c.weight_bytes // _PART_SHARE // linear_tile_bytes(c, inputs), 1)
        count = -(-tiles // most)
        size = -(-tiles // count) * c.tile_columns
        starts = range(0, outputs, size)
        return [
            LinearPart(name, name if len(starts) == 1 else f"{name}[{s}]", s, min(size, outputs - s), inputs)
            for s in starts
        ]

    def block(self, part: LinearPart, expert: int | None = None, router: str = "", suffix: str = "") -> Block:
        """A part as a block of the weight memory; suffix: of its name there."""
        c = self.configuration
        tile = linear_tile_bytes(c, part.inputs)
        offset, size = part.first_column // c.tile_columns * tile, -(-part.columns // c.tile_columns) * tile
        return Block(part.block + suffix, size, part.name, offset, expert=expert, router=router)

    def whole_part(self, name: str) -> LinearPart:
        """A linear layer as one part."""
        outputs, inputs = self.shapes[name]
        return LinearPart(name, name, 0, outputs, inputs)

    def table(self, name: str) -> Block:
        """A GELU table as a block."""
        return Block(name, TABLE_ENTRIES, name, slots="tables")

    def norm(self, name: str) -> Block:
        """The parameters of a layer norm as a block."""
        return Block(name, norm_bytes(self.configuration, self.architecture.width), name, slots="norms")

    def chunks(self, first: int, count: int, quantum: int, shares: tuple[int, ...]) -> list[Chunk]:
        """Rows first to first + count in pieces of about the given relative sizes, all but the last multiples of `quantum`."""
        chunks, start, done = [], first, 0
        for share in shares:
            done += share
            target = first + count * done / sum(shares)
            end = min(first + round_up(max(round(target) - first, 1), quantum), first + count)
            if end > start:
                chunks.append((start, end - start))
                start = end
        return chunks

    def layer_norm(self, name: str, spans: Spans, target: Rows, first: int, count: int) -> None:
        """Layer norm of rows first to first + count of the residual stream into `target`; observed."""
        e, a = self.emitter, self.architecture
        e.layer_norm(name, self.residual, target, spans[name], first, count)
        e.observe_part(name, target, first, count, (a.tokens, a.width), first)

    def observe_heads(self, layer: str, rows: Rows, first: int, count: int) -> None:
        """Observe rows of a matrix whose columns are padded heads."""
        a = self.architecture
        groups = a.width // a.heads, self.head_pitch
        self.emitter.observe_part(layer, rows, first, count, (a.tokens, a.heads * self.head_pitch), first, groups)

    def blocks_of(
        self, rows: int, bytes_per_row: int, multiple: int, what: str, limit: int | None = None
    ) -> list[Chunk]:
        """Split rows into the largest blocks for which there is room; their sizes are multiples of `multiple`, or less than it."""
        return self._split(rows, bytes_per_row, multiple, what, self.emitter.act.largest_gap(), limit)

    def blocks_when_empty(self, rows: int, bytes_per_row: int, multiple: int, what: str, extra: int = 0) -> list[Chunk]:
        """As blocks_of, for a moment at which only what every block keeps is in the memory, and `extra` bytes."""
        kept = self.residual.span.size + self._norm_slots.size + (self.normed.span.size if self.whole else 0)
        return self._split(rows, bytes_per_row, multiple, what, self.emitter.act.size - kept - extra, None)

    def _split(
        self, rows: int, bytes_per_row: int, multiple: int, what: str, room: int, limit: int | None
    ) -> list[Chunk]:
        most = min(room // bytes_per_row, rows if limit is None else limit)
        if most < rows:
            most = most // multiple * multiple or min(most, 1)
        if most <= 0:
            raise UserError(
                f"the model does not fit configuration {self.configuration.name}: {what} needs {bytes_per_row} bytes of act memory,"
                f" {max(room, 0)} of {self.configuration.act_bytes} are available; use a larger configuration or a smaller image or"
                f" model"
            )
        return [(first, min(most, rows - first)) for first in range(0, rows, most)]

    def _check_limits(self) -> None:
        a, c, task = self.architecture, self.configuration, self.task

        def limit(condition: bool, what: str, needed: int, available: int) -> None:
            if not condition:
                raise UserError(
                    f"the model does not fit configuration {c.name}: {what} is {needed}, at most {available} are supported there"
                )

        bits = a.expert_weight_bits
        if bits != _WEIGHT_BITS:
            remedy = f"it multiplies weights of {_WEIGHT_BITS} bits; export with --expert-bits {_WEIGHT_BITS}"
            raise UserError(f"the machine does not run expert weights of {bits} bits yet, {remedy}")
        limit(a.width <= NORM_WIDTH_MAX, "the width", a.width, NORM_WIDTH_MAX)
        if a.moe_blocks:
            limit(a.tokens <= c.queue_tokens, "the number of tokens", a.tokens, c.queue_tokens)
            kept = max(len(experts) for experts in task.pathway.values())
            limit(kept <= c.experts, "the number of experts of a task", kept, c.experts)
        deepest = max(a.mlp_hidden, a.expert_hidden, a.patch * patch_pitch(a) * 4, a.heads * self.head_pitch)
        limit(deepest <= OPERAND_BYTES, "the depth of a product", deepest, OPERAND_BYTES)
        limit(a.tokens <= OPERAND_BYTES, "the number of tokens", a.tokens, OPERAND_BYTES)
        outputs = task.upscale * task.upscale * stored_channels(task)
        limit(outputs < 1 << 16, "the number of outputs per token", outputs, (1 << 16) - 1)


def _slots(space: str, start: int, size: int, count: int) -> list[Span]:
    return [Span(space, start + n * size, start + (n + 1) * size) for n in range(count)]
