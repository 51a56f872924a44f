"""The emulator: the accelerator's C++ sources, compiled by g++ on this machine and called through ctypes.

Two parts that must not import each other need it: simulation, with the sources in this package, and the runtime without a board,
with the sources in a build.
"""

from __future__ import annotations

import ctypes
import platform
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from moesaic.caches import cache_directory
from moesaic.compiled_library import compile_library
from moesaic.errors import InternalError, UserError
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.executor import Counters, MachineFault, Memory, Program
from moesaic.spec.isa import FAULT_UNIT_NAMES, Fault, Unit
from moesaic.spec.issue import missing_signals, waits_for_room, waits_for_signals

ENTRY_POINT = "emulator.cpp"
COUNTER_NAMES = ("instructions", "matmul_array", "read_beats", "write_beats")
_FLAGS = ("-std=c++14", "-O3", "-Wno-unknown-pragmas")
_NATIVE = {"x86_64": "-march=native", "aarch64": "-mcpu=native"}
"""The flag for vector instructions of the processor at hand (hls/hardware/cpp/native_array.hpp), by platform.machine()."""


def compile_emulator(sources: Path, cache: Path | None = None, flags: tuple[str, ...] = ()) -> Path:
    """Compile the C++ files in `sources`, which include a configuration.hpp, and return the path of the shared library.

    They are compiled for the processor of this machine. cache: libraries are kept there under a hash of sources, flags, compiler and
    processor, so equal sources compile once, and machines of different processors may share it; default: moesaic.caches. flags:
    further compiler flags.

    Raises UserError if sources or compiler are missing or the cache cannot be written, InternalError if the sources do not compile.
    """
    sources = Path(sources)
    if not (sources / ENTRY_POINT).is_file():
        raise UserError(f"{sources} holds no emulator sources: {ENTRY_POINT} is missing; make the build again")
    included = [*sources.glob("*.hpp"), *sources.glob("*.cpp")]
    options = (*_FLAGS, *_native_flags(), *flags)
    return compile_library("emulator", sources / ENTRY_POINT, included, options, cache or cache_directory("emulators"))


def _native_flags() -> tuple[str, ...]:
    flag = _NATIVE.get(platform.machine())
    return () if flag is None else (flag,)


class Emulator:
    """Executor in compiled C++, see moesaic.spec.executor. It counts what the reference machine counts.

    sources: directory with the C++ files of one configuration. seed: for the memory contents at power-up, 0 to 2**64 - 1. cache,
    flags: see compile_emulator. Any number of emulators may exist side by side; runs of one wait for each other.

    UserError if the sources are of another configuration or memory runs out, and see compile_emulator.
    """

    def __init__(
        self,
        sources: Path,
        configuration: HardwareConfiguration,
        *,
        seed: int = 0,
        cache: Path | None = None,
        flags: tuple[str, ...] = (),
    ) -> None:
        library = ctypes.CDLL(str(compile_emulator(sources, cache, flags)))
        library.moesaic_fingerprint.restype = ctypes.c_uint64
        library.moesaic_create.argtypes = (ctypes.c_uint64,)
        library.moesaic_create.restype = ctypes.c_void_p
        library.moesaic_destroy.argtypes = (ctypes.c_void_p,)
        library.moesaic_destroy.restype = None
        window = (ctypes.c_void_p, ctypes.c_uint32)
        library.moesaic_run.argtypes = (
            ctypes.c_void_p, *window, *window, ctypes.c_uint32, ctypes.c_uint32, ctypes.POINTER(ctypes.c_uint64),
            ctypes.POINTER(ctypes.c_uint32),
        )  # fmt: skip
        library.moesaic_run.restype = None
        self.configuration = configuration
        self.fingerprint = f"{library.moesaic_fingerprint():016x}"
        if self.fingerprint != configuration.fingerprint:
            raise UserError(
                f"the emulator in {sources} has fingerprint {self.fingerprint}, configuration {configuration.name} has "
                f"{configuration.fingerprint}; make the build again for this configuration"
            )
        self._library = library
        self._machine = library.moesaic_create(seed)
        if not self._machine:
            raise UserError(f"not enough memory for an emulator of configuration {configuration.name}")
        self._running = threading.Lock()
        self._release = weakref.finalize(self, _destroy, library, self._machine, self._running)

    def run(self, program: Program, memory: Memory, max_cycles: int) -> Counters:
        """See moesaic.spec.executor.Executor. There is no clock: TIMEOUT is raised once no unit can proceed, max_cycles is ignored.

        InternalError for a closed emulator and for windows that are not as moesaic.spec.executor.Memory says.
        """
        for name, window in (("constants", memory.constants), ("frame", memory.frame)):
            if window.dtype != np.uint8 or not window.flags.c_contiguous or window.size >= 1 << 32:
                raise InternalError(f"memory.{name} must be contiguous uint8 of less than 4 GiB")
        if not memory.frame.flags.writeable:
            raise InternalError("memory.frame must be writeable")
        result = (ctypes.c_uint64 * (3 + len(COUNTER_NAMES)))()
        waiting = (ctypes.c_uint32 * (2 * len(Unit) + 1))()
        with self._running:
            if not self._release.alive:
                raise InternalError("the emulator was closed")
            self._library.moesaic_run(
                self._machine,
                memory.constants.ctypes.data, memory.constants.size,
                memory.frame.ctypes.data, memory.frame.size,
                program.offset, program.size, result, waiting,
            )  # fmt: skip
        fault, unit, tag, *counters = result
        if fault != Fault.NONE:
            detail = _waits(list(waiting)) if fault == Fault.TIMEOUT else ""
            raise MachineFault(Fault(fault), FAULT_UNIT_NAMES[unit], tag, detail)
        return dict(zip(COUNTER_NAMES, counters, strict=True))

    def close(self) -> None:
        """Free the machine, once a run in another thread has ended; closing twice is harmless."""
        self._release()


def _destroy(library: ctypes.CDLL, machine: int, running: threading.Lock) -> None:
    with running:
        library.moesaic_destroy(machine)


def _waits(waiting: Sequence[int]) -> str:
    """What units and fetch wait for, in words, from what hls/hardware/cpp/control.hpp leaves in `Waits`."""
    parts = []
    for unit in Unit:
        missing, tag = waiting[2 * unit], waiting[2 * unit + 1]
        if missing:
            parts.append(waits_for_signals(unit, missing_signals(missing), f"tag {tag}"))
    full = waiting[2 * len(Unit)]
    if full < len(Unit):
        parts.append(waits_for_room(Unit(full)))
    return "; ".join(parts)
