"""The command `moesaic compare`: one machine against another, on every byte of the frame window."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from moesaic.errors import UserError
from moesaic.host.commands.build_options import (
    add_build,
    add_images,
    add_run_options,
    chosen_tasks,
    open_chosen,
)
from moesaic.host.executors import executor_names
from moesaic.host.frame_sources import image_paths
from moesaic.host.image_files import read_image
from moesaic.host.runtime import Accelerator, open_build
from moesaic.spec.build import Build
from moesaic.spec.pathway_names import split_pathway_name

EXIT_DIFFERENT = 1
_SHARED_COUNTERS = ("instructions", "matmul_array", "read_beats", "write_beats")


def place_of(build: Build, name: str, offset: int) -> str:
    """What lies at an offset, in bytes, of the frame window. name: the pathway that was run."""
    task = build.task(name)
    if build.image_offset <= offset < build.image_offset + build.image_bytes:
        return "the image, which no program writes"
    if task.output_offset <= offset < task.output_offset + 2 * int(np.prod(task.output_shape)):
        return f"the output of {name}"
    for layer, o in task.observations.items():
        if o.offset <= offset < o.offset + int(np.prod(o.shape[:-1])) * o.pitch:
            return f"layer {layer}"
    return f"memory that {name} does not write"


def compare(accelerator: Accelerator, other: Accelerator, image: np.ndarray, name: str) -> str:
    """How two machines differ after running the same frame: in the frame window or in counters that both have; empty if not at all.

    image: uint8 (height, width, 3) of any size. name: of the pathway.
    """
    task, pathway = split_pathway_name(name)
    found, counters = accelerator.run_whole(image, task, pathway)
    expected, other_counters = other.run_whole(image, task, pathway)
    different = np.flatnonzero(found != expected)
    if different.size:
        first = int(different[0])
        return (
            f"{different.size:,} of {found.size:,} bytes differ, the first at {first} ({place_of(accelerator.build, name, first)}): "
            f"{found[first]} where the {other.executor_name} has {expected[first]}"
        )
    for counter in _SHARED_COUNTERS:
        if counter in counters and counter in other_counters and counters[counter] != other_counters[counter]:
            return f"counter {counter}: {counters[counter]:,} where the {other.executor_name} has {other_counters[counter]:,}"
    return ""


class CompareCommand:
    """Two machines on the same frames."""

    name = "compare"
    help = "run tasks on two machines, such as board and emulator, and compare every byte of the frame window"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        add_build(parser)
        add_images(parser)
        add_run_options(parser)
        parser.add_argument(
            "--against", choices=executor_names(), default="emulator", help="the other machine (default: emulator)"
        )

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        """Print a line for each frame and task. Returns 0 if all are equal, 1 if not."""
        images = {path: read_image(path) for path in image_paths(arguments.images)}
        with open_chosen(arguments) as accelerator:
            if accelerator.executor_name == arguments.against:
                raise UserError(
                    f"the {arguments.against} against itself says nothing: there is no board here, or no bitstream; "
                    "name another machine with --executor or --against"
                )
            with open_build(arguments.build, arguments.against) as other:
                return _compare_all(accelerator, other, images, chosen_tasks(accelerator.build, arguments.tasks))


def _compare_all(accelerator: Accelerator, other: Accelerator, images: dict[Path, np.ndarray], names: list[str]) -> int:
    machines = f"{accelerator.executor_name} and {other.executor_name}"
    failures = 0
    for path, image in images.items():
        for name in names:
            difference = compare(accelerator, other, image, name)
            failures += bool(difference)
            bytes_ = accelerator.build.frame_bytes
            print(f"{path}  {name}: {difference or f'{bytes_:,} bytes equal on {machines}'}", flush=True)
    total = len(images) * len(names)
    print(f"{total - failures} of {total} frames are equal on {machines}")
    return EXIT_DIFFERENT if failures else 0
