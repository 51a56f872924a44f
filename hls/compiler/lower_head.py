"""Lowers the final layer norm and a task's head, and stores the output."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from moesaic.hls.compiler.arena import round_up
from moesaic.hls.compiler.lanes import Lane
from moesaic.hls.compiler.prefetch import Block, Spans, Step
from moesaic.hls.compiler.program_plan import ProgramPlan
from moesaic.hls.compiler.row_chunks import BEFORE, Chunk, equal_blocks, row_chunks
from moesaic.hls.compiler.target import Member
from moesaic.spec.bundle import output_shape
from moesaic.spec.heads import HeadLayer, final_norm, head_layers
from moesaic.spec.pathway_names import split_pathway_name


class FinalNorms:
    """The final layer norms of lanes whose results all have dense heads."""

    def __init__(self, plan: ProgramPlan, leaving: Sequence[tuple[Lane, Member]]) -> None:
        self._plan = plan
        members: dict[Chunk, tuple[Member, ...]] = {}
        for lane, member in leaving:
            members[lane.rows] = (*members.get(lane.rows, ()), member)
        self._lanes = [Lane(*rows, of_rows) for rows, of_rows in members.items()]
        _, member = leaving[0]
        self._norm = plan.norm(final_norm(split_pathway_name(member.pathway)[0], plan.target.task(member)))

    def steps(self) -> Iterator[Step]:
        """A single step."""
        yield Step(self._norm.name, (self._norm,), self._emit)

    def _emit(self, spans: Spans) -> None:
        for lane in self._lanes:
            for first, count in row_chunks(*lane.rows, 1, BEFORE):
                self._plan.layer_norm(self._norm.name, spans, self._plan.normed, first, count, (lane,))


class DenseHead:
    """The final layer norm of a lane, a member's dense head and the store of its output, in blocks of grid rows.

    normalised: whether FinalNorms came first.
    """

    def __init__(self, plan: ProgramPlan, lane: Lane, member: Member, normalised: bool) -> None:
        self._plan, self._lane, self._member, self._normalised = plan, lane, member, normalised
        task, name = plan.target.task(member), split_pathway_name(member.pathway)[0]
        self._part = plan.whole_part(head_layers(plan.architecture, name, task)[0].name)
        self._norm = plan.norm(final_norm(name, task))

    def steps(self) -> Iterator[Step]:
        """A single step."""
        norm = () if self._normalised else (self._norm,)
        yield Step(self._part.name, (*norm, self._plan.block(self._part)), self._emit)

    def _emit(self, spans: Spans) -> None:
        plan, a, act, part = self._plan, self._plan.architecture, self._plan.act, self._part
        grid_rows, grid_columns = a.grid
        pitch = act.pitch(part.columns, "int16")
        normed = 0 if plan.whole else act.pitch(a.width, "int8")
        prefix, row = 2 * a.prefix_tokens * normed, 2 * grid_columns * (pitch + normed)
        blocks = plan.blocks_of(grid_rows, row, 1, "one row of the task's output", extra=prefix)
        if len(blocks) == 1 and grid_rows > 1:
            half = -(-grid_rows // 2)
            blocks = [(0, half), (half, grid_rows - half)]
        most = max(count for _, count in blocks) * grid_columns
        results = [act.place("the task's output", most, part.columns, "int16") for _ in blocks[:2]]
        buffers = [
            act.place("the normalised tokens", most + a.prefix_tokens, a.width, "int8")
            for _ in blocks[: 0 if plan.whole else 2]
        ]
        for n, (first, count) in enumerate(blocks):
            token, tokens = self._lane.first + a.prefix_tokens + first * grid_columns, count * grid_columns
            # Prefix tokens have no output; they are normalised because that is part of the network.
            start = self._lane.first if n == 0 else token
            source = plan.normed if plan.whole else buffers[n % len(buffers)].holding(start)
            if not self._normalised:
                lane = replace(self._lane, members=(self._member,))
                plan.layer_norm(self._norm.name, spans, source, start, token + tokens - start, (lane,))
            result = results[n % 2].holding(token)
            plan.emitter.linear(part, spans[part.block], source, token, result, token, tokens)
            plan.emitter.store_output(self._member, result, first, count)
        act.free(results + buffers)


class TokenHead:
    """The layers of a head that has a row of outputs per token, as classifications and features have.

    Only the tokens that the head reads are normalised.
    """

    def __init__(self, plan: ProgramPlan, lane: Lane, member: Member) -> None:
        task, name = plan.target.task(member), split_pathway_name(member.pathway)[0]
        norm = plan.norm(final_norm(name, task))
        self._layers, row = [], 0
        for layer in head_layers(plan.architecture, name, task):
            self._layers.append(_TokenLayer(plan, lane, member, layer, norm, row))
            row += layer.count

    def steps(self) -> Iterator[Step]:
        """The steps of one layer after the other."""
        for layer in self._layers:
            yield from layer.steps()


class _TokenLayer:
    """The layer norm of some tokens, a linear layer and the store of its rows, in blocks of rows.

    norm: the norm's parameters. output: row of the task's output at which the layer's rows start. While a block is stored, the array
    works on the next.
    """

    def __init__(
        self, plan: ProgramPlan, lane: Lane, member: Member, layer: HeadLayer, norm: Block, output: int
    ) -> None:
        self._plan, self._lane, self._member = plan, lane, member
        self._layer, self._norm, self._output = layer, norm, output
        whole, act, c = plan.whole_part(layer.name), plan.act, plan.configuration
        fits = plan.block(whole).size <= c.weight_bytes // 2
        self._parts = [whole] if fits else plan.parts(layer.name)
        self._columns = whole.columns
        normed = 0 if plan.whole else act.pitch(plan.architecture.width, "int8")
        per_row = 2 * (act.pitch(self._columns, "int16") + normed)
        self._blocks = plan.blocks_when_empty(layer.count, per_row, c.tile_rows, "one row of the task's output")
        if len(self._blocks) == 1:
            self._blocks = equal_blocks(layer.count, round_up(-(-layer.count // 2), c.tile_rows))

    def steps(self) -> Iterator[Step]:
        """Every block of rows through all column parts of the layer."""
        again = len(self._parts) > 1 and len(self._blocks) > 1
        for n in range(len(self._blocks)):
            for p, part in enumerate(self._parts):
                weights = self._plan.block(part, suffix=f"@{n}" if again else "")
                yield Step(self._layer.name, (self._norm, weights), partial(self._emit, n, p, weights.name))

    def _emit(self, n: int, p: int, weights: str, spans: Spans) -> None:
        plan, width = self._plan, self._plan.architecture.width
        if n == p == 0:
            most = max(count for _, count in self._blocks)
            two = range(len(self._blocks[:2]))
            self._results = [plan.act.place("the task's output", most, self._columns, "int16") for _ in two]
            buffers = [] if plan.whole else two
            self._buffers = [plan.act.place("the normalised tokens", most, width, "int8") for _ in buffers]
        first, count = self._blocks[n]
        token, row = self._lane.first + self._layer.first + first, self._output + first
        source = plan.normed if plan.whole else self._buffers[n % 2].holding(token)
        if p == 0:
            plan.emitter.layer_norm(self._norm.name, plan.residual, source, spans[self._norm.name], token, count)
            rows = output_shape(plan.architecture, plan.target.task(self._member))[1]
            plan.emitter.observe((self._member,), self._norm.name, source, token, count, (rows, width), row)
        result = self._results[n % 2].holding(token)
        plan.emitter.linear(self._parts[p], spans[weights], source, token, result, token, count)
        if p < len(self._parts) - 1:
            return
        plan.emitter.store_rows(self._member, result, token, count, row)
        if n == len(self._blocks) - 1:
            plan.act.free(self._results + self._buffers)
