"""Decides when weights are loaded: as early in the program as the weight memory has room, in the order of their first use.

A program is a list of steps. Each names the blocks of the weight memory that it needs; a block lives from its load, before its
first step, to the end of its last step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hls.arena import Ring, Span
from hls.assembler import Assembler
from hls.constants import Constants
from spec.arithmetic import TABLE_ENTRIES
from spec.errors import UserError
from spec.isa import LoadDestination, Space

Spans = dict[str, Span]
"""Block name to where it lies in the weight memory (or, for a table, in the table memory)."""

QUEUES = Span("queues", 0, 1)
PROGRESS = Span("progress", 0, 1)
"""Written, by name only, by every matrix product: a load that reads it waits for all products before it."""

_ONCE = {"count_1": 1, "count_2": 1, "count_3": 1}


@dataclass(frozen=True)
class Block:
    """Contents of the weight memory (or of the table memory).

    name: unique among live blocks; constant, offset: where in Constants it comes from, or "" if the machine itself writes it; size:
    bytes. table: it is a GELU table. expert: the queue for which it is pointless to load the block while it is empty, and router the tag of the
    step that fills that queue; None and "" if it is always needed.
    """

    name: str
    size: int
    constant: str = ""
    offset: int = 0
    table: bool = False
    expert: int | None = None
    router: str = ""


@dataclass(frozen=True)
class Step:
    """A part of the program. tag: its layer; blocks: what it needs; emit: appends its instructions."""

    tag: str
    blocks: tuple[Block, ...]
    emit: Callable[[Spans], None]


@dataclass
class Prefetcher:
    """Emits steps with their loads.

    ring: the weight memory; tables: number of table slots; ahead: False lets a step's loads wait for the products before it, which
    shows what prefetching is worth. A load of an expert that comes after its router in program order is skipped when nobody chose the
    expert; one that fits earlier is loaded on suspicion.
    """

    assembler: Assembler
    constants: Constants
    ring: Ring
    tables: int
    configuration_name: str
    ahead: bool = True

    def emit(self, steps: list[Step]) -> None:
        """Append the program. UserError if the blocks of one step do not fit."""
        last_use = {block.name: index for index, step in enumerate(steps) for block in step.blocks}
        first_use: dict[str, tuple[Block, int]] = {}
        for index, step in enumerate(steps):
            for block in step.blocks:
                first_use.setdefault(block.name, (block, index))
        waiting = list(first_use.values())
        spans: Spans = {}
        free_tables = list(range(self.tables))
        emitted: set[str] = set()
        position = 0
        for index, step in enumerate(steps):
            while position < len(waiting) and (self.ahead or waiting[position][1] <= index):
                block = waiting[position][0]
                span = self._place(block, free_tables)
                if span is None:
                    break
                spans[block.name] = span
                if block.constant:
                    self._load(block, span, block.router in emitted)
                position += 1
            missing = [block for block in step.blocks if block.name not in spans]
            if missing:
                self._refuse(step, missing)
            step.emit(spans)
            emitted.add(step.tag)
            for block in step.blocks:
                if last_use[block.name] == index:
                    span = spans.pop(block.name)
                    if block.table:
                        free_tables.append(span.start // TABLE_ENTRIES)
                    else:
                        self.ring.free(span)

    def _place(self, block: Block, free_tables: list[int]) -> Span | None:
        if not block.table:
            return self.ring.try_allocate(block.size)
        if not free_tables:
            return None
        slot = free_tables.pop(0)
        return Span("table", TABLE_ENTRIES * slot, TABLE_ENTRIES * (slot + 1))

    def _load(self, block: Block, span: Span, routed: bool) -> None:
        conditional = block.expert is not None and routed
        reads = ((QUEUES,) if conditional else ()) + (() if self.ahead else (PROGRESS,))
        self.assembler.emit(
            "load", block.constant, reads=reads, writes=(span,), space=int(Space.CONSTANT),
            destination=int(LoadDestination.TABLE if block.table else LoadDestination.WEIGHT),
            dram_offset=self.constants.offset[block.constant] + block.offset, local_address=span.start, bytes=block.size,
            skip_if_empty=int(conditional), queue=block.expert if conditional else 0, **_ONCE,
        )  # fmt: skip

    def _refuse(self, step: Step, missing: list[Block]) -> None:
        needed = sum(block.size for block in step.blocks if not block.table)
        raise UserError(
            f"the model does not fit configuration {self.configuration_name}: {step.tag} needs {needed} bytes of weight memory,"
            f" {self.ring.span.size} are available; no room for {', '.join(block.name for block in missing)}; use a larger configuration or a"
            f" smaller model"
        )
