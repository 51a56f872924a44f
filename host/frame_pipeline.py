"""The line of frames before the machine, the only way to it: whatever threads frames come from, they are served in that order.

Three threads take a frame through its stages: one uploads, one computes, one downloads and decodes. While the machine computes a
frame, the next one is uploaded and the previous one decoded. As many memories as there are frame windows go round between the first
thread and the last; a frame has one of them to itself from its upload to the end of its download. No signal handler runs in these
threads, so that Ctrl-C cannot tear a stage in two.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from typing import NamedTuple

from moesaic.errors import UserError
from moesaic.host.phases import Frame, Outcome, Phases
from moesaic.spec.executor import Memory

_STOP_SECONDS = 1.0
"""How long a machine that can be stopped may go on with a frame that nobody waits for any more."""


class _Job(NamedTuple):
    frame: Frame
    future: Future[Outcome]


class Pipeline:
    """Takes frames from any thread. Its own threads are started with the first frame and end with close().

    name: of the build, for errors. memories: one for each frame that may be in the machine's hands at once.
    """

    def __init__(self, name: str, phases: Phases, memories: Sequence[Memory]) -> None:
        self._name, self._phases = name, phases
        self._free = SimpleQueue[Memory]()
        for memory in memories:
            self._free.put(memory)
        self._line = SimpleQueue[_Job | None]()
        self._uploaded = SimpleQueue[_Job | None]()
        self._computed = SimpleQueue[_Job | None]()
        self._lock = threading.RLock()  # a forgotten stream may be collected, and end, while this very thread holds it
        self._closed = False
        self._computing: Future[Outcome] | None = None
        stages = (
            ("upload", self._line, self._upload, self._uploaded),
            ("compute", self._uploaded, self._compute, self._computed),
            ("finish", self._computed, self._finish, None),
        )
        # Daemons: results that nobody takes may not keep the process alive. Whoever opened the build closes it.
        self._threads = [
            threading.Thread(target=_stage, args=(source, step, target), name=f"moesaic-{name}", daemon=True)
            for name, source, step, target in stages
        ]

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._closed

    def closed_error(self) -> UserError:
        """What a frame ends with that close() overtook."""
        return UserError(f"build {self._name} was closed before the frame was done; open it again with moesaic.open")

    def is_stage(self, thread: threading.Thread) -> bool:
        """Whether the thread is one of the pipeline's own, which cannot wait for a frame."""
        return thread in self._threads

    def put(self, frame: Frame, future: Future[Outcome] | None = None) -> Future[Outcome]:
        """Put a prepared frame at the end of the line; returns the future of its outcome, a new one if none is given.

        The future can be cancelled until a memory is free for the frame and its upload begins. Never blocks. UserError if the
        pipeline was closed.
        """
        job = _Job(frame, Future() if future is None else future)
        with self._lock:
            if self._closed:
                raise self.closed_error()
            if self._threads[0].ident is None:
                for thread in self._threads:
                    thread.start()
            self._line.put(job)
        return job.future

    def abandon(self, futures: Iterable[Future[Outcome]]) -> None:
        """Let go of frames that nobody waits for any more: cancel those that wait; a board gets a second for one that it computes."""
        left = [future for future in futures if not future.cancel()]
        with self._lock:
            if self._computing is not None and any(future is self._computing for future in left):
                self._phases.limit(time.monotonic() + _STOP_SECONDS)

    def close(self) -> None:
        """End the threads. Calling it twice, or from several threads, is harmless.

        The frame that is computed is finished (a board gets a second for it), as are those that wait for their download. All others
        end with closed_error().
        """
        with self._lock:
            if not self._closed:
                self._closed = True
                self._line.put(None)
            if self._computing is not None:
                self._phases.limit(time.monotonic() + _STOP_SECONDS)
        for thread in self._threads:
            if thread.ident is not None and thread is not threading.current_thread():
                thread.join()

    def _upload(self, job: _Job) -> bool:
        memory = self._free.get()
        if not job.future.set_running_or_notify_cancel():
            self._free.put(memory)
            return False
        job.frame.memory = memory
        if self._closed:
            return self._fail(job, self.closed_error())
        try:
            self._phases.upload(job.frame)
        except BaseException as error:
            return self._fail(job, error)
        return True

    def _compute(self, job: _Job) -> bool:
        with self._lock:
            closed = self._closed
            self._computing = None if closed else job.future
        if closed:
            return self._fail(job, self.closed_error())
        try:
            self._phases.compute(job.frame)
        except BaseException as error:
            return self._fail(job, error)
        finally:
            with self._lock:
                self._computing = None
                self._phases.limit(math.inf)
        return True

    def _finish(self, job: _Job) -> bool:
        try:
            self._phases.download(job.frame)
        except BaseException as error:
            return self._fail(job, error)
        self._free.put(job.frame.memory)
        try:
            outcome = self._phases.decode(job.frame)
        except BaseException as error:
            job.future.set_exception(error)
        else:
            job.future.set_result(outcome)
        return True

    def _fail(self, job: _Job, error: BaseException) -> bool:
        """End a frame, which has a memory, with an error; after close(), whose consequence it may be, with closed_error()."""
        self._free.put(job.frame.memory)
        job.future.set_exception(self.closed_error() if self._closed else error)
        return False


def _stage(source: SimpleQueue, step: Callable[[_Job], bool], target: SimpleQueue | None) -> None:
    """Take each job from one queue through a step and, unless that ends it, on to the next queue, until None comes."""
    while (job := source.get()) is not None:
        goes_on = step(job)
        if goes_on and target is not None:
            target.put(job)
        del job  # or its image would be kept until the next one comes
    if target is not None:
        target.put(None)
