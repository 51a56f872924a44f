"""Arguments that several commands of the runtime share."""

from __future__ import annotations

import argparse
from pathlib import Path

from moesaic.argument_types import names
from moesaic.host.executors import executor_names
from moesaic.host.runtime import MAX_CYCLES, Accelerator, open_build
from moesaic.spec.build import Build


def add_build(parser: argparse.ArgumentParser) -> None:
    """Add the argument `build`, a Path."""
    parser.add_argument("build", type=Path, help="build directory, from `moesaic generate`")


def add_images(parser: argparse.ArgumentParser) -> None:
    """Add the argument `images`, Paths for moesaic.host.frame_sources.image_paths."""
    parser.add_argument(
        "images",
        type=Path,
        nargs="+",
        metavar="IMAGE",
        help="image files, or folders of them: PNG or PPM; more with Pillow",
    )


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add what every command that runs a build has: --tasks, --executor and --max-cycles, see chosen_tasks and open_chosen."""
    _add_tasks(parser)
    _add_executor(parser)
    _add_max_cycles(parser)


def _add_executor(parser: argparse.ArgumentParser) -> None:
    """Add the option --executor: auto, or one of executor_names."""
    parser.add_argument(
        "--executor",
        choices=("auto", *executor_names()),
        default="auto",
        help="auto takes the board if there is one, else the emulator; rtl simulates the RTL; all give the same integers (default: auto)",
    )


def _add_max_cycles(parser: argparse.ArgumentParser) -> None:
    """Add the option --max-cycles."""
    parser.add_argument(
        "--max-cycles",
        type=int,
        default=MAX_CYCLES,
        metavar="N",
        help=f"stop a run after so many cycles, on machines that have a clock (default: {MAX_CYCLES})",
    )


def open_chosen(arguments: argparse.Namespace) -> Accelerator:
    """Open the build on the executor of --executor and with --max-cycles. UserError as in open_build."""
    return open_build(arguments.build, arguments.executor, arguments.max_cycles)


def _add_tasks(parser: argparse.ArgumentParser) -> None:
    """Add the option --tasks, whose value chosen_tasks takes."""
    parser.add_argument(
        "--tasks",
        type=names,
        metavar="TASK[@PATHWAY],…",
        help="tasks of the build, separated by commas, @ takes an alternative pathway (default: all, on their own pathways)",
    )


def chosen_tasks(build: Build, chosen: list[str] | None) -> list[str]:
    """The chosen ones, or all on their own pathways. UserError if one is not the build's."""
    if chosen is None:
        return list(build.tasks)
    for name in chosen:
        build.task(name)
    return chosen
