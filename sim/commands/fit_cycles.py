"""The command `moesaic fit-cycles`."""

from __future__ import annotations

import argparse


class FitCyclesCommand:
    """The constants of the cycle model against the simulated RTL."""

    name = "fit-cycles"
    help = "measure the constants of the cycle model on the simulated RTL, and show them beside the present ones"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--config", default="zcu104", help="hardware configuration (default zcu104)")

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        from rich.console import Console

        from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY
        from moesaic.pages.number_formats import count, decimals, general
        from moesaic.pages.tables import Column, Table
        from moesaic.pages.terminal import print_table
        from moesaic.sim.machines.rtl_executor import RtlExecutor
        from moesaic.sim.machines.simulated_executors import require_tools
        from moesaic.sim.measurements.cycle_fit.fitting import fit_constants, measure_on_rtl
        from moesaic.sim.measurements.cycle_fit.sightings import sightings
        from moesaic.spec.configuration import load_configuration

        configuration, console = load_configuration(arguments.config), Console()
        require_tools(["rtl"])
        with (
            console.status("compiling the simulator") as status,
            RtlExecutor(RTL_DIRECTORY, configuration, timeline=True) as executor,
        ):
            fits = fit_constants(configuration, sightings(configuration), measure_on_rtl(executor), status.update)
        columns = (
            Column("constant"), Column("present", general), Column("fitted", decimals(2)), Column("unit"), Column("times", count),
            Column("error", decimals(2)),
        )  # fmt: skip
        rows = [(fit.name, fit.present, fit.fitted, fit.unit, fit.times, fit.error) for fit in fits]
        note = (
            "error: cycles, root of the mean square, with the present value; meanings: hls/compiler/cycle_constants.py"
        )
        print_table(console, Table(columns, rows, (note,)), f"{configuration.name}, in RTL")
        return 0
