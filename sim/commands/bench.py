"""The command `moesaic bench`."""

from __future__ import annotations

import argparse
from pathlib import Path

from moesaic.campaign.options import add_worker_options, chosen_workers


class BenchCommand:
    """Whole frames on the simulated RTL."""

    name = "bench"
    help = "run whole frames of the models on the simulated RTL: cycles against the limit, ablation, scaling, shared weights"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--recipe", help="only this model (default: m3vit_tiny and m3vit_small)")
        parser.add_argument("--size", metavar="HxW", help="only this image size, such as 128x256 (default: all)")
        parser.add_argument("--config", default="zcu104", help="hardware configuration (default zcu104)")
        parser.add_argument("--frames", action="store_true", help="the frames against their limits")
        parser.add_argument("--ablation", action="store_true", help="each technique off, on m3vit_tiny 128x256")
        parser.add_argument("--scaling", action="store_true", help="other arrays and DRAM rates, at 128x256")
        parser.add_argument(
            "--joint",
            action="store_true",
            help="several tasks or pictures of one run, 4-bit experts, half of the experts",
        )
        parser.add_argument(
            "--dram",
            metavar="NAME",
            help="the frames behind a model of the board's DDR4, and nothing else: ddr4-2133 (as the preset has it) or ddr4-2400",
        )
        parser.add_argument(
            "--resources",
            type=Path,
            metavar="FILE",
            default=Path("build/resources/resources.json"),
            help="what `moesaic resources` counted, shown beside the ablation if it is there (default %(default)s)",
        )
        parser.add_argument("--output", type=Path, default=Path("build/bench"), help="directory to write")
        add_worker_options(parser)

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        from rich.console import Console

        from moesaic.caches import cache_directory
        from moesaic.files import require_writable
        from moesaic.sim.machines.ddr4 import require_ddr4
        from moesaic.sim.machines.simulated_executors import require_tools
        from moesaic.sim.measurements.benchmark.bundles import Bundles
        from moesaic.sim.measurements.benchmark.cases import PARTS, chosen_cases, chosen_frames, dram_cases
        from moesaic.sim.measurements.benchmark.session import Session
        from moesaic.sim.measurements.benchmark.summary import show
        from moesaic.spec.configuration import load_configuration

        frames = chosen_frames(arguments.recipe, arguments.size)
        configuration = load_configuration(arguments.config)
        if arguments.dram:
            require_ddr4(arguments.dram)
            cases = dram_cases(configuration, frames, arguments.dram)
        else:
            parts = [part for part in PARTS if getattr(arguments, part)] or PARTS
            cases = chosen_cases(configuration, frames, parts)
        require_tools()
        require_writable(arguments.output)
        console = Console()
        session = Session(
            arguments.output,
            Bundles(cache_directory("bundles")),
            console,
            synthesis=arguments.resources,
            simulators=cache_directory("simulators"),
            measurements=cache_directory("measurements"),
            workers=chosen_workers(arguments),
        )
        document = session.run(cases)
        show(document, console)
        console.print(f"page: {arguments.output / 'index.html'} and bench.json", soft_wrap=True)
        return 0
