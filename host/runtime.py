"""Opens a build and runs its tasks."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Iterable, Iterator
from operator import index
from pathlib import Path
from types import TracebackType
from typing import SupportsIndex

import numpy as np

from moesaic.emulator import Emulator
from moesaic.errors import InternalError, UserError
from moesaic.host.bitstream import find_bitstream, require_bitstream
from moesaic.host.board import FRAME_WINDOWS, BoardExecutor
from moesaic.host.frame_pipeline import Pipeline, Tasks, check_tasks
from moesaic.host.phases import Frame, Phases
from moesaic.host.power import PowerMeter
from moesaic.host.pynq_interface import board_missing
from moesaic.host.result import FrameFault, Result
from moesaic.spec.build import Build, TaskProgram, load_build
from moesaic.spec.executor import MAX_CYCLES, Counters, Executor, Memory
from moesaic.spec.machine import ReferenceMachine
from moesaic.spec.pathway_names import pathway_name

__all__ = ["EXECUTORS", "MAX_CYCLES", "Accelerator", "FrameFault", "Result", "open_build"]

EXECUTORS = ("auto", "board", "emulator", "reference")

_PATTERN = 0xA5
_LARGEST_MAX_CYCLES = (1 << 32) - 1
_LOG = logging.getLogger("moesaic")


class _Session:
    """What has to be ended no matter how an accelerator is left: first the running stream, then the executor."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self.pipeline: Pipeline | None = None

    def end_stream(self) -> None:
        if self.pipeline is not None:
            self.pipeline.stop()
            self.pipeline = None

    def close(self) -> None:
        """Closes the executor even if Ctrl-C comes while the stream is being ended."""
        try:
            self.end_stream()
        finally:
            self.executor.close()


