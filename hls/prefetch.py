"""Decides when weights are loaded: as early in the program as the ring has room, in the order of their use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hls.arena import Ring, Span
from hls.assembler import Assembler
from hls.constants import Constants
from spec.arithmetic import TABLE_ENTRIES
from spec.errors import UserError
from spec.isa import LoadDestination, Space

WeightSpans = dict[str, Span]
"""Block name to where it lies in the weight memory (or, for a table, in the table memory)."""


@dataclass(frozen=True)
class Step:
    """A part of the program that needs weights.

    blocks: names in Constants that must be in the weight memory; table: the GELU table it uses, or ""; expert: the expert that the
    blocks belong to, if loading them is pointless while its queue is empty, and router the tag of the step that fills that queue;
    emit: appends the instructions.
    """

    tag: str
    blocks: tuple[str, ...]
    emit: Callable[[WeightSpans], None]
    table: str = ""
    expert: int | None = None
    router: str = ""


QUEUES = Span("queues", 0, 1)


def emit_steps(
    assembler: Assembler, constants: Constants, ring: Ring, tables: int, steps: list[Step], configuration_name: str
) -> None:
    """Emit all steps with their loads.

    The blocks of a step are placed together, so a step can always be placed once the ring is empty. A load of an expert that comes
    after the router in program order is skipped when nobody chose the expert; one that fits earlier is loaded on suspicion.
    """
    placed: list[tuple[Span, WeightSpans]] = []
    table_slots: list[tuple[str, int]] = []
    emitted: set[str] = set()
    for index, step in enumerate(steps):
        while len(placed) < len(steps):
            upcoming = steps[len(placed)]
            size = sum(constants.size[name] for name in upcoming.blocks)
            table_at = _table_slot(table_slots, upcoming.table, steps[index:], tables)
            if table_at is None or (span := ring.try_allocate(size)) is None:
                break
            spans = _emit_loads(assembler, constants, upcoming, span, table_at, table_slots, upcoming.router in emitted)
            placed.append((span, spans))
        if len(placed) <= index:
            size = sum(constants.size[name] for name in step.blocks)
            raise UserError(
                f"the model does not fit configuration {configuration_name}: the weights of {step.tag} need {size} bytes of weight memory,"
                f" {ring.span.size} are available beside keys and values; use a larger configuration or a smaller model"
            )
        span, spans = placed[index]
        step.emit(spans)
        emitted.add(step.tag)
        ring.free(span)


def _table_slot(slots: list[tuple[str, int]], table: str, remaining: list[Step], tables: int) -> int | None:
    """Slot for a table: where it is already, else one that no remaining step needs; None if there is none. -1 if no table is asked for."""
    if not table:
        return -1
    for name, slot in slots:
        if name == table:
            return slot
    needed = {step.table for step in remaining}
    busy = {slot for name, slot in slots if name in needed}
    return next((slot for slot in range(tables) if slot not in busy), None)


def _emit_loads(
    assembler: Assembler,
    constants: Constants,
    step: Step,
    span: Span,
    table_at: int,
    slots: list[tuple[str, int]],
    routed: bool,
) -> WeightSpans:
    spans: WeightSpans = {}
    once = {"count_1": 1, "count_2": 1, "count_3": 1, "space": int(Space.CONSTANT)}
    if step.table:
        spans[step.table] = Span("table", TABLE_ENTRIES * table_at, TABLE_ENTRIES * (table_at + 1))
        if (step.table, table_at) not in slots:
            slots[:] = [(name, slot) for name, slot in slots if slot != table_at] + [(step.table, table_at)]
            assembler.emit(
                "load", step.tag, writes=(spans[step.table],), destination=int(LoadDestination.TABLE),
                dram_offset=constants.offset[step.table], local_address=spans[step.table].start, bytes=TABLE_ENTRIES, **once,
            )  # fmt: skip
    conditional = step.expert is not None and routed
    position = span.start
    for name in step.blocks:
        size = constants.size[name]
        spans[name] = Span(span.space, position, position + size)
        position += size
        assembler.emit(
            "load", step.tag, reads=(QUEUES,) if conditional else (), writes=(spans[name],),
            destination=int(LoadDestination.WEIGHT), dram_offset=constants.offset[name], local_address=spans[name].start, bytes=size,
            skip_if_empty=int(conditional), queue=step.expert if conditional else 0, **once,
        )  # fmt: skip
    return spans
