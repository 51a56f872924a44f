"""The command `moesaic run`: pictures of what the tasks predict, the most probable classes, and features as arrays."""

from __future__ import annotations

import argparse
import io
from collections import Counter
from pathlib import Path

import numpy as np

from moesaic.errors import UserError
from moesaic.files import write_file
from moesaic.host.commands.build_options import ALL_TASKS, add_build, add_executor
from moesaic.host.image_files import read_image, write_picture
from moesaic.host.result import Result
from moesaic.host.runtime import open_build
from moesaic.spec.heads import CLASSIFICATION, FEATURES
from moesaic.spec.pathway_names import pathway_name


def _picture_paths(images: list[Path], names: list[str], directory: Path) -> dict[tuple[Path, str], Path]:
    """Where the picture of each image and task goes: <directory>/<image's name>.<task>.png, or .<task>@<pathway>.png."""
    repeated = [name for name, count in Counter(image.stem for image in images).items() if count > 1]
    if repeated:
        raise UserError(
            f"{len(images)} images but the name {repeated[0]} comes twice; run images of one name separately"
        )
    return {(image, name): directory / f"{image.stem}.{name}.png" for image in images for name in names}


def _summary(image: Path, result: Result, where: Path, executor: str) -> str:
    cycles = f"{result.counters['cycles']:,} cycles" if "cycles" in result.counters else "no clock"
    name = pathway_name(result.task, result.pathway)
    line = f"{image}  {name}: {cycles}, {result.counters['instructions']:,} instructions ({executor}) -> {where}"
    best = result.top() if result.kind == CLASSIFICATION else []
    return "\n".join([line, *(f"  {100 * one.probability:5.1f} %  {one.label}" for one in best)])


def _write_features(result: Result, picture: Path) -> None:
    """Write the tokens, float32 (tokens, channels), as an .npy file beside their picture."""
    content = io.BytesIO()
    np.save(content, result.decoded)
    write_file(picture.with_name(f"{picture.name.removesuffix('.png')}.npy"), content.getvalue())


class RunCommand:
    """Runs the tasks of a build on images."""

    name = "run"
    help = "run tasks of a build on images, on the board or on the emulator"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        add_build(parser)
        parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="PNG or PPM; more with Pillow")
        parser.add_argument("--task", default=ALL_TASKS, help="task of the build (default: all)")
        parser.add_argument("--pathway", help="alternative pathway of the task (default: the task's own)")
        add_executor(parser)
        parser.add_argument(
            "--output", type=Path, default=Path("predictions"), help="directory of the pictures written"
        )

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        """All images are read and run before the first picture is written. Returns 0."""
        images = {path: read_image(path) for path in arguments.images}
        with open_build(arguments.build, arguments.executor) as accelerator:
            tasks = list(accelerator.tasks) if arguments.task == ALL_TASKS else [arguments.task]
            names = [pathway_name(task, arguments.pathway) for task in tasks]
            paths = _picture_paths(arguments.images, names, arguments.output)
            results = list(accelerator.stream(images.values(), [tuple(names)]))
            for (image, name), result in zip(paths, results):
                write_picture(paths[image, name], result.picture)
                if result.kind == FEATURES:
                    _write_features(result, paths[image, name])
                print(_summary(image, result, paths[image, name], accelerator.executor_name))
        return 0
