"""The command `moesaic fit-cycles`."""

from __future__ import annotations

import argparse

from moesaic.argument_types import positive
from moesaic.campaign.options import add_worker_options, chosen_workers
from moesaic.campaign.workers import OpenWorkers


class FitCyclesCommand:
    """The constants of the cycle model, measured on the simulated RTL."""

    name = "fit-cycles"
    help = "measure the constants of the cycle model on the simulated RTL, and show them beside the present ones"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--config", default="zcu104", help="hardware configuration (default zcu104)")
        parser.add_argument(
            "--random",
            type=positive,
            metavar="COUNT",
            help="instead: compare estimates with the RTL on this many random configurations of each size, resumably",
        )
        parser.add_argument(
            "--size", help="of the random configurations, only small, middle or large ones (default: all)"
        )
        add_worker_options(parser)

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        if arguments.random:
            return _compare(arguments.size, arguments.random, chosen_workers(arguments))
        from rich.console import Console

        from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY
        from moesaic.pages.number_formats import count, decimals, general
        from moesaic.pages.tables import Column, Table
        from moesaic.pages.terminal import print_table
        from moesaic.sim.machines.rtl_executor import RtlExecutor
        from moesaic.sim.machines.simulated_executors import require_tools
        from moesaic.sim.measurements.cycle_fit.fitting import Fitting, measure_on_rtl
        from moesaic.sim.measurements.cycle_fit.sightings import sightings
        from moesaic.spec.configuration import load_configuration

        configuration, console = load_configuration(arguments.config), Console()
        require_tools(["rtl"])
        with (
            console.status("compiling the simulator") as status,
            RtlExecutor(RTL_DIRECTORY, configuration, timeline=True) as executor,
        ):
            fitting = Fitting(configuration, sightings(configuration), measure_on_rtl(executor), status.update)
        fits = fitting.fit()
        columns = (
            Column("constant"), Column("present", general), Column("fitted", decimals(2)), Column("unit"), Column("figures", count),
            Column("error", decimals(2)),
        )  # fmt: skip
        rows = [(fit.name, fit.present, fit.fitted, fit.unit, fit.figures, fit.error) for fit in fits]
        instructions, measured, present, fitted = fitting.longest_run(fits)
        notes = (
            "error: of the model with the present values, root of the mean square, in cycles",
            f"a frame of {instructions:,} instructions: {measured:,.0f} cycles measured, {present:,.0f} ({present / measured - 1:+.1%})"
            f" modelled, {fitted:,.0f} ({fitted / measured - 1:+.1%}) with the fitted values",
        )
        print_table(console, Table(columns, rows, notes), f"{configuration.name}, in RTL")
        return 0


def _compare(only: str | None, count: int, workers: OpenWorkers) -> int:
    from rich.console import Console

    from moesaic.caches import cache_directory
    from moesaic.errors import InternalError, UserError
    from moesaic.pages.terminal import print_table
    from moesaic.sim.machines.simulated_executors import require_tools
    from moesaic.sim.measurements.benchmark.bundles import Bundles
    from moesaic.sim.measurements.estimate_check.comparison import compare, comparison_table
    from moesaic.sim.measurements.estimate_check.sampling import SIZES, draw_sample

    if only is not None and only not in SIZES:
        raise UserError(f"unknown size {only!r}: choose {', '.join(SIZES)}")
    require_tools(["rtl"])
    console = Console()
    samples = [draw_sample(size, seed) for size in ([only] if only else SIZES) for seed in range(count)]
    found = compare(
        samples,
        Bundles(cache_directory("bundles")),
        cache_directory("simulators"),
        cache_directory("measurements"),
        workers,
        console,
    )
    print_table(console, comparison_table(found), "whole frames of random networks on random configurations")
    if wrong := [each.sample.name for each in found if each.wrong]:
        raise InternalError(f"bytes of the RTL and of the reference machine differ: {', '.join(wrong)}")
    return 0
