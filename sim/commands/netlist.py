"""The command `moesaic netlist`."""

from __future__ import annotations

import argparse
from pathlib import Path

from moesaic.argument_types import natural

EXIT_DIFFERENT = 1


class NetlistCommand:
    """A task of a build on the accelerator as Yosys reads or synthesises it, in four states or in two."""

    name = "netlist"
    help = "run a task of a small build on the accelerator as Yosys reads or synthesises it, with everything unknown at the start"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("build", type=Path, help="build directory, from `moesaic generate`")
        parser.add_argument("--task", required=True, help="task of the build")
        parser.add_argument(
            "--mapped",
            action="store_true",
            help="run the netlist of cells of UltraScale+ instead of the elaborated design",
        )
        parser.add_argument(
            "--states", type=int, choices=(2, 4), default=4,
            help="4: registers and memories start unknown, with Icarus Verilog (default); 2: with random contents, with Verilator",
        )  # fmt: skip
        parser.add_argument(
            "--seed",
            type=natural,
            default=0,
            help="of the image and, in two states, of the contents at the start; other than 0 also of the memory's pauses (default 0)",
        )

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        """Print what is wrong and a line that sums it up; return 0 if nothing is, EXIT_DIFFERENT otherwise."""
        import numpy as np

        from moesaic.sim.measurements.netlist_run.cells import cell_counts
        from moesaic.sim.measurements.netlist_run.network_run import accelerator, compare
        from moesaic.sim.measurements.netlist_run.simulators import require_simulator
        from moesaic.sim.measurements.synthesis import yosys
        from moesaic.spec.build import load_build

        build = load_build(arguments.build)
        build.task(arguments.task)
        yosys.version()
        require_simulator(arguments.states)
        shape = (build.image_height, build.image_width, 3)
        image = np.random.default_rng(arguments.seed).integers(0, 256, shape).astype(np.uint8)
        netlist = accelerator(build.configuration, mapped=arguments.mapped, say=print)
        if arguments.mapped:
            print(f"{sum(cell_counts(netlist).values()):,} cells")
        result = compare(
            build, arguments.task, image, netlist,
            mapped=arguments.mapped, states=arguments.states, seed=arguments.seed,
        )  # fmt: skip
        for problem in result.problems:
            print(f"  {problem}")
        print(
            f"{build.name}, {result.task}: {result.different} of {result.frame_bytes:,} bytes wrong or unknown, "
            f"{len(result.problems)} problems, {result.cycles:,} cycles"
        )
        return EXIT_DIFFERENT if result.problems else 0
