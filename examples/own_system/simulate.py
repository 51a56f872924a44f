"""Run a task of a build on the accelerator in a system of one's own, and compare every byte with the reference machine.

    moesaic generate BUNDLE --config tiny --output build/tiny
    python examples/own_system/simulate.py build/tiny --task depth

The system is own_system.sv: the bare accelerator, an arbiter of read ports, and pins. Its memory and the master of its registers are those
of cocotbext-axi, in own_system_bench.py.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY
from moesaic.sim.bench_kit.runner import run_module_test
from moesaic.spec.build import Build, load_build
from moesaic.spec.executor import MAX_CYCLES, Memory
from moesaic.spec.machine import ReferenceMachine

HERE = Path(__file__).resolve().parent


def simulate(build: Build, task: str, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The frame window after a run on the simulated system, and after one on the reference machine, both uint8 (frame_bytes,).

    image: uint8 (height, width, 3), of the build's size. The build has to be for configs/tiny.toml, whose sizes own_system.sv has.
    """
    program = build.task(task).program
    memory = build.new_memory()
    build.write_image(memory.frame, image)
    with tempfile.TemporaryDirectory() as directory:
        place = {name: Path(directory) / name for name in ("constants", "frame", "result")}
        memory.constants.tofile(place["constants"])
        memory.frame.tofile(place["frame"])
        sys.path.insert(0, str(HERE))  # the simulator's Python imports own_system_bench
        try:
            run_module_test(
                "own_system",
                "own_system_bench",
                parameters={"Fingerprint": f"64'h{build.fingerprint}"},
                plusargs={**place, "program_offset": program.offset, "program_size": program.size},
                rtl_directories=(HERE, RTL_DIRECTORY),
            )
        finally:
            sys.path.remove(str(HERE))
        simulated = np.fromfile(place["result"], np.uint8)
    reference = Memory(memory.constants, memory.frame.copy())
    ReferenceMachine(build.configuration).run(program, reference, MAX_CYCLES)
    return simulated, reference.frame


def main(arguments: list[str] | None = None) -> int:
    """The command line; 0 if all bytes are equal, 1 otherwise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=Path, help="build directory, from `moesaic generate --config tiny`")
    parser.add_argument("--task", required=True, help="task of the build")
    options = parser.parse_args(arguments)
    build = load_build(options.build)
    image = np.random.default_rng(0).integers(0, 256, (build.image_height, build.image_width, 3)).astype(np.uint8)
    simulated, reference = simulate(build, options.task, image)
    different = int((simulated != reference).sum())
    print(
        f"{build.name}, {options.task}: {different} of {reference.size:,} bytes of the frame window differ from the reference"
    )
    return int(different != 0)


if __name__ == "__main__":
    sys.exit(main())
