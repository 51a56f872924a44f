"""Have NNgen generate a layer in its own environment, and run its Verilog on the Verilator and the DRAM model of this project."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moesaic.caches import cache_directory
from moesaic.errors import InternalError, UserError
from moesaic.files import replacing
from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY
from moesaic.sim.machines import dram as dram_model
from moesaic.sim.machines.cocotb_process import cocotb_environment, simulator_arguments
from moesaic.sim.machines.rtl_directories import SYSTEM_DIRECTORY
from moesaic.sim.machines.source_closure import source_closure
from moesaic.sim.machines.verilator import build
from moesaic.sim.measurements.peers.layers import SHIFT, Layer, Operands
from moesaic.spec.dram_timing import BEAT_BYTES, BYTES_PER_CYCLE, LATENCY

TOP = "nngen_layer"
_BENCH = "nngen_bench"
_RTL = Path(__file__).parent / "rtl"
_SCRIPT = Path(__file__).with_name("nngen_layers.py")
_MAX_CYCLES = 30_000_000
_TAIL_LINES = 20
_MULTIPLIER = re.compile(r"^module madd_\d+$", re.MULTILINE)


@dataclass(frozen=True, eq=False)
class Generated:
    """A layer by NNgen.

    verilog: its only file, with the module TOP. memory: uint8, from address 0 on. expected: int8 (rows, columns), by NNgen's own
    software. result_at: byte of the memory. version: NNgen's.
    """

    verilog: Path
    memory: np.ndarray
    expected: np.ndarray
    result_at: int
    version: str


@dataclass(frozen=True, eq=False)
class Run:
    """A run of a generated layer. result: int8 (rows, columns). cycles: from the start to the interrupt. dram_bytes: by direction."""

    result: np.ndarray
    cycles: int
    dram_bytes: dict[str, int]


def generate(python: Path, layer: Layer, values: Operands, inputs_at_once: int, outputs_at_once: int) -> Generated:
    """Generate a layer, or find it in the cache.

    Args:
        python: the interpreter of an environment with NNgen.
        inputs_at_once, outputs_at_once: NNgen's parallelism, in channels (par_ich and par_och, or par_left_col and par_out_col).

    Raises:
        UserError: the interpreter or its NNgen is missing.
        InternalError: NNgen fails.
    """
    job = {
        "picture": layer.picture,
        "shift": SHIFT,
        "inputs_at_once": inputs_at_once,
        "outputs_at_once": outputs_at_once,
        "beat_bits": 8 * BEAT_BYTES,
    }
    arrays = {"inputs": values.inputs, "weights": values.weights, "bias": values.bias}
    digest = hashlib.sha256(_version(python).encode() + _SCRIPT.read_bytes() + json.dumps(job).encode())
    for array in arrays.values():
        digest.update(array.tobytes())
    final = cache_directory("peers") / digest.hexdigest()[:16]
    if not final.exists():
        with tempfile.TemporaryDirectory(prefix=".nngen-", dir=final.parent) as scratch:
            work = Path(scratch) / "layer"
            work.mkdir()
            (work / "layer.json").write_text(json.dumps(job), encoding="utf-8")
            for name, array in arrays.items():
                np.save(work / f"{name}.npy", array)
            command = [str(python.absolute()), str(_SCRIPT), str(work)]
            process = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
            if process.returncode:
                tail = "\n".join((process.stdout + process.stderr).splitlines()[-_TAIL_LINES:])
                raise InternalError(f"NNgen cannot generate {layer.name} (exit status {process.returncode}):\n{tail}")
            work.rename(final)
    facts = json.loads((final / "nngen.json").read_text(encoding="utf-8"))
    memory, expected = np.load(final / "memory.npy"), np.load(final / "expected.npy")
    return Generated(final / "layer.v", memory, expected, facts["result_at"], facts["version"])


def multipliers(verilog: str) -> int:
    """Multipliers of inputs with weights in a design by NNgen: it declares a module madd_<number> for each of them.

    A convolution has its whole kernel at once, so that is 9 * inputs_at_once * outputs_at_once for 3 x 3.
    """
    return len(_MULTIPLIER.findall(verilog))


def _version(python: Path) -> str:
    """The versions that decide what NNgen generates."""
    code = "from importlib.metadata import version as v; print(*(v(n) for n in ('nngen', 'veriloggen', 'pyverilog', 'numpy')))"
    try:
        process = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=False)
    except OSError:
        raise UserError(
            f"{python} does not run: it has to be the Python of NNgen's environment; use: make bench-peers"
        ) from None
    if process.returncode:
        raise UserError(f"{python} has no NNgen; use: make bench-peers, which makes an environment for it")
    return process.stdout.strip()


def simulate(generated: Generated) -> Run:
    """Run a generated layer once, on the flat DRAM model with the latency and the rate of all simulations of this project.

    A run is kept beside the Verilog, and not repeated as long as Verilog, bench, DRAM model and Verilator stay the same.

    Raises:
        InternalError: the Verilog does not compile, or the run does not end.
    """
    sources = [path for path in source_closure(_BENCH, [_RTL, SYSTEM_DIRECTORY, RTL_DIRECTORY]) if path.stem != _BENCH]
    executable = build(
        _BENCH,
        [*sources, generated.verilog, _RTL / f"{_BENCH}.sv"],
        cpp_sources=dram_model.SOURCES,
        public=("clk_i", "rst_ni", "irq_o", "s_axi_control_*"),
    )
    kept = generated.verilog.parent / f"{executable.parent.name}-{LATENCY}-{BYTES_PER_CYCLE:.3f}.npz"
    if not kept.exists():
        result, facts = _run(executable, generated)
        with replacing(kept) as staged, staged.open("wb") as stream:
            np.savez(stream, result=result, facts=json.dumps(facts))
    with np.load(kept) as found:
        facts = json.loads(str(found["facts"]))
        return Run(found["result"], facts["cycles"], facts["dram_bytes"])


def _run(executable: Path, generated: Generated) -> tuple[np.ndarray, dict]:
    """The result of a run, int8 (rows, columns), and what the bench says of it."""
    layer_bytes = generated.expected.size
    with tempfile.TemporaryDirectory(prefix="moesaic-peers-") as scratch:
        root = Path(scratch)
        memory, result = root / "memory.bin", root / "result.json"
        padded = np.zeros(-(-generated.memory.size // BEAT_BYTES) * BEAT_BYTES, np.uint8)
        padded[: generated.memory.size] = generated.memory
        padded.tofile(memory)
        arguments = {
            "memory": memory, "result": result, "latency": LATENCY, "bytes_per_cycle": BYTES_PER_CYCLE,
            "max_cycles": _MAX_CYCLES,
        }  # fmt: skip
        process = subprocess.run(
            [str(executable), *simulator_arguments(0, arguments)],
            cwd=root,
            env=cocotb_environment(_BENCH, "moesaic.sim.measurements.peers.nngen_server", root / "results.xml", 0),
            capture_output=True,
            text=True,
            check=False,
        )
        if process.returncode or not result.exists():
            tail = "\n".join((process.stdout + process.stderr).splitlines()[-_TAIL_LINES:])
            raise InternalError(f"the layer by NNgen has not ended (exit status {process.returncode}):\n{tail}")
        facts = json.loads(result.read_text(encoding="utf-8"))
        left = np.fromfile(memory, np.uint8)[generated.result_at : generated.result_at + layer_bytes]
    return left.view(np.int8).reshape(generated.expected.shape), facts
