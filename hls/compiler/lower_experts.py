"""Lowers the mixture of experts: routers, queues, then one expert after another over its queue into the residual streams.

Lanes of several results share the queues: each lane's router appends its tokens, and an expert takes those of all lanes in a row, so
that its weights are loaded once. The queues are numbered by the experts that any of the pathways keeps; a router whose pathway keeps
fewer has columns of zeros for the others, which its tokens cannot choose.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from moesaic.hls.compiler.activations import Matrix
from moesaic.hls.compiler.constants import table_name
from moesaic.hls.compiler.does_not_fit import DoesNotFit
from moesaic.hls.compiler.emitter import LinearPart
from moesaic.hls.compiler.lanes import Lane, row_ranges
from moesaic.hls.compiler.prefetch import Block, Spans, Step
from moesaic.hls.compiler.program_plan import ProgramPlan
from moesaic.hls.compiler.row_chunks import AFTER, Chunk, equal_blocks, row_chunks
from moesaic.hls.compiler.shared_routers import absent, experts_of, router_block

_MOST_GROUPS = 4
_ROUTER_TILES = 8
"""Approximate number of row tiles that are normalised and routed at a time if whole matrices do not fit."""


@dataclass(frozen=True)
class _Work:
    """Both layers of an expert over a slice of its queue.

    n: number within its group of tokens.
    slot: number of the queue.
    expert: number of the expert.
    first, most: first entry of the slice in the queue, and the most entries that it has.
    tokens: the group's first row and number of rows.
    last: whether it is the last of the group.
    """

    n: int
    slot: int
    expert: int
    first: int
    most: int
    tokens: Chunk
    last: bool


class CopiedLanes:
    """The lanes that transformer block i adds: copies of others, made between attention and experts, together with their norm2."""

    def __init__(self, plan: ProgramPlan, i: int, copies: tuple[tuple[Lane, Lane], ...]) -> None:
        self._plan, self._copies, self._norm = plan, copies, plan.norm(f"blocks.{i}.norm2")

    def steps(self) -> Iterator[Step]:
        """A single step, or none."""
        if self._copies:
            yield Step("copy", (self._norm,) if self._plan.whole else (), self._emit, fence=True)

    def _emit(self, spans: Spans) -> None:
        plan, quantum = self._plan, self._plan.configuration.tile_rows
        targets: dict[Lane, list[Lane]] = {}
        for lane, copy in self._copies:
            targets.setdefault(lane, []).append(copy)
        for lane, copies in targets.items():
            for first, count in row_chunks(*lane.rows, quantum, AFTER):
                starts = tuple(copy.first + first - lane.first for copy in copies)
                plan.emitter.copy_rows(plan.residual, first, count, starts)
                for copy, start in zip(copies, starts, strict=True):
                    if plan.whole:
                        plan.layer_norm(self._norm.name, spans, plan.normed, start, count, (copy,))


class Experts:
    """Routers and experts of transformer block i, expert by expert over slices of their queues.

    The first layer of each slice is computed before the second layer of the previous slice. Where the normalised tokens do not all fit
    beside the residual streams, they are normalised, routed and sent through the experts in groups. Queues number a group's tokens
    from 0.
    """

    def __init__(self, plan: ProgramPlan, i: int, lanes: tuple[Lane, ...]) -> None:
        a, c, act = plan.architecture, plan.configuration, plan.act
        self._plan, self._i, self._block, self._lanes = plan, i, f"blocks.{i}", lanes
        self._tasks = [plan.target.task(lane.members[0]) for lane in lanes]
        self._experts = experts_of(self._tasks, i)
        self._norm, self._table = plan.norm(f"{self._block}.norm2"), plan.table(table_name(a, i))
        self._together = plan.schedule.expert_tokens is None
        self._ranges = row_ranges(lanes)
        most = max(count for _, count in self._ranges)
        per_row = 2 * act.pitch(a.expert_hidden, "int8")
        what = "one row of an expert's hidden layer"
        for groups in range(1, a.tokens + 1):
            group = plan.schedule.expert_tokens or -(-most // groups)
            self._groups = self._split(group)
            self._normed_rows = plan.rows if plan.schedule.expert_tokens else max(size for _, size in self._groups)
            extra = 0 if plan.whole else self._normed_rows * act.pitch(a.width, "int8")
            try:
                entries = max(sum(part[1] for _, part in self._parts(tokens)) for tokens in self._groups)
                self._slices = plan.blocks_when_empty(entries, per_row, c.tile_rows, what, extra)
                plan.blocks_when_empty(1, self._logits_bytes(), 1, "the router's logits", extra)
                break
            except DoesNotFit:
                if plan.whole or plan.schedule.expert_tokens or groups == _MOST_GROUPS:
                    raise
        self._hidden: list[Matrix] = []

    def _split(self, most: int) -> list[Chunk]:
        """The groups of at most so many rows; a single one if all tokens are normalised at once."""
        if self._plan.whole and self._together:
            return [(self._ranges[0][0], sum(self._ranges[-1]) - self._ranges[0][0])]
        return [(start + first, size) for start, count in self._ranges for first, size in equal_blocks(count, most)]

    def _logits_bytes(self) -> int:
        """The most bytes of logits that are in the memory at once."""
        chunks = [self._router_chunks(*part) for tokens in self._groups for _, part in self._parts(tokens)]
        rows = max(self._buffers(each) * max(size for _, size in each) for each in chunks)
        return rows * self._plan.act.pitch(len(self._experts), "int16")

    def _buffers(self, chunks: list[Chunk]) -> int:
        """Buffers of logits. Where memory is short two take turns, and the array may have to wait for a chunk to be routed."""
        return len(chunks) if self._plan.whole else min(len(chunks), 2)

    def _parts(self, tokens: Chunk) -> list[tuple[Lane, Chunk]]:
        """The lanes with rows in a group, and these rows."""
        return [(lane, part) for lane in self._lanes if (part := lane.part(*tokens))]

    @property
    def routes_at_once(self) -> bool:
        """Whether all tokens are one group that lies normalised in the memory, so that each lane can be routed on its own."""
        return self._plan.whole and self._together

    def steps(self) -> Iterator[Step]:
        """For each group of tokens, the routers, then the experts."""
        for g, tokens in enumerate(self._groups):
            for lane, _ in self._parts(tokens):
                yield from self.router_steps(lane, g)
            yield from self.expert_steps(g)

    def router_steps(self, lane: Lane, g: int = 0) -> Iterator[Step]:
        """The router of a lane for group g; all its lanes take their turns, in their order, before the expert_steps."""
        parts, router = self._parts(self._groups[g]), self._router(lane)
        n = [each for each, _ in parts].index(lane)
        needed = (router,) if self._plan.whole else (self._norm, router)
        # Loads that look at the queues wait for the last router.
        tag = self._routed(g) if n == len(parts) - 1 else f"{self._routed(g)} of {lane.first}"
        yield Step(tag, needed, partial(self._route, g, n, *parts[n]))

    def _routed(self, g: int) -> str:
        """The tag of the step after which the queues of a group are complete."""
        return f"{self._block}.router{self._suffix(g)}"

    def _suffix(self, g: int) -> str:
        return "" if len(self._groups) == 1 else f"@{g}"

    def expert_steps(self, g: int = 0) -> Iterator[Step]:
        """What follows the routers of all lanes of group g."""
        plan, routed, suffix = self._plan, self._routed(g), self._suffix(g)
        pending: list[Step] = []
        for work in self._works(g):
            up, down = (plan.whole_part(f"{self._block}.experts.{work.expert}.{which}") for which in ("up", "down"))
            up_block, down_block = (plan.block(part, work.slot, routed, suffix) for part in (up, down))
            yield Step(up.name, (up_block, self._table), partial(self._ascend, work, up, up_block))
            yield from pending
            pending = [Step(down.name, (down_block,), partial(self._descend, work, down, down_block))]
        yield from pending

    def _works(self, g: int) -> list[_Work]:
        pieces = [(slot, expert, *piece) for slot, expert in enumerate(self._experts) for piece in self._slices]
        return [_Work(n, *piece, self._groups[g], n == len(pieces) - 1) for n, piece in enumerate(pieces)]

    # --- routers --------------------------------------------------------------------------------------------------

    def _part(self, lane: Lane) -> LinearPart:
        """A lane's router as a linear layer with a column for each of the queues."""
        (member,) = lane.members
        name, kept = f"{self._block}.router.{member.pathway}", self._plan.target.task(member).pathway[self._i]
        block = router_block(name, kept, self._experts)
        return LinearPart(name, block, 0, len(self._experts), self._plan.architecture.width)

    def _router(self, lane: Lane) -> Block:
        """A lane's router as a block of the weight memory."""
        part = self._part(lane)
        return Block(part.block, self._plan.target.constants.size[part.block], part.block)

    def _route(self, g: int, n: int, lane: Lane, rows: Chunk, spans: Spans) -> None:
        """Router logits and queues of the n-th lane of a group, in chunks; without whole matrices, norm2 comes first."""
        plan, e, part = self._plan, self._plan.emitter, self._part(lane)
        first, task = self._groups[g][0], plan.target.task(lane.members[0])
        kept = task.pathway[self._i]
        places = () if kept == self._experts else tuple(map(self._experts.index, kept))
        if plan.whole:
            self._normed = plan.normed
        elif n == 0 and (g == 0 or self._together):
            self._place_normed(0 if not self._together else first, spans)
        chunks = self._router_chunks(*rows)
        most, columns = max(size for _, size in chunks), part.columns
        buffers = self._buffers(chunks)
        logits = [plan.act.place("the router's logits", most, columns, "int16") for _ in range(buffers)]
        for m, (start, size) in enumerate(chunks):
            if not plan.whole and self._together:
                plan.layer_norm(self._norm.name, spans, self._normed, start, size, (lane,))
            target = logits[m % len(logits)].holding(start)
            e.linear(part, spans[part.block], self._normed, start, target, start, size)
            plan.observe(f"{self._block}.router", target, start, size, (lane,), columns, kept=places)
            e.route(
                f"{self._block}.route", target, start, size, start - first, append=n + m > 0, top_k=task.top_k,
                absent=absent(kept, self._experts),
            )  # fmt: skip
        plan.act.free(logits)

    def _place_normed(self, first: int, spans: Spans) -> None:
        """Place the normalised tokens of a group, whose first row is `first`, or of all rows, which are then normalised."""
        plan, width = self._plan, self._plan.architecture.width
        self._normed = plan.act.place("the normalised tokens", self._normed_rows, width, "int8").holding(first)
        if not self._together:
            for rows in self._ranges:
                plan.layer_norm(self._norm.name, spans, self._normed, *rows, self._lanes)

    def _router_chunks(self, first: int, count: int) -> list[Chunk]:
        if not self._together:
            return [(first, count)]
        tile_rows = self._plan.configuration.tile_rows
        shares = AFTER if self._plan.whole else (1,) * -(-count // (_ROUTER_TILES * tile_rows))
        return row_chunks(first, count, tile_rows, shares)

    # --- experts --------------------------------------------------------------------------------------------------

    def _ascend(self, work: _Work, part: LinearPart, block: Block, spans: Spans) -> None:
        plan, a, e = self._plan, self._plan.architecture, self._plan.emitter
        if not self._hidden:
            most = max(size for _, size in self._slices)
            self._hidden = [plan.act.place("an expert's hidden layer", most, a.expert_hidden, "int8") for _ in range(2)]
        hidden = self._hidden[work.n % 2]
        e.linear(
            part, spans[block.name], self._normed, work.tokens[0], hidden, 0, work.most, table=spans[self._table.name],
            gather=True, queue=work.slot, queue_first=work.first,
        )  # fmt: skip
        rows = self._even_share(work)
        if plan.schedule.gelu_pass and rows:
            e.pass_over(f"{self._block}.experts.gelu", hidden, 0, rows, (0, a.expert_hidden), plan.scratch)

    def _even_share(self, work: _Work) -> int:
        """Rows of the slice of the queue if the tokens were shared evenly among the experts."""
        experts = len(self._experts)
        chosen = sum(
            part[1] * min(task.top_k, len(task.pathway[self._i]))
            for task, lane in zip(self._tasks, self._lanes, strict=True)
            if (part := lane.part(*work.tokens))
        )
        rows = (work.slot + 1) * chosen // experts - work.slot * chosen // experts
        return min(max(rows - work.first, 0), work.most)

    def _descend(self, work: _Work, part: LinearPart, block: Block, spans: Spans) -> None:
        plan, e = self._plan, self._plan.emitter
        e.linear(
            part, spans[block.name], self._hidden[work.n % 2], 0, plan.residual, work.tokens[0], work.most, residual=True, scatter=True,
            queue=work.slot, queue_first=work.first,
            score_shift=int(plan.target.bundle.tensors[f"{self._block}.score_shift"]),
        )  # fmt: skip
        all_done = work.last and work.tokens == self._groups[-1]
        if work.last and not plan.whole and (all_done or self._together):
            plan.act.free([self._normed])
        if work.last:
            plan.act.free(self._hidden)
            self._hidden = []
        if all_done:
            for rows in self._ranges:
                plan.observe_residual(f"{self._block}.output", *rows, self._lanes)
