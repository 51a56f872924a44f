"""Streams of frames: while the machine computes one, the next is prepared and uploaded and the previous one downloaded and decoded.

Three threads pass frames on through channels. Two memories circulate between the first thread and the last (double buffering): one
holds the frame being computed while the other is emptied and filled. Results come in the order of the frames.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from moesaic.errors import UserError
from moesaic.host.phases import Frame, Phases
from moesaic.host.result import Result
from moesaic.spec.build import Build
from moesaic.spec.executor import Memory

Choice = str | Sequence[str]
"""What to run on a frame: one task, as TASK or TASK@PATHWAY, or several."""

Tasks = str | Sequence[Choice] | Callable[[int], Choice]
"""What to run in a stream: one task for all frames, several that the frames take in turn, or a function of the frame's index."""

_Item = TypeVar("_Item")
_RESULTS_AHEAD = 2
_STOP_SECONDS = 1.0
"""How long a stoppable machine, and then a source of frames, may take to come to an end when the stream is ended."""


class _Closed(Exception):
    """The channel was closed: the stream ends."""


class _Channel(Generic[_Item]):
    """A queue between two threads. Any thread can close it, which wakes both; once closed, it hands on nothing more."""

    def __init__(self, capacity: int) -> None:
        self._items: deque[_Item] = deque()
        self._capacity = capacity
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: _Item) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._items) < self._capacity)
            if self._closed:
                raise _Closed
            self._items.append(item)
            self._changed.notify_all()

    def get(self) -> _Item:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._items)
            if self._closed:
                raise _Closed
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class _End:
    """Follows the last frame: the stream is over, because of an error or not."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def _join(thread: threading.Thread, seconds: float | None) -> None:
    """Wait for a thread that was started, unless it is the current one, in which a forgotten stream may have been collected."""
    if thread.ident is not None and thread is not threading.current_thread():
        thread.join(seconds)


def choice_of(tasks: Tasks, index: int) -> tuple[str, ...]:
    """The names, as TASK or TASK@PATHWAY, of what is run on the frame of this index."""
    if callable(tasks):
        chosen = tasks(index)
    elif isinstance(tasks, str):
        chosen = tasks
    else:
        chosen = tasks[index % len(tasks)]
    return (chosen,) if isinstance(chosen, str) else tuple(chosen)


def check_tasks(build: Build, tasks: Tasks) -> None:
    """UserError if there is no name, or one known beforehand is not the build's. What a function will return is not checked."""
    if callable(tasks):
        return
    if not tasks:
        raise UserError(f"a stream of 0 tasks; build {build.name} has {', '.join(sorted(build.tasks))}")
    for index in range(1 if isinstance(tasks, str) else len(tasks)):
        for name in choice_of(tasks, index):
            build.task(name)


class Pipeline:
    """One stream, from start() to stop(). memories: shared in turn by the frames in the machine; at least two, to overlap."""

    def __init__(
        self,
        build: Build,
        phases: Phases,
        memories: Sequence[Memory],
        frames: Iterable[np.ndarray | Path | str],
        tasks: Tasks,
    ) -> None:
        self._build, self._phases, self._frames, self._tasks = build, phases, frames, tasks
        self._free = _Channel[Memory](len(memories))
        self._uploaded = _Channel[Frame | _End](len(memories) + 1)
        self._computed = _Channel[Frame | _End](len(memories) + 1)
        self._results = _Channel[Result | _End](_RESULTS_AHEAD)
        self._channels = (self._free, self._uploaded, self._computed, self._results)
        for memory in memories:
            self._free.put(memory)
        self._stopped = False
        self._feeding = threading.RLock()  # held by the feeder while it waits for a memory or has one
        # Daemons: neither a camera nor results that nobody takes may keep the process alive. Whoever starts a stream stops it.
        self._feeder = threading.Thread(target=self._feed, name="moesaic-feed", daemon=True)
        self._workers = (
            threading.Thread(
                target=self._each,
                args=(self._uploaded, self._compute, self._computed),
                name="moesaic-compute",
                daemon=True,
            ),
            threading.Thread(
                target=self._each,
                args=(self._computed, self._finish, self._results),
                name="moesaic-decode",
                daemon=True,
            ),
        )

    def start(self) -> None:
        """Start the threads."""
        for thread in (self._feeder, *self._workers):
            thread.start()

    def stop(self) -> None:
        """End the threads, once the machine has finished what it is doing. Stopping twice is harmless.

        A board gets a second for that. A source of frames that has not returned after another second is abandoned.
        """
        if self._stopped:
            return
        for channel in self._channels:
            channel.close()
        self._phases.limit(time.monotonic() + _STOP_SECONDS)
        try:
            with self._feeding:
                pass  # from here on the feeder holds no memory and gets none
            for worker in self._workers:
                _join(worker, None)
        finally:
            self._phases.limit(math.inf)
        _join(self._feeder, _STOP_SECONDS)
        self._stopped = True

    def results(self) -> Iterator[Result]:
        """The results in order. The error of a frame is raised in its place and ends the stream.

        UserError if another run or close() ended the stream.
        """
        while True:
            try:
                item = self._results.get()
            except _Closed:
                raise UserError(
                    f"the stream of build {self._build.name} was ended by another run or by close(); start it again after that"
                ) from None
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item

    def _feed(self) -> None:
        try:
            try:
                for index, source in enumerate(self._frames):
                    self._feed_frame(index, source)
                end = _End()
            except _Closed:
                raise
            except BaseException as error:
                end = _End(error)
            self._uploaded.put(end)
        except _Closed:
            pass

    def _feed_frame(self, index: int, source: np.ndarray | Path | str) -> None:
        image, placement, seconds = self._phases.prepare(source, f"frame {index}")
        for name in choice_of(self._tasks, index):
            self._build.task(name)
            with self._feeding:
                frame = Frame(index, name, image, placement, self._free.get(), seconds)
                self._phases.upload(frame)
            self._uploaded.put(frame)
            seconds = {"prepare": 0.0}  # counted with the frame's first task

    def _each(
        self, source: _Channel[Frame | _End], step: Callable[[Frame], _Item], target: _Channel[_Item | _End]
    ) -> None:
        """Take every frame from one channel through a step to the next channel."""
        try:
            while True:
                item = source.get()
                if isinstance(item, _End):
                    done = item
                else:
                    try:
                        done = step(item)
                    except _Closed:
                        raise
                    except BaseException as error:
                        done = _End(error)
                target.put(done)
                if isinstance(done, _End):
                    return
        except _Closed:
            pass

    def _compute(self, frame: Frame) -> Frame:
        self._phases.compute(frame)
        return frame

    def _finish(self, frame: Frame) -> Result:
        self._phases.download(frame)
        self._free.put(frame.memory)
        return self._phases.decode(frame)
