"""Control of the DRAM model from inside the simulator process, where its C functions are linked in."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path

from moesaic.sim.machines.ddr4 import Ddr4Timing

CONSTANT_WINDOW = 0
FRAME_WINDOW = 1
PORTS = 5
"""Ports that the model has, used or not."""
CHANNELS = ("AR", "R", "AW", "W", "B")
"""Of AXI."""
SOURCES = tuple(Path(__file__).parent / name for name in ("dram.cpp", "ddr4.cpp", "ddr4.hpp"))


class Dram:
    """The DRAM model of the running simulation. dram.cpp documents its timing and the order of events."""

    def __init__(self) -> None:
        library = ctypes.CDLL(None)
        self._map = library.dram_map
        self._map.argtypes = [ctypes.c_int, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_char_p]
        self._set_timing = library.dram_set_timing
        self._set_timing.argtypes = [ctypes.c_uint32, ctypes.c_uint64]
        self._set_ddr4 = library.dram_set_ddr4
        self._set_ddr4.argtypes = [ctypes.POINTER(ctypes.c_int64), ctypes.POINTER(ctypes.c_int), ctypes.c_uint64]
        self._set_ddr4.restype = None
        self._ddr4_parameters = library.dram_ddr4_parameters
        self._ddr4_parameters.restype = ctypes.c_char_p
        self._set_random = library.dram_set_random
        self._set_random.argtypes = [ctypes.c_int, ctypes.c_uint64]
        self._set_error = library.dram_set_error
        self._set_error.argtypes = [ctypes.c_int, ctypes.c_uint64]
        self._set_silent = library.dram_set_silent
        self._set_silent.argtypes = [ctypes.c_int, ctypes.c_int]
        self._set_silent.restype = None
        self._bytes_read = library.dram_bytes_read
        self._bytes_written = library.dram_bytes_written
        for function in (self._bytes_read, self._bytes_written):
            function.argtypes = [ctypes.c_int]
            function.restype = ctypes.c_uint64

    def map(self, window: int, base: int, size: int, path: Path) -> None:
        """Map the first `size` bytes of a file at address `base`; the file and the window share memory.

        window: CONSTANT_WINDOW or FRAME_WINDOW. base, size: bytes, multiples of 16; size 0 unmaps the window.

        Raises OSError if the file cannot be mapped.
        """
        status = self._map(window, base, size, os.fsencode(path))
        if status != 0:
            raise OSError(status, os.strerror(status), str(path))

    def set_timing(self, latency: int, bytes_per_cycle: float) -> None:
        """Set the cycles from a read address to its first beat (at least 1) and the bytes per cycle of all ports together."""
        self._set_timing(latency, int(bytes_per_cycle * 65536))

    def set_ddr4(self, timing: Ddr4Timing, channels: Sequence[int] = range(PORTS), seed: int = 0) -> None:
        """Time everything by a DDR4 from now on; call it before the first transaction.

        channels: for each port, the number of the processing system's port that it leads to; those without a number lead to one
        each. seed: when the first refresh of a run is due.
        """
        names = self._ddr4_parameters().decode().split()
        values = [timing.parameters[name] for name in names]
        ports = [*channels, *(PORTS + n for n in range(PORTS - len(channels)))]
        self._set_ddr4((ctypes.c_int64 * len(values))(*values), (ctypes.c_int * PORTS)(*ports), seed)

    def set_random(self, seed: int | None) -> None:
        """Draw latencies, and pauses on all channels, at random from `seed`; None restores the fixed timing."""
        self._set_random(seed is not None, seed or 0)

    def set_error(self, address: int | None) -> None:
        """Answer SLVERR for the beat that contains `address` from now on; None ends this."""
        self._set_error(address is not None, address or 0)

    def set_silent(self, port: int | None, channel: str = "AR") -> None:
        """Have a port take part in no further handshake on a channel, one of CHANNELS, as a slave that died; None ends this."""
        self._set_silent(-1 if port is None else port, CHANNELS.index(channel))

    def bytes_read(self, port: int) -> int:
        """Return how many bytes a port (0 and up, the main port last) has read since the simulation began: 16 per beat."""
        return self._bytes_read(port)

    def bytes_written(self, port: int) -> int:
        """Return how many bytes a port has written since the simulation began: 16 per beat, whatever its strobes."""
        return self._bytes_written(port)
