"""How one program divides the memories, and how its layers and rows are split to fit: shared by all parts of the lowering."""

from __future__ import annotations

import math
from itertools import product

from moesaic.hls.compiler.activations import Activations, Matrix
from moesaic.hls.compiler.arena import Ring, Span, round_up
from moesaic.hls.compiler.does_not_fit import DoesNotFit
from moesaic.hls.compiler.emitter import Emitter, LinearPart
from moesaic.hls.compiler.lanes import Lane, rows_needed
from moesaic.hls.compiler.prefetch import Block, Prefetcher, SlotPool, Spans
from moesaic.hls.compiler.row_chunks import Chunk, equal_blocks
from moesaic.hls.compiler.target import Target
from moesaic.hls.compiler.weight_layout import linear_tile_bytes, linear_tiles, norm_bytes, packed_from
from moesaic.spec.arithmetic import TABLE_ENTRIES
from moesaic.spec.isa import LoadDestination

_PART_SHARE = 12
"""A linear layer is loaded in parts, each at most 1 / _PART_SHARE of the weight memory."""
_NORM_SLOTS = 6
_SCORES = ((4, 3), (3, 3), (2, 3), (4, 2), (2, 2), (1, 3), (1, 2), (1, 1))
"""(row tiles of attention scores per block, blocks in flight), in order of preference: three hide the softmax of one."""


