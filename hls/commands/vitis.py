"""The command `moesaic vitis`."""

from __future__ import annotations

import argparse
from pathlib import Path

from moesaic.argument_types import names, seed


class VitisCommand:
    """Writes a Vitis HLS project for a bundle and a hardware configuration."""

    name = "vitis"
    help = "write a Vitis HLS project: kernel, test bench, golden vectors, scripts for csim, csynth, cosim and export"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("bundle", type=Path, help="bundle directory, from `moesaic export`")
        parser.add_argument("--config", default="tiny", help="name in configs/ or path of a TOML file (default: tiny)")
        parser.add_argument(
            "--output", type=Path, help="project directory (default: build/vitis/<model>-<configuration>)"
        )
        parser.add_argument(
            "--tasks",
            type=names,
            metavar="TASK,…",
            help="golden vectors for these tasks, separated by commas (default: all)",
        )
        parser.add_argument(
            "--seed", type=seed, default=0, help="of the picture that the vectors are made with (default: 0)"
        )

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        from moesaic.hls.compiler.generate import generate
        from moesaic.hls.vendor.tool_runs import TAKES_TURNS, hls_invocations
        from moesaic.hls.vendor.vitis.project import STEPS, write_project
        from moesaic.spec.board import clock_mhz
        from moesaic.spec.bundle import load_bundle
        from moesaic.spec.configuration import load_configuration

        configuration = load_configuration(arguments.config)
        build = generate(load_bundle(arguments.bundle), configuration)
        tasks = arguments.tasks or list(build.tasks)
        directory = arguments.output or Path("build") / "vitis" / build.name
        write_project(build, tasks, arguments.seed, directory, clock_mhz(configuration))
        print(f"{directory}: fingerprint {build.fingerprint}, golden vectors for {', '.join(tasks)}")
        print(f"note: {TAKES_TURNS}")
        for step in STEPS:
            commands = (f"{command} {directory}/{step}.tcl ({range_})" for range_, command in hls_invocations().items())
            print(f"{step}: {', or '.join(commands)}")
        return 0
