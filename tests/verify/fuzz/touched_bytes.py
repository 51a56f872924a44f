"""What an instruction reads and writes, byte by byte: whether its result is defined, and what it must be ordered with.

All that instructions share lies in one line of bytes, `Places`. Rows that come from an expert queue may be those of any token.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np

from moesaic.hls.compiler.arena import Span
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.isa import Destination, LoadDestination, Space
from moesaic.spec.legality import Fields

_TRACK = 2048
"""Runs of a transfer of which the bytes are listed; a transfer of more is not defined here."""


@dataclass(frozen=True)
class Places:
    """Where in the line of bytes each memory begins, and its end: activation, weight, table, frame, row statistics, queues."""

    act: int
    weight: int
    table: int
    frame: int
    rows: int
    queues: int
    end: int

    @classmethod
    def of(cls, c: HardwareConfiguration, frame_bytes: int) -> Places:
        """For a configuration and a frame window of so many bytes."""
        starts = np.cumsum([0, c.act_bytes, c.weight_bytes, c.table_bytes, frame_bytes, c.row_entries, 1]).tolist()
        return cls(*starts)

    def spans(self, touched: np.ndarray) -> tuple[Span, ...]:
        """For each memory of which a byte is touched, bool (end,), the span from the first to the last of them."""
        bounds = (self.act, self.weight, self.table, self.frame, self.rows, self.queues, self.end)
        found = []
        for start, end in itertools.pairwise(bounds):
            inside = np.flatnonzero(touched[start:end])
            if inside.size:
                found.append(Span("machine", start + int(inside[0]), start + int(inside[-1]) + 1))
        return tuple(found)


@dataclass
class Touched:
    """Of one instruction. reads, writes: bool (Places.end,). defined: whether no write meets another one or a read that it must not.

    What lies outside of its memory is left out: the instruction faults.
    """

    reads: np.ndarray
    writes: np.ndarray
    defined: bool = True


@dataclass
class _Marks:
    c: HardwareConfiguration
    places: Places
    touched: Touched = field(init=False)

    def __post_init__(self) -> None:
        self.touched = Touched(np.zeros(self.places.end, bool), np.zeros(self.places.end, bool))

    def act(self, address: np.ndarray) -> np.ndarray:
        return self.places.act + address[address < self.c.act_bytes]

    def weight(self, address: np.ndarray) -> np.ndarray:
        """The last bytes of the weight window are the first ones of the activation memory."""
        address = address[address < self.c.weight_window_bytes]
        private = address < self.c.weight_bytes
        return np.where(private, self.places.weight + address, self.places.act + address - self.c.weight_bytes)

    def read(self, place: np.ndarray) -> None:
        self.touched.reads[place] = True

    def write(self, place: np.ndarray) -> None:
        place = place.reshape(-1)
        before = self.touched.writes[place].any()
        self.touched.writes[place] = True
        self.touched.defined &= not before and np.unique(place).size == place.size

    def finish(self) -> Touched:
        self.touched.defined &= not (self.touched.reads & self.touched.writes).any()
        return self.touched


def _grid(start: int, *axes: tuple[int, int]) -> np.ndarray:
    """All of start + sum of index * stride, flat. axes: (count, stride) of each index."""
    address = np.array([start], np.int64)
    for count, stride in axes:
        address = (address[:, None] + np.arange(count, dtype=np.int64) * stride).reshape(-1)
    return address


def touched_bytes(name: str, f: Fields, c: HardwareConfiguration, places: Places) -> Touched:
    """What a legal instruction reads and writes. f: all its own fields, those of an expert queue at their worst."""
    marks = _Marks(c, places)
    return {"load": _load, "store": _store, "matmul": _matmul, "layer_norm": _vector, "softmax": _vector, "route": _route}[name](
        f, marks
    )  # fmt: skip


def _runs(f: Fields, side: str, size: int) -> np.ndarray:
    start = f["dram_offset"] if side == "dram" else f["local_address"]
    return _grid(start, *((f[f"count_{i}"], f[f"{side}_stride_{i}"]) for i in (3, 2, 1)), (size, 1))


def _transfer(f: Fields, marks: _Marks) -> bool:
    """Whether it is small enough to be listed."""
    small = f["count_1"] * f["count_2"] * f["count_3"] <= _TRACK and f["bytes"] <= marks.places.end
    marks.touched.defined &= small
    return small


def _load(f: Fields, marks: _Marks) -> Touched:
    if f["skip_if_empty"]:
        marks.read(np.array([marks.places.queues]))
    if not _transfer(f, marks):
        return marks.finish()
    local = _runs(f, "local", f["bytes"] << f["unpack"])
    if f["destination"] == LoadDestination.TABLE:
        marks.write(marks.places.table + local[local < marks.c.table_bytes])
    else:
        marks.write(marks.act(local) if f["destination"] == LoadDestination.ACT else marks.weight(local))
    if f["space"] == Space.FRAME:
        dram = _runs(f, "dram", f["bytes"])
        marks.read(marks.places.frame + dram[dram < marks.places.rows - marks.places.frame])
    return marks.finish()


def _store(f: Fields, marks: _Marks) -> Touched:
    if _transfer(f, marks):
        marks.read(marks.act(_runs(f, "local", f["bytes"])))
        dram = _runs(f, "dram", f["bytes"])
        marks.write(marks.places.frame + dram[dram < marks.places.rows - marks.places.frame])
    return marks.finish()


def _matmul(f: Fields, marks: _Marks) -> Touched:
    c, rows = marks.c, f["rows"]
    if f["gather"] or f["scatter"]:
        marks.read(np.array([marks.places.queues]))
        rows = min(rows, max(c.queue_tokens - f["queue_first"], 0))
    if rows == 0 or rows > _TRACK:
        marks.touched.defined &= rows == 0
        return marks.finish()
    tiles = -(-f["columns"] // c.tile_columns)
    sources = c.queue_tokens if f["gather"] else rows
    marks.read(marks.act(_grid(f["a_address"], (sources, f["a_pitch"]), (f["depth"], 1))))
    marks.read(marks.weight(_grid(f["b_address"], (tiles, f["b_stride"]), (f["depth"] * c.tile_columns, 1))))
    statistics = np.arange(f["row_base"], min(f["row_base"] + rows, c.row_entries)) + marks.places.rows
    if f["row_scale"]:
        marks.read(statistics)
    else:
        marks.read(marks.weight(_grid(f["param_address"], (tiles, f["param_stride"]), (c.parameter_block_bytes, 1))))
    if f["table_enable"]:
        marks.read(np.arange(marks.places.table, marks.places.frame))
    marks.write(_results(f, marks, rows, tiles))
    touched = marks.finish()
    if f["track_max"]:  # not what row_scale reads of the same rows
        touched.writes[statistics] = True
    return touched


def _results(f: Fields, marks: _Marks, rows: int, tiles: int) -> np.ndarray:
    c = marks.c
    r, n = np.arange(rows, dtype=np.int64)[:, None], np.arange(f["columns"], dtype=np.int64)
    if f["destination"] == Destination.KEYS:
        lane = (n // c.tile_depth) * c.weight_word_bytes + (r % c.tile_columns) * c.tile_depth + n % c.tile_depth
        return marks.weight((f["d_address"] + (r // c.tile_columns) * f["d_pitch"] + lane).reshape(-1))
    if f["destination"] == Destination.VALUES:
        j, column = n // c.tile_columns, n % c.tile_columns
        lane = (r // c.tile_depth) * c.weight_word_bytes + column * c.tile_depth + r % c.tile_depth
        return marks.weight((f["d_address"] + j * f["d_pitch"] + lane).reshape(-1))
    element = 1 if f["destination"] == Destination.INT8 else 2
    targets = c.queue_tokens if f["scatter"] else rows
    return marks.act(_grid(f["d_address"], (targets, f["d_pitch"]), (element * f["columns"], 1)))


def _vector(f: Fields, marks: _Marks) -> Touched:
    """layer_norm, and softmax, which has row statistics in place of parameters."""
    c, rows = marks.c, f["rows"]
    if rows > _TRACK:
        marks.touched.defined = False
        return marks.finish()
    padded = -(-f["columns"] // c.tile_columns) * c.tile_columns
    source = marks.act(_grid(f["source_address"], (rows, f["source_pitch"]), (2 * f["columns"], 1)))
    apart = rows <= 1 or (
        f["destination_pitch"] == f["source_pitch"] and f["source_pitch"] >= max(2 * f["columns"], padded)
    )
    in_place = apart and f["source_address"] == f["destination_address"]
    if "param_address" in f:
        marks.read(marks.act(_grid(f["param_address"], (4 * padded, 1))))
    else:
        statistics = np.arange(f["row_base"], min(f["row_base"] + rows, c.row_entries)) + marks.places.rows
        marks.touched.writes[statistics] = True
    if not in_place:
        marks.read(source)
    marks.write(marks.act(_grid(f["destination_address"], (rows, f["destination_pitch"]), (padded, 1))))
    touched = marks.finish()
    marks.read(source)
    return touched


def _route(f: Fields, marks: _Marks) -> Touched:
    marks.read(
        marks.act(_grid(f["source_address"], (min(f["rows"], _TRACK), f["source_pitch"]), (2 * f["columns"], 1)))
    )
    marks.touched.writes[marks.places.queues] = True
    return marks.finish()