class ProgramPlan:
    """A target's program under construction, for one division of the memory that activations and weights share.

    weights_end: bytes of the shared memory that hold weights.

    Raises DoesNotFit if too little is left for activations.

    act: places the activations.
    residual: the residual streams of all lanes, int16 (rows, width).
    whole: whether whole matrices of all tokens fit beside them; if so, normed holds the normalised tokens, int8 (rows, width).
    slices: the query rows of a lane's attention, in one slice if whole.
    flights: blocks of scores in flight.
    scratch: one row for the results of a GELU pass, if the schedule has one.
    """

    def __init__(self, target: Target, weights_end: int) -> None:
        self.target, self.weights_end = target, weights_end
        self.architecture, self.configuration = target.architecture, target.configuration
        self.schedule, self.head_pitch = target.schedule, target.head_pitch
        self.rows = rows_needed(target)
        self.emitter = Emitter(target)
        self.act = Activations(target.configuration, weights_end)
        a, c = self.architecture, self.configuration
        streams = "the residual stream" if self.rows == a.tokens else f"{self.rows // a.tokens} residual streams"
        self.residual = self.act.place(streams, self.rows, a.width, "int16", top=True)
        self._norm_slot = round_up(norm_bytes(c, a.width), c.act_word_bytes)
        self._norm_slots = self.act.allocate("the layer-norm parameters", _NORM_SLOTS * self._norm_slot)
        if self.schedule.gelu_pass:
            self.scratch = self.act.place("the results of a GELU pass", 1, max(a.mlp_hidden, a.expert_hidden), "int8")
        self.slices = self._plan_slices()
        self.whole = len(self.slices) == 1
        if self.whole:
            self.normed = self.act.place("the normalised tokens", self.rows, a.width, "int8")

    def prefetcher(self) -> Prefetcher:
        """A prefetcher that emits the steps of the program together with their loads."""
        c = self.configuration
        words = (c.weight_bytes + self.weights_end) // c.weight_word_bytes
        pools = {
            "residual": SlotPool(LoadDestination.ACT, self._lane_spans()),
            "tables": SlotPool(LoadDestination.TABLE, _slots("table", 0, TABLE_ENTRIES, c.tables)),
            "norms": SlotPool(LoadDestination.ACT, _slots("act", self._norm_slots.start, self._norm_slot, _NORM_SLOTS)),
        }
        ring = Ring(Span("weight", 0, words * c.weight_word_bytes))
        # A few tokens leave most experts unchosen: almost all speculative loads would be wasted.
        suspect = self.schedule.expert_tokens is None
        return Prefetcher(self.emitter, ring, pools, self.schedule.prefetch, suspect)

    def _lane_spans(self) -> list[Span]:
        """The places of the lanes that images start in."""
        tokens = self.architecture.tokens
        return [self.residual.rows(n * tokens, tokens) for n in range(len(self.target.image_offsets))]

    # --- slices and blocks of rows --------------------------------------------------------------------------------

    def _plan_slices(self) -> list[Chunk]:
        """Split the query rows into as few slices as possible, and set `flights`.

        The buffers of a slice must fit: normalised rows, queries, attention result, scores and attention weights, and, if several
        lanes are whole, the logits of one.
        """
        a, c, act = self.architecture, self.configuration, self.act
        quantum = math.lcm(c.tile_rows, c.tile_columns, c.tile_depth)
        room, wide = act.largest_gap(), act.pitch(a.heads * self.head_pitch, "int8")
        # A lane is routed while the queries of the next one are in the memory.
        logits = act.pitch(c.experts, "int16") if self.rows > a.tokens else 0
        for (tiles, flights), count in product(_SCORES, range(1, -(-a.tokens // quantum) + 1)):
            rows = a.tokens if count == 1 else round_up(-(-a.tokens // count), quantum)
            normed = act.pitch(a.width, "int8") * (self.rows if count == 1 else 2 * rows)
            heads = self.score_bytes() * min(tiles * c.tile_rows, rows) * flights
            routed = rows * logits if count == 1 else 0
            if normed + rows * 2 * wide + heads + routed <= room:
                self.flights = flights
                return equal_blocks(a.tokens, rows)
        rows = min(quantum, a.tokens)
        needed = rows * (2 * act.pitch(a.width, "int8") + 2 * wide) + self.score_bytes() * min(c.tile_rows, rows)
        available = f"{room} of {c.act_bytes} are available beside the residual stream"
        raise DoesNotFit(f"attention of {rows} query rows", needed, "act", available)

    def score_bytes(self) -> int:
        """Bytes of one row of attention scores, int16, and one row of attention weights, int8."""
        tokens = self.architecture.tokens
        return self.act.pitch(tokens, "int16", spread=True) + self.act.pitch(tokens, "int8", spread=True)

    def blocks_of(
        self, rows: int, bytes_per_row: int, multiple: int, what: str, limit: int | None = None, extra: int = 0
    ) -> list[Chunk]:
        """Split rows into the largest blocks that fit into the largest gap.

        This gives one block if all rows fit; else blocks of a multiple of `multiple` rows, of which the last may be smaller; else,
        if `multiple` rows do not fit, single rows.

        limit: most rows in a block.
        extra: bytes that are needed besides.

        Raises DoesNotFit, naming `what` a row is, if not even one fits.
        """
        return self._split(rows, bytes_per_row, multiple, what, self.act.largest_gap() - extra, limit)

    def blocks_when_empty(self, rows: int, bytes_per_row: int, multiple: int, what: str, extra: int = 0) -> list[Chunk]:
        """As blocks_of, but for a memory that holds only what every transformer block keeps, and `extra` bytes."""
        kept = self.residual.span.size + self._norm_slots.size + (self.normed.span.size if self.whole else 0)
        return self._split(rows, bytes_per_row, multiple, what, self.act.span.size - kept - extra, None)

    def _split(
        self, rows: int, bytes_per_row: int, multiple: int, what: str, room: int, limit: int | None
    ) -> list[Chunk]:
        most = min(room // bytes_per_row, rows if limit is None else limit)
        if most < rows:
            most = most // multiple * multiple or min(most, 1)
        if most <= 0:
            available = f"{max(room, 0)} of {self.configuration.act_bytes} are available"
            raise DoesNotFit(what, bytes_per_row, "act", available)
        return equal_blocks(rows, most)

    # --- layers and their blocks of weights -----------------------------------------------------------------------

    def parts(self, name: str, least: int = 1) -> list[LinearPart]:
        """The column parts in which a linear layer is loaded, at least so many if it has as many column tiles."""
        c = self.configuration
        outputs, inputs = self.target.shapes[name]
        tiles = -(-outputs // c.tile_columns)
        most = max(c.weight_bytes // _PART_SHARE // linear_tile_bytes(c, inputs), 1)
        count = max(-(-tiles // most), min(least, tiles))
        size = -(-tiles // count) * c.tile_columns
        starts = range(0, outputs, size)
        return [
            LinearPart(name, name if len(starts) == 1 else f"{name}[{s}]", s, min(size, outputs - s), inputs)
            for s in starts
        ]

    def whole_part(self, name: str) -> LinearPart:
        """A linear layer as a single part, as all with weights of 4 bits are."""
        outputs, inputs = self.target.shapes[name]
        return LinearPart(name, name, 0, outputs, inputs)

    def block(self, part: LinearPart, expert: int | None = None, router: str = "", suffix: str = "") -> Block:
        """A part as a block of the weight memory. expert, router: as for Block; suffix: appended to the block's name."""
        c = self.configuration
        tile = linear_tile_bytes(c, part.inputs)
        offset, size = part.first_column // c.tile_columns * tile, linear_tiles(c, part.columns) * tile
        packed = packed_from(c, part.columns, self.architecture.weight_bits(part.name))
        return Block(part.block + suffix, size, part.name, offset, packed, expert=expert, router=router)

    def table(self, name: str) -> Block:
        """A GELU table as a block."""
        return Block(name, TABLE_ENTRIES, name, slots="tables")

    def norm(self, name: str) -> Block:
        """The parameters of a layer norm as a block."""
        return Block(name, norm_bytes(self.configuration, self.architecture.width), name, slots="norms")

    def position(self, image: int) -> Block:
        """The position embedding as a block, loaded as the initial value of an image's residual stream."""
        name = "position" if image == 0 else f"position@{image}"
        return Block(name, self.target.constants.size["position"], "position", slots="residual")

    # --- what several layers do -----------------------------------------------------------------------------------

    def layer_norm(
        self, name: str, spans: Spans, target: Matrix, first: int, count: int, lanes: tuple[Lane, ...]
    ) -> None:
        """Emit the layer norm of rows [first, first + count) of the residual streams into `target`, int8, and observe the result."""
        self.emitter.layer_norm(name, self.residual, target, spans[name], first, count)
        self.observe(name, target, first, count, lanes, self.architecture.width)

    def observe_residual(self, layer: str, first: int, count: int, lanes: tuple[Lane, ...]) -> None:
        """Observe rows [first, first + count) of the residual streams as the result of a layer."""
        self.observe(layer, self.residual, first, count, lanes, self.architecture.width)

    def observe_heads(self, layer: str, matrix: Matrix, first: int, count: int, lane: Lane) -> None:
        """Observe rows [first, first + count) of a matrix whose columns are padded heads."""
        a = self.architecture
        groups = a.width // a.heads, self.head_pitch
        self.observe(layer, matrix, first, count, (lane,), a.heads * self.head_pitch, groups)

    def observe(
        self, layer: str, matrix: Matrix, first: int, count: int, lanes: tuple[Lane, ...], columns: int,
        groups: tuple[int, int] = (0, 0), kept: tuple[int, ...] = (),
    ) -> None:  # fmt: skip
        """Observe rows [first, first + count) of a matrix with a row per token as the result of a layer, lane by lane."""
        for lane in lanes:
            if part := lane.part(first, count):
                shape = lane.tokens, columns
                self.emitter.observe(lane.members, layer, matrix, *part, shape, part[0] - lane.first, groups, kept)


def _slots(space: str, start: int, size: int, count: int) -> list[Span]:
    return [Span(space, start + n * size, start + (n + 1) * size) for n in range(count)]
