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
        from rich.table import Table

        from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY
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
        table = Table("constant", "present", "fitted", "unit", "times", "error", title=f"{configuration.name}, in RTL")
        for column in table.columns[1:3] + table.columns[4:]:
            column.justify = "right"
        for fit in fits:
            table.add_row(
                fit.name, f"{fit.present:g}", f"{fit.fitted:.2f}", fit.unit, str(fit.times), f"{fit.error:.2f}"
            )
        console.print(table)
        console.print(
            "error: cycles, root of the mean square, with the present value; meanings: hls/compiler/cycle_constants.py"
        )
        return 0
