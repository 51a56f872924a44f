"""Decides when weights are loaded: as early in the program as the weight memory has room, in the order of their first use.

A program is a list of steps. Each names the blocks of the weight memory that it needs; a block lives from its load, before its
first step, to the end of its last step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from moesaic.errors import UserError
from moesaic.hls.compiler.arena import Ring, Span
from moesaic.hls.compiler.assembler import Assembler
from moesaic.hls.compiler.constants import Constants
from moesaic.spec.isa import LoadDestination, Space

Spans = dict[str, Span]
"""Block name to where it lies on chip."""

QUEUES = Span("queues", 0, 1)
PROGRESS = Span("progress", 0, 1)
"""Written, by name only, by every matrix product: a load that reads it waits for all products before it."""

ONCE = {"count_1": 1, "count_2": 1, "count_3": 1}
"""The counts of a transfer that is one run."""


@dataclass(frozen=True)
class Block:
    """Contents of the weight memory, or of a slot of another memory.

    name: unique among live blocks; constant, offset: where in Constants it comes from, or "" if the machine itself writes
    it; size: bytes. slots: the pool that it comes from, "" for the weight memory. expert: the queue whose emptiness makes the
    block useless, and router the tag of the step that fills that queue; None and "" if it is always needed.
    """

    name: str
    size: int
    constant: str = ""
    offset: int = 0
    slots: str = ""
    expert: int | None = None
    router: str = ""


class SlotPool:
    """Places of equal size for blocks that are small and alike, such as GELU tables. destination: the memory they are in."""

    def __init__(self, destination: LoadDestination, slots: list[Span]) -> None:
        self.destination = destination
        self._free = list(slots)

    def try_allocate(self) -> Span | None:
        return self._free.pop(0) if self._free else None

    def free(self, slot: Span) -> None:
        self._free.append(slot)


@dataclass(frozen=True)
class Step:
    """A part of the program. tag: its layer; blocks: what it needs; emit: appends its instructions."""

    tag: str
    blocks: tuple[Block, ...]
    emit: Callable[[Spans], None]


@dataclass
class Prefetcher:
    """Emits steps with their loads.

    ring: the weight memory; pools: of slots, by name; ahead: False lets a step's loads wait for the products before it, which
    shows what prefetching is worth. A load of an expert that comes after its router in program order is skipped when nobody chose the
    expert; one that fits earlier is loaded on suspicion, if suspect is True.
    """

    assembler: Assembler
    constants: Constants
    ring: Ring
    pools: dict[str, SlotPool]
    configuration_name: str
    ahead: bool = True
    suspect: bool = True

    def emit(self, steps: list[Step]) -> None:
        """Append the program. UserError if the blocks of one step do not fit."""
        last_use = {block.name: index for index, step in enumerate(steps) for block in step.blocks}
        first_use: dict[str, tuple[Block, int]] = {}
        for index, step in enumerate(steps):
            for block in step.blocks:
                first_use.setdefault(block.name, (block, index))
        waiting = list(first_use.values())
        spans: Spans = {}
        emitted: set[str] = set()
        position = 0
        for index, step in enumerate(steps):
            while position < len(waiting) and (self.ahead or waiting[position][1] <= index):
                block = waiting[position][0]
                if block.router and not self.suspect and block.router not in emitted:
                    break
                span = self._place(block)
                if span is None:
                    break
                spans[block.name] = span
                if block.constant:
                    self._load(block, span, block.router in emitted)
                position += 1
            missing = [block for block in step.blocks if block.name not in spans]
            if missing:
                self._refuse(step, missing, spans)
            step.emit(spans)
            emitted.add(step.tag)
            for block in step.blocks:
                if last_use[block.name] == index:
                    (self.pools[block.slots] if block.slots else self.ring).free(spans.pop(block.name))

    def _place(self, block: Block) -> Span | None:
        if block.slots:
            return self.pools[block.slots].try_allocate()
        return self.ring.try_allocate(block.size)

    def _load(self, block: Block, span: Span, routed: bool) -> None:
        conditional = block.expert is not None and routed
        reads = ((QUEUES,) if conditional else ()) + (() if self.ahead else (PROGRESS,))
        self.assembler.emit(
            "load", block.constant, reads=reads, writes=(span,), space=int(Space.CONSTANT),
            destination=int(self.pools[block.slots].destination if block.slots else LoadDestination.WEIGHT),
            dram_offset=self.constants.offset[block.constant] + block.offset, local_address=span.start, bytes=block.size,
            skip_if_empty=int(conditional), queue=block.expert if conditional else 0, **ONCE,
        )  # fmt: skip

    def _refuse(self, step: Step, missing: list[Block], spans: Spans) -> None:
        live = sum(span.size for span in spans.values() if span.space == self.ring.span.space)
        needed = live + sum(block.size for block in missing if not block.slots)
        raise UserError(
            f"the model does not fit configuration {self.configuration_name}: {step.tag} needs {needed} bytes of weight memory,"
            f" {self.ring.span.size} are available; no room for {', '.join(block.name for block in missing)};"
            f" use a larger configuration or a smaller model"
        )
