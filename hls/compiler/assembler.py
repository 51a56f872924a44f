"""Collects instructions and synchronises their units with semaphores, derived from what each instruction reads and writes."""

from __future__ import annotations

from dataclasses import dataclass, field

from moesaic.hls.compiler.arena import Span
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.isa import BY_NAME, END, Destination, Unit, semaphore
from moesaic.spec.legality import encode

_TO_WEIGHT = (Destination.KEYS, Destination.VALUES)
_OTHERS = {unit: tuple(other for other in Unit if other != unit) for unit in Unit}


@dataclass(slots=True)
class Entry:
    """An instruction and the spans that it touches; the masks grow while later instructions are appended."""

    name: str
    fields: dict[str, int]
    reads: tuple[Span, ...]
    writes: tuple[Span, ...]
    wait_mask: int = 0
    signal_mask: int = 0


@dataclass
class Assembler:
    """A program under construction, for one configuration.

    tags: layer name to tag number; shared by the programs of a build, and extended by emit.

    Units start and complete their instructions in order. So an instruction need wait only for the last instruction of each other
    unit with which it conflicts (one writes what the other reads or writes), and not at all if an earlier instruction of its own
    unit has already waited for that one or a later one. The waits between two units are then in the same order as the signals, so
    one counting semaphore per pair is enough. Program order is a valid order of execution, so no program made here can deadlock.
    """

    configuration: HardwareConfiguration
    tags: dict[str, int]
    entries: list[Entry] = field(default_factory=list)
    _last: dict[Unit, Entry] = field(default_factory=dict)
    _accesses: dict[Unit, dict[str, list[tuple[int, int, int, bool]]]] = field(
        default_factory=lambda: {unit: {} for unit in Unit}
    )
    _waited: dict[tuple[Unit, Unit], int] = field(default_factory=dict)

    def emit(
        self, name: str, tag: str, reads: tuple[Span, ...] = (), writes: tuple[Span, ...] = (), **fields: int
    ) -> None:
        """Append an instruction. tag: its layer; reads, writes: every span that it touches; over-estimates are allowed."""
        unit = BY_NAME[name].unit
        number = self.tags.setdefault(tag, len(self.tags))
        index = len(self.entries)
        fields["tag"] = number
        entry = Entry(name, fields, reads, writes)
        for other in _OTHERS[unit]:
            self._depend(entry, unit, other)
        previous = self._last.get(unit)
        if previous is not None and not _conflict(unit, previous, entry):
            entry.fields["overlap"] = 1
        self._last[unit] = entry
        self.entries.append(entry)
        accesses = self._accesses[unit]
        for spans, written in ((reads, False), (writes, True)):
            for span in spans:
                accesses.setdefault(span.space, []).append((index, span.start, span.end, written))

    def _depend(self, entry: Entry, unit: Unit, other: Unit) -> None:
        """Make `entry` wait for the last instruction of `other` with which it conflicts, unless an earlier wait covers it."""
        covered = latest = self._waited.get((other, unit), -1)
        accesses = self._accesses[other]
        for spans, writes in ((entry.reads, False), (entry.writes, True)):
            for span in spans:
                touched = accesses.get(span.space)
                if not touched or touched[-1][0] <= latest:
                    continue
                start, end = span.start, span.end
                for index, first, last, written in reversed(touched):
                    if index <= latest:
                        break
                    if (writes or written) and first < end and start < last:
                        latest = index
                        break
        if latest > covered:
            bit = 1 << semaphore(other, unit)
            self.entries[latest].signal_mask |= bit
            entry.wait_mask |= bit
            self._waited[other, unit] = latest

    def program(self) -> bytes:
        """The encoded program including its `end`. Raises ValueError, naming field, value and rule, for an illegal instruction."""
        code = [
            encode(e.name, self.configuration, wait_mask=e.wait_mask, signal_mask=e.signal_mask, **e.fields)
            for e in self.entries
        ]
        return b"".join(code) + encode(END.name, self.configuration)


def _conflict(unit: Unit, previous: Entry, entry: Entry) -> bool:
    """Whether `entry` must not start before `previous`, on the same unit, has completed (see `overlap` in moesaic.spec.isa)."""
    touched = entry.reads
    if unit == Unit.LOAD or (unit == Unit.MATMUL and _written_by_weight(previous) and not _written_by_weight(entry)):
        touched += entry.writes
    for space, start, end in previous.writes:
        for span in touched:
            if span.space == space and span.start < end and start < span.end:
                return True
    return False


def _written_by_weight(product: Entry) -> bool:
    """Whether the result's addresses are those of the weight memory, which continue in the activation memory's lowest bytes."""
    return product.fields.get("destination") in _TO_WEIGHT
