"""Lowers one task of a bundle to the program of its frame.

The order of the program is the order of the network, with these exceptions: weights are loaded ahead (hls.prefetch); in attention the
scores of the next heads are computed before the softmax-weighted sum of the current one; an expert's first layer is computed before
the previous expert's second one; and what lies around a layer norm or a router is cut into chunks of rows, so that a chunk is
normalised or routed while the array works on its neighbours. Activations never leave the chip between the image and the task's output.

Where a whole matrix of all tokens does not fit beside the residual stream, attention runs in slices of query rows, a dense MLP in
blocks of rows, and experts in slices of their queues. Keys and values of all tokens lie in the weight memory while they are needed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product

from hls.arena import Ring, Span, round_up
from hls.assembler import Assembler
from hls.constants import Constants, table_name
from hls.emitter import Emitter, FrameLayout, LinearPart, Rows
from hls.network import head_pitch, linear_shapes, stored_channels
from hls.prefetch import QUEUES, Block, Prefetcher, SlotPool, Spans, Step
from hls.schedule import Schedule
from hls.weight_layout import linear_depth, linear_tile_bytes, norm_bytes
from spec.arithmetic import NORM_WIDTH_MAX, TABLE_ENTRIES
from spec.build import Observation
from spec.bundle import Bundle
from spec.configuration import HardwareConfiguration
from spec.errors import UserError
from spec.isa import OPERAND_BYTES, Destination, LoadDestination, Space

_PART_SHARE = 12
"""A linear layer is loaded in parts of at most 1 / _PART_SHARE of the weight memory."""
_SHARED_STEP = 4096
_SCORES_IN_FLIGHT = 3
_NORM_SLOTS = 6


@dataclass(frozen=True)
class LoweredTask:
    """act_peak: bytes of activation memory in use at the worst moment; weights_end: bytes of the shared memory that hold weights."""

    assembler: Assembler
    observations: dict[str, Observation]
    act_peak: int
    weights_end: int


Chunk = tuple[int, int]
"""First row and number of rows."""


def lower_task(
    bundle: Bundle, configuration: HardwareConfiguration, constants: Constants, task: str, frame: FrameLayout, image_offset: int,
    output_offset: int, observe: bool, tags: dict[str, int], schedule: Schedule,
) -> LoweredTask:  # fmt: skip
    """The program of a task: as much of the shared memory for weights as whole matrices of activations leave.

    frame: the frame window's layout, grown by observations; image_offset, output_offset: in that window. observe: store every layer's
    result in the frame window as well (see spec.build.Observation). tags: see Assembler. UserError if a buffer does not fit.
    """

    def attempt(weights_end: int) -> tuple[TaskLowering, FrameLayout, dict[str, int]]:
        own_frame, own_tags = FrameLayout(frame.end), dict(tags)
        lowering = TaskLowering(
            bundle, configuration, constants, task, own_frame, image_offset, output_offset, observe, own_tags, schedule, weights_end
        )
        lowering.lower()
        return lowering, own_frame, own_tags

    shared = configuration.shared_bytes
    for weights_end in [shared * part // 4 // _SHARED_STEP * _SHARED_STEP for part in (4, 3, 2, 1)] if shared else []:
        try:
            done = attempt(weights_end)
        except UserError:
            continue
        if done[0].whole:
            break
    else:
        done = attempt(0)
    lowering, own_frame, own_tags = done
    frame.end = own_frame.end
    tags.update(own_tags)
    return lowering.result()


class TaskLowering:
    """Lowers one task with a given division of the shared memory, see lower_task.

    weights_end: bytes of the memory that activations and weights share which hold weights.
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
        self.architecture, self.task, self.schedule = bundle.architecture, bundle.tasks[task], schedule
        self.image_offset, self.output_offset = image_offset, output_offset
        self.shapes = linear_shapes(bundle.architecture, bundle.tasks, configuration)
        self.head_pitch = head_pitch(self.architecture, configuration)
        self.emitter = Emitter(bundle, configuration, constants, frame, observe, tags, not schedule.prefetch, weights_end)
        self.weights_end = weights_end
        self._check_limits()

    # --- the frame ------------------------------------------------------------------------------------------------

    def lower(self) -> None:
        """Emit the program. UserError if a buffer does not fit."""
        a, c, e = self.architecture, self.configuration, self.emitter
        if e.observing:
            e.clear_act()
        ring = Ring(Span("weight", 0, (c.weight_bytes + self.weights_end) // c.weight_word_bytes * c.weight_word_bytes))
        self.residual = e.rows("the residual stream", a.tokens, a.width, "int16", top=True)
        norm_slot = round_up(norm_bytes(c, a.width), c.act_word_bytes)
        self.norm_slots = e.act.allocate("the layer-norm parameters", _NORM_SLOTS * norm_slot)
        pools = {
            "residual": SlotPool(LoadDestination.ACT, [self.residual.span]),
            "tables": SlotPool(LoadDestination.TABLE, _slots("table", 0, TABLE_ENTRIES, c.tables)),
            "norms": SlotPool(LoadDestination.ACT, _slots("act", self.norm_slots.start, norm_slot, _NORM_SLOTS)),
        }
        self.slices = self._plan_slices()
        self.whole = len(self.slices) == 1
        if self.whole:
            self.normed = e.rows("the normalised tokens", a.tokens, a.width, "int8")
        prefetcher = Prefetcher(e.assembler, self.constants, ring, pools, c.name, self.schedule.prefetch)
        prefetcher.emit(list(self._steps()))

    def result(self) -> LoweredTask:
        """What lower() made."""
        return LoweredTask(self.emitter.assembler, self.emitter.observations, self.emitter.act.peak, self.weights_end)

    def _steps(self) -> Iterator[Step]:
        a = self.architecture
        yield from self._patch_embed_steps()
        for i in range(a.depth):
            yield from self._attention_steps(i)
            yield from self._expert_steps(i) if i in a.moe_blocks else self._mlp_steps(i)
        yield self._head_step()

    # --- weights --------------------------------------------------------------------------------------------------

    def _parts(self, name: str) -> list[LinearPart]:
        """The column parts in which a linear layer is loaded."""
        c = self.configuration
        outputs, inputs = self.shapes[name]
        tiles = -(-outputs // c.tile_columns)
        most = max(c.weight_bytes // _PART_SHARE // linear_tile_bytes(c, inputs), 1)
        count = -(-tiles // most)
        size = -(-tiles // count) * c.tile_columns
        starts = range(0, outputs, size)
        return [LinearPart(name, name if len(starts) == 1 else f"{name}[{s}]", s, min(size, outputs - s), inputs) for s in starts]

    def _block(self, part: LinearPart, expert: int | None = None, router: str = "", suffix: str = "") -> Block:
        c = self.configuration
        tile = linear_tile_bytes(c, part.inputs)
        offset, size = part.first_column // c.tile_columns * tile, -(-part.columns // c.tile_columns) * tile
        return Block(part.block + suffix, size, part.name, offset, expert=expert, router=router)

    def _whole_part(self, name: str) -> LinearPart:
        """A linear layer as one part."""
        outputs, inputs = self.shapes[name]
        return LinearPart(name, name, 0, outputs, inputs)

    def _table(self, name: str) -> Block:
        return Block(name, TABLE_ENTRIES, name, slots="tables")

    def _norm(self, name: str) -> Block:
        return Block(name, norm_bytes(self.configuration, self.architecture.width), name, slots="norms")

    # --- chunks ---------------------------------------------------------------------------------------------------

    def _chunks(self, first: int, count: int, quantum: int, shares: tuple[int, ...]) -> list[Chunk]:
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

    @property
    def _before(self) -> tuple[int, ...]:
        """Relative sizes of chunks whose first one nothing hides."""
        return 1, 2, 3, 3

    @property
    def _after(self) -> tuple[int, ...]:
        """Relative sizes of chunks whose last one nothing hides."""
        return 3, 3, 2, 1

    # --- layer norms ----------------------------------------------------------------------------------------------

    def _layer_norm(self, name: str, spans: Spans, target: Rows, first: int, count: int) -> None:
        e, a = self.emitter, self.architecture
        e.layer_norm(name, self.residual, target, spans[name], first, count)
        e.observe_part(name, target, first, count, (a.tokens, a.width), first)

    # --- patch embedding ------------------------------------------------------------------------------------------

    def _patch_embed_steps(self) -> Iterator[Step]:
        """Patches of the image, row blocks of which the next is loaded while one is embedded, added to the position embedding."""
        a, e = self.architecture, self.emitter
        grid_rows, grid_columns = a.grid
        pitch = e.pitch(a.patch * a.patch * 4, "int8")
        blocks = self._blocks_of(grid_rows, grid_columns * pitch, 1, "one row of image patches")
        if len(blocks) > 1 and 2 * grid_columns * pitch <= e.act.largest_gap():
            blocks = self._blocks_of(grid_rows, 2 * grid_columns * pitch, 1, "two rows of image patches")
        parts = self._parts("patch_embed")
        most = max(count for _, count in blocks) * grid_columns
        buffers: list[Rows] = []
        for n, block in enumerate(blocks[:2]):
            if n == 0 or e.act.largest_gap() >= most * pitch:
                buffers.append(e.rows("the image patches", most, a.patch * a.patch * 4, "int8"))
                self._load_patches(buffers[n], *block)

        def embed(n: int, part: LinearPart, spans: Spans) -> None:
            first, count = blocks[n]
            e.linear(
                part, spans[part.block], buffers[n % len(buffers)].holding(0), 0, self.residual, 1 + first * grid_columns,
                count * grid_columns, residual=True,
            )  # fmt: skip
            if part is parts[-1] and n + len(buffers) < len(blocks):
                self._load_patches(buffers[n % len(buffers)], *blocks[n + len(buffers)])
            if part is parts[-1] and n == len(blocks) - 1:
                e.free(buffers)
                e.observe_part("patch_embed", self.residual, 0, a.tokens, (a.tokens, a.width), 0)

        position = Block("position", self.constants.size["position"], "position", slots="residual")
        for n in range(len(blocks)):
            for part in parts:
                yield Step("patch_embed", (self._block(part), position), partial(embed, n, part))

    def _load_patches(self, patches: Rows, first: int, count: int) -> None:
        """Grid rows first to first + count of the image, one patch a row."""
        a = self.architecture
        line, columns = a.image_width * 4, a.grid[1]
        self.emitter.assembler.emit(
            "load", "image", reads=(Span("frame", self.image_offset, self.image_offset + a.image_height * line),),
            writes=(patches.part(patches.first, count * columns),), space=int(Space.FRAME), destination=int(LoadDestination.ACT),
            dram_offset=self.image_offset + first * a.patch * line, local_address=patches.span.start, bytes=a.patch * 4,
            count_1=a.patch, dram_stride_1=line, local_stride_1=a.patch * 4,
            count_2=columns, dram_stride_2=a.patch * 4, local_stride_2=patches.pitch,
            count_3=count, dram_stride_3=a.patch * line, local_stride_3=columns * patches.pitch,
        )  # fmt: skip

    # --- attention ------------------------------------------------------------------------------------------------

    def _plan_slices(self) -> list[Chunk]:
        """Query rows in as few slices as their buffers fit: normalised rows, queries, attention result, scores, weights."""
        a, c, e = self.architecture, self.configuration, self.emitter
        quantum = math.lcm(c.tile_rows, c.tile_columns, c.tile_depth)
        room, wide = e.act.largest_gap(), e.pitch(a.heads * self.head_pitch, "int8")
        for tiles, flights, count in product((4, 3, 2, 1), (3, 2, 1), range(1, -(-a.tokens // quantum) + 1)):
            rows = a.tokens if count == 1 else round_up(-(-a.tokens // count), quantum)
            normed = e.pitch(a.width, "int8") * (1 if count == 1 else 2)
            heads = self._score_bytes() * min(tiles * c.tile_rows, rows) * flights
            if rows * (normed + 2 * wide) + heads <= room:
                return [(first, min(rows, a.tokens - first)) for first in range(0, a.tokens, rows)]
        rows = min(quantum, a.tokens)
        raise UserError(
            f"the model does not fit configuration {c.name}: attention of {rows} query rows needs"
            f" {rows * (2 * e.pitch(a.width, 'int8') + 2 * wide) + self._score_bytes() * min(c.tile_rows, rows)} bytes of act memory,"
            f" {room} of {c.act_bytes} are available beside the residual stream; use a larger configuration or a smaller image or model"
        )

    def _score_bytes(self) -> int:
        """Bytes of one row of scores and of attention weights."""
        tokens, e = self.architecture.tokens, self.emitter
        return e.pitch(tokens, "int16", spread=True) + e.pitch(tokens, "int8", spread=True)

    def _attention_steps(self, i: int) -> Iterator[Step]:
        block, a, c = f"blocks.{i}", self.architecture, self.configuration
        padded = a.heads * self.head_pitch
        keys = Block(f"{block}.keys", round_up(a.tokens, c.tile_columns) * padded)
        values = Block(f"{block}.values", round_up(a.tokens, c.tile_depth) * padded)
        scores = Block(f"{block}.scores", 8 * c.tile_columns, f"{block}.scores")
        query, key, value, projection = (self._whole_part(f"{block}.{part}") for part in ("query", "key", "value", "projection"))
        norm1, norm2 = self._norm(f"{block}.norm1"), self._norm(f"{block}.norm2")
        state: dict[str, Rows] = {}
        if self.whole:
            begin = partial(self._begin_whole_attention, block, state, query, value, values.name)
            yield Step(f"{block}.norm1", (norm1, self._block(query), self._block(value), values), begin)
            yield Step(f"{block}.key", (self._block(key), keys), partial(self._keys, key, keys.name, self.normed, 0, a.tokens))
        else:
            for n, (first, count) in enumerate(self.slices):
                yield Step(
                    f"{block}.key", (norm1, self._block(key), keys, self._block(value), values),
                    partial(self._key_value_slice, block, state, key, value, keys.name, values.name, n, first, count),
                )  # fmt: skip
        for n, (first, count) in enumerate(self.slices):
            needed = (keys, values, scores) if self.whole else (norm1, keys, values, scores, self._block(query))
            yield Step(f"{block}.attention", needed, partial(self._heads_of_slice, block, state, query, keys.name, values.name, n, first, count))
            last = partial(self._project_slice, i, state, projection, n, first, count)
            more = (norm2,) if self.whole else (norm1,)
            yield Step(f"{block}.projection", (self._block(projection), *more), last)

    def _begin_whole_attention(self, block: str, state: dict[str, Rows], query: LinearPart, value: LinearPart, values: str, spans: Spans) -> None:
        """norm1, queries and values of all tokens, chunk by chunk."""
        a, c, e = self.architecture, self.configuration, self.emitter
        state["query"] = e.rows("the queries", a.tokens, a.heads * self.head_pitch, "int8")
        for first, count in self._chunks(0, a.tokens, math.lcm(c.tile_rows, c.tile_depth), self._before):
            self._layer_norm(f"{block}.norm1", spans, self.normed, first, count)
            e.linear(query, spans[query.block], self.normed, first, state["query"], first, count)
            self._values(value, values, self.normed, first, count, spans)
        self._observe_heads(f"{block}.query", state["query"], 0, a.tokens)

    def _key_value_slice(
        self, block: str, state: dict[str, Rows], key: LinearPart, value: LinearPart, keys: str, values: str, n: int, first: int,
        count: int, spans: Spans,
    ) -> None:  # fmt: skip
        """norm1, keys and values of one slice of tokens."""
        a, e = self.architecture, self.emitter
        if n == 0:
            most = max(size for _, size in self.slices)
            for which in range(2):
                state[f"normed {which}"] = e.rows("the normalised tokens", most, a.width, "int8")
            self._normalise_slice(block, spans, state, 0)
        if n + 1 < len(self.slices):
            self._normalise_slice(block, spans, state, n + 1)
        normed = state[f"normed {n % 2}"].holding(first)
        self._keys(key, keys, normed, first, count, spans)
        self._values(value, values, normed, first, count, spans)

    def _normalise_slice(self, block: str, spans: Spans, state: dict[str, Rows], n: int) -> None:
        first, count = self.slices[n]
        self._layer_norm(f"{block}.norm1", spans, state[f"normed {n % 2}"].holding(first), first, count)

    def _keys(self, part: LinearPart, keys: str, rows: Rows, first: int, count: int, spans: Spans) -> None:
        c = self.configuration
        pitch = self.architecture.heads * self.head_pitch * c.tile_columns
        self._to_weight(part, keys, Destination.KEYS, first // c.tile_columns * pitch, pitch, rows, first, count, spans)

    def _values(self, part: LinearPart, values: str, rows: Rows, first: int, count: int, spans: Spans) -> None:
        c = self.configuration
        pitch = round_up(self.architecture.tokens, c.tile_depth) * c.tile_columns
        self._to_weight(part, values, Destination.VALUES, first // c.tile_depth * c.weight_word_bytes, pitch, rows, first, count, spans)

    def _to_weight(
        self, part: LinearPart, target: str, destination: Destination, offset: int, pitch: int, rows: Rows, first: int, count: int,
        spans: Spans,
    ) -> None:  # fmt: skip
        e = self.emitter
        e.matmul(
            part.name, reads=(rows.part(first, count), spans[part.block]), writes=(spans[target],), **e.linear_fields(part, spans[part.block]),
            rows=count, a_address=rows.address(first), a_pitch=rows.pitch, destination=int(destination),
            d_address=spans[target].start + offset, d_pitch=pitch,
        )  # fmt: skip

    def _heads_of_slice(
        self, block: str, state: dict[str, Rows], query: LinearPart, keys: str, values: str, n: int, first: int, count: int, spans: Spans
    ) -> None:
        a, e = self.architecture, self.emitter
        if not self.whole:
            if n == 0:
                self._normalise_slice(block, spans, state, 0)
                state["query"] = e.rows("the queries", self.slices[0][1], a.heads * self.head_pitch, "int8")
            state["query"] = state["query"].holding(first)
            normed = state[f"normed {n % 2}"].holding(first)
            e.linear(query, spans[query.block], normed, first, state["query"], first, count)
            self._observe_heads(f"{block}.query", state["query"], first, count)
        attended = e.rows("the attention result", count, a.heads * self.head_pitch, "int8").holding(first)
        state["attended"] = attended
        self._heads(block, spans, state["query"], attended, spans[keys], spans[values], first, count)
        self._observe_heads(f"{block}.attention", attended, first, count)

    def _heads(self, block: str, spans: Spans, query: Rows, attended: Rows, keys: Span, values: Span, start: int, rows: int) -> None:
        """Scores, softmax and weighted sum for every head and block of query rows, several blocks in flight."""
        a, c, e = self.architecture, self.configuration, self.emitter
        flights, per_row = _SCORES_IN_FLIGHT, self._score_bytes()
        while flights > 1 and e.act.largest_gap() < flights * per_row * min(4 * c.tile_rows, rows):
            flights -= 1
        limit = min(c.row_entries // flights // 2 * 2, self.schedule.query_rows or rows)
        blocks = self._blocks_of(rows, flights * per_row, c.tile_rows, "a row of attention scores", limit)
        most = max(count for _, count in blocks)
        scores = [e.rows("attention scores", most, a.tokens, "int16", spread=True) for _ in range(flights)]
        weights = [e.rows("attention weights", most, a.tokens, "int8", spread=True) for _ in range(flights)]
        entries = round_up(most, 2)
        waiting: list[tuple] = []
        order = [(head, start + first, count) for head in range(a.heads) for first, count in blocks]
        for n, (head, first, count) in enumerate(order):
            which = n % flights
            s, p, base = scores[which].holding(first), weights[which].holding(first), which * entries
            self._scores(block, spans, query, keys, head, first, count, s, p, base)
            waiting.append((head, first, count, p, base))
            if len(waiting) == flights:
                self._context(block, attended, values, *waiting.pop(0))
        for context in waiting:
            self._context(block, attended, values, *context)
        e.free(scores + weights)

    def _scores(
        self, block: str, spans: Spans, query: Rows, keys: Span, head: int, first: int, count: int, s: Rows, p: Rows, base: int
    ) -> None:
        """The scores of one head and block of rows, and their softmax."""
        a, c, e = self.architecture, self.configuration, self.emitter
        parameters, statistics = spans[f"{block}.scores"], Span("rows", base, base + count)
        pitch = a.heads * self.head_pitch * c.tile_columns
        e.matmul(
            f"{block}.scores", reads=(query.part(first, count), keys, parameters), writes=(s.part(first, count), statistics),
            rows=count, columns=a.tokens, depth=self.head_pitch, destination=int(Destination.INT16), track_max=1, row_base=base,
            a_address=query.address(first) + head * self.head_pitch, a_pitch=query.pitch,
            b_address=keys.start + head * self.head_pitch * c.tile_columns, b_stride=pitch,
            param_address=parameters.start, param_stride=0, d_address=s.span.start, d_pitch=s.pitch,
        )  # fmt: skip
        shape, row = (a.heads, a.tokens, a.tokens), head * a.tokens + first
        e.observe_part(f"{block}.scores", s, first, count, shape, row)
        for _ in range(self.schedule.softmax_sweeps):
            e.assembler.emit(
                "softmax", f"{block}.softmax", reads=(s.part(first, count), statistics), writes=(p.part(first, count), statistics),
                rows=count, columns=a.tokens, source_address=s.span.start, source_pitch=s.pitch,
                destination_address=p.span.start, destination_pitch=p.pitch, row_base=base,
            )  # fmt: skip
        e.observe_part(f"{block}.probabilities", p, first, count, shape, row)

    def _context(self, block: str, attended: Rows, values: Span, head: int, first: int, count: int, p: Rows, base: int) -> None:
        """The attention result of one head and block of rows: P.V divided by the softmax sums."""
        a, c = self.architecture, self.configuration
        pitch = round_up(a.tokens, c.tile_depth) * c.tile_columns
        self.emitter.matmul(
            f"{block}.context", reads=(p.part(first, count), values, Span("rows", base, base + count)),
            writes=(attended.part(first, count),), rows=count, columns=self.head_pitch, depth=linear_depth(c, a.tokens),
            destination=int(Destination.INT8), row_scale=1, output_shift=int(self.bundle.tensors[f"{block}.attention_shift"]), row_base=base,
            a_address=p.span.start, a_pitch=p.pitch, b_address=values.start + head * self.head_pitch // c.tile_columns * pitch, b_stride=pitch,
            d_address=attended.address(first) + head * self.head_pitch, d_pitch=attended.pitch,
        )  # fmt: skip

    def _project_slice(self, i: int, state: dict[str, Rows], part: LinearPart, n: int, first: int, count: int, spans: Spans) -> None:
        """The attention's projection into the residual stream; what can be normalised meanwhile is."""
        block, a, c, e = f"blocks.{i}", self.architecture, self.configuration, self.emitter
        if self.whole:
            chunks = self._chunks(first, count, c.tile_rows, self._after)
        else:
            chunks = [(first, count)]
            if n + 1 < len(self.slices):
                self._normalise_slice(block, spans, state, n + 1)
        for start, size in chunks:
            e.linear(part, spans[part.block], state["attended"], start, self.residual, start, size, residual=True)
            if self.whole:
                self._layer_norm(f"{block}.norm2", spans, self.normed, start, size)
        e.observe_part(f"{block}.projection", self.residual, first, count, (a.tokens, a.width), first)
        e.free([state.pop("attended")])
        if n == len(self.slices) - 1:
            e.free(state.values())
            state.clear()

    # --- MLP and experts ------------------------------------------------------------------------------------------

    def _mlp_steps(self, i: int) -> Iterator[Step]:
        """A dense MLP in blocks of rows, each through all column parts of both layers."""
        a, c, e = self.architecture, self.configuration, self.emitter
        name, table, norm = f"blocks.{i}.mlp", self._table(table_name(a, i)), self._norm(f"blocks.{i}.norm2")
        up, down = self._parts(f"{name}.up"), self._parts(f"{name}.down")
        normed, hidden = (0 if self.whole else 2 * e.pitch(a.width, "int8")), e.pitch(a.mlp_hidden, "int8", spread=True)
        blocks = self._blocks_when_empty(a.tokens, normed + hidden, c.tile_rows, "one row of the MLP's hidden layer")
        state: dict[str, Rows] = {}

        def begin(n: int, spans: Spans) -> None:
            first, count = blocks[n]
            if n == 0:
                most = max(size for _, size in blocks)
                state["hidden"] = e.rows("the MLP's hidden layer", most, a.mlp_hidden, "int8", spread=True)
                if not self.whole:
                    for which in range(2):
                        state[f"normed {which}"] = e.rows("the normalised tokens", most, a.width, "int8")
                    normalise(0, spans)
            if not self.whole and n + 1 < len(blocks):
                normalise(n + 1, spans)
            state["hidden"] = state["hidden"].holding(first)

        def normalise(n: int, spans: Spans) -> None:
            self._layer_norm(f"blocks.{i}.norm2", spans, state[f"normed {n % 2}"].holding(blocks[n][0]), *blocks[n])

        def ascend(n: int, p: int, spans: Spans) -> None:
            if p == 0:
                begin(n, spans)
            first, count = blocks[n]
            source = self.normed if self.whole else state[f"normed {n % 2}"].holding(first)
            span = spans[table.name]
            for start, size in self._chunks(first, count, c.tile_rows, self._after) if p == 0 else [(first, count)]:
                e.linear(
                    up[p], spans[up[p].block], source, start, state["hidden"], start, size, table=(span, span.start // TABLE_ENTRIES)
                )

        def descend(n: int, p: int, spans: Spans) -> None:
            first, count = blocks[n]
            last = p == len(down) - 1
            if p == 0:
                e.observe_part(f"blocks.{i}.hidden", state["hidden"], first, count, (a.tokens, a.mlp_hidden), first)
            for start, size in self._chunks(first, count, c.tile_rows, self._before) if last else [(first, count)]:
                e.linear(down[p], spans[down[p].block], state["hidden"], start, self.residual, start, size, residual=True)
            if last and n == len(blocks) - 1:
                e.free(state.values())
                e.observe_part(f"blocks.{i}.output", self.residual, 0, a.tokens, (a.tokens, a.width), 0)

        for n in range(len(blocks)):
            for p, part in enumerate(up):
                needed = (self._block(part), table) if self.whole or p > 0 else (norm, self._block(part), table)
                yield Step(f"{name}.up", needed, partial(ascend, n, p))
            for p, part in enumerate(down):
                yield Step(f"{name}.down", (self._block(part),), partial(descend, n, p))

    def _expert_steps(self, i: int) -> Iterator[Step]:
        """Router and experts: expert by expert over slices of their queues, the first layer of each slice ahead of the last one's second."""
        a, c, e = self.architecture, self.configuration, self.emitter
        block, pathway = f"blocks.{i}", self.task.pathway[i]
        router = self._whole_part(f"{block}.router.{self.task_name}")
        table = self._table(table_name(a, i))
        group = self.schedule.expert_tokens or a.tokens
        per_row = 2 * e.pitch(a.expert_hidden, "int8")
        extra = 0 if self.whole else a.tokens * e.pitch(a.width, "int8")
        slices = self._blocks_when_empty(min(group, a.tokens), per_row, c.tile_rows, "one row of an expert's hidden layer", extra)
        state: dict[str, Rows] = {}

        def route(g: int, first: int, count: int, spans: Spans) -> None:
            if g == 0:
                self._begin_experts(i, state)
            self._route(i, router, spans, state, first, count)

        def ascend(first: int, most: int, slot: int, n: int, part: LinearPart, key: str, spans: Spans) -> None:
            if not state.keys() & {"hidden 0", "hidden 1"}:
                self._allocate_hidden(state, max(size for _, size in slices))
            span = spans[table.name]
            e.linear(
                part, spans[key], state["normed"], 0, state[f"hidden {n % 2}"], 0, most, table=(span, span.start // TABLE_ENTRIES),
                gather=True, queue=slot, queue_first=first,
            )  # fmt: skip

        def descend(first: int, most: int, slot: int, n: int, part: LinearPart, key: str, last: bool, spans: Spans) -> None:
            e.linear(
                part, spans[key], state[f"hidden {n % 2}"], 0, self.residual, 0, most, residual=True, scatter=True, queue=slot,
                queue_first=first,
            )  # fmt: skip
            if last:
                e.free(matrix for name, matrix in state.items() if name != "normed" or not self.whole)
                e.observe_part(f"{block}.output", self.residual, 0, a.tokens, (a.tokens, a.width), 0)

        groups = [(first, min(group, a.tokens - first)) for first in range(0, a.tokens, group)]
        for g, (start, size) in enumerate(groups):
            suffix = "" if len(groups) == 1 else f"@{g}"
            routed = f"{block}.router{suffix}"
            needed = (self._block(router),) if self.whole else (self._norm(f"{block}.norm2"), self._block(router))
            yield Step(routed, needed, partial(route, g, start, size))
            works = [(slot, expert, *piece) for slot, expert in enumerate(pathway) for piece in slices]
            pending: Step | None = None
            for n, (slot, expert, first, most) in enumerate(works):
                ups, downs = (self._whole_part(f"{block}.experts.{expert}.{which}") for which in ("up", "down"))
                blocks = [self._block(part, slot, routed, suffix) for part in (ups, downs)]
                yield Step(ups.name, (blocks[0], table), partial(ascend, first, most, slot, n, ups, blocks[0].name))
                if pending:
                    yield pending
                last = n == len(works) - 1 and g == len(groups) - 1
                pending = Step(downs.name, (blocks[1],), partial(descend, first, most, slot, n, downs, blocks[1].name, last))
            yield pending

    def _begin_experts(self, i: int, state: dict[str, Rows]) -> None:
        a, e = self.architecture, self.emitter
        if self.whole:
            state["normed"] = self.normed
        else:
            state["normed"] = e.rows("the normalised tokens", a.tokens, a.width, "int8")

    def _allocate_hidden(self, state: dict[str, Rows], rows: int) -> None:
        for which in range(2):
            state[f"hidden {which}"] = self.emitter.rows("an expert's hidden layer", rows, self.architecture.expert_hidden, "int8")

    def _route(self, i: int, router: LinearPart, spans: Spans, state: dict[str, Rows], first: int, count: int) -> None:
        """Router logits and queues of some tokens, chunk by chunk; without whole matrices norm2 comes first."""
        a, c, e = self.architecture, self.configuration, self.emitter
        block, experts = f"blocks.{i}", router.columns
        shares = self._after if self.whole else (1,) * -(-count // (8 * c.tile_rows))
        chunks = self._chunks(first, count, c.tile_rows, shares) if self.schedule.expert_tokens is None else [(first, count)]
        most = max(size for _, size in chunks)
        logits = [e.rows("the router's logits", most, experts, "int16") for _ in range(min(len(chunks), 2))]
        normalise = not self.whole and (self.schedule.expert_tokens is None or first == 0)
        if normalise and self.schedule.expert_tokens is not None:
            self._layer_norm(f"{block}.norm2", spans, state["normed"], 0, a.tokens)
        for n, (start, size) in enumerate(chunks):
            if normalise and self.schedule.expert_tokens is None:
                self._layer_norm(f"{block}.norm2", spans, state["normed"], start, size)
            target = logits[n % len(logits)].holding(start)
            e.linear(router, spans[router.block], state["normed"], start, target, start, size)
            e.observe_part(f"{block}.router", target, start, size, (a.tokens, experts), start)
            e.assembler.emit(
                "route", f"{block}.route", reads=(target.part(start, size),), writes=(QUEUES,), rows=size, columns=experts,
                append=int(n > 0), first=start, source_address=target.address(start), source_pitch=target.pitch, top_k=self.task.top_k,
            )  # fmt: skip
        e.free(logits)

    # --- head -----------------------------------------------------------------------------------------------------

    def _head_step(self) -> Step:
        part = self._whole_part(f"heads.{self.task_name}")
        return Step(part.name, (self._norm("norm"), self._block(part)), partial(self._head, part))

    def _head(self, part: LinearPart, spans: Spans) -> None:
        """The final layer norm, the task's head and the output, in blocks of grid rows."""
        a, task, e = self.architecture, self.task, self.emitter
        grid_rows, grid_columns = a.grid
        run = 2 * task.upscale * stored_channels(task)
        pitch = e.pitch(part.columns, "int16")
        output = Span("frame", self.output_offset, self.output_offset + grid_rows * grid_columns * 2 * part.columns)
        normed = 0 if self.whole else e.pitch(a.width, "int8")
        blocks = self._blocks_of(grid_rows, 2 * grid_columns * (pitch + normed), 1, "one row of the task's output")
        if len(blocks) == 1 and grid_rows > 1:
            half = -(-grid_rows // 2)
            blocks = [(0, half), (half, grid_rows - half)]
        most = max(count for _, count in blocks) * grid_columns
        results = [e.rows("the task's output", most, part.columns, "int16") for _ in blocks[:2]]
        buffers = [self.normed] if self.whole else [e.rows("the normalised tokens", most + 1, a.width, "int8") for _ in blocks[:2]]
        for n, (first, count) in enumerate(blocks):
            token, tokens = 1 + first * grid_columns, count * grid_columns
            # The class token has no output; its norm is there because it is part of the network.
            start = 0 if n == 0 else token
            source = buffers[n % len(buffers)]
            source = source if self.whole else source.holding(start)
            self._layer_norm("norm", spans, source, start, token + tokens - start)
            result = results[n % 2].holding(token)
            e.linear(part, spans[part.block], source, token, result, token, tokens)
            e.assembler.emit(
                "store", "output", reads=(result.part(token, tokens),), writes=(output,), space=int(Space.FRAME),
                dram_offset=self.output_offset + first * grid_columns * task.upscale * run, local_address=result.span.start, bytes=run,
                count_1=task.upscale, dram_stride_1=grid_columns * run, local_stride_1=run,
                count_2=grid_columns, dram_stride_2=run, local_stride_2=result.pitch,
                count_3=count, dram_stride_3=grid_columns * task.upscale * run, local_stride_3=grid_columns * result.pitch,
            )  # fmt: skip
        e.free(results)
        if not self.whole:
            e.free(buffers)

    # --- memory ---------------------------------------------------------------------------------------------------

    def _blocks_of(self, rows: int, bytes_per_row: int, multiple: int, what: str, limit: int | None = None) -> list[Chunk]:
        """Split rows into the largest blocks for which there is room; their sizes are multiples of `multiple`, or less than it."""
        return self._split(rows, bytes_per_row, multiple, what, self.emitter.act.largest_gap(), limit)

    def _blocks_when_empty(self, rows: int, bytes_per_row: int, multiple: int, what: str, extra: int = 0) -> list[Chunk]:
        """As _blocks_of, for a moment at which only what every block keeps is in the memory, and `extra` bytes."""
        kept = self.residual.span.size + self.norm_slots.size + (self.normed.span.size if self.whole else 0)
        return self._split(rows, bytes_per_row, multiple, what, self.emitter.act.size - kept - extra, None)

    def _split(self, rows: int, bytes_per_row: int, multiple: int, what: str, room: int, limit: int | None) -> list[Chunk]:
        most = min(room // bytes_per_row, rows if limit is None else limit)
        if most < rows:
            most = most // multiple * multiple or min(most, 1)
        if most <= 0:
            raise UserError(
                f"the model does not fit configuration {self.configuration.name}: {what} needs {bytes_per_row} bytes of act memory, {max(room, 0)} of"
                f" {self.configuration.act_bytes} are available; use a larger configuration or a smaller image or model"
            )
        return [(first, min(most, rows - first)) for first in range(0, rows, most)]

    def _observe_heads(self, layer: str, rows: Rows, first: int, count: int) -> None:
        a = self.architecture
        groups = a.width // a.heads, self.head_pitch
        self.emitter.observe_part(layer, rows, first, count, (a.tokens, a.heads * self.head_pitch), first, groups)

    def _check_limits(self) -> None:
        a, c, task = self.architecture, self.configuration, self.task

        def limit(condition: bool, what: str, needed: int, available: int) -> None:
            if not condition:
                raise UserError(
                    f"the model does not fit configuration {c.name}: {what} is {needed}, at most {available} are supported there"
                )

        if a.patch % 4:
            raise UserError(f"a patch of {a.patch} pixels cannot be loaded: it must be a multiple of 4 (16 bytes)")
        limit(a.width <= NORM_WIDTH_MAX, "the width", a.width, NORM_WIDTH_MAX)
        if a.moe_blocks:
            limit(a.tokens <= c.queue_tokens, "the number of tokens", a.tokens, c.queue_tokens)
            kept = max(len(experts) for experts in task.pathway.values())
            limit(kept <= c.experts, "the number of experts of a task", kept, c.experts)
        deepest = max(a.mlp_hidden, a.expert_hidden, a.patch * a.patch * 4, a.heads * self.head_pitch)
        limit(deepest <= OPERAND_BYTES, "the depth of a product", deepest, OPERAND_BYTES)
        limit(a.tokens <= OPERAND_BYTES, "the number of tokens", a.tokens, OPERAND_BYTES)
        outputs = task.upscale * task.upscale * stored_channels(task)
        limit(outputs < 1 << 16, "the number of outputs per token", outputs, (1 << 16) - 1)


def _slots(space: str, start: int, size: int, count: int) -> list[Span]:
    return [Span(space, start + n * size, start + (n + 1) * size) for n in range(count)]
