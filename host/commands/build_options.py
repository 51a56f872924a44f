"""Arguments that several commands of the runtime share."""

from __future__ import annotations

import argparse
from pathlib import Path

from moesaic.host.runtime import EXECUTORS, Accelerator

ALL_TASKS = "all"


def add_build(parser: argparse.ArgumentParser) -> None:
    """Add the argument `build`, a Path."""
    parser.add_argument("build", type=Path, help="build directory, from `moesaic generate`")


def add_executor(parser: argparse.ArgumentParser) -> None:
    """Add the option --executor, one of EXECUTORS."""
    parser.add_argument(
        "--executor",
        choices=EXECUTORS,
        default="auto",
        help="auto takes the board if there is one, else the emulator; all give the same integers (default: auto)",
    )


def add_tasks(parser: argparse.ArgumentParser) -> None:
    """Add the option --tasks, whose text chosen_tasks takes."""
    parser.add_argument(
        "--tasks",
        default=ALL_TASKS,
        metavar="TASK[@PATHWAY],…",
        help="tasks of the build, separated by commas, @ takes an alternative pathway (default: all, on their own pathways)",
    )


def chosen_tasks(accelerator: Accelerator, text: str) -> list[str]:
    """The names in the order given, each once. UserError for one that the build does not have."""
    names = list(accelerator.tasks) if text == ALL_TASKS else list(dict.fromkeys(text.split(",")))
    for name in names:
        accelerator.build.task(name)
    return names
