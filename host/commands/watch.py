"""The command `moesaic watch`: tasks side by side in a browser."""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterable

from moesaic.argument_types import natural, positive
from moesaic.host.commands.build_options import (
    add_build,
    add_run_options,
    chosen_tasks,
    open_chosen,
)
from moesaic.host.frame_sources import is_camera, is_pictures, open_frames
from moesaic.host.image import ImageLike
from moesaic.host.result import Result
from moesaic.host.runtime import Accelerator
from moesaic.host.viewer import Viewer
from moesaic.host.viewer.stream_control import StreamControl

_PICTURES_PER_SECOND = 2
_LARGEST_PORT = 65_535


def _port(text: str) -> int:
    value = natural(text)
    if value > _LARGEST_PORT:
        raise argparse.ArgumentTypeError(f"{value} is above {_LARGEST_PORT}")
    return value


def watch(accelerator: Accelerator, frames: Iterable[ImageLike], viewer: Viewer) -> int:
    """Run each frame on what the page chooses for it, and show the results; returns how many frames were shown.

    frames: as moesaic.host.image.Image takes them.
    """
    control = viewer.control
    expected: dict[int, int] = {}

    def chosen(index: int) -> tuple[str, ...]:
        names = control.chosen
        expected[index] = len(names)
        return names

    shown, dropped, results = 0, 0, list[Result]()
    try:
        for result in accelerator.stream(control.frames(frames), chosen, newest=control.live):
            results.append(result)
            if len(results) == expected[result.index]:
                drawn = control.settle(result.index)
                if drawn is not None:
                    dropped += result.dropped
                    age = time.monotonic() - drawn.moment
                    viewer.show(results, drawn.image, age, dropped if control.live else None)
                    shown += 1
                for index in [index for index in expected if index <= result.index]:
                    del expected[index]
                results = []
    finally:
        control.close()  # a source that waits holds up the end of the stream
    return shown


class WatchCommand:
    """Shows frames of a camera, a video or a folder, live."""

    name = "watch"
    help = "show tasks side by side in a browser, of a camera, a video file or a folder of pictures"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        add_build(parser)
        parser.add_argument("source", help="folder of pictures, picture, video file, number of a camera or /dev/videoN")
        add_run_options(parser)
        parser.add_argument(
            "--address",
            default="127.0.0.1",
            help="IPv4 or IPv6 address to serve at; 0.0.0.0 or :: for all (default: 127.0.0.1, for this machine alone)",
        )
        parser.add_argument(
            "--port", type=_port, default=8000, help="port to serve at, 0 for a free one (default: 8000)"
        )
        parser.add_argument(
            "--allow-host",
            action="append",
            default=[],
            metavar="NAME",
            help="another name for this machine in the browser's address bar; its addresses, its host name and localhost are "
            "allowed anyway; may be repeated",
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
        with open_chosen(arguments) as accelerator:
            build, executor_name = accelerator.build, accelerator.executor_name
            live = is_camera(arguments.source)
            control = StreamControl(build, chosen_tasks(accelerator.build, arguments.tasks), rate, live)
            with Viewer(
                build, executor_name, control, arguments.address, arguments.port, arguments.allow_host
            ) as viewer:
                if arguments.executor == "auto":
                    print(f"auto took the {executor_name}: {accelerator.executor_reason}")
                print(f"{build.name} on the {executor_name}: {viewer.url} (Ctrl-C ends)", flush=True)
                shown = watch(accelerator, itertools.islice(frames, arguments.frames), viewer)
        print(f"{shown} frames shown")
        return 0
