"""How long the emulator takes for a task, beside PyTorch in float32 for the same task, on one thread each."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from statistics import median

import numpy as np
import torch

from moesaic.emulator import Emulator
from moesaic.model.network.vit import M3ViT, normalise
from moesaic.sim.measurements.benchmark.measurement import Prepared
from moesaic.spec.executor import MAX_CYCLES

_TURNS = 7
_SEED = 7


def emulator_speed(prepared: Prepared, model: M3ViT, turns: int = _TURNS) -> dict[str, float]:
    """The medians of `turns` runs of the case's first task on one image: seconds of the emulator and of `model` in PyTorch.

    The two take turns, so that other load falls on both alike; one run of each before them is not counted. model: the network with
    any weights, which decide only how the tokens spread over experts. Loading the image and reading the result are left out.
    """
    task, build = prepared.case.frame.sequence[0], prepared.build
    image = np.random.default_rng(_SEED).integers(0, 256, (build.image_height, build.image_width, 3), dtype=np.uint8)
    memory, threads = build.new_memory(), torch.get_num_threads()
    build.write_image(memory.frame, image)
    pixels = normalise(image[None], model.configuration.input)
    with tempfile.TemporaryDirectory() as scratch:
        for path, content in build.files.items():
            if path.startswith("cpp/"):
                (Path(scratch) / Path(path).name).write_bytes(content)
        with closing(Emulator(Path(scratch), build.configuration)) as emulator, torch.inference_mode():
            program = build.task(task).program
            contestants: dict[str, Callable[[], object]] = {
                "emulator_seconds": lambda: emulator.run(program, memory, MAX_CYCLES),
                "pytorch_seconds": lambda: model(pixels, task),
            }
            torch.set_num_threads(1)
            try:
                taken = [{name: _seconds(run) for name, run in contestants.items()} for _ in range(turns + 1)][1:]
            finally:
                torch.set_num_threads(threads)
    return {name: median(turn[name] for turn in taken) for name in contestants}


def _seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started
