"""The command `moesaic run`: pictures of what the tasks predict, the most probable classes, arrays, and figures of each run."""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from moesaic.errors import UserError
from moesaic.files import new_directory, require_file_writable, require_writable, write_file, writing
from moesaic.host.commands.build_options import (
    add_build,
    add_images,
    add_run_options,
    chosen_tasks,
    open_chosen,
)
from moesaic.host.frame_sources import image_paths
from moesaic.host.image import Image
from moesaic.host.image_files import write_picture
from moesaic.host.phases import PHASES
from moesaic.host.result import Result
from moesaic.host.runtime import Accelerator
from moesaic.spec.heads import CLASSIFICATION, FEATURES, KINDS
from moesaic.spec.input_description import RESIZES
from moesaic.spec.pathway_names import pathway_name


def _require_different_names(images: list[Path]) -> None:
    repeated = [name for name, count in Counter(image.stem for image in images).items() if count > 1]
    if repeated:
        raise UserError(
            f"{len(images)} images but the name {repeated[0]} comes twice, and what is written is named after it; rename one, or run "
            "them apart with another --output"
        )


def _write_array(path: Path, array: np.ndarray) -> None:
    np.save(content := io.BytesIO(), array)
    write_file(path, content.getvalue())


@contextmanager
def _all_or_nothing(directory: Path) -> Iterator[Path]:
    """A new directory whose files are moved into `directory` at the end, which is made if need be; removed after an error."""
    require_writable(directory)
    with writing(directory):
        staging = new_directory(Path(os.path.abspath(directory)))
    try:
        yield staging
        with writing(directory):
            directory.mkdir(parents=True, exist_ok=True)
            for path in sorted(staging.iterdir()):
                path.replace(directory / path.name)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _figures(image: Path, result: Result, picture: Path, raw: Path | None) -> dict:
    """Of one result, as JSON values.

    shared: how many results the cycles, counters and milliseconds are of. seen: the part of the image that the network saw, in its
    pixels.
    """
    placement, cycles = result.placement, result.counters.get("cycles")
    return {
        "image": str(image),
        "task": result.task,
        "pathway": result.pathway,
        "cycles": cycles,
        "milliseconds": {phase: 1e3 * result.seconds[phase] for phase in PHASES},
        "shared": result.shared,
        "counters": result.counters,
        "size": dict(zip(("height", "width"), placement.image)),
        "seen": dict(zip(("top", "left", "height", "width"), map(float, placement.seen))),
        "picture": str(picture),
        "raw": None if raw is None else str(raw),
    }


def _write_csv(path: Path, runs: list[dict]) -> None:
    """One line for each run; what is nested has its keys joined, as in seen_top."""
    rows = []
    for run in runs:
        row = {}
        for name, value in run.items():
            row |= {f"{name}_{key}": v for key, v in value.items()} if isinstance(value, dict) else {name: value}
        rows.append(row)
    names = dict.fromkeys(name for row in rows for name in row)
    writer = csv.DictWriter(content := io.StringIO(), list(names), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_file(path, content.getvalue().encode())


def _summary(image: Path, result: Result, where: Path, executor: str) -> str:
    cycles = f"{result.counters['cycles']:,} cycles" if "cycles" in result.counters else "no clock"
    name = pathway_name(result.task, result.pathway)
    if result.shared > 1 and "cycles" in result.counters:
        cycles += f" for {result.shared} tasks"
    line = f"{image}  {name}: {cycles}, {result.counters['instructions']:,} instructions ({executor}) -> {where}"
    best = result.top() if result.kind == CLASSIFICATION else []
    return "\n".join([line, *(f"  {100 * one.probability:5.1f} %  {one.label}" for one in best)])


def run_all(
    accelerator: Accelerator,
    images: list[Path],
    names: list[str],
    output: Path,
    with_raw: bool = False,
    resize: str | None = None,
) -> tuple[list[dict], list[str]]:
    """Run tasks on image files and write what they predict into the directory `output`, all or, after an error, nothing.

    names: as TASK or TASK@PATHWAY. with_raw: also write `Result.raw`. resize: see moesaic.host.image.Image. Returns the figures of
    each run and a summary of it.
    """
    _require_different_names(images)
    runs, lines = [], []
    with _all_or_nothing(output) as staging:
        for result in accelerator.stream((Image(path, resize=resize) for path in images), [tuple(names)]):
            image = images[result.index]
            stem = f"{image.stem}.{pathway_name(result.task, result.pathway)}"
            picture, raw = f"{stem}.png", f"{stem}.raw.npy" if with_raw else None
            write_picture(staging / picture, result.picture)
            if result.kind == FEATURES or result.kind not in KINDS:
                _write_array(staging / f"{stem}.npy", result.decoded)
            if raw is not None:
                _write_array(staging / raw, result.raw)
            runs.append(_figures(image, result, output / picture, None if raw is None else output / raw))
            lines.append(_summary(image, result, output / picture, accelerator.executor_name))
    return runs, lines


class RunCommand:
    """Runs the tasks of a build on images."""

    name = "run"
    help = "run tasks of a build on images, on the board, the emulator or the simulated RTL"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        add_build(parser)
        add_images(parser)
        add_run_options(parser)
        parser.add_argument(
            "--resize", choices=RESIZES[1:], help="how images get to the network's size (default: as it was trained)"
        )
        parser.add_argument(
            "--output",
            type=Path,
            default=Path("predictions"),
            help="directory of what is written (default: predictions)",
        )
        parser.add_argument(
            "--raw", action="store_true", help="also write each task's integers, int16, as IMAGE.TASK.raw.npy"
        )
        parser.add_argument("--json", type=Path, help="write cycles, times and placement of each run to this file, too")
        parser.add_argument("--csv", type=Path, help="the same as a table")

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        """All images are run before anything is written. Returns 0."""
        images = image_paths(arguments.images)
        for path in (arguments.json, arguments.csv):
            if path is not None:
                require_file_writable(path)
        with open_chosen(arguments) as accelerator:
            names = chosen_tasks(accelerator.build, arguments.tasks)
            runs, lines = run_all(accelerator, images, names, arguments.output, arguments.raw, arguments.resize)
            build = accelerator.build
            about = {"build": build.name, "fingerprint": build.fingerprint, "executor": accelerator.executor_name}
        if arguments.json is not None:
            write_file(arguments.json, (json.dumps({**about, "runs": runs}, indent=1) + "\n").encode())
        if arguments.csv is not None:
            _write_csv(arguments.csv, [{**run, **about} for run in runs])
        print("\n".join(lines))
        if arguments.executor == "auto":
            print(f"auto took the {accelerator.executor_name}: {accelerator.executor_reason}")
        return 0
