"""The command `moesaic profile`: where the time of a frame goes."""

from __future__ import annotations

import argparse
import itertools
import json
import time
from pathlib import Path

import numpy as np

from moesaic.argument_types import positive
from moesaic.errors import UserError
from moesaic.files import require_file_writable, write_file
from moesaic.host.commands.build_options import (
    add_build,
    add_run_options,
    chosen_tasks,
    open_chosen,
)
from moesaic.host.image_files import read_image
from moesaic.host.phases import PHASES
from moesaic.host.result import Result
from moesaic.host.runtime import Accelerator
from moesaic.pages.number_formats import count, decimals
from moesaic.pages.tables import Column, Table
from moesaic.spec.pathway_names import split_pathway_name


def measure(accelerator: Accelerator, image: np.ndarray, names: list[str], frames: int) -> dict:
    """Times and counters of `frames` runs of each task, first alone, then as one stream in which the tasks alternate.

    image: uint8 (height, width, 3) of any size. names: as TASK or TASK@PATHWAY.

    Returns, as JSON values: "tasks": for each name, the median milliseconds of each phase and the counters of the last run.
    "stream": the number of frames, the seconds for all of them and the frames per second. "watts": by rail, during the stream,
    empty if the board shows none. Also the build's name and fingerprint and the executor's name.
    """
    tasks = {}
    for name in names:
        task, pathway = split_pathway_name(name)
        accelerator.run(image, task, pathway)  # memory is allocated and weights are loaded here
        results = [accelerator.run(image, task, pathway) for _ in range(frames)]
        tasks[name] = {"milliseconds": _milliseconds(results), "counters": results[-1].counters}
    total = frames * len(names)
    begin = time.perf_counter()
    stream = accelerator.stream(itertools.repeat(image, total), names)
    next(stream)
    watts = _watts(accelerator)
    for _ in stream:
        pass
    seconds = time.perf_counter() - begin
    return {
        "build": accelerator.build.name,
        "fingerprint": accelerator.fingerprint,
        "executor": accelerator.executor_name,
        "tasks": tasks,
        "stream": {"frames": total, "seconds": seconds, "frames_per_second": total / seconds},
        "watts": watts,
    }


def _milliseconds(results: list[Result]) -> dict[str, float]:
    return {phase: 1e3 * float(np.median([result.seconds[phase] for result in results])) for phase in PHASES}


def _watts(accelerator: Accelerator) -> dict[str, float]:
    try:
        return accelerator.power()
    except UserError:
        return {}


def text_of(profile: dict) -> str:
    """A profile, as `measure` returns it, as tables."""
    stream, watts = profile["stream"], profile["watts"]
    parts = [
        f"{profile['build']} on the {profile['executor']}, milliseconds on this processor (median)",
        _time_table(profile["tasks"]).to_text(),
        f"stream of {stream['frames']} frames, tasks alternating: {stream['frames_per_second']:.1f} frames a second",
        "",
        _counter_table(profile["tasks"]).to_text(),
    ]
    if watts:
        parts += ["", Table((Column("rail"), Column("power", decimals(3, " W"))), list(watts.items())).to_text()]
    return "\n".join(parts)


def _time_table(tasks: dict) -> Table:
    times = (Column(name, decimals(3)) for name in (*PHASES, "sum"))
    rows = []
    for name, task in tasks.items():
        milliseconds = [task["milliseconds"][phase] for phase in PHASES]
        rows.append([name, *milliseconds, sum(milliseconds), task["counters"].get("cycles", "no clock")])
    return Table((Column("task"), *times, Column("cycles", count)), rows)


def _counter_table(tasks: dict) -> Table:
    names = dict.fromkeys(counter for task in tasks.values() for counter in task["counters"])
    rows = [[name, *(task["counters"].get(name, 0) for task in tasks.values())] for name in names]
    return Table((Column("counter"), *(Column(task, count) for task in tasks)), rows)


class ProfileCommand:
    """Measures time by phase, cycles and counters of each task."""

    name = "profile"
    help = "measure where the time of a frame goes: phases on the processor, cycles and counters on the machine, watts"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        add_build(parser)
        parser.add_argument("image", type=Path, help="PNG or PPM; more with Pillow")
        add_run_options(parser)
        parser.add_argument("--frames", type=positive, default=10, help="runs of each task (default: 10)")
        parser.add_argument("--json", type=Path, help="write the figures to this file, too")

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        image = read_image(arguments.image)
        if arguments.json is not None:
            require_file_writable(arguments.json)
        with open_chosen(arguments) as accelerator:
            names = chosen_tasks(accelerator.build, arguments.tasks)
            profile = measure(accelerator, image, names, arguments.frames)
        if arguments.json is not None:
            write_file(arguments.json, (json.dumps(profile, indent=1) + "\n").encode())
        print(text_of(profile))
        return 0
