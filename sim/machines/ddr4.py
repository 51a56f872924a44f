"""The DDR4 SDRAM of a ZCU104 behind its memory controller: every number of the model in ddr4.cpp, with its source.

The board has four 16-bit devices Micron MT40A256M16GE-083E side by side, 2 GiB on 64 bits (AMD UG1267). The devices allow 2,400
megatransfers a second; the board's preset runs them at 2,133 (17.07 GB/s). Where AMD's tools choose a number, it is what they wrote
into the registers (AMD UG1087) of a Kria K26, which has the same controller and four devices of the same width at 2,133: U-Boot,
board/xilinx/zynqmp/zynqmp-sm-k26-revA01/psu_init_gpl.c. The address map is theirs too (ADDRMAP1, 2, 3, 5, 8).

Not published, and therefore assumed: the delay of the processing system's interconnect, see REQUEST_CYCLES; when a write is answered
(when the controller takes it); what a port buffers of writes. Not modelled: reads of what the controller has still to write, which it
would write first; the other masters of the board; the split of AXI4 bursts into AXI3's sixteen beats (UG1085), since requests to the
DRAM are smaller still.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from types import MappingProxyType

from moesaic.errors import UserError
from moesaic.spec.clock import CLOCK_HZ
from moesaic.spec.dram_timing import LATENCY

FLAT = "flat"
"""The model of moesaic.spec.dram_timing: one rate, one latency."""
_MEMORY_CLOCKS = 2  # per clock of the controller: it runs at half the memory's clock (UG1085)
_BURST = 4  # memory clocks of the eight transfers of a request

# Of the device (Micron, 4Gb: x4, x8, x16 DDR4 SDRAM; JEDEC JESD79-4), nanoseconds; bin -083E, page of 2 KiB.
_RCD = _RP = Fraction("13.32")
_RRD_S, _RRD_L, _FAW = Fraction("5.3"), Fraction("6.4"), Fraction(30)
_WTR_S, _WTR_L, _WR, _RTP = Fraction("2.5"), Fraction("7.5"), Fraction(15), Fraction("7.5")
_RFC, _REFI = Fraction(260), Fraction(7800)

# Of the controller. SCHED.lpr_num_entries = 32 leaves 33 entries to reads of the default priority; there are 64 in all (UG1087).
READ_ENTRIES, WRITE_ENTRIES = 33, 64
_REORDER_ENTRIES = 64  # of each port: as many as the controller has for reads (UG1085)
_RUN_LENGTH, _STARVATION = 8, 64  # PERFLPR1, PERFWR1
_IDLE_GAP = 1  # SCHED.rdwr_idle_gap
_READ_TO_WRITE = 6  # DRAMTMG2.rd2wr, in the controller's clocks

REQUEST_CYCLES = 25
"""Assumed cycles of the accelerator from its port to the controller's, through SmartConnect and the interconnect.

The way back takes as many as make a read of a closed row on an idle controller take the cycles of the flat model.
"""
_WRITE_BUFFER = 16  # requests, 1 KiB; assumed


@dataclass(frozen=True)
class Ddr4Timing:
    """One speed of the memory.

    transfers: per second and pin. cl, cwl: latencies of reads and writes in memory clocks. ras, ccd_l: ns, for this speed. parameters:
    the fields of Ddr4Parameters (ddr4.hpp).
    """

    transfers: Fraction
    cl: int
    cwl: int
    ras: Fraction
    ccd_l: Fraction

    @property
    def peak(self) -> Fraction:
        """Bytes per cycle of the accelerator that the pins can move."""
        return self.transfers * 8 / CLOCK_HZ

    @property
    def parameters(self) -> Mapping[str, int]:
        """Name to value."""
        ratio = self.transfers / 2 / _MEMORY_CLOCKS / CLOCK_HZ
        read_data = self._clocks(self.cl + _BURST)
        rcd, rp = self._of_ns(_RCD), self._of_ns(_RP)
        unloaded = ceil((rcd + read_data) / ratio)
        return MappingProxyType({
            "clocks": ratio.numerator,
            "cycles": ratio.denominator,
            "request_cycles": REQUEST_CYCLES,
            "response_cycles": LATENCY - 1 - REQUEST_CYCLES - unloaded,
            "rcd": rcd,
            "rp": rp,
            "ras": self._of_ns(self.ras),
            "rc": self._of_ns(self.ras + _RP),
            "rrd_s": self._of_ns(_RRD_S, 4),
            "rrd_l": self._of_ns(_RRD_L, 4),
            "faw": self._of_ns(_FAW),
            "ccd_s": self._clocks(_BURST),
            "ccd_l": self._of_ns(self.ccd_l, 5),
            "read_to_write": _READ_TO_WRITE,
            "write_to_read_s": self._clocks(self.cwl + _BURST + self._memory_clocks(_WTR_S, 2)),
            "write_to_read_l": self._clocks(self.cwl + _BURST + self._memory_clocks(_WTR_L, 4)),
            "read_to_precharge": self._of_ns(_RTP, 4),
            "write_to_precharge": self._clocks(self.cwl + _BURST + self._memory_clocks(_WR)),
            "read_data": read_data,
            "rfc": self._of_ns(_RFC),
            "refi": self._of_ns(_REFI),
            "read_entries": READ_ENTRIES,
            "write_entries": WRITE_ENTRIES,
            "reorder_entries": _REORDER_ENTRIES,
            "write_buffer": _WRITE_BUFFER,
            "run_length": _RUN_LENGTH,
            "starvation": _STARVATION,
            "idle_gap": _IDLE_GAP,
        })  # fmt: skip

    def _memory_clocks(self, ns: Fraction, least: int = 0) -> int:
        return max(ceil(ns * self.transfers / 2 / 10**9), least)

    def _of_ns(self, ns: Fraction, least: int = 0) -> int:
        return self._clocks(self._memory_clocks(ns, least))

    @staticmethod
    def _clocks(memory_clocks: int) -> int:
        """Clocks of the controller."""
        return -(-memory_clocks // _MEMORY_CLOCKS)


DDR4: Mapping[str, Ddr4Timing] = MappingProxyType({
    "ddr4-2133": Ddr4Timing(Fraction(6400, 3) * 10**6, 15, 14, Fraction(33), Fraction("5.355")),
    "ddr4-2400": Ddr4Timing(Fraction(2400) * 10**6, 16, 16, Fraction(32), Fraction(5)),
})  # fmt: skip
"""The speeds. Write latencies are those of AMD's presets: WL of the K26 at 2,133, 16 at 2,400 (KV260)."""
DRAMS = (FLAT, *DDR4)
"""Names of all models of the DRAM."""


def require_ddr4(name: str) -> None:
    """Raise UserError unless this is a key of DDR4."""
    if name not in DDR4:
        raise UserError(f"no DDR4 {name!r}: choose {', '.join(DDR4)}")
