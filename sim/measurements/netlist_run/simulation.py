"""Compile the accelerator as Yosys reads it behind the bench, for Icarus Verilog, and run programs on it in four states."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moesaic.caches import cache_directory
from moesaic.errors import InternalError, UserError
from moesaic.sim.measurements.netlist_run.cells import cell_models
from moesaic.sim.measurements.netlist_run.probes import probed
from moesaic.spec.dram_timing import BEAT_BYTES
from moesaic.spec.executor import Memory, Program
from moesaic.spec.registers import REGISTERS

BENCH = Path(__file__).parent / "rtl" / "netlist_bench.sv"
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


def find_icarus() -> str:
    """The Icarus Verilog compiler.

    Raises:
        UserError: it is missing.
    """
    found = shutil.which("iverilog")
    if found is None:
        raise UserError("iverilog is missing: a run in four states needs it; get it with: apt-get install iverilog")
    return found


class NetlistSimulator:
    """moesaic_accelerator_pins as Verilog by Yosys behind the bench, where every register and memory starts unknown.

    Args:
        netlist: its Verilog file (moesaic.sim.measurements.netlist_run.netlists.read_by_yosys).
        load_ports: of its configuration.
        constant_bytes, frame_bytes: sizes of the memory windows, multiples of 16.

    Raises:
        UserError: Icarus Verilog is missing.
        InternalError: the netlist does not compile.
    """

    def __init__(self, netlist: Path, load_ports: int, constant_bytes: int, frame_bytes: int) -> None:
        text = netlist.read_text(encoding="utf-8")
        self._parameters = {
            "LoadPorts": load_ports,
            "ConstantWords": constant_bytes // BEAT_BYTES,
            "FrameWords": frame_bytes // BEAT_BYTES,
            "Registers": max(register.offset for register in REGISTERS) // 4 + 1,
        }
        self._sources = {
            "netlist.v": probed(text, BENCH.stem),
            "cells.sv": cell_models(text),
            BENCH.name: BENCH.read_text(encoding="utf-8"),
        }
        self._executable = self._compiled()

    def run(self, program: Program, memory: Memory, *, seed: int = 0, max_cycles: int = 1_000_000) -> NetlistRun:
        """Run a program once, from reset on; `memory` stays as it is.

        seed: 0 for fixed latencies of the memory; another draws latencies and pauses.

        Raises:
            InternalError: the run did not end, accessed what is in no window, or broke the rules of a burst.
        """
        with tempfile.TemporaryDirectory(prefix="moesaic-netlist-") as directory:
            root = Path(directory)
            _write_words(root / "constants.hex", memory.constants)
            _write_words(root / "frame.hex", memory.frame)
            arguments = {
                "constants": "constants.hex", "frame": "frame.hex", "result": "result.hex",
                "program_offset": program.offset, "program_size": program.size, "seed": seed, "max_cycles": max_cycles,
            }  # fmt: skip
            command = ["vvp", str(self._executable), *(f"+{name}={value}" for name, value in arguments.items())]
            process = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
            lines = process.stdout.splitlines()
            failures = [line for line in lines if line.startswith("FAILED")]
            if process.returncode or failures or not any(line.startswith("ENDED") for line in lines):
                tail = "\n".join([*failures, *(process.stdout + process.stderr).splitlines()[-_TAIL_LINES:]])
                raise InternalError(f"the netlist in four states: exit status {process.returncode}\n{tail}")
            frame, unknown = _read_words(root / "result.hex")
        values = {int(match[1], 16): match[2] for match in map(_REGISTER.match, lines) if match}
        return NetlistRun(
            frame,
            unknown,
            {r.name: int(re.sub("[xXzZ]", "0", values[r.offset]), 16) for r in REGISTERS},
            [r.name for r in REGISTERS if re.search("[xXzZ]", values[r.offset])],
            [line for line in lines if line.startswith("UNKNOWN")],
        )

    def _compiled(self) -> Path:
        """The compiled simulation, made or found in the cache."""
        digest = hashlib.sha256(repr((self._parameters, sorted(self._sources.items()))).encode()).hexdigest()
        final = cache_directory("simulators") / f"netlist-{digest[:16]}.vvp"
        if not final.exists():
            with tempfile.TemporaryDirectory(prefix=".netlist-", dir=final.parent) as scratch:
                work = Path(scratch)
                for name, text in self._sources.items():
                    (work / name).write_text(text, encoding="utf-8")
                parameters = [f"-P{BENCH.stem}.{name}={value}" for name, value in self._parameters.items()]
                command = [find_icarus(), "-g2012", "-s", BENCH.stem, *parameters, "-o", "simulator", *self._sources]
                process = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
                if process.returncode:
                    tail = "\n".join((process.stdout + process.stderr).splitlines()[-_TAIL_LINES:])
                    raise InternalError(
                        f"Icarus cannot compile the netlist (exit status {process.returncode}):\n{tail}"
                    )
                (work / "simulator").rename(final)
        return final


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
