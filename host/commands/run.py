"""The command `moesaic run`."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from host.images import read_image, write_picture
from host.pictures import picture
from host.runtime import EXECUTORS, Result, open_build
from spec.errors import UserError
from spec.pathway_names import pathway_name

ALL_TASKS = "all"


def _picture_paths(
    images: list[Path], tasks: list[str], pathway: str | None, directory: Path
) -> dict[tuple[Path, str], Path]:
    """Where the picture of each image and task goes: <directory>/<image's name>.<task>.png, or .<task>@<pathway>.png."""
    repeated = [name for name, count in Counter(image.stem for image in images).items() if count > 1]
    if repeated:
        raise UserError(
            f"{len(images)} images but the name {repeated[0]} comes twice; run images of one name separately"
        )
    return {
        (image, task): directory / f"{image.stem}.{pathway_name(task, pathway)}.png"
        for image in images
        for task in tasks
    }


def _summary(image: Path, result: Result, where: Path, executor: str) -> str:
    cycles = f"{result.counters['cycles']:,} cycles" if "cycles" in result.counters else "no clock"
    name = pathway_name(result.task, result.pathway)
    return f"{image}  {name}: {cycles}, {result.counters['instructions']:,} instructions ({executor}) -> {where}"


class RunCommand:
    """Images through the tasks of a build."""

    name = "run"
    help = "run tasks of a build on images, on the board or on the emulator"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("build", type=Path, help="build directory, from `moesaic generate`")
        parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="PNG or PPM; more with Pillow")
        parser.add_argument("--task", default=ALL_TASKS, help="task of the build (default: all)")
        parser.add_argument("--pathway", help="alternative pathway of the task (default: the task's own)")
        parser.add_argument(
            "--executor",
            choices=EXECUTORS,
            default="auto",
            help="auto takes the board if there is one, else the emulator; all give the same integers (default: auto)",
        )
        parser.add_argument(
            "--output", type=Path, default=Path("predictions"), help="directory of the pictures written"
        )

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        """Everything is read and run before the first picture is written."""
        images = {path: read_image(path) for path in arguments.images}
        with open_build(arguments.build, arguments.executor) as accelerator:
            tasks = list(accelerator.tasks) if arguments.task == ALL_TASKS else [arguments.task]
            paths = _picture_paths(arguments.images, tasks, arguments.pathway, arguments.output)
            results = {(image, task): accelerator.run(images[image], task, arguments.pathway) for image, task in paths}
            for (image, task), result in results.items():
                write_picture(paths[image, task], picture(result.kind, result.decoded))
                print(_summary(image, result, paths[image, task], accelerator.executor_name))
        return 0
