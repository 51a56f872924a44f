"""The steps of a frame, which moesaic.host.frame_pipeline takes side by side for neighbouring frames."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from moesaic.host.image import ImageLike, as_image
from moesaic.host.result import FrameFault, Result
from moesaic.spec.build import Build
from moesaic.spec.executor import Counters, Executor, MachineFault, Memory, Program
from moesaic.spec.pathway_names import split_pathway_name
from moesaic.spec.placement import Placement
from moesaic.spec.predictions import decode
from moesaic.spec.resize import fit

PATTERN = 0xA5
"""The byte that fills frame windows in advance."""
PHASES = ("prepare", "upload", "compute", "download", "decode")


@runtime_checkable
class StagedExecutor(Executor, Protocol):
    """An executor whose frame window lies elsewhere than memory.frame.

    The steps of its `run` can be taken separately, in several threads.
    """

    def upload(self, memory: Memory, part: slice) -> None:
        """Copy that part (bytes) of memory.frame to the machine."""
        ...

    def compute(self, program: Program, memory: Memory, max_cycles: int) -> Counters:
        """Run a program in the window of an uploaded memory. Raises MachineFault."""
        ...

    def download(self, memory: Memory, part: slice) -> None:
        """Copy that part (bytes) of memory.frame back from the machine."""
        ...

    def limit(self, deadline: float) -> None:
        """Have runs give up with TIMEOUT at `deadline`, a time of time.monotonic(). Any thread may call it."""
        ...


class Whole(NamedTuple):
    """The frame window after a run, uint8 (frame_bytes,), and the run's counters."""

    window: np.ndarray
    counters: Counters


Outcome = Result | Whole
"""What becomes of a frame."""


@dataclass
class Frame:
    """A frame on its way. name: the task, or task and pathway (moesaic.spec.pathway_names).

    index: number of the frame in its stream. image: what the network sees, uint8 (height, width, 3). placement: which part of the
    given image that is. seconds: time taken, by phase. whole: the outcome is the whole frame window, which is filled with a pattern
    before the image is written. memory: the one whose frame window it uses, from its upload to its download. counters: there once it
    is computed. raw: there once it is downloaded, int16 (height, width, channels), or the window, uint8 (frame_bytes,).
    """

    index: int
    name: str
    image: np.ndarray
    placement: Placement
    seconds: dict[str, float]
    whole: bool = False
    memory: Memory = field(init=False)
    counters: Counters = field(init=False)
    raw: np.ndarray = field(init=False)

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Record how long a phase takes."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[phase] = time.perf_counter() - begin


class Phases:
    """The steps on one build and one executor. Each step may run in its own thread, for different frames; `prepare` in many."""

    def __init__(self, build: Build, executor: Executor, max_cycles: int) -> None:
        self._build, self._executor, self._max_cycles = build, executor, max_cycles
        self._staged: StagedExecutor | None = executor if isinstance(executor, StagedExecutor) else None
        self._image = slice(build.image_offset, build.image_offset + build.image_bytes)

    def prepare(self, source: ImageLike, name: str) -> tuple[np.ndarray, Placement, dict[str, float]]:
        """What the network sees (moesaic.spec.resize.fit), uint8 (height, width, 3), where it lies, and the seconds taken, by phase.

        source: an Image, or what one is made of. name: what an error calls the image. UserError if it cannot be taken.
        """
        begin = time.perf_counter()
        given, build = as_image(source), self._build
        pixels = given.pixels(name)
        image, placement = fit(pixels, given.description(build.input), build.image_height, build.image_width)
        if np.may_share_memory(image, pixels):
            image = image.copy()  # a camera may fill its array again while the result still shows this frame
        return image, placement, {"prepare": time.perf_counter() - begin}

    def upload(self, frame: Frame) -> None:
        """Write the image into the frame's memory and copy it to the machine."""
        with frame.timed("upload"):
            if frame.whole:
                frame.memory.frame[:] = PATTERN
            self._build.write_image(frame.memory.frame, frame.image)
            if self._staged is not None:
                self._staged.upload(frame.memory, slice(None) if frame.whole else self._image)

    def compute(self, frame: Frame) -> None:
        """Run the task. FrameFault if the machine stops; the next run is not affected."""
        program = self._build.task(frame.name).program
        with frame.timed("compute"):
            try:
                run = self._executor.run if self._staged is None else self._staged.compute
                frame.counters = run(program, frame.memory, self._max_cycles)
            except MachineFault as fault:
                tags = self._build.tags
                known = fault.unit != "fetch" and fault.tag < len(tags)
                raise FrameFault(fault, frame.name, tags[fault.tag] if known else "no layer") from None

    def download(self, frame: Frame) -> None:
        """Fetch a copy of the task's output, or of the whole window; after that, the memory can take another frame."""
        with frame.timed("download"):
            task, part = self._build.task(frame.name), slice(None)
            if not frame.whole:
                part = slice(task.output_offset, task.output_offset + 2 * int(np.prod(task.output_shape)))
            if self._staged is not None:
                self._staged.download(frame.memory, part)
            window = frame.memory.frame
            frame.raw = window.copy() if frame.whole else self._build.read_output(window, frame.name)

    def limit(self, deadline: float) -> None:
        """If the machine can be stopped, have runs give up at `deadline`, a time of time.monotonic()."""
        if self._staged is not None:
            self._staged.limit(deadline)

    def decode(self, frame: Frame) -> Outcome:
        """The result, with the output in the task's own terms, or the whole window."""
        if frame.whole:
            return Whole(frame.raw, frame.counters)
        program = self._build.task(frame.name)
        with frame.timed("decode"):
            decoded = decode(program.kind, frame.raw, program.output_scale, program.pooling, program.output)
        task, pathway = split_pathway_name(frame.name)
        return Result(
            task=task,
            pathway=pathway,
            kind=program.kind,
            image=frame.image,
            placement=frame.placement,
            raw=frame.raw,
            decoded=decoded,
            counters=frame.counters,
            index=frame.index,
            seconds=frame.seconds,
            class_names=program.class_names,
            grid=program.grid,
        )
