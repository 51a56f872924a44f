"""Lowers one task of a bundle to the program of its frame.

The order of the program is the order of the network, with three exceptions: weights are loaded ahead (hls.prefetch); in
attention the scores of the next head are computed before the softmax-weighted sum of the current one; and what lies around a
layer norm is cut into chunks of rows, so that a chunk is normalised while the array works on its neighbours. Activations never
leave the chip between the image and the task's output.
"""

from __future__ import annotations

from dataclasses import dataclass

from hls.arena import Arena, Ring, Span, round_up
from hls.assembler import Assembler
from hls.constants import Constants, norm_names
from hls.network import head_pitch, lowered_linears, stored_channels
from hls.prefetch import QUEUES, Step, WeightSpans, emit_steps
from hls.weight_layout import linear_depth, linear_tile_bytes
from spec.arithmetic import NORM_WIDTH_MAX, TABLE_ENTRIES
from spec.build import Observation
from spec.bundle import Bundle
from spec.configuration import HardwareConfiguration
from spec.errors import UserError
from spec.isa import OPERAND_BYTES, Destination, LoadDestination, Space

_NORM_CHUNKS = 4
_ONCE = {"count_1": 1, "count_2": 1, "count_3": 1}


@dataclass(frozen=True)
class Rows:
    """A matrix in the activation memory: `columns` elements of `dtype` per row, rows `pitch` bytes apart."""

    span: Span
    pitch: int
    columns: int
    dtype: str

    def part(self, first: int, count: int) -> Span:
        """The bytes of `count` rows from row `first`."""
        return Span(
            self.span.space, self.span.start + first * self.pitch, self.span.start + (first + count) * self.pitch
        )


@dataclass
class FrameLayout:
    """The frame window: bump allocation. end: bytes used."""

    end: int = 0

    def allocate(self, size: int) -> int:
        start = round_up(self.end, 64)
        self.end = start + size
        return start


@dataclass(frozen=True)
class LoweredTask:
    """code: the program; act_peak: bytes of activation memory in use at the worst moment."""

    code: bytes
    observations: dict[str, Observation]
    act_peak: int


