"""The command `moesaic bitstream`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from moesaic.argument_types import positive
from moesaic.hls.vendor.tool_runs import TAKES_TURNS

AUTO = "auto"


def _clock(text: str) -> float | str:
    """A clock in MHz, or "auto"."""
    if text == AUTO:
        return text
    try:
        clock = float(text)
    except ValueError:
        clock = 0.0
    if not 1 <= clock < 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a clock from 1 to 1000 MHz nor auto")
    return clock


def _board_files(arguments: argparse.Namespace) -> str:
    """The folder of board files for settings.tcl: absolute, or as given if another machine will look for it."""
    if arguments.board_files is None:
        return ""
    return str(arguments.board_files if arguments.project_only is not None else arguments.board_files.resolve())


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
        parser.add_argument(
            "--clock",
            type=_clock,
            help="clock in MHz (default: its board's), or auto: the highest that is met, in as few runs as possible",
        )
        parser.add_argument("--floorplan", action="store_true", help="keep the array to clock regions of its own")
        parser.add_argument(
            "--board-files", type=Path, metavar="DIR", help="folder of Vivado board files (default: those of Vivado)"
        )
        parser.add_argument(
            "--jobs", type=positive, default=os.cpu_count() or 1, help="processes of Vivado (default: cores)"
        )
        parser.add_argument(
            "--output", type=Path, default=Path("bitstreams"), help="where it goes (default: bitstreams)"
        )
        parser.add_argument(
            "--work", type=Path, default=Path("build/vivado"), help="projects and logs (default: build/vivado)"
        )
        instead = parser.add_mutually_exclusive_group()
        instead.add_argument(
            "--project-only",
            type=Path,
            metavar="DIR",
            help="write the project for a machine that has Vivado; run nothing",
        )
        instead.add_argument(
            "--collect",
            type=Path,
            metavar="DIR",
            help="keep the results of such a project; no other option but --output",
        )

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        from moesaic.errors import UserError
        from moesaic.hls.vendor.vivado.bitstream import collect, make_bitstream
        from moesaic.hls.vendor.vivado.project import ProjectOptions, commands, write_project
        from moesaic.spec.board import clock_mhz
        from moesaic.spec.configuration import load_configuration

        if arguments.collect is not None:
            _say_made(collect(arguments.collect, arguments.output), False)
            return 0
        configuration = load_configuration(arguments.config)
        search = arguments.clock == AUTO
        options = ProjectOptions(
            arguments.engine,
            float(clock_mhz(configuration)) if search or arguments.clock is None else arguments.clock,
            arguments.jobs,
            arguments.floorplan,
            _board_files(arguments),
        )
        if arguments.project_only is not None:
            if search:
                raise UserError(
                    "--clock auto needs the runs that --project-only leaves to another machine: name a clock in MHz; the results that "
                    "come back say how far it is from the highest"
                )
            write_project(configuration, options, arguments.project_only)
            print(f"{arguments.project_only}: run there: {' && '.join(commands(options.engine))}")
            return 0
        if arguments.engine == "hls":
            print(f"note: {TAKES_TURNS}")
        _say_made(make_bitstream(configuration, options, search, arguments.output, arguments.work), search)
        return 0


def _say_made(directory: Path, search: bool) -> None:
    """Print a bitstream's clock, slack and resources. search: whether its clock was looked for."""
    import json

    from moesaic.hls.vendor.vivado.bitstream import MANIFEST

    made = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    timing, tried = made["timing"], made["clocks_tried"]
    print(
        f"{directory}: engine {made['engine']}, {made['clock_mhz']:g} MHz (the board makes {made['clock_made_mhz']:g}), worst setup "
        f"slack {timing['setup_worst']} ns"
    )
    if search:
        print(f"  the highest clock that is met, of {len(tried)} tried")
    for name, amounts in made["accelerator"].items():
        estimate = f", {amounts['estimated']} estimated" if "estimated" in amounts else ""
        print(f"  {name}: {amounts['used']:g} used{estimate}")
