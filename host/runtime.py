"""Opens a build and runs its tasks."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import cast, overload

import numpy as np

from moesaic.errors import UserError
from moesaic.host.board import FRAME_WINDOWS
from moesaic.host.executors import (
    checked_max_cycles,
    choose_executor,
    executor_names,
    make_executor,
    require_fingerprint,
)
from moesaic.host.frame_pipeline import Pipeline
from moesaic.host.frame_stream import NewestStream, Stream, Tasks, check_batch, check_tasks
from moesaic.host.image import ImageLike, as_image
from moesaic.host.phases import PATTERN, Frame, Outcome, Phases, Stored, Whole, results_in
from moesaic.host.power import PowerMeter
from moesaic.host.result import FrameFault, Result
from moesaic.host.submissions import Submissions
from moesaic.spec.build import Build, TaskProgram, load_build
from moesaic.spec.executor import MAX_CYCLES, Counters, Executor, Memory
from moesaic.spec.joint_programs import JointProgram, one_task
from moesaic.spec.pathway_names import pathway_name

__all__ = ["MAX_CYCLES", "Accelerator", "FrameFault", "Result", "open_build"]

_LOG = logging.getLogger("moesaic")


class _Session:
    """What has to be ended no matter how an accelerator is left: streams, the line of frames, then the executor."""

    def __init__(self, build: Build, phases: Phases, executor: Executor) -> None:
        constants = build.constants.copy()
        constants.flags.writeable = False  # then a board loads them once
        memories = [Memory(constants, np.full(build.frame_bytes, PATTERN, np.uint8)) for _ in range(FRAME_WINDOWS)]
        self.executor = executor
        self.pipeline = Pipeline(build.name, phases, memories)
        self.submissions = Submissions(build, phases, self.pipeline)
        self.streams = set[Stream]()
        self.process = os.getpid()

    def close(self) -> None:
        """Closes the executor even if Ctrl-C comes while the last frame is waited for.

        Not in a child that was forked: the machine is its parent's.
        """
        if self.process != os.getpid():
            return
        try:
            for stream in tuple(self.streams):
                stream.stop()
            self.pipeline.close()
            self.submissions.close()
        finally:
            self.executor.close()


class Accelerator:
    """A build opened on an executor, which it owns. Any thread may use it, inside an event loop or not.

    There is one machine and one line before it: frames are served in the order in which they get in line, whichever threads, tasks and
    pathways they come from. `run` gets in line with one frame once it has prepared the image, a stream with up to
    moesaic.host.frame_stream.FRAMES_AHEAD frames, and all that was submitted, in that order, with as many. So nobody waits for more
    than these few frames of each other user. Every result has arrays of its own.

    The executor is closed by `close()`, by garbage collection or at the end of the process, whichever comes first. Raises UserError
    if the fingerprints of build and executor differ. A process forked from the one that opened it gets UserErrors.

    Attributes:
        build: the build that was opened.
        executor_name: "board", "emulator" or "reference", or the class name of an executor that was passed in.
        executor_reason: why it is this one: what auto found, or that it was asked for or passed in.
        max_cycles: a run is stopped with FrameFault after this many cycles, on machines that have a clock.
    """

    def __init__(
        self, build: Build, executor: Executor, executor_name: str, executor_reason: str, max_cycles: int
    ) -> None:
        try:
            require_fingerprint(executor, executor_name, build)
        except UserError:
            executor.close()
            raise
        self.build = build
        self.executor_name = executor_name
        self.executor_reason = executor_reason
        self.max_cycles = max_cycles
        self._phases = Phases(build, executor, max_cycles)
        self._session = _Session(build, self._phases, executor)
        # The executor has its own finalizer, which is older, so at the end of the process this one runs first.
        self._finalizer = weakref.finalize(self, self._session.close)

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

    @overload
    def run(self, image: ImageLike, task: str, pathway: str | None = None) -> Result: ...

    @overload
    def run(self, image: ImageLike, task: Sequence[str]) -> dict[str, Result]: ...

    def run(
        self, image: ImageLike, task: str | Sequence[str], pathway: str | None = None
    ) -> Result | dict[str, Result]:
        """Run a task, or several, on one image, and wait for it.

        Args:
            image: uint8 (height, width, 3), RGB, of any size; the path of an image file, or its bytes; an image of Pillow; or a
                moesaic.Image, which says how other arrays are to be read. How it gets to the network's size is part of the build
                (`build.input`), by default the largest centred part with the network's proportions is resized. The result's
                `placement` says which part the network saw.
            task: a key of `tasks`; or several, as TASK or TASK@PATHWAY, for results by these names. They come from one run if the
                build has a joint program of them (`moesaic generate --joint`), with the same integers as from runs of their own.
            pathway: an alternative of the task, such as one with fewer experts; None for the task's default. Changing task or
                pathway from frame to frame costs nothing.

        Raises:
            UserError: the task or pathway is unknown, the image is not as above, or the build is closed meanwhile.
            FrameFault: the machine stopped. The accelerator remains usable.

        After Ctrl-C a board gets a second to end the frame before it is stopped.
        """
        if not isinstance(task, (list, tuple)):
            (result,) = self._run(image, [_name(cast("str", task), pathway)])
            return result
        if pathway is not None:
            raise UserError(f"pathway {pathway!r} of {len(task)} tasks: name each as TASK@PATHWAY")
        results = self._run(image, self._several(task))
        return {pathway_name(result.task, result.pathway): result for result in results}

    def run_each(self, image: ImageLike, tasks: Sequence[str]) -> Generator[Result, None, None]:
        """Run several tasks on one image, and yield each result as soon as it is there.

        A board shows what the run of a joint program has stored, and such results come while the run goes on for the others. They have
        no `counters` yet: those are of the whole run. Elsewhere, all results of a run come at its end.

        Args:
            image: as `run` takes it.
            tasks: names, as TASK or TASK@PATHWAY.

        Raises what `run` raises, UserError at once for names that the build does not have. If the machine stops, results that came before
        are good. Leaving the loop lets go of the others.
        """
        self._require_open()
        programs = self.build.programs_for(self._several(tasks))
        self._require_no_stage()
        return self._each(image, programs)

    def _each(self, image: ImageLike, programs: Sequence[JointProgram]) -> Generator[Result, None, None]:
        self._require_open()
        pipeline, prepared = self._session.pipeline, self._phases.prepare(image, "the image")
        futures: list[Future[Outcome]] = []
        runs: list[tuple[Frame, SimpleQueue[Stored | None]]] = []
        try:
            for program in programs:
                found = SimpleQueue[Stored | None]()
                frame = Frame(program, [prepared], stored=found.put)
                runs.append((frame, found))
                futures.append(pipeline.put(frame))
                futures[-1].add_done_callback(lambda _, found=found: found.put(None))
            for (frame, found), future in zip(runs, futures, strict=True):
                members = set(range(len(frame.program.members)))
                while (stored := found.get()) is not None:
                    members.remove(stored.member)
                    yield self._phases.decode_stored(frame, stored)
                results = results_in(future.result())
                for member in sorted(members):
                    yield results[member]
        finally:
            pipeline.abandon(futures)

    def run_batch(self, images: Iterable[ImageLike], task: str, pathway: str | None = None) -> list[Result]:
        """Run a task on several images, and wait for all of them; results in their order, each with its `index`.

        As many at a time come from one run as the build has a joint program for (`moesaic generate --batch`). Arguments and errors are
        those of `run`.
        """
        self._require_open()
        name = _name(task, pathway)
        prepared = [self._phases.prepare(image, f"image {n}", n) for n, image in enumerate(images)]
        frames, sizes = [], self.build.batches(name)
        while prepared:
            size = next((size for size in sizes if size <= len(prepared)), 1)
            program = self.build.program_for(one_task(name, size))
            assert program is not None
            frames.append(Frame(program, prepared[:size]))
            prepared = prepared[size:]
        return self._results_of(frames)

    def submit(self, image: ImageLike, task: str, pathway: str | None = None) -> Future[Result]:
        """Run a task on one image without waiting for it. Arguments are those of `run`; the image may be changed afterwards.

        Returns the future of the result, which also gets the errors that `run` raises. What was submitted is run in that order.
        Until its upload to the machine begins, `cancel` withdraws it. In an event loop, `await asyncio.wrap_future(future)`.

        Functions added with add_done_callback are called by the machine's own threads and hold them up: they must be short, may
        submit further images, and cannot `run`.
        """
        self._require_open()
        try:
            name, kept = _name(task, pathway), as_image(image).kept()
        except UserError as error:
            future = Future[Result]()
            future.set_exception(error)
            return future
        return cast("Future[Result]", self._session.submissions.submit(kept, name))

    def stream(
        self, frames: Iterable[ImageLike], tasks: Tasks, *, newest: bool = False, batch: int = 1
    ) -> Iterator[Result]:
        """Run a stream of images, overlapping preparation, transfers, computation and decoding of neighbouring frames.

        Args:
            frames: images, uint8 (height, width, 3), or paths, as `run` takes them. Another thread draws them, as far ahead as
                there is room.
            tasks: names, as TASK or TASK@PATHWAY: one name for all frames, a sequence that the frames take in turn, or a function
                of the frame's index. A frame for which the sequence or function gives several names runs all of them, in one run
                if the build has a joint program of them.
            newest: of a live source, such as a camera, run the newest frame each time and drop the others: another thread draws
                frames as fast as they come, so that they do not grow old in a queue. A result that was not taken is replaced by the
                next, too. `Result.dropped` says how many frames were left out. The last frame is not dropped.
            batch: so many successive frames of a task come from one run, by a joint program that the build has for them (`moesaic
                generate --batch`). The first of them waits until the others are there; what is left at the end is run alone.

        Yields results in order; `Result.index` is the number of the frame. The first frame that cannot be read, prepared or run
        raises its error in its turn and ends the stream, as does leaving the loop; the accelerator remains usable. Raises UserError
        at once for names that the build does not have.

        Runs and other streams may go on beside it, in the loop's body, too. A loop that stands still keeps nobody waiting.
        """
        self._require_open()
        check_tasks(self.build, tasks)
        check_batch(self.build, tasks, batch, newest)
        if isinstance(frames, (str, bytes, os.PathLike)) or not isinstance(frames, Iterable):
            raise UserError(
                f"the frames of a stream are {type(frames).__name__} {frames!r}; pass a list, or anything else that yields images"
            )
        return self._results(frames, tasks, newest, batch)

    def _results(self, frames: Iterable[ImageLike], tasks: Tasks, newest: bool, batch: int) -> Iterator[Result]:
        self._require_open()
        session = self._session
        stream = (
            NewestStream(self.build, self._phases, session.pipeline, frames, tasks)
            if newest
            else Stream(self.build, self._phases, session.pipeline, frames, tasks, batch)
        )
        session.streams.add(stream)
        try:
            yield from stream.results()
        finally:
            stream.stop()
            session.streams.discard(stream)

    def run_whole(self, image: ImageLike, task: str, pathway: str | None = None) -> tuple[np.ndarray, Counters]:
        """Run a task and return the whole frame window, uint8 (frame_bytes,), and the counters.

        The window is filled with a pattern before the image is written, so two machines that return the same bytes agree on every
        byte that the program writes and on every byte that it must leave alone. Arguments and errors are those of `run`.
        """
        self._require_open()
        (program,) = self.build.programs_for([_name(task, pathway)])
        frame = Frame(program, [self._phases.prepare(image, "the image")], whole=True)
        (outcome,) = self._wait_for([frame])
        assert isinstance(outcome, Whole)
        return outcome.window, outcome.counters

    def _run(self, image: ImageLike, names: list[str]) -> list[Result]:
        self._require_open()
        programs = self.build.programs_for(names)
        prepared = self._phases.prepare(image, "the image")
        return self._results_of([Frame(program, [prepared]) for program in programs])

    def _results_of(self, frames: list[Frame]) -> list[Result]:
        return [result for outcome in self._wait_for(frames) for result in results_in(outcome)]

    def _wait_for(self, frames: list[Frame]) -> list[Outcome]:
        """Put frames in line and wait for all of them. The first error ends them all."""
        self._require_no_stage()
        pipeline = self._session.pipeline
        futures: list[Future[Outcome]] = []
        try:
            futures += [pipeline.put(frame) for frame in frames]
            return [future.result() for future in futures]
        except BaseException:  # Ctrl-C, or a frame's own error
            pipeline.abandon(futures)
            raise

    def _several(self, tasks: Sequence[str]) -> list[str]:
        """The names, each once. UserError if there are none."""
        if not tasks:
            raise UserError(f"a run of 0 tasks; build {self.build.name} has {', '.join(sorted(self.build.tasks))}")
        return list(dict.fromkeys(tasks))

    def _require_no_stage(self) -> None:
        """UserError in one of the pipeline's own threads, which cannot wait for a frame."""
        if self._session.pipeline.is_stage(threading.current_thread()):
            raise UserError(
                "run was called by a function added with add_done_callback, in a thread that the machine needs; "
                "call submit there, or run in another thread"
            )

    def power(self) -> dict[str, float]:
        """Read the board's power rails: name to watts at this moment. UserError if there are none."""
        self._require_open()
        executor = self._session.executor
        if not isinstance(executor, PowerMeter):
            raise UserError(f"the {self.executor_name} has no power rails; a board has, open the build on one")
        return executor.power()

    def _require_open(self) -> None:
        if self._session.process != os.getpid():
            raise UserError(
                f"build {self.build.name} was opened by process {self._session.process}, this is process {os.getpid()}, which was "
                "forked from it; open the build in each process"
            )
        if not self._finalizer.alive:
            raise UserError(f"build {self.build.name} was closed; open it again with moesaic.open")

    def close(self) -> None:
        """Free the machine. Closing twice is harmless.

        The frame that the machine computes is finished, for which a board gets a second, and its result delivered. Everything that
        waits, in `run`, in futures or in streams, ends with UserError, as does every later call.
        """
        self._finalizer()

    def __enter__(self) -> Accelerator:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _name(task: str, pathway: str | None) -> str:
    """The name of a task's pathway. UserError for a pathway that is no text; Build.task checks the rest."""
    if pathway is not None and not isinstance(pathway, str):
        raise UserError(
            f"a pathway is named by a text, not by {type(pathway).__name__} {pathway!r}; the build's tasks list theirs"
        )
    return task if pathway is None else pathway_name(task, pathway)


