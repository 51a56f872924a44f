"""The command `moesaic explore`."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from moesaic.campaign.options import add_worker_options, chosen_workers

_SECONDS = 45.0


class ExploreCommand:
    """The configurations of a device that are inside the guidelines, the fastest first."""

    name = "explore"
    help = "find the fastest configurations of a device that are inside the guidelines, without simulation"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--board", default="zcu104", help="configuration whose device to fill (default zcu104)")
        parser.add_argument(
            "--model",
            action="append",
            required=True,
            metavar="RECIPE[:HxW]",
            help="recipe, or bundle directory, that has to run, and its image size; may be given several times",
        )
        parser.add_argument("--best", type=int, default=10, help="how many to show and write (default 10)")
        parser.add_argument("--seconds", type=float, default=_SECONDS, help=f"time to look (default {_SECONDS:g})")
        parser.add_argument("--output", type=Path, default=Path("build/explore"), help="directory to write")
        add_worker_options(parser)

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        from rich.console import Console

        from moesaic.files import require_writable, write_file
        from moesaic.hls.compiler.exploration import explore, pareto
        from moesaic.pages.terminal import print_table
        from moesaic.sim.measurements.exploration.estimates import estimates_by
        from moesaic.sim.measurements.exploration.exploration_page import (
            candidates_table,
            configuration_toml,
            pareto_chart,
        )
        from moesaic.sim.measurements.exploration.frames import frame_named
        from moesaic.spec.configuration import load_configuration

        like = load_configuration(arguments.board)
        frames = [frame_named(name) for name in arguments.model]
        require_writable(arguments.output)
        console = Console()
        deadline = time.monotonic() + arguments.seconds
        found = explore(
            like,
            frames,
            lambda: time.monotonic() < deadline,
            console.print,
            arguments.best,
            estimates_by(chosen_workers(arguments), console),
        )
        front, best = pareto(found), found[: arguments.best]
        for candidate in {c.configuration.name: c for c in (*best, *front)}.values():
            path = arguments.output / f"{candidate.configuration.name}.toml"
            write_file(path, configuration_toml(candidate, frames).encode())
        write_file(arguments.output / "pareto.svg", pareto_chart(found, front).to_svg().encode())
        print_table(
            console, candidates_table(best, frames), f"{like.part}: encoder cycles by estimate, the fastest first"
        )
        console.print(f"written: {arguments.output}, a TOML file for each of these and of pareto.svg", soft_wrap=True)
        console.print("shares are estimates; moesaic resources --config FILE judges by all guidelines", soft_wrap=True)
        return 0
