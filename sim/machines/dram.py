"""Control of the DRAM model from inside the simulator process, where its C functions are linked in."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

CONSTANT_WINDOW = 0
FRAME_WINDOW = 1
SOURCES = (Path(__file__).parent / "dram.cpp",)


class Dram:
    """The DRAM model of the running simulation (dram.cpp states its timing and its order of events)."""

    def __init__(self) -> None:
        library = ctypes.CDLL(None)
        self._map = library.dram_map
        self._map.argtypes = [ctypes.c_int, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_char_p]
        self._set_timing = library.dram_set_timing
        self._set_timing.argtypes = [ctypes.c_uint32, ctypes.c_uint64]
        self._set_random = library.dram_set_random
        self._set_random.argtypes = [ctypes.c_int, ctypes.c_uint64]
        self._set_error = library.dram_set_error
        self._set_error.argtypes = [ctypes.c_int, ctypes.c_uint64]
        self._bytes_read = library.dram_bytes_read
        self._bytes_written = library.dram_bytes_written
        for function in (self._bytes_read, self._bytes_written):
            function.argtypes = [ctypes.c_int]
            function.restype = ctypes.c_uint64

    def map(self, window: int, base: int, size: int, path: Path) -> None:
        """Show the first `size` bytes of a file at address `base`; the file and the window share memory.

        base, size: multiples of 16; size 0 unmaps. Raises OSError.
        """
        status = self._map(window, base, size, os.fsencode(path))
        if status != 0:
            raise OSError(status, os.strerror(status), str(path))

    def set_timing(self, latency: int, bytes_per_cycle: float) -> None:
        """Set the cycles from address to first beat (at least 1), and what all ports together move per cycle."""
        self._set_timing(latency, int(bytes_per_cycle * 65536))

    def set_random(self, seed: int | None) -> None:
        """Random latencies, and pauses on all channels, drawn from `seed`; None returns to the fixed timing."""
        self._set_random(seed is not None, seed or 0)

    def set_error(self, address: int | None) -> None:
        """Answer SLVERR on the beat that holds `address` until told None."""
        self._set_error(address is not None, address or 0)

    def bytes_read(self, port: int) -> int:
        """Return the bytes that the port has read since the simulation began, 16 per beat."""
        return self._bytes_read(port)

    def bytes_written(self, port: int) -> int:
        """Return the bytes that the port has written since the simulation began, 16 per beat, whatever the strobes."""
        return self._bytes_written(port)
