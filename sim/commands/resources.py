"""The command `moesaic resources`."""

from __future__ import annotations

import argparse
from pathlib import Path


class ResourcesCommand:
    """Open synthesis of the accelerator for one configuration."""

    name = "resources"
    help = "synthesise the accelerator with Yosys and judge it by the guidelines of its part; exit code 1 where one is broken"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--config", default="zcu104", help="hardware configuration (default zcu104)")
        parser.add_argument("--output", type=Path, default=Path("build/resources"), help="directory to write")

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        import json

        from rich.console import Console

        from moesaic.caches import cache_directory
        from moesaic.files import require_writable, write_file
        from moesaic.hls.hardware.accelerator_sources import rtl_parameters
        from moesaic.hls.hardware.devices import device_of
        from moesaic.hls.hardware.guidelines import big_blocks_percent
        from moesaic.pages.terminal import print_table
        from moesaic.sim.machines.rtl_lint import SYNTHESISED_TOP
        from moesaic.sim.measurements.synthesis import judging, synthesis_report, yosys
        from moesaic.sim.measurements.synthesis.module_synthesis import measure
        from moesaic.sim.measurements.synthesis.synthesis_page import (
            guidelines_table,
            nets_table,
            resources_markdown,
            resources_table,
        )
        from moesaic.sim.measurements.synthesis.synthesised_sources import synthesised_hash, synthesised_sources
        from moesaic.spec.board import clock_mhz
        from moesaic.spec.configuration import load_configuration

        configuration, output = load_configuration(arguments.config), arguments.output
        device = device_of(configuration)
        yosys.version()
        require_writable(output)
        console = Console()

        def say(line: str) -> None:
            console.print(line, soft_wrap=True, highlight=False, markup=False)

        sources = synthesised_hash()  # hashed before synthesis reads them, which is minutes before the report
        design = measure(
            SYNTHESISED_TOP, synthesised_sources(), rtl_parameters(configuration), cache_directory("netlists"), say
        )
        judgements, need = judging.judge(design, device, clock_mhz(configuration)), judging.need_of(design)
        document = synthesis_report.document(configuration, device, design, need, judgements, sources)
        page = resources_markdown(configuration, design, judgements, big_blocks_percent(need, device))
        write_file(output / "resources.json", (json.dumps(document, indent=1) + "\n").encode())
        write_file(output / "resources.md", page.encode())

        subject = f"{configuration.name} on {configuration.part}"
        print_table(console, resources_table(design.results), f"{subject}: an estimate before place and route")
        print_table(console, nets_table(design.nets), "largest fan-out by kind of pin")
        print_table(console, guidelines_table(judgements), "guidelines")
        for line in (
            synthesis_report.NOTE,
            synthesis_report.RULE,
            f"written: {output / 'resources.md'} and resources.json",
        ):
            say(line)
        summary, *broken = synthesis_report.verdict(judgements)
        say(f"{subject} {summary}")
        for line in broken:
            say(line)
        return 1 if broken else 0
