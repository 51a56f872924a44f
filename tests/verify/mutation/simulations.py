"""Simulations of mutants, forked from one process that has started the simulator and Python in it.

Starting takes longer than most mutants live. A fork of the started process costs milliseconds, and stands before the first reset, with the
same contents at power-up each time.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

from moesaic.errors import InternalError
from moesaic.hls.hardware.accelerator_sources import rtl_parameters
from moesaic.sim.machines import dram, recorder
from moesaic.sim.machines.cocotb_process import cocotb_environment, simulator_arguments
from moesaic.sim.machines.rtl_directories import SYSTEM_DIRECTORY
from moesaic.sim.machines.rtl_executor import TOP
from moesaic.sim.machines.source_closure import source_closure
from moesaic.sim.machines.verilator import build
from moesaic.spec.configuration import HardwareConfiguration

_PUBLIC = ("clk_i", "rst_ni", "irq_o", "s_axi_control_*")
_SELECTION = Path(__file__).with_name("selected_mutant.cpp")
_SECONDS = 60.0
"""Ample for the start of a simulator on a busy machine."""


def build_mutants(rtl: Path, configuration: HardwareConfiguration) -> Path:
    """Compile a design of `schemata`, or find it in the cache; return the executable. Raises what `build` raises."""
    return build(
        TOP,
        source_closure(TOP, [rtl, SYSTEM_DIRECTORY]),
        parameters=rtl_parameters(configuration),
        cpp_sources=(*dram.SOURCES, *recorder.SOURCES, _SELECTION),
        public=_PUBLIC,
    )


class ForkedSimulation:
    """One mutant's process, as moesaic.sim.machines.rtl_executor.Simulation."""

    returncode = None  # the server reaps it

    def __init__(self, process: int) -> None:
        self._handle = os.pidfd_open(process)

    def poll(self) -> int | None:
        return 0 if select.select([self._handle], [], [], 0)[0] else None

    def wait(self, timeout: float | None = None) -> int:
        self.kill()  # a fork whose assertion failed waits, at its exit, for threads that only its parent has
        if not select.select([self._handle], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired("simulation", timeout or 0.0)
        return 0

    def kill(self) -> None:
        if self.poll() is None:
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    def __del__(self) -> None:
        os.close(self._handle)


class SimulationServer:
    """A started simulator that forks one simulation after another; a context manager.

    executable: from build_mutants. seed: of the contents at power-up.
    """

    def __init__(self, executable: Path, seed: int) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="moesaic-mutants-")
        root = Path(self._directory.name)
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._log = root / "server.log"
        with self._log.open("wb") as log, theirs:
            self._process = subprocess.Popen(
                [str(executable), *simulator_arguments(seed, {"fork_socket": theirs.fileno()})],
                cwd=root,
                env=cocotb_environment(TOP, "tests.verify.mutation.fork_server", root / "results.xml", seed),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
            )
        self._socket.settimeout(_SECONDS)

    def start(self, mutant: int, job_socket: int, log: Path) -> ForkedSimulation:
        """Fork a simulation of the mutant of this number, 0 for none.

        Raises InternalError if the server has died.
        """
        try:
            with log.open("wb") as stream:
                socket.send_fds(self._socket, [str(mutant).encode()], [job_socket, stream.fileno()])
            reply = self._socket.recv(64)
        except OSError:
            reply = b""
        if not reply:
            raise InternalError(f"the server of simulations died:\n{self._log.read_text(errors='replace')[-2000:]}")
        return ForkedSimulation(int(reply))

    def close(self) -> None:
        """End the server."""
        self._socket.close()
        self._process.kill()
        self._process.wait()
        self._directory.cleanup()

    def __enter__(self) -> SimulationServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