class TaskLowering:
    """Lowers one task. frame: the frame window's layout, grown by observations; image_offset, output_offset: in that window.

    observe: store every layer's result in the frame window as well (see spec.build.Observation). tags: see Assembler.
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
    ) -> None:
        self.bundle, self.configuration, self.constants, self.task_name = bundle, configuration, constants, task
        self.architecture, self.task = bundle.architecture, bundle.tasks[task]
        self.frame, self.image_offset, self.output_offset, self.observe = frame, image_offset, output_offset, observe
        self.observations: dict[str, Observation] = {}
        self.assembler = Assembler(tags)
        self.linears = lowered_linears(bundle, configuration)
        self.act = Arena("act", configuration.act_bytes, configuration.act_word_bytes, configuration.name)
        self.head_pitch = head_pitch(self.architecture, configuration)
        tokens = self.architecture.tokens
        most = round_up(-(-tokens // _NORM_CHUNKS), configuration.tile_rows)
        self.chunks = [(first, min(most, tokens - first)) for first in range(0, tokens, most)]
        self._check_limits()

    # --- the frame ------------------------------------------------------------------------------------------------

    def lower(self) -> LoweredTask:
        """The program. UserError if a buffer does not fit."""
        a, c = self.architecture, self.configuration
        weight = Arena("weight", c.weight_bytes, c.weight_word_bytes, c.name)
        padded_width = a.heads * self.head_pitch
        self.keys = weight.allocate("the keys", round_up(a.tokens, c.tile_columns) * padded_width)
        self.values = weight.allocate("the values", round_up(a.tokens, c.tile_depth) * padded_width)
        ring = Ring(weight.allocate("the weight ring", weight.largest_gap()))
        if self.observe:
            self._clear_act()
        self.residual = self._rows("the residual stream", a.tokens, a.width, "int16")
        self.normed = self._rows("the normalised tokens", a.tokens, a.width, "int8")
        self.norms = self.act.allocate("the layer-norm parameters", self.constants.size["norms"])
        for name, span in (("position", self.residual.span), ("norms", self.norms)):
            self._load_act(name, span)
        emit_steps(self.assembler, self.constants, ring, c.tables, self._steps(), c.name)
        return LoweredTask(self.assembler.program(), self.observations, self.act.peak)

    def _steps(self) -> list[Step]:
        a = self.architecture
        steps = [Step("patch_embed", ("patch_embed",), self._patch_embed)]
        for i in range(a.depth):
            block = f"blocks.{i}"
            attention = tuple(f"{block}.{part}" for part in ("query", "key", "value", "scores"))
            steps.append(
                Step(f"{block}.attention", attention, lambda spans, block=block: self._attention(block, spans))
            )
            projection = f"{block}.projection"
            steps.append(Step(projection, (projection,), lambda spans, block=block: self._projection(block, spans)))
            steps += self._expert_steps(i) if i in a.moe_blocks else [self._mlp_step(i)]
        head = f"heads.{self.task_name}"
        return [*steps, Step(head, (head,), lambda spans: self._head(head, spans))]

    def _mlp_step(self, i: int) -> Step:
        name = f"blocks.{i}.mlp"
        return Step(name, (f"{name}.up", f"{name}.down"), lambda spans: self._mlp(i, name, spans), f"{name}.table")

    def _expert_steps(self, i: int) -> list[Step]:
        block, pathway = f"blocks.{i}", self.task.pathway[i]
        router = f"{block}.router.{self.task_name}"
        steps = [Step(f"{block}.router", (router,), lambda spans: self._router(i, router, spans))]
        for slot, expert in enumerate(pathway):
            name = f"{block}.experts.{expert}"
            steps.append(
                Step(
                    name, (f"{name}.up", f"{name}.down"),
                    lambda spans, name=name, slot=slot: self._expert(i, name, slot, spans),
                    f"{block}.experts.table", slot, f"{block}.router",
                )
            )  # fmt: skip
        return steps

    # --- parts of the network -------------------------------------------------------------------------------------

    def _patch_embed(self, spans: WeightSpans) -> None:
        a = self.architecture
        grid_rows, grid_columns = a.grid
        bytes_per_patch = a.patch * a.patch * 4
        pitch = round_up(bytes_per_patch, self.configuration.act_word_bytes)
        for first, count in self._blocks_of(grid_rows, grid_columns * pitch, 1, "one row of image patches"):
            patches = self._rows("the image patches", count * grid_columns, bytes_per_patch, "int8")
            line = a.image_width * 4
            self.assembler.emit(
                "load", "patch_embed", reads=(Span("frame", self.image_offset, self.image_offset + a.image_height * line),),
                writes=(patches.span,), space=int(Space.FRAME), destination=int(LoadDestination.ACT),
                dram_offset=self.image_offset + first * a.patch * line, local_address=patches.span.start, bytes=a.patch * 4,
                count_1=a.patch, dram_stride_1=line, local_stride_1=a.patch * 4,
                count_2=grid_columns, dram_stride_2=a.patch * 4, local_stride_2=pitch,
                count_3=count, dram_stride_3=a.patch * line, local_stride_3=grid_columns * pitch,
            )  # fmt: skip
            self._linear(
                "patch_embed",
                "patch_embed",
                spans,
                patches,
                self.residual,
                0,
                1 + first * grid_columns,
                count * grid_columns,
            )
            self.act.free(patches.span)
        self._observe_rows("patch_embed", self.residual)

    def _attention(self, block: str, spans: WeightSpans) -> None:
        a, c = self.architecture, self.configuration
        query = self._rows("the queries", a.tokens, a.heads * self.head_pitch, "int8")
        for first, count in self.chunks:
            self._layer_norm(f"{block}.norm1", first, count)
            self._linear(f"{block}.query", f"{block}.query", spans, self.normed, query, first, first, count)
        self._observe_rows(f"{block}.norm1", self.normed)
        keys_pitch = a.heads * self.head_pitch * c.tile_columns
        values_pitch = round_up(a.tokens, c.tile_depth) * c.tile_columns
        for part, span, destination, pitch in (
            ("key", self.keys, Destination.KEYS, keys_pitch),
            ("value", self.values, Destination.VALUES, values_pitch),
        ):
            name = f"{block}.{part}"
            self._matmul(
                name, self._linear_fields(name, spans), reads=(self.normed.span, spans[name]), writes=(span,),
                rows=a.tokens, a_address=self.normed.span.start, a_pitch=self.normed.pitch,
                destination=int(destination), d_address=span.start, d_pitch=pitch,
            )  # fmt: skip
        self.attended = self._rows("the attention result", a.tokens, a.heads * self.head_pitch, "int8")
        self._heads(block, spans, query, keys_pitch, values_pitch)
        self._observe_rows(f"{block}.query", query, self._head_groups())
        self._observe_rows(f"{block}.attention", self.attended, self._head_groups())
        self.act.free(query.span)

    def _heads(self, block: str, spans: WeightSpans, query: Rows, keys_pitch: int, values_pitch: int) -> None:
        """Scores, softmax and weighted sum for every head and block of query rows, two blocks in flight."""
        a, c = self.architecture, self.configuration
        scores_pitch = round_up(2 * a.tokens, c.act_word_bytes)
        weights_pitch = round_up(round_up(a.tokens, c.tile_columns), c.act_word_bytes)
        per_row = 2 * (scores_pitch + weights_pitch)
        limit = c.row_entries // 2
        blocks = self._blocks_of(a.tokens, per_row, c.tile_rows, "two rows of attention scores", limit)
        most = max(count for _, count in blocks)
        scores = [self._rows("attention scores", most, a.tokens, "int16") for _ in range(2)]
        weights = [
            Rows(self.act.allocate("attention weights", most * weights_pitch), weights_pitch, a.tokens, "int8")
            for _ in range(2)
        ]
        parameters = spans[f"{block}.scores"]
        shift = int(self.bundle.tensors[f"{block}.attention_shift"])
        pending = None
        for n, (head, first, count) in enumerate(
            (head, first, count) for head in range(a.heads) for first, count in blocks
        ):
            s, p, base = scores[n % 2], weights[n % 2], (n % 2) * most
            statistics = Span("rows", base, base + count)
            self._matmul(
                f"{block}.scores", {}, reads=(query.part(first, count), self.keys, parameters), writes=(s.part(0, count), statistics),
                rows=count, columns=a.tokens, depth=self.head_pitch, destination=int(Destination.INT16), track_max=1, row_base=base,
                a_address=query.span.start + first * query.pitch + head * self.head_pitch, a_pitch=query.pitch,
                b_address=self.keys.start + head * self.head_pitch * c.tile_columns, b_stride=keys_pitch,
                param_address=parameters.start, param_stride=0, d_address=s.span.start, d_pitch=s.pitch,
            )  # fmt: skip
            self._observe_part(f"{block}.scores", s, count, (a.heads, a.tokens, a.tokens), head * a.tokens + first)
            self.assembler.emit(
                "softmax", f"{block}.softmax", reads=(s.part(0, count), statistics), writes=(p.part(0, count), statistics),
                rows=count, columns=a.tokens, source_address=s.span.start, source_pitch=s.pitch,
                destination_address=p.span.start, destination_pitch=p.pitch, row_base=base,
            )  # fmt: skip
            self._observe_part(
                f"{block}.probabilities", p, count, (a.heads, a.tokens, a.tokens), head * a.tokens + first
            )
            context = (head, first, count, p, base, statistics)
            if pending is not None:
                self._context(block, *pending, values_pitch, shift)
            pending = context
        self._context(block, *pending, values_pitch, shift)
        for rows in scores + weights:
            self.act.free(rows.span)

    def _context(
        self,
        block: str,
        head: int,
        first: int,
        count: int,
        p: Rows,
        base: int,
        statistics: Span,
        values_pitch: int,
        shift: int,
    ) -> None:
        """The attention result of one head and block of rows: P.V divided by the softmax sums."""
        a, c = self.architecture, self.configuration
        self._matmul(
            f"{block}.context", {}, reads=(p.part(0, count), self.values, statistics), writes=(self.attended.part(first, count),),
            rows=count, columns=self.head_pitch, depth=linear_depth(c, a.tokens), destination=int(Destination.INT8), row_scale=1,
            output_shift=shift, row_base=base, a_address=p.span.start, a_pitch=p.pitch,
            b_address=self.values.start + head * self.head_pitch // c.tile_columns * values_pitch, b_stride=values_pitch,
            d_address=self.attended.span.start + first * self.attended.pitch + head * self.head_pitch, d_pitch=self.attended.pitch,
        )  # fmt: skip

    def _projection(self, block: str, spans: WeightSpans) -> None:
        """The attention's projection into the residual stream, and the layer norm of what follows it."""
        name = f"{block}.projection"
        for first, count in self.chunks:
            self._linear(name, name, spans, self.attended, self.residual, first, first, count)
            self._layer_norm(f"{block}.norm2", first, count)
        self._observe_rows(name, self.residual)
        self._observe_rows(f"{block}.norm2", self.normed)
        self.act.free(self.attended.span)

    def _mlp(self, i: int, name: str, spans: WeightSpans) -> None:
        a, c = self.architecture, self.configuration
        pitch = round_up(a.mlp_hidden, c.act_word_bytes)
        table = spans[f"{name}.table"]
        for first, count in self._blocks_of(a.tokens, pitch, c.tile_rows, "one row of the MLP's hidden layer"):
            hidden = self._rows("the MLP's hidden layer", count, a.mlp_hidden, "int8")
            chunks = self._chunks_within(first, count)
            for f, n in chunks:
                self._linear(f"{name}.up", f"{name}.up", spans, self.normed, hidden, f, f - first, n, table=table)
            self._observe_part(f"blocks.{i}.hidden", hidden, count, (a.tokens, a.mlp_hidden), first)
            for f, n in chunks:
                self._linear(f"{name}.down", f"{name}.down", spans, hidden, self.residual, f - first, f, n)
            self.act.free(hidden.span)
        self._observe_rows(f"blocks.{i}.output", self.residual)

    def _router(self, i: int, name: str, spans: WeightSpans) -> None:
        a = self.architecture
        experts = len(self.task.pathway[i])
        logits = self._rows("the router's logits", a.tokens, experts, "int16")
        for first, count in self.chunks:
            self._linear(f"blocks.{i}.router", name, spans, self.normed, logits, first, first, count)
        self._observe_rows(f"blocks.{i}.router", logits)
        self.assembler.emit(
            "route", f"blocks.{i}.route", reads=(logits.span,), writes=(QUEUES,), rows=a.tokens, columns=experts,
            source_address=logits.span.start, source_pitch=logits.pitch, top_k=self.task.top_k,
        )  # fmt: skip
        self.act.free(logits.span)

    def _expert(self, i: int, name: str, slot: int, spans: WeightSpans) -> None:
        """One expert over its queue: gather, up, GELU, down, weighted scatter into the residual. slot: its queue."""
        a = self.architecture
        hidden = self._rows("an expert's hidden layer", a.tokens, a.expert_hidden, "int8")
        table = spans[f"blocks.{i}.experts.table"]
        self._linear(
            f"{name}.up", f"{name}.up", spans, self.normed, hidden, 0, 0, a.tokens, table=table, gather=1, queue=slot
        )
        self._linear(
            f"{name}.down", f"{name}.down", spans, hidden, self.residual, 0, 0, a.tokens, scatter=1, queue=slot
        )
        self.act.free(hidden.span)
        if slot == len(self.task.pathway[i]) - 1:
            self._observe_rows(f"blocks.{i}.output", self.residual)

    def _head(self, name: str, spans: WeightSpans) -> None:
        a, task, c = self.architecture, self.task, self.configuration
        for first, count in self.chunks:
            self._layer_norm("norm", first, count)
        self._observe_rows("norm", self.normed)
        grid_rows, grid_columns = a.grid
        run = 2 * task.upscale * stored_channels(task)
        columns = task.upscale * task.upscale * stored_channels(task)
        pitch = round_up(2 * columns, c.act_word_bytes)
        output = Span("frame", self.output_offset, self.output_offset + grid_rows * grid_columns * 2 * columns)
        for first, count in self._blocks_of(grid_rows, grid_columns * pitch, 1, "one row of the task's output"):
            result = self._rows("the task's output", count * grid_columns, columns, "int16")
            self._linear(name, name, spans, self.normed, result, 1 + first * grid_columns, 0, count * grid_columns)
            self.assembler.emit(
                "store", "output", reads=(result.span,), writes=(output,), space=int(Space.FRAME),
                dram_offset=self.output_offset + first * grid_columns * task.upscale * run, local_address=result.span.start, bytes=run,
                count_1=task.upscale, dram_stride_1=grid_columns * run, local_stride_1=run,
                count_2=grid_columns, dram_stride_2=run, local_stride_2=result.pitch,
                count_3=count, dram_stride_3=grid_columns * task.upscale * run, local_stride_3=grid_columns * result.pitch,
            )  # fmt: skip
            self.act.free(result.span)

    # --- single instructions --------------------------------------------------------------------------------------

    def _layer_norm(self, name: str, first: int, count: int) -> None:
        """Layer norm of some rows of the residual stream into the same rows of self.normed."""
        a, source, target = self.architecture, self.residual, self.normed
        index = norm_names(a.depth).index(name)
        per_norm = self.constants.size["norms"] // len(norm_names(a.depth))
        self.assembler.emit(
            "layer_norm", name, reads=(source.part(first, count), self.norms), writes=(target.part(first, count),),
            rows=count, columns=a.width,
            source_address=source.span.start + first * source.pitch, source_pitch=source.pitch,
            destination_address=target.span.start + first * target.pitch, destination_pitch=target.pitch,
            param_address=self.norms.start + index * per_norm, shift=int(self.bundle.tensors[f"{name}.shift"]),
        )  # fmt: skip

    def _linear_fields(self, name: str, spans: WeightSpans) -> dict[str, int]:
        """The fields of matmul that a packed linear layer decides."""
        c, layer, start = self.configuration, self.linears[name], spans[name].start
        outputs, inputs = layer.weight.shape
        stride = linear_tile_bytes(c, inputs)
        return {
            "columns": outputs,
            "depth": linear_depth(c, inputs),
            "param_address": start,
            "param_stride": stride,
            "b_address": start + 8 * c.tile_columns,
            "b_stride": stride,
        }

    def _linear(
        self, tag: str, name: str, spans: WeightSpans, source: Rows, target: Rows, source_row: int, target_row: int, rows: int,
        table: Span | None = None, gather: int = 0, scatter: int = 0, queue: int = 0,
    ) -> None:  # fmt: skip
        """A linear layer from rows of one matrix to rows of another; int16 targets of the residual stream are added to."""
        if target is self.residual:
            destination = Destination.RESIDUAL
        else:
            destination = Destination.INT16 if target.dtype == "int16" else Destination.INT8
        reads = [source.span if gather else source.part(source_row, rows), spans[name]]
        written = target.span if scatter else target.part(target_row, rows)
        if destination == Destination.RESIDUAL:
            reads.append(written)
        if table is not None:
            reads.append(table)
        if gather or scatter:
            reads.append(QUEUES)
        self._matmul(
            tag, self._linear_fields(name, spans), reads=tuple(reads), writes=(written,), rows=rows, destination=int(destination),
            a_address=source.span.start + source_row * source.pitch, a_pitch=source.pitch,
            d_address=target.span.start + target_row * target.pitch, d_pitch=target.pitch,
            table_enable=int(table is not None), table_index=table.start // TABLE_ENTRIES if table is not None else 0,
            gather=gather, scatter=scatter, queue=queue,
        )  # fmt: skip

    def _matmul(
        self, tag: str, shared: dict[str, int], reads: tuple[Span, ...], writes: tuple[Span, ...], **fields: int
    ) -> None:
        self.assembler.emit("matmul", tag, reads=reads, writes=writes, **shared, **fields)

    def _load_act(self, name: str, span: Span) -> None:
        self.assembler.emit(
            "load", name, writes=(span,), space=int(Space.CONSTANT), destination=int(LoadDestination.ACT),
            dram_offset=self.constants.offset[name], local_address=span.start, bytes=self.constants.size[name], **_ONCE,
        )  # fmt: skip

    # --- memory ---------------------------------------------------------------------------------------------------

    def _rows(self, what: str, rows: int, columns: int, dtype: str) -> Rows:
        size = 2 if dtype == "int16" else 1
        pitch = round_up(size * columns, self.configuration.act_word_bytes)
        return Rows(self.act.allocate(what, rows * pitch), pitch, columns, dtype)

    def _blocks_of(
        self, rows: int, bytes_per_row: int, multiple: int, what: str, limit: int | None = None
    ) -> list[tuple[int, int]]:
        """Split rows into the largest blocks for which there is room, as (first, count); counts are multiples of `multiple` or all."""
        most = min(self.act.largest_gap() // bytes_per_row, rows if limit is None else limit)
        if most < rows:
            most = most // multiple * multiple or min(most, 1)
        if most == 0:
            self.act.allocate(what, bytes_per_row)  # raises: there is no room for a single row
        return [(first, min(most, rows - first)) for first in range(0, rows, most)]

    def _chunks_within(self, first: int, count: int) -> list[tuple[int, int]]:
        """The parts of self.chunks that lie in rows first to first + count."""
        parts = [(max(start, first), min(start + size, first + count)) for start, size in self.chunks]
        return [(start, end - start) for start, end in parts if end > start]

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

    # --- observation ----------------------------------------------------------------------------------------------

    def _head_groups(self) -> tuple[int, int]:
        return self.architecture.width // self.architecture.heads, self.head_pitch

    def _clear_act(self) -> None:
        """Fill the activation memory with zeros, so that stored padding is the same on every machine."""
        c = self.configuration
        span = Span("act", 0, c.act_bytes)
        self.assembler.emit(
            "load", "clear", writes=(span,), space=int(Space.CONSTANT), destination=int(LoadDestination.ACT),
            dram_offset=self.constants.offset["zeros"], local_address=0, bytes=self.constants.size["zeros"],
            count_1=c.act_bytes // self.constants.size["zeros"], local_stride_1=self.constants.size["zeros"],
            count_2=1, count_3=1,
        )  # fmt: skip

    def _observe_rows(self, layer: str, rows: Rows, groups: tuple[int, int] = (0, 0)) -> None:
        count = rows.span.size // rows.pitch
        self._observe_part(layer, rows, count, (count, rows.columns), 0, groups)

    def _observe_part(
        self, layer: str, rows: Rows, count: int, shape: tuple[int, ...], first: int, groups: tuple[int, int] = (0, 0)
    ) -> None:
        """Store `count` rows from the start of `rows` as rows `first`... of the observation of `layer`, whose whole shape is given."""
        if not self.observe:
            return
        if layer not in self.observations:
            total = rows.pitch
            for extent in shape[:-1]:
                total *= extent
            offset = self.frame.allocate(total)
            self.observations[layer] = Observation(offset, rows.pitch, shape, rows.dtype, *groups)
        target = self.observations[layer].offset + first * rows.pitch
        span = rows.part(0, count)
        self.assembler.emit(
            "store", layer, reads=(span,), writes=(Span("frame", target, target + span.size),), space=int(Space.FRAME),
            dram_offset=target, local_address=span.start, bytes=span.size, **_ONCE,
        )  # fmt: skip
