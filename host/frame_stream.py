"""Streams of frames: a thread of their own draws and prepares them, and the pipeline takes them in line with everyone else's.

A stream has a limited number of frames on their way, and none of them needs the stream's consumer to get off the machine. A loop
that stands still, or was left behind, therefore stops its own stream only.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace

from moesaic.errors import UserError
from moesaic.host.frame_pipeline import Pipeline
from moesaic.host.image import ImageLike
from moesaic.host.phases import Frame, Outcome, Phases, Prepared, results_in
from moesaic.host.result import Result
from moesaic.spec.build import Build
from moesaic.spec.joint_programs import JointProgram, one_task

Choice = str | Sequence[str]
"""What to run on a frame: one task, as TASK or TASK@PATHWAY, or several."""

Tasks = str | Sequence[Choice] | Callable[[int], Choice]
"""What to run in a stream: one task for all frames, several that the frames take in turn, or a function of the frame's index."""

FRAMES_AHEAD = 4
"""Frames of a stream that were drawn and whose results were not taken: one in each stage, and one prepared."""
_NEWEST_AHEAD = 2
"""The same for the newest frames: one is prepared and uploaded while the machine computes another; finished ones do not count."""
_UNSEEN_MOST = 2
"""Newest frames computed in vain while the consumer is away; after that, the stream waits for it."""
_STOP_SECONDS = 1.0
"""How long a source of frames may take to answer when the stream is ended."""


class _Stopped(Exception):
    """The stream was stopped."""


def choice_of(tasks: Tasks, index: int) -> tuple[str, ...]:
    """The names, as TASK or TASK@PATHWAY, of what is run on the frame of this index. UserError if they are no texts."""
    if callable(tasks):
        chosen = tasks(index)
    elif isinstance(tasks, str):
        chosen = tasks
    else:
        chosen = tasks[index % len(tasks)]
    if isinstance(chosen, str):
        return (chosen,)
    if isinstance(chosen, Iterable) and not isinstance(chosen, (bytes, bytearray)):
        return tuple(chosen)
    raise UserError(f"the tasks of frame {index} are {chosen!r}; name one, or several in a list or tuple")


def check_tasks(build: Build, tasks: Tasks) -> None:
    """UserError if there is no name, or one known beforehand is not the build's. What a function will return is not checked."""
    if callable(tasks):
        return
    if not isinstance(tasks, Sequence) or isinstance(tasks, (bytes, bytearray)):
        raise UserError(
            f"the tasks of a stream are {tasks!r}; pass a name, a list of names, or a function of the frame's index"
        )
    if not tasks:
        raise UserError(f"a stream of 0 tasks; build {build.name} has {', '.join(sorted(build.tasks))}")
    for index in range(1 if isinstance(tasks, str) else len(tasks)):
        for name in choice_of(tasks, index):
            build.task(name)


def check_batch(build: Build, tasks: Tasks, batch: int, newest: bool) -> None:
    """UserError if batches are of no frames or of newest ones, or the build has no joint program for a task known beforehand."""
    if type(batch) is not int or batch < 1:
        raise UserError(f"a stream in batches of {batch!r} frames; a batch has 1 or more")
    if batch == 1 or callable(tasks):
        return
    if newest:
        raise UserError(f"a stream of newest frames in batches of {batch}: leave batch or newest out")
    for index in range(1 if isinstance(tasks, str) else len(tasks)):
        for name in choice_of(tasks, index):
            if batch not in build.batches(name):
                known = ", ".join(map(str, build.batches(name))) or "none"
                raise UserError(
                    f"build {build.name} has no joint program of {batch} images of {name} (of so many it has some: {known}); "
                    f"make one with `moesaic generate --batch {batch}`"
                )


