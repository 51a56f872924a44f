"""Decides when weights are loaded: as early in the program as the weight memory has room, in the order of their first use.

A program is a list of steps. Each step names the blocks of the weight memory that it needs; a block lives from its load, before its
first step, to the end of its last step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from moesaic.hls.compiler.arena import Ring, Span
from moesaic.hls.compiler.does_not_fit import DoesNotFit
from moesaic.hls.compiler.emitter import Emitter
from moesaic.spec.isa import LoadDestination

Spans = dict[str, Span]
"""Block name to the block's place on chip."""


@dataclass(frozen=True)
class Block:
    """Contents of the weight memory, or of a slot of another memory.

    name: unique among live blocks.
    constant, offset: name and byte offset of its source in Constants, the name "" if the machine itself writes it.
    size: bytes on chip.
    packed_from: the byte from which on its source holds two weights of 4 bits in a byte, which are unpacked; None if it holds none.
    slots: the name of its slot pool, "" for the weight memory.
    expert: the queue that makes the block useless when it is empty.
    router: the tag of the step that fills that queue; None and "" if the block is always needed.
    """

    name: str
    size: int
    constant: str = ""
    offset: int = 0
    packed_from: int | None = None
    slots: str = ""
    expert: int | None = None
    router: str = ""


class SlotPool:
    """Slots of equal size for blocks that are small and alike, such as GELU tables. destination: the memory that they are in."""

    def __init__(self, destination: LoadDestination, slots: list[Span]) -> None:
        self.destination = destination
        self._free = list(slots)

    def try_allocate(self) -> Span | None:
        """A free slot, or None."""
        return self._free.pop(0) if self._free else None

    def free(self, slot: Span) -> None:
        """Give back a slot."""
        self._free.append(slot)


@dataclass(frozen=True)
class Step:
    """A part of the program.

    tag: its layer.
    blocks: what it needs.
    emit: appends its instructions, given the places of the blocks.
    fence: it has loads of its own, which nothing that only later steps need is loaded before.
    """

    tag: str
    blocks: tuple[Block, ...]
    emit: Callable[[Spans], None]
    fence: bool = False


@dataclass
class Prefetcher:
    """Emits steps together with their loads.

    ring: the weight memory.
    pools: slot pools by name.
    ahead: if False, a step's loads wait for the products before it, which shows what prefetching is worth.

    An expert's load that comes after the expert's router in program order is skipped if no token chose the expert. One that fits
    earlier is issued speculatively if `suspect` is True, and waits for the router otherwise.
    """

    emitter: Emitter
    ring: Ring
    pools: dict[str, SlotPool]
    ahead: bool = True
    suspect: bool = True

    def emit(self, steps: list[Step]) -> None:
        """Append the program. Raises DoesNotFit if the blocks of one step do not fit.

        A step that needs no blocks comes before any loads for later steps.
        """
        last_use = {block.name: index for index, step in enumerate(steps) for block in step.blocks}
        first_use: dict[str, tuple[Block, int]] = {}
        for index, step in enumerate(steps):
            for block in step.blocks:
                first_use.setdefault(block.name, (block, index))
        waiting = list(first_use.values())
        fences = [index for index, step in enumerate(steps) if step.fence]
        spans: Spans = {}
        emitted: set[str] = set()
        position = 0
        for index, step in enumerate(steps):
            horizon = next((n for n in fences if n >= index), len(steps)) if self.ahead else index
            while step.blocks and position < len(waiting) and waiting[position][1] <= horizon:
                block = waiting[position][0]
                if block.router and not self.suspect and block.router not in emitted:
                    break
                span = self._place(block, needed=waiting[position][1] <= index)
                if span is None:
                    break
                spans[block.name] = span
                if block.constant:
                    self._load(block, span, block.router in emitted)
                position += 1
            missing = [block for block in step.blocks if block.name not in spans]
            if missing:
                raise self._refusal(step, missing, spans)
            step.emit(spans)
            emitted.add(step.tag)
            for block in step.blocks:
                if last_use[block.name] == index:
                    (self.pools[block.slots] if block.slots else self.ring).free(spans.pop(block.name))

    def _place(self, block: Block, needed: bool) -> Span | None:
        if block.slots:
            return self.pools[block.slots].try_allocate()
        return self.ring.try_allocate(block.size, anywhere=needed)

    def _load(self, block: Block, span: Span, routed: bool) -> None:
        destination = self.pools[block.slots].destination if block.slots else LoadDestination.WEIGHT
        queue = block.expert if routed else None
        if block.packed_from is None:
            self.emitter.load_constant(block.constant, block.offset, block.size, span, destination, queue)
            return
        middle, packed = span.start + block.packed_from, (block.size - block.packed_from) // 2
        for offset, size, place in (
            (0, block.packed_from, span._replace(end=middle)),
            (block.packed_from, packed, span._replace(start=middle)),
        ):
            self.emitter.load_constant(
                block.constant, block.offset + offset, size, place, destination, queue, unpack=offset > 0
            )

    def _refusal(self, step: Step, missing: list[Block], spans: Spans) -> DoesNotFit:
        live = sum(span.size for span in spans.values() if span.space == self.ring.span.space)
        needed = live + sum(block.size for block in missing if not block.slots)
        available = f"{self.ring.span.size} are available; no room for {', '.join(block.name for block in missing)}"
        return DoesNotFit(step.tag, needed, "weight", available, "a smaller model")
