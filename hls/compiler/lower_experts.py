"""Lowers the mixture of experts: router, queues, and expert after expert over its queue into the residual stream."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from moesaic.hls.compiler.constants import table_name
from moesaic.hls.compiler.emitter import LinearPart, Rows
from moesaic.hls.compiler.prefetch import QUEUES, Spans, Step
from moesaic.hls.compiler.task_plan import AFTER, TaskPlan


def expert_steps(plan: TaskPlan, i: int) -> Iterator[Step]:
    """Router and experts: expert by expert over slices of their queues, the first layer of each slice ahead of the last one's second."""
    a, c, e = plan.architecture, plan.configuration, plan.emitter
    block, pathway = f"blocks.{i}", plan.task.pathway[i]
    router = plan.whole_part(f"{block}.router.{plan.task_name}")
    table = plan.table(table_name(a, i))
    group = plan.schedule.expert_tokens or a.tokens
    per_row = 2 * e.pitch(a.expert_hidden, "int8")
    extra = 0 if plan.whole else a.tokens * e.pitch(a.width, "int8")
    slices = plan.blocks_when_empty(
        min(group, a.tokens), per_row, c.tile_rows, "one row of an expert's hidden layer", extra
    )
    state: dict[str, Rows] = {}

    def route(g: int, first: int, count: int, spans: Spans) -> None:
        if g == 0:
            _begin_experts(plan, i, state)
        _route(plan, i, router, spans, state, first, count)

    def share(slot: int, tokens: int, first: int, most: int) -> int:
        """Rows of a slice of the queue if the tokens were shared evenly."""
        chosen = tokens * min(plan.task.top_k, len(pathway))
        rows = (slot + 1) * chosen // len(pathway) - slot * chosen // len(pathway)
        return min(max(rows - first, 0), most)

    def ascend(first: int, most: int, slot: int, n: int, tokens: int, part: LinearPart, key: str, spans: Spans) -> None:
        if not state.keys() & {"hidden 0", "hidden 1"}:
            _allocate_hidden(plan, state, max(size for _, size in slices))
        e.linear(
            part, spans[key], state["normed"], 0, state[f"hidden {n % 2}"], 0, most, table=spans[table.name],
            gather=True, queue=slot, queue_first=first,
        )  # fmt: skip
        rows = share(slot, tokens, first, most) if plan.schedule.gelu_pass else 0
        if rows:
            e.pass_over(f"{block}.experts.gelu", state[f"hidden {n % 2}"], 0, rows, (0, a.expert_hidden), plan.scratch)

    def descend(first: int, most: int, slot: int, n: int, part: LinearPart, key: str, last: bool, spans: Spans) -> None:
        e.linear(
            part, spans[key], state[f"hidden {n % 2}"], 0, plan.residual, 0, most, residual=True, scatter=True, queue=slot,
            queue_first=first,
        )  # fmt: skip
        if last:
            e.free(matrix for name, matrix in state.items() if name != "normed" or not plan.whole)
            e.observe_part(f"{block}.output", plan.residual, 0, a.tokens, (a.tokens, a.width), 0)

    groups = [(first, min(group, a.tokens - first)) for first in range(0, a.tokens, group)]
    for g, (start, size) in enumerate(groups):
        suffix = "" if len(groups) == 1 else f"@{g}"
        routed = f"{block}.router{suffix}"
        needed = (plan.block(router),) if plan.whole else (plan.norm(f"{block}.norm2"), plan.block(router))
        yield Step(routed, needed, partial(route, g, start, size))
        works = [(slot, expert, *piece) for slot, expert in enumerate(pathway) for piece in slices]
        pending: Step | None = None
        for n, (slot, expert, first, most) in enumerate(works):
            ups, downs = (plan.whole_part(f"{block}.experts.{expert}.{which}") for which in ("up", "down"))
            blocks = [plan.block(part, slot, routed, suffix) for part in (ups, downs)]
            yield Step(ups.name, (blocks[0], table), partial(ascend, first, most, slot, n, size, ups, blocks[0].name))
            if pending:
                yield pending
            last = n == len(works) - 1 and g == len(groups) - 1
            pending = Step(
                downs.name, (blocks[1],), partial(descend, first, most, slot, n, downs, blocks[1].name, last)
            )
        yield pending


def _begin_experts(plan: TaskPlan, i: int, state: dict[str, Rows]) -> None:
    a, e = plan.architecture, plan.emitter
    if plan.whole:
        state["normed"] = plan.normed
    else:
        state["normed"] = e.rows("the normalised tokens", a.tokens, a.width, "int8")


def _allocate_hidden(plan: TaskPlan, state: dict[str, Rows], rows: int) -> None:
    for which in range(2):
        state[f"hidden {which}"] = plan.emitter.rows(
            "an expert's hidden layer", rows, plan.architecture.expert_hidden, "int8"
        )


def _route(
    plan: TaskPlan, i: int, router: LinearPart, spans: Spans, state: dict[str, Rows], first: int, count: int
) -> None:
    """Router logits and queues of some tokens, chunk by chunk; without whole matrices norm2 comes first."""
    a, c, e = plan.architecture, plan.configuration, plan.emitter
    block, experts = f"blocks.{i}", router.columns
    shares = AFTER if plan.whole else (1,) * -(-count // (8 * c.tile_rows))
    chunks = plan.chunks(first, count, c.tile_rows, shares) if plan.schedule.expert_tokens is None else [(first, count)]
    most = max(size for _, size in chunks)
    logits = [e.rows("the router's logits", most, experts, "int16") for _ in range(min(len(chunks), 2))]
    normalise = not plan.whole and (plan.schedule.expert_tokens is None or first == 0)
    if normalise and plan.schedule.expert_tokens is not None:
        plan.layer_norm(f"{block}.norm2", spans, state["normed"], 0, a.tokens)
    for n, (start, size) in enumerate(chunks):
        if normalise and plan.schedule.expert_tokens is None:
            plan.layer_norm(f"{block}.norm2", spans, state["normed"], start, size)
        target = logits[n % len(logits)].holding(start)
        e.linear(router, spans[router.block], state["normed"], start, target, start, size)
        e.observe_part(f"{block}.router", target, start, size, (a.tokens, experts), start)
        e.assembler.emit(
            "route", f"{block}.route", reads=(target.part(start, size),), writes=(QUEUES,), rows=size, columns=experts,
            append=int(n > 0), first=start, source_address=target.address(start), source_pitch=target.pitch, top_k=plan.task.top_k,
        )  # fmt: skip
    e.free(logits)
