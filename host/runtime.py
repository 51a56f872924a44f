"""Opening a build and running its tasks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from host.bitstream import find_bitstream, require_bitstream
from host.board import BoardExecutor, board_present
from host.images import check_rgb
from host.resize import resize
from spec.build import Build, TaskProgram, load_build
from spec.emulator import Emulator
from spec.errors import InternalError, UserError
from spec.executor import Counters, Executor, MachineFault
from spec.machine import ReferenceMachine
from spec.pathway_names import pathway_name
from spec.predictions import decode

EXECUTORS = ("auto", "board", "emulator", "reference")
MAX_CYCLES = 1_000_000_000
"""Default limit of a run: 3.3 s at 300 MHz, some hundred times the largest network that is planned for."""


class FrameFault(MachineFault):
    """A MachineFault of a task's run that also names the task and the layer."""

    def __init__(self, fault: MachineFault, task: str, layer: str) -> None:
        super().__init__(fault.cause, fault.unit, fault.tag)
        self.task = task
        self.layer = layer

    def __str__(self) -> str:
        return f"task {self.task}: {super().__str__()} ({self.layer})"


@dataclass(frozen=True)
class Result:
    """What a task said about an image.

    raw: int16 (height, width, channels), the same on every executor. decoded: see spec.predictions.decode. counters: see
    spec.executor.Counters; "cycles" only from a machine that has a clock. pathway: the alternative taken, None for the default.
    """

    task: str
    kind: str
    raw: np.ndarray
    decoded: np.ndarray
    counters: Counters
    pathway: str | None = None


class Accelerator:
    """A build on an executor. The executor belongs to it from here on; close() closes it.

    executor_name: how the executor was chosen, one of EXECUTORS without "auto", or the class of a given one.
    """

    def __init__(self, build: Build, executor: Executor, executor_name: str, max_cycles: int = MAX_CYCLES) -> None:
        if executor.fingerprint != build.fingerprint:
            executor.close()
            raise UserError(
                f"build {build.name} has fingerprint {build.fingerprint}, the {executor_name} has {executor.fingerprint}; "
                "generate the build for the configuration of that machine, or load the bitstream of the build"
            )
        self.build = build
        self.executor_name = executor_name
        self.max_cycles = max_cycles
        self._executor: Executor | None = executor
        self._memory = build.new_memory()
        self._memory.constants.flags.writeable = False

    @property
    def fingerprint(self) -> str:
        """Of the configuration, 16 hex digits; build and machine agree on it."""
        return self.build.fingerprint

    @property
    def tasks(self) -> dict[str, TaskProgram]:
        """Task name to its description; its `alternatives` are what `run` takes as pathway, each with its MACs and its accuracy."""
        return dict(self.build.tasks)

    def run(self, image: np.ndarray, task: str, pathway: str | None = None) -> Result:
        """Run a task on an image, uint8 (height, width, 3) RGB of any size; it is resized by host.resize.

        pathway: an alternative of the task, such as one with fewer experts; None takes its default. Tasks and pathways may change
        from frame to frame at no cost. UserError for an unknown task or pathway or another kind of image; FrameFault if the
        machine stops, after which the next run is right.
        """
        if self._executor is None:
            raise InternalError(f"build {self.build.name} was closed")
        name = pathway_name(task, pathway)
        program = self.build.task(name)
        image = np.asarray(image)
        check_rgb(image, "the image")
        self.build.write_image(self._memory.frame, resize(image, self.build.image_height, self.build.image_width))
        try:
            counters = self._executor.run(program.program, self._memory, self.max_cycles)
        except MachineFault as fault:
            known = fault.unit != "fetch" and fault.tag < len(self.build.tags)
            raise FrameFault(fault, name, self.build.tags[fault.tag] if known else "no layer") from None
        raw = self.build.read_output(self._memory.frame, task)
        decoded = decode(program.kind, raw, program.output_scale)
        return Result(task, program.kind, raw, decoded, counters, pathway)

    def close(self) -> None:
        """Free the machine; closing twice is harmless."""
        if self._executor is not None:
            self._executor.close()
            self._executor = None

    def __enter__(self) -> Accelerator:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def open_build(path: Path | str, executor: str | Executor | None = None, max_cycles: int = MAX_CYCLES) -> Accelerator:
    """Open a build directory.

    executor: "board", "emulator" (the build's C++, compiled by g++ when first used) or "reference" (numpy, slow); None or
    "auto" takes the board if PYNQ finds one and a bitstream of this configuration exists, else the emulator; or an object that
    answers to spec.executor.Executor. max_cycles: a longer run is stopped, where the machine has a clock.

    UserError if the build is damaged, if what the executor needs is missing, or if it has another fingerprint than the build.
    """
    directory = Path(path)
    build = load_build(directory)
    if executor is not None and not isinstance(executor, str):
        return Accelerator(build, executor, type(executor).__name__, max_cycles)
    name = executor or "auto"
    if name == "auto":
        name = "board" if board_present() and find_bitstream(directory, build.configuration) else "emulator"
    return Accelerator(build, _make_executor(name, directory, build), name, max_cycles)


def _make_executor(name: str, directory: Path, build: Build) -> Executor:
    if name == "board":
        return BoardExecutor(require_bitstream(directory, build.configuration))
    if name == "emulator":
        return Emulator(directory / "cpp", build.configuration)
    if name == "reference":
        return ReferenceMachine(build.configuration)
    raise UserError(f"unknown executor {name!r}; known: {', '.join(EXECUTORS)}")
