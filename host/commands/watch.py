"""The command `moesaic watch`: tasks side by side in a browser."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from moesaic.argument_types import natural, positive
from moesaic.host.commands.build_options import add_build, add_executor, add_tasks, chosen_tasks
from moesaic.host.frame_sources import is_pictures, open_frames, paced
from moesaic.host.result import Result
from moesaic.host.runtime import Accelerator, open_build
from moesaic.host.viewer import Viewer

_PICTURES_PER_SECOND = 2
_LARGEST_PORT = 65_535


def _port(text: str) -> int:
    value = natural(text)
    if value > _LARGEST_PORT:
        raise argparse.ArgumentTypeError(f"{value} is above {_LARGEST_PORT}")
    return value


def watch(accelerator: Accelerator, frames: Iterable[np.ndarray | Path], viewer: Viewer) -> int:
    """Run each frame on what the page chooses for it, and show the results; returns how many frames were shown.

    frames: uint8 (height, width, 3), RGB, or paths of image files.
    """
    expected: dict[int, int] = {}

    def chosen(index: int) -> tuple[str, ...]:
        names = viewer.chosen
        expected[index] = len(names)
        return names

    shown, results = 0, list[Result]()
    for result in accelerator.stream(frames, chosen):
        results.append(result)
        if len(results) == expected[result.index]:
            viewer.show(results)
            del expected[result.index]
            shown, results = shown + 1, []
    return shown


class WatchCommand:
    """Shows frames of a camera, a video or a folder, live."""

    name = "watch"
    help = "show tasks side by side in a browser, of a camera, a video file or a folder of pictures"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        add_build(parser)
        parser.add_argument("source", help="folder of pictures, picture, video file, number of a camera or /dev/videoN")
        add_tasks(parser)
        add_executor(parser)
        parser.add_argument(
            "--address", default="127.0.0.1", help="address to serve at; 0.0.0.0 for all (default: this machine's)"
        )
        parser.add_argument(
            "--port", type=_port, default=8000, help="port to serve at, 0 for a free one (default: 8000)"
        )
        parser.add_argument(
            "--rate",
            type=natural,
            help=f"frames a second at most, 0 for no limit (default: {_PICTURES_PER_SECOND} for pictures, 0 for a video or camera)",
        )
        parser.add_argument(
            "--frames", type=positive, help="stop after so many; pictures are repeated (default: never)"
        )

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        pictures = is_pictures(arguments.source)
        frames = open_frames(arguments.source, endless=pictures)
        rate = arguments.rate if arguments.rate is not None else _PICTURES_PER_SECOND if pictures else 0
        with open_build(arguments.build, arguments.executor) as accelerator:
            names = chosen_tasks(accelerator, arguments.tasks)
            with Viewer(
                accelerator.build, accelerator.executor_name, names, arguments.address, arguments.port
            ) as viewer:
                print(
                    f"{accelerator.build.name} on the {accelerator.executor_name}: {viewer.url} (Ctrl-C ends)",
                    flush=True,
                )
                shown = watch(accelerator, paced(itertools.islice(frames, arguments.frames), rate), viewer)
        print(f"{shown} frames shown")
        return 0
