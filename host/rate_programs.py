"""Programs that move data through the machine's DRAM ports as fast as they go, for measuring those: all of them, or one at a time."""

from __future__ import annotations

from dataclasses import dataclass

from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.dram_timing import BEAT_BYTES
from moesaic.spec.isa import LoadDestination, Space, pack
from moesaic.spec.legality import encode

_RUNS = 5
"""Long bursts in one load. Two loads overlap, so a port has 5 to 10 in flight: eight that the processing system's port accepts (UG1085,
AXI FIFO interface: "read and write command acceptance capability of eight"), and two in the load unit's own buffer. With more, a port
would turn a burst away, and the burst would go to the next one."""
_SHORTEST_LIMIT = 16
"""Beats: the load unit's longest burst is a word of the weight memory, but at least this."""
_PAGE = 4096
"""Bytes: no burst crosses a multiple of this."""


@dataclass(frozen=True)
class RateProgram:
    """A program whose loads and stores do not wait for each other.

    read_bytes, written_bytes: that pass through the ports in question; 0 for a direction that the program does not use. read_ports: how
    many these are. read_beats: of 16 bytes, that all loads read. window_bytes, weight_bytes: of the constant window and of the weight
    memory that it touches, counted from the start of each.
    """

    code: bytes
    read_bytes: int
    written_bytes: int
    read_ports: int
    read_beats: int
    window_bytes: int
    weight_bytes: int


def all_ports(
    c: HardwareConfiguration, reads: bool, writes: bool, total: int, constant_bytes: int, frame_bytes: int
) -> RateProgram:
    """About `total` bytes through all read ports, through the write port, or both at once.

    constant_bytes, frame_bytes: of the windows that are read and written. Loads take turns at two halves of the weight memory, whose
    words are the widest, so that each may overlap the one before it.
    """
    half = c.weight_bytes // 2 // c.weight_word_bytes * c.weight_word_bytes
    piece = min(half, c.act_bytes, constant_bytes, frame_bytes) // BEAT_BYTES * BEAT_BYTES
    count = max(total // piece, 1)
    single = {"bytes": piece, "count_1": 1, "count_2": 1, "count_3": 1}
    code = b""
    for number in range(count):
        overlap = int(number > 0)
        if reads:
            place = {
                "dram_offset": number * piece % (constant_bytes - piece + BEAT_BYTES) // BEAT_BYTES * BEAT_BYTES,
                "local_address": half * (number % 2),
            }
            code += _load(c, overlap=overlap, **single, **place)
        if writes:
            code += encode("store", c, space=Space.FRAME, overlap=overlap, dram_offset=0, local_address=0, **single)
    moved = count * piece
    return RateProgram(
        code + pack("end"),
        moved if reads else 0,
        moved if writes else 0,
        c.load_ports,
        moved // BEAT_BYTES if reads else 0,
        piece,
        2 * half,
    )


def read_port(c: HardwareConfiguration, port: int, total: int, constant_bytes: int) -> RateProgram:
    """About `total` bytes through one read port, 0 to load_ports - 1, with one beat through each other port for every long burst.

    The load unit gives its bursts to the ports in turn, beginning with port 0 in every run. Each run of these loads is cut into as many
    bursts as there are ports, of which one is as long as bursts get and the others are single beats: the long one always comes to the
    same port. Cuts are where a memory block ends on chip and, for a fourth burst, where a page ends in DRAM; windows begin with a page.
    Single beats before the first run choose the port. What it touches may be more than there is: then the program must not be run.
    """
    burst = max(c.weight_word_bytes // BEAT_BYTES, _SHORTEST_LIMIT)
    before = int(c.load_ports >= 3)
    beats = burst + c.load_ports - 1
    block, run = burst * BEAT_BYTES, beats * BEAT_BYTES
    if beats - before - burst == 2:  # two single beats follow, with the page's end between them
        first, stride = _PAGE - run + BEAT_BYTES, _PAGE
    else:
        first, stride = 0, 1 << (run - 1).bit_length()
    step, region = _RUNS * stride, (2 * _RUNS + 1) * block
    needs = first + step - stride + run
    places = max((constant_bytes - needs) // step + 1, 1)
    count = max(total // (_RUNS * block), 1)
    turns = (port - before) % c.load_ports
    code = b""
    if turns:
        code += _load(c, overlap=0, **_runs(turns, 0, BEAT_BYTES, BEAT_BYTES, 2 * region, BEAT_BYTES))
    for number in range(count):
        local = region * (number % 2) + block - before * BEAT_BYTES
        fields = _runs(_RUNS, number % places * step + first, stride, run, local, 2 * block)
        code += _load(c, overlap=int(bool(code)), **fields)
    return RateProgram(
        code + pack("end"),
        count * _RUNS * block,
        0,
        1,
        count * _RUNS * beats + turns,
        needs,
        2 * region + turns * BEAT_BYTES,
    )


def _load(c: HardwareConfiguration, **fields: int) -> bytes:
    return encode("load", c, space=Space.CONSTANT, destination=LoadDestination.WEIGHT, **fields)


def _runs(count: int, offset: int, stride: int, size: int, local: int, local_stride: int) -> dict[str, int]:
    return {
        "dram_offset": offset,
        "dram_stride_1": stride,
        "bytes": size,
        "local_address": local,
        "local_stride_1": local_stride,
        "count_1": count,
        "count_2": 1,
        "count_3": 1,
    }