class Accelerator:
    """A build opened on an executor, which it owns.

    A running stream is ended and the executor closed by `close()`, by garbage collection or at the end of the process, whichever
    comes first. Raises UserError if the fingerprints of build and executor differ.

    Attributes:
        build: the build that was opened.
        executor_name: "board", "emulator" or "reference", or the class name of an executor that was passed in.
        executor_reason: why it is this one: what auto found, or that it was asked for or passed in.
        max_cycles: a run is stopped with FrameFault after this many cycles, on machines that have a clock.
    """

    def __init__(
        self, build: Build, executor: Executor, executor_name: str, executor_reason: str, max_cycles: int
    ) -> None:
        if executor.fingerprint != build.fingerprint:
            executor.close()
            raise UserError(
                f"build {build.name} has fingerprint {build.fingerprint}, the {executor_name} has {executor.fingerprint}; "
                "generate the build for the configuration of that machine, or load the bitstream of the build"
            )
        self.build = build
        self.executor_name = executor_name
        self.executor_reason = executor_reason
        self.max_cycles = max_cycles
        self._session = _Session(executor)
        # The executor has its own finalizer, which is older, so at the end of the process this one runs first.
        self._finalizer = weakref.finalize(self, self._session.close)
        self._phases = Phases(build, executor, max_cycles)
        first = build.new_memory()
        first.constants.flags.writeable = False
        self._memories = [first]
        self._memories += [self._new_memory() for _ in range(FRAME_WINDOWS - 1)]

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the hardware configuration that build and machine share, 16 hexadecimal digits."""
        return self.build.fingerprint

    @property
    def tasks(self) -> dict[str, TaskProgram]:
        """Task name to description.

        The keys of a description's `alternatives` are the pathways that `run` accepts, each with its MACs and accuracy.
        """
        return dict(self.build.tasks)

    def run(self, image: np.ndarray | Path | str, task: str, pathway: str | None = None) -> Result:
        """Run a task on one image.

        Args:
            image: uint8 (height, width, 3), RGB, of any size; the path of an image file, or its bytes; an image of Pillow; or a
                moesaic.Image, which says how other arrays are to be read. How it gets to the network's size is part of the build
                (`build.input`), by default the largest centred part with the network's proportions is resized. The result's
                `placement` says which part the network saw.
            task: a key of `tasks`.
            pathway: an alternative of the task, such as one with fewer experts; None for the task's default. Changing task or
                pathway from frame to frame costs nothing.

        Raises:
            UserError: the task or pathway is unknown, or the image is not as above.
            FrameFault: the machine stopped. The accelerator remains usable.
        """
        self._end_stream()
        name = pathway_name(task, pathway)
        self.build.task(name)
        prepared, placement, seconds = self._phases.prepare(image, "the image")
        frame = Frame(0, name, prepared, placement, self._memories[0], seconds)
        self._phases.upload(frame)
        self._phases.compute(frame)
        self._phases.download(frame)
        return self._phases.decode(frame)

    def stream(self, frames: Iterable[np.ndarray | Path | str], tasks: Tasks) -> Iterator[Result]:
        """Run a stream of images, overlapping preparation, transfers, computation and decoding of neighbouring frames.

        Args:
            frames: images, uint8 (height, width, 3), or paths, as `run` takes them. Another thread draws them, as far ahead as
                there is room.
            tasks: names, as TASK or TASK@PATHWAY: one name for all frames, a sequence that the frames take in turn, or a function
                of the frame's index. A frame for which the sequence or function gives several names runs all of them.

        Yields results in order; `Result.index` is the number of the frame. The first frame that cannot be read, prepared or run
        raises its error in its turn and ends the stream, as does leaving the loop; the accelerator remains usable. Raises UserError
        at once for names that the build does not have.
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
        """Run a task and return the whole frame window, uint8 (frame_bytes,), and the counters.

        The window is filled with a pattern before the image is written, so two machines that return the same bytes agree on every
        byte that the program writes and on every byte that it must leave alone. Arguments are those of `run`; MachineFault if the
        machine stops, UserError as in `run`.
        """
        self._end_stream()
        memory = self._new_memory()
        program = self.build.task(pathway_name(task, pathway)).program
        prepared, _, _ = self._phases.prepare(image, "the image")
        self.build.write_image(memory.frame, prepared)
        counters = self._session.executor.run(program, memory, self.max_cycles)
        return memory.frame, counters

    def power(self) -> dict[str, float]:
        """Read the board's power rails: name to watts at this moment. UserError if there are none."""
        self._require_open()
        executor = self._session.executor
        if not isinstance(executor, PowerMeter):
            raise UserError(f"the {self.executor_name} has no power rails; a board has, open the build on one")
        return executor.power()

    def _require_open(self) -> None:
        if not self._finalizer.alive:
            raise InternalError(f"build {self.build.name} was closed")

    def _end_stream(self) -> None:
        """End what a loop left behind, such as a notebook's after Ctrl-C: it must not obstruct the next run."""
        self._require_open()
        self._session.end_stream()

    def _new_memory(self) -> Memory:
        """A memory that shares its constants with all others and has its own frame window, filled with a pattern."""
        frame = np.full(self.build.frame_bytes, _PATTERN, np.uint8)
        return Memory(self._memories[0].constants, frame)

    def close(self) -> None:
        """End a running stream and free the machine. Closing twice is harmless."""
        self._finalizer()

    def __enter__(self) -> Accelerator:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def open_build(path: Path | str, executor: str | Executor | None = None, max_cycles: int = MAX_CYCLES) -> Accelerator:
    """Open a build directory, as written by `moesaic generate`. Any thread may do so.

    Args:
        path: the directory.
        executor: "board", "emulator" (the build's C++, compiled by g++ when first used) or "reference" (numpy, slow). None and
            "auto" take the board if PYNQ finds one and there is a bitstream for this configuration, otherwise the emulator;
            `Accelerator.executor_reason` says which it was. An object that implements moesaic.spec.executor.Executor is used as it
            is, and belongs to the accelerator from then on.
        max_cycles: a longer run is stopped with FrameFault, on machines that have a clock; 1 to 4,294,967,295.

    Raises:
        UserError: an argument is not as above, the build is damaged, something that the executor needs is missing, or its
            fingerprint is not the build's.
    """
    limit = _checked_max_cycles(max_cycles)
    name = "auto" if executor is None else executor
    if name not in EXECUTORS if isinstance(name, str) else not isinstance(name, Executor):
        raise UserError(
            f"unknown executor {name!r}; known: {', '.join(EXECUTORS)}, and objects with the fingerprint, run and close of "
            "moesaic.spec.executor.Executor"
        )
    if not isinstance(path, (str, Path)):
        raise UserError(
            f"a build is opened by the path of its directory, not by {type(path).__name__} {path!r}; pass a str or a Path"
        )
    directory = Path(path)
    build = load_build(directory)
    if not isinstance(name, str):
        return Accelerator(build, name, type(name).__name__, "it was passed in", limit)
    if name != "auto":
        return Accelerator(build, _make_executor(name, directory, build), name, "it was asked for", limit)
    name, reason = _choose(directory, build)
    try:
        made = _make_executor(name, directory, build)
    except UserError as error:
        raise UserError(f"{error} (taken by auto: {reason})") from error
    _LOG.info("build %s on the %s: %s", build.name, name, reason)
    return Accelerator(build, made, name, reason, limit)


def _checked_max_cycles(value: object) -> int:
    """The value as an int, numpy's integers too. UserError if it is none or does not fit the accelerator's register."""
    if isinstance(value, SupportsIndex) and not isinstance(value, bool) and 1 <= index(value) <= _LARGEST_MAX_CYCLES:
        return index(value)
    raise UserError(
        f"max_cycles is {value!r}; it takes an integer from 1 to {_LARGEST_MAX_CYCLES}, and {MAX_CYCLES} by default"
    )


def _choose(directory: Path, build: Build) -> tuple[str, str]:
    """The executor that auto takes, and why."""
    if missing := board_missing():
        return "emulator", missing
    bitstream = find_bitstream(directory, build.configuration)
    if bitstream is None:
        return (
            "emulator",
            f"PYNQ finds a board, but there is no bitstream for configuration {build.configuration.name} (fingerprint "
            f"{build.fingerprint})",
        )
    return "board", f"PYNQ finds a board, and {bitstream} is for this configuration"


def _make_executor(name: str, directory: Path, build: Build) -> Executor:
    if name == "board":
        return BoardExecutor(require_bitstream(directory, build.configuration))
    if name == "emulator":
        return Emulator(directory / "cpp", build.configuration)
    return ReferenceMachine(build.configuration)
