"""Opening a build and running its tasks."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

import numpy as np

from moesaic.emulator import Emulator
from moesaic.errors import InternalError, UserError
from moesaic.host.bitstream import find_bitstream, require_bitstream
from moesaic.host.board import FRAME_WINDOWS, BoardExecutor
from moesaic.host.phases import Frame, Phases
from moesaic.host.power import PowerMeter
from moesaic.host.pynq_interface import board_present
from moesaic.host.result import FrameFault, Result
from moesaic.host.stream import Pipeline, Tasks, check_tasks
from moesaic.spec.build import Build, TaskProgram, load_build
from moesaic.spec.executor import MAX_CYCLES, Counters, Executor, Memory
from moesaic.spec.machine import ReferenceMachine
from moesaic.spec.pathway_names import pathway_name

__all__ = ["EXECUTORS", "MAX_CYCLES", "Accelerator", "FrameFault", "Result", "open_build"]

EXECUTORS = ("auto", "board", "emulator", "reference")

_PATTERN = 0xA5


class _Session:
    """What has to be ended however an accelerator is left: the stream that runs, and then the executor."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self.pipeline: Pipeline | None = None

    def end_stream(self) -> None:
        if self.pipeline is not None:
            self.pipeline.stop()
            self.pipeline = None

    def close(self) -> None:
        """Also if Ctrl-C comes while the stream is ended."""
        try:
            self.end_stream()
        finally:
            self.executor.close()


class Accelerator:
    """A build on an executor. The executor belongs to it from here on; it is closed, and a stream is ended, by close(), when the
    object is collected, and when the process ends.

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
        self._session = _Session(executor)
        # The executor has a finalizer of its own, which is older, so at the end of the process this one goes before it.
        self._finalizer = weakref.finalize(self, self._session.close)
        self._phases = Phases(build, executor, max_cycles)
        first = build.new_memory()
        first.constants.flags.writeable = False
        self._memories = [first]
        self._memories += [self._new_memory() for _ in range(FRAME_WINDOWS - 1)]

    @property
    def fingerprint(self) -> str:
        """Of the configuration, 16 hex digits; build and machine agree on it."""
        return self.build.fingerprint

    @property
    def tasks(self) -> dict[str, TaskProgram]:
        """Task name to its description; its `alternatives` are what `run` takes as pathway, each with its MACs and its accuracy."""
        return dict(self.build.tasks)

    def run(self, image: np.ndarray | Path | str, task: str, pathway: str | None = None) -> Result:
        """Run a task on an image, uint8 (height, width, 3) RGB of any size, or on the image of a file; the network sees
        moesaic.host.resize.fit of it.

        pathway: an alternative of the task, such as one with fewer experts; None takes its default. Tasks and pathways may change
        from frame to frame at no cost. UserError for an unknown task or pathway or another kind of image; FrameFault if the
        machine stops, after which the next run is right.
        """
        self._end_stream()
        name = pathway_name(task, pathway)
        self.build.task(name)
        prepared, seconds = self._phases.prepare(image, "the image")
        frame = Frame(0, name, prepared, self._memories[0], seconds)
        self._phases.upload(frame)
        self._phases.compute(frame)
        self._phases.download(frame)
        return self._phases.decode(frame)

    def stream(self, frames: Iterable[np.ndarray | Path | str], tasks: Tasks) -> Iterator[Result]:
        """Run a stream of images, with preparation, transfers, computation and decoding of neighbouring frames overlapped.

        frames: images as `run` takes them, uint8 (height, width, 3), or files that moesaic.host.image_files.read_image reads; taken
        from a thread, as far ahead as there is room. tasks: names, TASK or TASK@PATHWAY: one for every frame, a sequence that the
        frames take in turn, or a function of the frame's index. Where a sequence or function gives several names for a frame, all
        of them are run on it.

        Results come in order, `index` says of which frame. The first frame that cannot be read, prepared or run raises its error
        in its place and ends the stream; the next run or stream is right. Leaving the loop ends the stream, too.
        """
        self._require_open()
        check_tasks(self.build, tasks)
        return self._results(frames, tasks)

    def _results(self, frames: Iterable[np.ndarray | Path | str], tasks: Tasks) -> Iterator[Result]:
        self._end_stream()
        pipeline = self._session.pipeline = Pipeline(self.build, self._phases, self._memories, frames, tasks)
        try:
            pipeline.start()
            yield from pipeline.results()
        finally:
            pipeline.stop()

    def run_whole(
        self, image: np.ndarray | Path | str, task: str, pathway: str | None = None
    ) -> tuple[np.ndarray, Counters]:
        """The whole frame window after a run, uint8, and the counters; before it, the window held a pattern and the image.

        Two machines that agree on it agree on every byte that a program writes and on every byte that it must not write.
        """
        self._end_stream()
        memory = self._new_memory()
        program = self.build.task(pathway_name(task, pathway)).program
        prepared, _ = self._phases.prepare(image, "the image")
        self.build.write_image(memory.frame, prepared)
        counters = self._session.executor.run(program, memory, self.max_cycles)
        return memory.frame, counters

    def power(self) -> dict[str, float]:
        """Watts by the name of the board's rail, now. UserError where there are no rails to read."""
        self._require_open()
        executor = self._session.executor
        if not isinstance(executor, PowerMeter):
            raise UserError(f"the {self.executor_name} has no power rails; a board has, open the build on one")
        return executor.power()

    def _require_open(self) -> None:
        if not self._finalizer.alive:
            raise InternalError(f"build {self.build.name} was closed")

    def _end_stream(self) -> None:
        """What a loop left behind, such as a notebook's after Ctrl-C, must not stand in the way of the next run."""
        self._require_open()
        self._session.end_stream()

    def _new_memory(self) -> Memory:
        """With the constants of all others and a frame window of its own, filled with a pattern."""
        frame = np.full(self.build.frame_bytes, _PATTERN, np.uint8)
        return Memory(self._memories[0].constants, frame)

    def close(self) -> None:
        """End a stream and free the machine; closing twice is harmless."""
        self._finalizer()

    def __enter__(self) -> Accelerator:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def open_build(path: Path | str, executor: str | Executor | None = None, max_cycles: int = MAX_CYCLES) -> Accelerator:
    """Open a build directory.

    executor: "board", "emulator" (the build's C++, compiled by g++ when first used) or "reference" (numpy, slow); None or
    "auto" takes the board if PYNQ finds one and a bitstream of this configuration exists, else the emulator; or an object that
    answers to moesaic.spec.executor.Executor. max_cycles: a longer run is stopped, where the machine has a clock.

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
