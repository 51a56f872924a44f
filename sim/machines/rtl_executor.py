"""The RTL as an executor: one simulator process, with accelerator and DRAM model, that runs program after program."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import tempfile
import threading
import weakref
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from moesaic.errors import InternalError
from moesaic.files import write_file
from moesaic.hls.hardware.accelerator_sources import rtl_parameters
from moesaic.sim.machines import dram, recorder
from moesaic.sim.machines.cocotb_process import cocotb_environment, simulator_arguments
from moesaic.sim.machines.rtl_directories import SYSTEM_DIRECTORY
from moesaic.sim.machines.source_closure import source_closure
from moesaic.sim.machines.verilator import build
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.dram import BEAT_BYTES, BYTES_PER_CYCLE, LATENCY
from moesaic.spec.executor import Counters, MachineFault, Memory, Program
from moesaic.spec.isa import FAULT_UNIT_NAMES, Fault, Space
from moesaic.spec.issue import semaphore_stalls

TOP = "testbench"
# Far apart and one above 4 GiB: an address that is mixed up or truncated misses both windows.
WINDOW_BASES = {Space.CONSTANT: 0x0_2000_0000, Space.FRAME: 0x8_7654_3000}
_LOG_TAIL_LINES = 40
_CLOSE_SECONDS = 20.0
# Named here and not in moesaic.sim.machines.waveform, which only a simulator can import.
_WAVEFORM_SOURCE = Path(__file__).parent / "waveform.cpp"


@dataclass(frozen=True)
class Window:
    """Cycles `first` to `last` of a run, both included, whose waveform (FST) is written to `path`."""

    path: Path
    first: int
    last: int


def build_simulator(
    rtl_directory: Path,
    configuration: HardwareConfiguration,
    *,
    build_directory: Path | None = None,
    waveforms: bool = False,
) -> Path:
    """Compile the accelerator in `rtl_directory` with its test bench (cached); return the simulator.

    Raises:
        UserError: a tool or a source file is missing. InternalError: the design does not compile.
    """
    source_closure("moesaic_accelerator", [rtl_directory])  # names the directory when there is none
    return build(
        TOP,
        source_closure(TOP, [rtl_directory, SYSTEM_DIRECTORY]),
        build_directory,
        parameters=rtl_parameters(configuration),
        cpp_sources=(*dram.SOURCES, *recorder.SOURCES, *([_WAVEFORM_SOURCE] if waveforms else [])),
        public=("clk_i", "rst_ni", "irq_o", "s_axi_control_*", *(["run_start_o"] if waveforms else [])),
        trace=waveforms,
    )


class RtlExecutor:
    """An executor (moesaic.spec.executor.Executor) that simulates the RTL.

    Args:
        rtl_directory: with accelerator.sv and its modules, usually `<build>/rtl`.
        configuration: sizes of the accelerator.
        random_seed: None gives the DRAM timing that cycles are counted with; a number gives random latencies and
            pauses on all DRAM channels. It also seeds the contents of registers and memories at power-up.
        latency: cycles from a read address to its first beat.
        bytes_per_cycle: what all DRAM ports together move per cycle; each moves at most 16.
        timeline: record the events of every run, which costs next to nothing.
        waveforms: compile the simulator so that `window` can be set; it is slower, and its build takes longer.
        build_directory: where compiled simulators are kept; None for the cache (moesaic.caches).

    Attributes:
        error_at: (space, byte offset) whose 16-byte beat answers SLVERR in the runs from now on; None for no error.
        window: the cycles of the runs from now on whose waveform is written; None for none. A run that ends before
            the window does writes what there is of it. Needs `waveforms`.
        events: of the last run, also if a fault ended it, an array of moesaic.sim.machines.recorder.EVENT for
            moesaic.sim.measurements.timeline.timeline; empty without `timeline`.
        dram_bytes: of the last run, by unit and direction, counted by the DRAM model: load_read (all its ports),
            main_read, main_written.

    Raises:
        UserError: a tool or a source file is missing.
        InternalError: the design does not compile or shows another fingerprint, or the simulator dies.
    """

    def __init__(
        self,
        rtl_directory: Path | str,
        configuration: HardwareConfiguration,
        *,
        random_seed: int | None = None,
        latency: int = LATENCY,
        bytes_per_cycle: float = BYTES_PER_CYCLE,
        timeline: bool = False,
        waveforms: bool = False,
        build_directory: Path | None = None,
    ) -> None:
        self.error_at: tuple[Space, int] | None = None
        self.window: Window | None = None
        self.events = np.empty(0, recorder.EVENT)
        self.dram_bytes: dict[str, int] = {}
        executable = build_simulator(
            Path(rtl_directory), configuration, build_directory=build_directory, waveforms=waveforms
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
        command = [str(executable), *simulator_arguments(random_seed or 0, {"job_socket": theirs.fileno()})]
        with self._log.open("wb") as log, theirs:
            self._process = subprocess.Popen(
                command,
                cwd=root,
                env=cocotb_environment(TOP, "moesaic.sim.machines.rtl_server", root / "results.xml", random_seed or 0),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
            )
        self._stream = ours.makefile("rw", encoding="utf-8", newline="\n")
        ours.close()
        self._kill = weakref.finalize(self, _kill, self._process)
        options = {
            "load_ports": configuration.load_ports,
            "latency": latency,
            "bytes_per_cycle": bytes_per_cycle,
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
        """Run `program` to the end; see moesaic.spec.executor.Executor. Window sizes: multiples of 16 bytes."""
        if self._closed:
            raise InternalError("the RTL executor is closed")
        windows = {Space.CONSTANT: memory.constants, Space.FRAME: memory.frame}
        for space, content in windows.items():
            if content.dtype != np.uint8 or content.size % BEAT_BYTES:
                raise InternalError(f"{space.name} window: {content.size} {content.dtype}, not 16-byte beats of uint8")
            content.tofile(self._files[space])
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
            cause = Fault(reply["fault"])
            detail = semaphore_stalls(reply["counters"]) if cause == Fault.TIMEOUT else ""
            raise MachineFault(cause, FAULT_UNIT_NAMES[reply["fault_unit"]], reply["fault_tag"], detail)
        return reply["counters"]

    def read_register(self, offset: int) -> int:
        """Read a control register over AXI4-Lite, as a driver does on a board; see advance()."""
        return self._access("read", offset)

    def write_register(self, offset: int, value: int) -> None:
        """Write a control register over AXI4-Lite. A window that a run uses must have been mapped before it is started."""
        self._access("write", offset, value)

    def map_memory(self, space: Space, base: int, file: Path, size: int) -> None:
        """Show a file at a physical address; the accelerator and whoever else maps the file share its bytes.

        base, size: multiples of 16. There is one such region for each space.
        """
        self._access("map", int(space), base, size, str(file))

    def set_error(self, address: int | None) -> None:
        """From now on the beat at this physical address answers SLVERR; None ends that."""
        self._access("error", address)

    def advance(self, cycles: int) -> bool:
        """Let time pass, which stands still between accesses: so many cycles, less if the interrupt comes; whether it is up."""
        return bool(self._access("advance", cycles))

    def _access(self, name: str, *values: Any) -> Any:
        if self._closed:
            raise InternalError("the RTL executor is closed")
        return self._ask({"access": name, "values": values})["value"]

    @property
    def simulated_cycles(self) -> int:
        """Cycles of the present run, or the last one, that the simulator has told of; 0 without `timeline`."""
        try:
            told = self._events_file.stat().st_size // recorder.EVENT.itemsize
            last = np.fromfile(self._events_file, recorder.EVENT, 1, offset=(told - 1) * recorder.EVENT.itemsize)
        except (OSError, ValueError):
            return 0
        return int(last["cycle"][0]) if last.size else 0

    def close(self) -> None:
        """End the simulator and remove its files. May be called twice."""
        self._closed = True
        with contextlib.suppress(OSError):  # what was not yet sent to a dead simulator
            self._stream.close()
        if self._process.poll() is None:
            try:
                self._process.wait(_CLOSE_SECONDS)
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


def _kill(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()
