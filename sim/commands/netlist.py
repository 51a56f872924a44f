"""The command `moesaic netlist`."""

from __future__ import annotations

import argparse
from pathlib import Path

from moesaic.argument_types import natural

EXIT_DIFFERENT = 1


class NetlistCommand:
    """A task of a build on the accelerator as Yosys reads it, in four states."""

    name = "netlist"
    help = "run a task of a small build on the accelerator as Yosys reads it, with everything unknown at the start"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("build", type=Path, help="build directory, from `moesaic generate`")
        parser.add_argument("--task", required=True, help="task of the build")
        parser.add_argument(
            "--seed",
            type=natural,
            default=0,
            help="of the image; other than 0 also of the memory's pauses (default 0)",
        )

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        """Print what is wrong and a line that sums it up; return 0 if nothing is, EXIT_DIFFERENT otherwise."""
        import numpy as np

        from moesaic.sim.measurements.netlist_run.icarus import find_icarus
        from moesaic.sim.measurements.netlist_run.network_run import accelerator, compare
        from moesaic.sim.measurements.synthesis import yosys
        from moesaic.spec.build import load_build

        build = load_build(arguments.build)
        build.task(arguments.task)
        yosys.version()
        find_icarus()
        shape = (build.image_height, build.image_width, 3)
        image = np.random.default_rng(arguments.seed).integers(0, 256, shape).astype(np.uint8)
        netlist = accelerator(build.configuration)
        result = compare(build, arguments.task, image, netlist, seed=arguments.seed)
        for problem in result.problems:
            print(f"  {problem}")
        print(
            f"{build.name}, {result.task}: {result.different} of {result.frame_bytes:,} bytes wrong or unknown, "
            f"{len(result.problems)} problems, {result.cycles:,} cycles"
        )
        return EXIT_DIFFERENT if result.problems else 0
