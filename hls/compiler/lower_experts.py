"""Lowers the mixture of experts: router, queues, then one expert after another over its queue into the residual stream."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from moesaic.hls.compiler.activations import Matrix
from moesaic.hls.compiler.constants import table_name
from moesaic.hls.compiler.does_not_fit import DoesNotFit
from moesaic.hls.compiler.emitter import LinearPart
from moesaic.hls.compiler.prefetch import Block, Spans, Step
from moesaic.hls.compiler.row_chunks import AFTER, Chunk, equal_blocks, row_chunks
from moesaic.hls.compiler.task_plan import TaskPlan

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
    tokens: the group's first token and number of tokens.
    last: whether it is the last of the group.
    """

    n: int
    slot: int
    expert: int
    first: int
    most: int
    tokens: Chunk
    last: bool


class Experts:
    """Router and experts of transformer block i, expert by expert over slices of their queues.

    The first layer of each slice is computed before the second layer of the previous slice. Where the normalised tokens do not all fit
    beside the residual stream, they are normalised, routed and sent through the experts in groups. Queues number a group's tokens from 0.
    """

    def __init__(self, plan: TaskPlan, i: int) -> None:
        a, c, act = plan.architecture, plan.configuration, plan.act
        self._plan, self._block, self._experts = plan, f"blocks.{i}", plan.task.pathway[i]
        self._router = plan.whole_part(f"{self._block}.router.{plan.target.pathway}")
        self._norm, self._table = plan.norm(f"{self._block}.norm2"), plan.table(table_name(a, i))
        self._together = plan.schedule.expert_tokens is None
        per_row = 2 * act.pitch(a.expert_hidden, "int8")
        what = "one row of an expert's hidden layer"
        for groups in range(1, a.tokens + 1):
            group = plan.schedule.expert_tokens or -(-a.tokens // groups)
            self._groups = equal_blocks(a.tokens, group)
            self._normed_rows = a.tokens if plan.schedule.expert_tokens else self._groups[0][1]
            extra = 0 if plan.whole else self._normed_rows * act.pitch(a.width, "int8")
            try:
                self._slices = plan.blocks_when_empty(min(group, a.tokens), per_row, c.tile_rows, what, extra)
                break
            except DoesNotFit:
                if plan.whole or plan.schedule.expert_tokens or groups == _MOST_GROUPS:
                    raise
        self._hidden: list[Matrix] = []

    def steps(self) -> Iterator[Step]:
        """For each group of tokens, the router, then the experts."""
        plan = self._plan
        for g, tokens in enumerate(self._groups):
            suffix = "" if len(self._groups) == 1 else f"@{g}"
            routed = f"{self._block}.router{suffix}"
            needed = (plan.block(self._router),) if plan.whole else (self._norm, plan.block(self._router))
            yield Step(routed, needed, partial(self._route, tokens))
            yield from self._expert_steps(g, routed, suffix)

    def _expert_steps(self, g: int, routed: str, suffix: str) -> Iterator[Step]:
        plan = self._plan
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

    # --- router ---------------------------------------------------------------------------------------------------

    def _route(self, tokens: Chunk, spans: Spans) -> None:
        """Router logits and queues of some tokens, in chunks; without whole matrices, norm2 comes first."""
        plan, a, e, (first, count) = self._plan, self._plan.architecture, self._plan.emitter, tokens
        if plan.whole:
            self._normed = plan.normed
        elif first == 0 or self._together:
            self._normed = plan.act.place("the normalised tokens", self._normed_rows, a.width, "int8").holding(first)
            if not self._together:
                plan.layer_norm(self._norm.name, spans, self._normed, 0, a.tokens)
        chunks = self._router_chunks(first, count)
        most, columns = max(size for _, size in chunks), self._router.columns
        logits = [plan.act.place("the router's logits", most, columns, "int16") for _ in chunks[:2]]
        for n, (start, size) in enumerate(chunks):
            if not plan.whole and self._together:
                plan.layer_norm(self._norm.name, spans, self._normed, start, size)
            target = logits[n % len(logits)].holding(start)
            e.linear(self._router, spans[self._router.block], self._normed, start, target, start, size)
            e.observe(f"{self._block}.router", target, start, size, (a.tokens, columns), start)
            e.route(f"{self._block}.route", target, start, size, start - first, append=n > 0)
        plan.act.free(logits)

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
        chosen = work.tokens[1] * min(self._plan.task.top_k, experts)
        rows = (work.slot + 1) * chosen // experts - work.slot * chosen // experts
        return min(max(rows - work.first, 0), work.most)

    def _descend(self, work: _Work, part: LinearPart, block: Block, spans: Spans) -> None:
        plan, e = self._plan, self._plan.emitter
        e.linear(
            part, spans[block.name], self._hidden[work.n % 2], 0, plan.residual, work.tokens[0], work.most, residual=True, scatter=True,
            queue=work.slot, queue_first=work.first,
            score_shift=int(plan.target.bundle.tensors[f"{self._block}.score_shift"]),
        )  # fmt: skip
        all_done = work.last and sum(work.tokens) == plan.architecture.tokens
        if work.last and not plan.whole and (all_done or self._together):
            plan.act.free([self._normed])
        if work.last:
            plan.act.free(self._hidden)
            self._hidden = []
        if all_done:
            plan.observe_residual(f"{self._block}.output", 0, plan.architecture.tokens)
