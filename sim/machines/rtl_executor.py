"""The RTL as an executor: one simulator process, holding accelerator and DRAM model, runs program after program."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import tempfile
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np

from moesaic.errors import InternalError
from moesaic.files import write_file
from moesaic.hls.hardware.accelerator_sources import rtl_parameters
from moesaic.hls.vendor.vivado.workspace import memory_map
from moesaic.sim.machines import dram as dram_model
from moesaic.sim.machines import recorder
from moesaic.sim.machines.cocotb_process import cocotb_environment, simulator_arguments
from moesaic.sim.machines.coverage_data import coverage_directory, note_program
from moesaic.sim.machines.ddr4 import FLAT, require_ddr4
from moesaic.sim.machines.rtl_directories import COVERAGE_DIRECTORY, SYSTEM_DIRECTORY
from moesaic.sim.machines.source_closure import source_closure
from moesaic.sim.machines.verilator import build
from moesaic.spec.board import board_of
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.dram_timing import BEAT_BYTES, BYTES_PER_CYCLE, LATENCY
from moesaic.spec.executor import Counters, Memory, Program
from moesaic.spec.isa import Space
from moesaic.spec.reported_fault import reported_fault

TOP = "testbench"
# Far apart, and one above 4 GiB, so that a mixed-up or truncated address misses both windows.
WINDOW_BASES = {Space.CONSTANT: 0x0_2000_0000, Space.FRAME: 0x8_7654_3000}
_LOG_TAIL_LINES = 40
_CLOSE_SECONDS = 20.0
# Of a simulator that counts coverage, whose file of hundreds of MB would end halfway.
_COUNTING_CLOSE_SECONDS = 1800.0
# Defined here because moesaic.sim.machines.waveform can be imported only inside a simulator.
_WAVEFORM_SOURCE = Path(__file__).parent / "waveform.cpp"


@dataclass(frozen=True)
class Window:
    """Cycles of a run, `first` to `last` inclusive, whose waveform (FST) is written to `path`."""

    path: Path
    first: int
    last: int


class Simulation(Protocol):
    """A process that simulates; `subprocess.Popen` is one."""

    returncode: Any

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def kill(self) -> None: ...


StartSimulation = Callable[[int, Path], Simulation]
"""Starts a process that serves jobs (moesaic.sim.machines.rtl_server) from the socket of this number and logs to this file."""


def build_simulator(
    rtl_directory: Path,
    configuration: HardwareConfiguration,
    *,
    build_directory: Path | None = None,
    waveforms: bool = False,
) -> Path:
    """Compile the accelerator in `rtl_directory` with its test bench, or find it in the cache; return the executable.

    build_directory: where compiled simulators are kept; None for the cache (moesaic.caches). waveforms: allow Window recording.

    Raises:
        UserError: a tool or a source file is missing.
        InternalError: the design does not compile.
    """
    source_closure("moesaic_accelerator", [rtl_directory])  # its error names only this directory
    return build(
        TOP,
        source_closure(TOP, [rtl_directory, SYSTEM_DIRECTORY, *([COVERAGE_DIRECTORY] if coverage_directory() else [])]),
        build_directory,
        parameters=rtl_parameters(configuration),
        cpp_sources=(*dram_model.SOURCES, *recorder.SOURCES, *([_WAVEFORM_SOURCE] if waveforms else [])),
        public=("clk_i", "rst_ni", "irq_o", "s_axi_control_*", *(["run_start_o"] if waveforms else [])),
        trace=waveforms,
    )


class RtlExecutor:
    """An executor (moesaic.spec.executor.Executor) that simulates the RTL.

    Args:
        rtl_directory: holds moesaic_accelerator.sv and its modules; usually `<build>/rtl`.
        configuration: sizes of the accelerator.
        random_seed: None for the fixed DRAM timing on which cycle counts are based; a number for random latencies,
            pauses and orders on all channels of DRAM (dram.cpp) and of the control port.
        power_up_seed: of what registers and memories hold at power-up: noise, word by word. None for random_seed, or 0.
        latency: cycles from a read address to its first beat, at least 1.
        bytes_per_cycle: bytes that all DRAM ports together move per cycle; each moves at most 16.
        dram: one of moesaic.sim.machines.ddr4.DRAMS. For those other than "flat", latency and bytes_per_cycle do not count, ports lead
            to those of the ZCU104 as in the block design, and random_seed, besides pausing channels, shifts the refresh.
        timeline: record the events of every run, at next to no cost.
        waveforms: compile a simulator that can record `window`; it runs more slowly and takes longer to build.
        build_directory: where compiled simulators are kept; None for the cache (moesaic.caches).
        start: starts the simulation instead of building and running a simulator; rtl_directory and waveforms then do not count, and
            the seeds only for the DRAM and the control port.

    Attributes:
        fingerprint: the configuration's, 16 hexadecimal digits, as read from the RTL.
        error_at: (space, byte offset) of a 16-byte beat that answers SLVERR in all later runs; None for no error.
        window: cycles whose waveform all later runs write; None for no waveform. A run that ends inside the window
            writes the part up to its end. Needs `waveforms`.
        events: [events] of dtype moesaic.sim.machines.recorder.EVENT, from the last run, even if a fault ended it;
            moesaic.sim.measurements.timeline.timeline interprets them. Empty without `timeline`.
        dram_bytes: bytes moved in the last run, counted by the DRAM model: load_read (all ports of the load unit),
            main_read, main_written.

    Raises:
        UserError: a tool or a source file is missing, the DRAM is unknown, or it is not "flat" and no board has the part.
        InternalError: the design does not compile, its fingerprint differs from the configuration's, or the simulator dies.
    """

    def __init__(
        self,
        rtl_directory: Path | str,
        configuration: HardwareConfiguration,
        *,
        random_seed: int | None = None,
        power_up_seed: int | None = None,
        latency: int = LATENCY,
        bytes_per_cycle: float = BYTES_PER_CYCLE,
        dram: str = FLAT,
        timeline: bool = False,
        waveforms: bool = False,
        build_directory: Path | None = None,
        start: StartSimulation | None = None,
    ) -> None:
        channels: list[int] = []
        if dram != FLAT:
            require_ddr4(dram)
            channels = _channels(configuration)
        self.error_at: tuple[Space, int] | None = None
        self.window: Window | None = None
        self.events = np.empty(0, recorder.EVENT)
        self.dram_bytes: dict[str, int] = {}
        if start is None:
            executable = build_simulator(
                Path(rtl_directory), configuration, build_directory=build_directory, waveforms=waveforms
            )
            start = _starter(
                executable, (random_seed or 0) if power_up_seed is None else power_up_seed, random_seed or 0
            )
        self._timeline, self._waveforms = timeline, waveforms
        self._closed = False
        self._asking = threading.Lock()
        self._directory = tempfile.TemporaryDirectory(prefix="moesaic-rtl-")
        root = Path(self._directory.name)
        self._log = root / "simulation.log"
        self._events_file, self._waveform_file = root / "events.bin", root / "waveform.fst"
        self._files = {Space.CONSTANT: root / "constants.bin", Space.FRAME: root / "frame.bin"}
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = start(theirs.fileno(), self._log)
        self._stream = ours.makefile("rw", encoding="utf-8", newline="\n")
        ours.close()
        self._kill = weakref.finalize(self, _kill, self._process)
        options = {
            "load_ports": configuration.load_ports,
            "latency": latency,
            "bytes_per_cycle": bytes_per_cycle,
            "dram": dram,
            "channels": channels,
            "random_seed": random_seed,
        }
        self.fingerprint: str = self._ask(options)["fingerprint"]
        if self.fingerprint != configuration.fingerprint:
            self.close()
            raise InternalError(
                f"the RTL shows fingerprint {self.fingerprint}, configuration {configuration.name} has "
                f"{configuration.fingerprint}"
            )

    def run(self, program: Program, memory: Memory, max_cycles: int) -> Counters:
        """Run `program` to its end; see moesaic.spec.executor.Executor.

        Raises:
            MachineFault: the machine stopped the run.
            InternalError: the executor is closed, a window is not uint8 or not a multiple of 16 bytes long, the simulator
                died, no interrupt came, or the accelerator wrote to the constant window.
        """
        if self._closed:
            raise InternalError("the RTL executor is closed")
        windows = {Space.CONSTANT: memory.constants, Space.FRAME: memory.frame}
        for space, content in windows.items():
            if content.dtype != np.uint8 or content.size % BEAT_BYTES:
                raise InternalError(f"{space.name} window: {content.size} {content.dtype}, not 16-byte beats of uint8")
            content.tofile(self._files[space])
        note_program(memory.constants[program.offset : program.offset + program.size].tobytes())
        error_address = None if self.error_at is None else WINDOW_BASES[self.error_at[0]] + self.error_at[1]
        reply = self._ask(
            {
                "constant_base": WINDOW_BASES[Space.CONSTANT],
                "constant_size": memory.constants.size,
                "constant_file": str(self._files[Space.CONSTANT]),
                "frame_base": WINDOW_BASES[Space.FRAME],
                "frame_size": memory.frame.size,
                "frame_file": str(self._files[Space.FRAME]),
                "program_offset": program.offset,
                "program_size": program.size,
                "max_cycles": max_cycles,
                "error_address": error_address,
                "events_file": str(self._events_file) if self._timeline else None,
                "waveform": self._waveform_job(),
            }
        )
        if "hung" in reply:
            self.close()
            raise InternalError(f"the accelerator raised no interrupt within {reply['hung']} cycles")
        written = np.fromfile(self._files[Space.CONSTANT], np.uint8)
        if not np.array_equal(written, memory.constants):
            raise InternalError("the accelerator wrote to the constant window")
        memory.frame[:] = np.fromfile(self._files[Space.FRAME], np.uint8)
        self.dram_bytes = reply["dram_bytes"]
        if self._timeline:
            self.events = np.fromfile(self._events_file, recorder.EVENT)
        if self.window is not None and self._waveform_file.exists():
            write_file(self.window.path, self._waveform_file.read_bytes())
        if reply["faulted"]:
            raise reported_fault(reply["fault"], reply["fault_unit"], reply["fault_tag"], lambda: reply["counters"])
        return reply["counters"]

    def read_register(self, offset: int) -> int:
        """Read the 32-bit control register at byte `offset` over AXI4-Lite, as a driver on a board does.

        Between accesses simulated time stands still; see advance().
        """
        return self._access("read", offset)

    def write_register(self, offset: int, value: int) -> None:
        """Write the 32-bit control register at byte `offset` over AXI4-Lite. Map the windows that a run uses before starting it."""
        self._access("write", offset, value)

    def interrupts(self) -> int:
        """Rising edges of the interrupt line since the executor was made."""
        return int(self._access("interrupts"))

    def map_memory(self, space: Space, base: int, file: Path, size: int) -> None:
        """Map a file at a physical address; the accelerator shares its bytes with everyone else who maps the file.

        base, size: bytes, multiples of 16. Each space has one such region.
        """
        self._access("map", int(space), base, size, str(file))

    def set_error(self, address: int | None) -> None:
        """Answer SLVERR for the beat at this physical address from now on; None ends this."""
        self._access("error", address)

    def set_silent(self, port: int | None, channel: str = "AR") -> None:
        """Have a port of the DRAM die: it takes part in no further handshake on a channel of moesaic.sim.machines.dram.CHANNELS.

        port: 0 and up, those of the load unit first, then the main port; None brings it back.
        """
        self._access("silent", port, channel)

    def reset(self, cycles: int = 8) -> None:
        """Hold the accelerator and the DRAM model in reset for so many cycles. Memories keep what they hold."""
        self._access("reset", cycles)

    def advance(self, cycles: int) -> bool:
        """Simulate up to `cycles` cycles, stopping early at an interrupt; return whether the interrupt is raised.

        Time passes only here and during accesses.
        """
        return bool(self._access("advance", cycles))

    def _access(self, name: str, *values: Any) -> Any:
        if self._closed:
            raise InternalError("the RTL executor is closed")
        return self._ask({"access": name, "values": values})["value"]

    @property
    def simulated_cycles(self) -> int:
        """Cycles of the current or last run for which the simulator has written events so far; 0 without `timeline`."""
        try:
            told = self._events_file.stat().st_size // recorder.EVENT.itemsize
            last = np.fromfile(self._events_file, recorder.EVENT, 1, offset=(told - 1) * recorder.EVENT.itemsize)
        except (OSError, ValueError):
            return 0
        return int(last["cycle"][0]) if last.size else 0

    def close(self) -> None:
        """End the simulator and remove its files. Closing it twice does no harm."""
        self._closed = True
        with contextlib.suppress(OSError):  # data still unsent to a dead simulator
            self._stream.close()
        if self._process.poll() is None:
            try:
                self._process.wait(_CLOSE_SECONDS if coverage_directory() is None else _COUNTING_CLOSE_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._kill.detach()
        self._directory.cleanup()

    def __enter__(self) -> RtlExecutor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _waveform_job(self) -> dict[str, Any] | None:
        if self.window is None:
            return None
        if not self._waveforms:
            raise InternalError("a window needs RtlExecutor(..., waveforms=True)")
        self._waveform_file.unlink(missing_ok=True)
        return {"path": str(self._waveform_file), "first": self.window.first, "last": self.window.last}

    def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        try:
            with self._asking:  # a driver may have several threads
                self._stream.write(json.dumps(message) + "\n")
                self._stream.flush()
                reply = self._stream.readline()
        except (ConnectionError, ValueError):
            reply = ""
        if not reply:
            tail = ""
            if self._log.exists():
                tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:])
            self.close()
            raise InternalError(f"the RTL simulator died (exit status {self._process.returncode}):\n{tail}")
        return json.loads(reply)


def _channels(configuration: HardwareConfiguration) -> list[int]:
    """For each port of the DRAM model, a number of the processing system's port to which the block design connects it."""
    ports = list(memory_map(board_of(configuration), "rtl", configuration.load_ports).values())
    return [ports.index(port) for port in ports]


def _starter(executable: Path, power_up: int, seed: int) -> StartSimulation:
    """Starts this simulator. power_up: seed of what registers and memories hold. seed: of everything else."""

    def start(job_socket: int, log: Path) -> Simulation:
        command = [str(executable), *simulator_arguments(power_up, {"job_socket": job_socket})]
        environment = cocotb_environment(TOP, "moesaic.sim.machines.rtl_server", log.parent / "results.xml", seed)
        with log.open("wb") as stream:
            return subprocess.Popen(
                command,
                cwd=log.parent,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                pass_fds=[job_socket],
            )

    return start


def _kill(process: Simulation) -> None:
    process.kill()
    process.wait()
