"""The command `moesaic bitstream`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from moesaic.argument_types import positive
from moesaic.hls.vendor.tool_runs import TAKES_TURNS
from moesaic.spec.clock import CLOCK_MHZ


class BitstreamCommand:
    """Makes a bitstream from a hardware configuration."""

    name = "bitstream"
    help = "make the bitstream of a hardware configuration with AMD Vivado (engine hls: and Vitis HLS)"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--config", default="zcu104", help="name in configs/ or path of a TOML file (default: zcu104)"
        )
        parser.add_argument(
            "--engine",
            choices=("rtl", "hls"),
            default="rtl",
            help=f"SystemVerilog or HLS C++; {TAKES_TURNS} (default: rtl)",
        )
        parser.add_argument("--clock", type=positive, default=CLOCK_MHZ, help=f"clock in MHz (default: {CLOCK_MHZ})")
        parser.add_argument(
            "--jobs", type=positive, default=os.cpu_count() or 1, help="processes of Vivado (default: cores)"
        )
        parser.add_argument(
            "--output", type=Path, default=Path("bitstreams"), help="where it goes (default: bitstreams)"
        )
        parser.add_argument(
            "--work", type=Path, default=Path("build/vivado"), help="projects and logs (default: build/vivado)"
        )

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        import json

        from moesaic.hls.vendor.vivado.bitstream import MANIFEST, make_bitstream
        from moesaic.spec.configuration import load_configuration

        configuration = load_configuration(arguments.config)
        if arguments.engine == "hls":
            print(f"note: {TAKES_TURNS}")
        directory = make_bitstream(
            configuration, arguments.engine, arguments.clock, arguments.jobs, arguments.output, arguments.work
        )
        made = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
        timing = made["timing"]
        print(
            f"{directory}: engine {made['engine']}, {made['clock_mhz']} MHz, worst setup slack {timing['setup_worst']} ns"
        )
        for name, amounts in made["accelerator"].items():
            estimate = f", {amounts['estimated']} estimated" if "estimated" in amounts else ""
            print(f"  {name}: {amounts['used']:g} used{estimate}")
        return 0
