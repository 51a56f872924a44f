"""Images handed in without waiting for their results: a thread prepares them one after another and puts them in line."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from queue import SimpleQueue
from typing import NamedTuple

from moesaic.host.frame_pipeline import Pipeline
from moesaic.host.frame_stream import FRAMES_AHEAD
from moesaic.host.image import Image
from moesaic.host.phases import Frame, Outcome, Phases
from moesaic.spec.build import Build

_STOP_SECONDS = 1.0
"""How long the image that is being read may take when the build is closed."""


class _Submitted(NamedTuple):
    image: Image
    name: str
    future: Future[Outcome]


class Submissions:
    """All that were submitted to one build. Together they have as many frames in line as one stream has."""

    def __init__(self, build: Build, phases: Phases, pipeline: Pipeline) -> None:
        self._build, self._phases, self._pipeline = build, phases, pipeline
        self._submitted = SimpleQueue[_Submitted | None]()
        self._room = threading.Semaphore(FRAMES_AHEAD)
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="moesaic-prepare", daemon=True)

    def submit(self, image: Image, name: str) -> Future[Outcome]:
        """The future of an image's outcome. image: one that does not change. name: as TASK or TASK@PATHWAY.

        It fails with UserError if there is no such task, or if the image cannot be taken. Raises UserError after close().
        """
        future = Future[Outcome]()
        with self._lock:
            if self._closed:
                raise self._pipeline.closed_error()
            self._submitted.put(_Submitted(image, name, future))
            if self._thread.ident is None:
                self._thread.start()
        return future

    def close(self) -> None:
        """End the thread once the pipeline is closed; what is left fails as the pipeline's own frames do."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._submitted.put(None)
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(_STOP_SECONDS)

    def _work(self) -> None:
        while (submitted := self._submitted.get()) is not None:
            self._put(*submitted)
            del submitted

    def _put(self, image: Image, name: str, future: Future[Outcome]) -> None:
        self._room.acquire()
        if future.cancelled():
            self._room.release()
            future.set_running_or_notify_cancel()
            return
        try:
            if self._pipeline.closed:
                raise self._pipeline.closed_error()
            (program,) = self._build.programs_for([name])
            self._pipeline.put(Frame(program, [self._phases.prepare(image, "the image")]), future)
        except BaseException as error:
            self._room.release()
            if future.set_running_or_notify_cancel():
                future.set_exception(error)
        else:
            future.add_done_callback(lambda _: self._room.release())
