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
        table = Table(title=f"the cycle model on {configuration.name}, measured on the simulated RTL")
        for heading in ("constant", "present", "fitted", "unit", "figures", "error"):
            table.add_column(heading, justify="left" if heading in ("constant", "unit") else "right", no_wrap=True)
        for fit in fits:
            values = f"{fit.present:g}", f"{fit.fitted:.2f}", fit.unit, str(fit.figures), f"{fit.error:.2f}"
            table.add_row(fit.name, *values)
        console.print(table)
        console.print(
            "error: of the model with the present values, root of the mean square, in cycles or in a rate's unit"
        )
        instructions, measured, present, fitted = fitting.longest_run(fits)
        console.print(
            f"a frame of {instructions:,} instructions: {measured:,.0f} cycles measured, {present:,.0f} ({present / measured - 1:+.1%})"
            f" modelled, {fitted:,.0f} ({fitted / measured - 1:+.1%}) with the fitted values"
        )
        return 0