def open_build(path: Path | str, executor: str | Executor | None = None, max_cycles: int = MAX_CYCLES) -> Accelerator:
    """Open a build directory, as written by `moesaic generate`. Any thread may do so.

    Args:
        path: the directory.
        executor: "board", "emulator" (the build's C++, compiled by g++ when first used), "reference" (numpy, slow), or, where
            simulators are installed, "rtl" (the build's RTL under Verilator, slower still, with the cycles of a board). None and
            "auto" take the board if PYNQ finds one and there is a bitstream for this configuration, otherwise the emulator;
            `Accelerator.executor_reason` says which it was. An object that implements moesaic.spec.executor.Executor is used as it
            is, and belongs to the accelerator from then on.
        max_cycles: a longer run is stopped with FrameFault, on machines that have a clock; 1 to 4,294,967,295.

    Raises:
        UserError: an argument is not as above, the build is damaged, something that the executor needs is missing, or its
            fingerprint is not the build's.
    """
    limit = checked_max_cycles(max_cycles)
    name, known = "auto" if executor is None else executor, ("auto", *executor_names())
    if name not in known if isinstance(name, str) else not isinstance(name, Executor):
        raise UserError(
            f"unknown executor {name!r}; known: {', '.join(known)}, and objects with the fingerprint, run and close of "
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
        return Accelerator(build, make_executor(name, directory, build), name, "it was asked for", limit)
    name, reason = choose_executor(directory, build)
    try:
        made = make_executor(name, directory, build)
    except UserError as error:
        raise UserError(f"{error} (taken by auto: {reason})") from error
    _LOG.info("build %s on the %s: %s", build.name, name, reason)
    return Accelerator(build, made, name, reason, limit)