class _End:
    """Follows the last frame: the stream is over, because of an error or not."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class _Group:
    """A frame on its way with all its runs. runs: how many."""

    def __init__(self, index: int, runs: int) -> None:
        self.index = index
        self.runs = runs
        self.futures: list[Future[Outcome]] = []

    @property
    def done(self) -> bool:
        return len(self.futures) >= self.runs and all(future.done() for future in self.futures)

    @property
    def failed(self) -> bool:
        """Of one that is done: whether it ended with an error."""
        return any(future.cancelled() or future.exception() is not None for future in self.futures)


class Stream:
    """One stream, from the first result that is asked for to stop().

    frames: what Phases.prepare takes, drawn by another thread. batch: how many successive frames of a task come from one run.
    """

    def __init__(
        self,
        build: Build,
        phases: Phases,
        pipeline: Pipeline,
        frames: Iterable[ImageLike],
        tasks: Tasks,
        batch: int = 1,
    ) -> None:
        self._build, self._phases, self._pipeline = build, phases, pipeline
        self._frames, self._tasks, self._batch = frames, tasks, batch
        self._changed = threading.Condition()
        self._stopped = False
        self._room = FRAMES_AHEAD
        self._waiting = deque[Future[Outcome] | _End]()
        # A daemon: a camera may not keep the process alive. Whoever starts a stream stops it.
        self._threads = [threading.Thread(target=self._feed, name="moesaic-feed", daemon=True)]

    def results(self) -> Iterator[Result]:
        """The results in order. The error of a frame is raised in its place and ends the stream.

        UserError if close() ended the stream.
        """
        for thread in self._threads:
            thread.start()
        try:
            yield from self._results()
        except Exception:
            if not self._stopped:
                raise
            raise UserError(
                f"the stream of build {self._build.name} was ended by close(); open the build again with moesaic.open"
            ) from None

    def stop(self) -> None:
        """End the stream. Its frames leave the line; a source that does not answer within a second is abandoned.

        Stopping twice is harmless.
        """
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._pipeline.abandon(self._on_their_way())
        for thread in self._threads:
            if thread.ident is not None and thread is not threading.current_thread():
                thread.join(_STOP_SECONDS)

    def _on_their_way(self) -> list[Future[Outcome]]:
        with self._changed:
            return [future for future in self._waiting if not isinstance(future, _End)]

    def _wait(self, condition: Callable[[], object]) -> None:
        """Wait, holding self._changed, until the condition is met. _Stopped if the stream ends before."""
        self._changed.wait_for(lambda: self._stopped or condition())
        if self._stopped:
            raise _Stopped

    def _results(self) -> Iterator[Result]:
        while True:
            with self._changed:
                self._wait(lambda: self._waiting)
                item = self._waiting[0]
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            results = results_in(item.result())
            with self._changed:
                self._waiting.popleft()
                self._room += 1
                self._changed.notify_all()
            yield from results

    def _feed(self) -> None:
        try:
            try:
                self._feed_all()
                end = _End()
            except _Stopped:
                raise
            except BaseException as error:
                end = _End(error)
            with self._changed:
                self._finish_feeding(end)
                self._changed.notify_all()
        except _Stopped:
            pass

    def _finish_feeding(self, end: _End) -> None:
        self._waiting.append(end)

    def _draw(self) -> Iterator[tuple[int, ImageLike]]:
        """The frames with their indices, each drawn when there is room for it."""
        frames = enumerate(self._frames)
        while True:
            with self._changed:
                self._wait(lambda: self._room > 0)
            try:
                yield next(frames)
            except StopIteration:
                return

    def _feed_all(self) -> None:
        held: list[Prepared] = []  # the beginning of a batch
        holding: tuple[str, ...] = ()
        try:
            for index, source in self._draw():
                prepared = self._phases.prepare(source, f"frame {index}", index)
                names = choice_of(self._tasks, index)
                if names != holding:
                    beginning, held = held, []
                    self._feed_each(holding, beginning)
                images, held, holding = [*held, prepared], [], names
                batch = self._batch_of(names)
                if batch is None:
                    self._feed_each(names, images)
                elif len(images) < self._batch:
                    held = images
                else:
                    self._feed_run(_Group(images[0].index, 1), Frame(batch, images))
        except _Stopped:
            raise
        except BaseException:
            self._feed_each(holding, held)
            raise
        self._feed_each(holding, held)

    def _batch_of(self, names: tuple[str, ...]) -> JointProgram | None:
        """The program that a batch of frames with these tasks comes from, if there is one."""
        if self._batch == 1 or len(names) != 1:
            return None
        return self._build.program_for(one_task(names[0], self._batch))

    def _feed_each(self, names: tuple[str, ...], images: Sequence[Prepared]) -> None:
        """All tasks of each of the images."""
        for prepared in images:
            programs = self._build.programs_for(names)
            group = _Group(prepared.index, len(programs))
            for n, program in enumerate(programs):
                # The time of an image's preparation is counted with its first run.
                counted = prepared if n == 0 else prepared._replace(seconds=0.0)
                self._feed_run(group, Frame(program, [counted]))

    def _feed_run(self, group: _Group, frame: Frame) -> None:
        with self._changed:
            self._wait(lambda: self._room > 0)
            self._room -= 1
        self._put(group, self._pipeline.put(frame))

    def _put(self, group: _Group, future: Future[Outcome]) -> None:
        """Note that a run of a frame is in line."""
        with self._changed:
            self._waiting.append(future)
            self._changed.notify_all()
        self._withdraw_if_stopped(future)

    def _withdraw_if_stopped(self, future: Future[Outcome]) -> None:
        """For a frame that got in line while the stream was stopped."""
        if self._stopped:
            self._pipeline.abandon([future])


class NewestStream(Stream):
    """A stream that keeps up with its source: of the frames drawn so far, the newest is taken, and the newest result handed out.

    A further thread draws frames as fast as they come. The machine goes on while the consumer is busy: a frame whose results are there
    replaces the one before it. After a few in vain it waits for the consumer, who then gets the next frame instead of one that has
    become old. The results of a frame come together. The last frame and errors are never dropped.
    """

    def __init__(
        self, build: Build, phases: Phases, pipeline: Pipeline, frames: Iterable[ImageLike], tasks: Tasks
    ) -> None:
        super().__init__(build, phases, pipeline, frames, tasks)
        self._room = _NEWEST_AHEAD
        self._drawn: tuple[int, ImageLike] | None = None
        self._source_end: _End | None = None
        self._groups = deque[_Group]()  # in line, in order; the first may be done and wait for the consumer
        self._unseen = 0
        self._end: _End | None = None
        self._threads.append(threading.Thread(target=self._keep_newest, name="moesaic-draw", daemon=True))

    def _keep_newest(self) -> None:
        end = _End()
        try:
            for drawn in enumerate(self._frames):
                with self._changed:
                    if self._stopped:
                        return
                    self._drawn = drawn
                    self._changed.notify_all()
                del drawn
        except BaseException as error:
            end = _End(error)
        with self._changed:
            self._source_end = end
            self._changed.notify_all()

    def _draw(self) -> Iterator[tuple[int, ImageLike]]:
        while True:
            with self._changed:
                self._wait(
                    lambda: (
                        self._room > 0
                        and self._unseen < _UNSEEN_MOST
                        and (self._drawn is not None or self._source_end is not None)
                    )
                )
                drawn, self._drawn = self._drawn, None
            if drawn is not None:
                yield drawn
            elif self._source_end is not None and self._source_end.error is not None:
                raise self._source_end.error
            else:
                return

    def _put(self, group: _Group, future: Future[Outcome]) -> None:
        with self._changed:
            if not group.futures:
                self._groups.append(group)
            group.futures.append(future)
        future.add_done_callback(self._one_is_done)
        self._withdraw_if_stopped(future)

    def _one_is_done(self, future: Future[Outcome]) -> None:
        with self._changed:
            self._room += 1
            while len(self._groups) > 1 and self._groups[1].done and not self._groups[0].failed:
                self._groups.popleft()
                self._unseen += 1
            self._changed.notify_all()

    def _finish_feeding(self, end: _End) -> None:
        for group in self._groups:
            group.runs = len(group.futures)  # the last one may lack some, because of the error
        self._end = end

    def _on_their_way(self) -> list[Future[Outcome]]:
        with self._changed:
            return [future for group in self._groups for future in group.futures]

    def _results(self) -> Iterator[Result]:
        last = -1
        while True:
            with self._changed:
                paused, self._unseen = self._unseen >= _UNSEEN_MOST, 0
                first = self._groups[0] if self._groups else None
                if paused and self._drawn is not None and first is not None and first.done and not first.failed:
                    self._groups.popleft()
                self._changed.notify_all()
                self._wait(lambda: self._groups[0].done if self._groups else self._end is not None)
                group = self._groups.popleft() if self._groups else None
            if group is None:
                if self._end is not None and self._end.error is not None:
                    raise self._end.error
                return
            for future in group.futures:
                for result in results_in(future.result()):
                    yield replace(result, dropped=group.index - last - 1)
            last = group.index
