"""Run programs on the accelerator as Yosys reads or synthesises it, behind the bench, in four states or in two."""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moesaic.errors import InternalError, UserError
from moesaic.hls.hardware.source_manifests import TOP
from moesaic.sim.measurements.netlist_run.cells import cell_models
from moesaic.sim.measurements.netlist_run.flat_netlist import flattened
from moesaic.sim.measurements.netlist_run.probes import probed
from moesaic.sim.measurements.netlist_run.simulators import require_simulator, simulator_command, with_clock_buffers
from moesaic.spec.dram_timing import BEAT_BYTES
from moesaic.spec.executor import Memory, Program
from moesaic.spec.registers import REGISTERS

BENCH = Path(__file__).parent / "rtl" / "netlist_bench.sv"
WINDOW_BYTES = 1 << 24
"""The most that constants and the frame window may have."""
_HEX_DIGITS = 2 * BEAT_BYTES
_TAIL_LINES = 20


@dataclass(frozen=True)
class NetlistRun:
    """What a run left.

    frame: the frame window afterwards, uint8 (bytes,), zeros where unknown. unknown_bytes: offsets into it that hold an unknown bit.
    registers: name to the value read after the run. unknown_registers: those with an unknown bit, which count as 0 in it. unknowns: a line
    for each handshake that was unknown, and for the first 20 unknown addresses, strobes and written bytes on the ports.
    """

    frame: np.ndarray
    unknown_bytes: list[int]
    registers: dict[str, int]
    unknown_registers: list[str]
    unknowns: list[str]


class NetlistSimulator:
    """moesaic_accelerator_pins as Verilog by Yosys behind the bench.

    Args:
        netlist: its Verilog (moesaic.sim.measurements.netlist_run.netlists).
        load_ports: of its configuration.
        mapped: whether the netlist is one of cells, which `flat_netlist` makes simple for Icarus.
        states: 4, and every register and memory starts unknown (Icarus Verilog); 2, and they start with random contents (Verilator).

    Raises:
        UserError: the simulator is missing.
        InternalError: there is no model of a cell, or of its mode.
    """

    def __init__(self, netlist: str, load_ports: int, states: int = 4, *, mapped: bool = False) -> None:
        require_simulator(states)
        self._states = states
        self._parameters = {
            "LoadPorts": load_ports,
            "WindowWords": WINDOW_BYTES // BEAT_BYTES,
            "Registers": max(register.offset for register in REGISTERS) // 4 + 1,
        }
        models = cell_models(netlist)
        if states == 4:
            netlist = flattened(netlist, TOP, BENCH.stem) if mapped else probed(with_clock_buffers(netlist), BENCH.stem)
        self._sources = {
            "netlist.v": netlist,
            "cells.sv": models,
            BENCH.name: BENCH.read_text(encoding="utf-8"),
        }

    def run(self, program: Program, memory: Memory, *, seed: int = 0, max_cycles: int = 1_000_000) -> NetlistRun:
        """Run a program once, from reset on; `memory`, of whole 16-byte beats, stays as it is.

        seed: 0 for fixed latencies of the memory; another draws latencies and pauses. In two states, also of the contents at the start.

        Raises:
            UserError: a window is larger than WINDOW_BYTES.
            InternalError: the netlist does not compile, the run did not end, accessed what is in no window, or broke the rules of a burst.
        """
        for name, size in (("constants", memory.constants.size), ("frame", memory.frame.size)):
            if size > WINDOW_BYTES:
                raise UserError(
                    f"{name}: {size:,} bytes, and the bench of netlists holds {WINDOW_BYTES:,}; take a smaller network"
                )
        with tempfile.TemporaryDirectory(prefix="moesaic-netlist-") as directory:
            root = Path(directory)
            _write_words(root / "constants.hex", memory.constants)
            _write_words(root / "frame.hex", memory.frame)
            arguments = {
                "constants": "constants.hex", "frame": "frame.hex", "result": "result.hex",
                "constant_words": memory.constants.size // BEAT_BYTES, "frame_words": memory.frame.size // BEAT_BYTES,
                "program_offset": program.offset, "program_size": program.size, "seed": seed, "max_cycles": max_cycles,
            }  # fmt: skip
            command = simulator_command(self._states, BENCH.stem, self._sources, self._parameters, seed, arguments)
            process = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
            lines = process.stdout.splitlines()
            failures = [line for line in lines if line.startswith("FAILED")]
            if process.returncode or failures or not any(line.startswith("ENDED") for line in lines):
                tail = "\n".join([*failures, *(process.stdout + process.stderr).splitlines()[-_TAIL_LINES:]])
                raise InternalError(f"the netlist in {self._states} states: exit status {process.returncode}\n{tail}")
            frame, unknown = _read_words(root / "result.hex")
        values = {int(match[1], 16): match[2] for match in map(_REGISTER.match, lines) if match}
        return NetlistRun(
            frame,
            unknown,
            {r.name: int(re.sub("[xXzZ]", "0", values[r.offset]), 16) for r in REGISTERS},
            [r.name for r in REGISTERS if re.search("[xXzZ]", values[r.offset])],
            [line for line in lines if line.startswith("UNKNOWN")],
        )


_REGISTER = re.compile(r"REGISTER ([0-9a-f]+) ([0-9a-fxz]+)", re.IGNORECASE)


def _write_words(path: Path, content: np.ndarray) -> None:
    # A word's first byte is its lowest.
    path.write_text("".join(f"{row[::-1].tobytes().hex()}\n" for row in content.reshape(-1, BEAT_BYTES)))


def _read_words(path: Path) -> tuple[np.ndarray, list[int]]:
    text = "".join(
        line.strip().rjust(_HEX_DIGITS, "0") for line in path.read_text().splitlines() if line[:1] not in ("/", "@")
    )
    pairs = [text[i : i + 2] for i in range(0, len(text), 2)]
    bad = np.array([bool(re.search("[^0-9a-fA-F]", pair)) for pair in pairs]).reshape(-1, BEAT_BYTES)[:, ::-1].ravel()
    known = re.sub("[^0-9a-fA-F]", "0", text)
    frame = np.frombuffer(bytes.fromhex(known), np.uint8).reshape(-1, BEAT_BYTES)[:, ::-1].ravel().copy()
    return frame, np.flatnonzero(bad).tolist()
