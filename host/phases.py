"""The steps of a frame, which moesaic.host.frame_pipeline takes side by side for neighbouring frames."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from moesaic.host.image import ImageLike, as_image
from moesaic.host.result import FrameFault, Result
from moesaic.host.stored_results import beats_when_stored
from moesaic.spec.build import Build
from moesaic.spec.executor import Counters, Executor, MachineFault, Memory, Program, Progress
from moesaic.spec.joint_programs import JointMember, JointProgram
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

    def compute(self, program: Program, memory: Memory, max_cycles: int, progress: Progress | None = None) -> Counters:
        """Run a program in the window of an uploaded memory. progress: see Progress. Raises MachineFault."""
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


Outcome = Result | list[Result] | Whole
"""What becomes of a frame: its result, several in the order of its program's members, or the whole window."""


def results_in(outcome: Outcome) -> list[Result]:
    """The results of a frame, none if its outcome is the whole window."""
    return outcome if isinstance(outcome, list) else [outcome] if isinstance(outcome, Result) else []


class Prepared(NamedTuple):
    """An image, ready for the machine.

    index: number of the image in its stream. image: what the network sees, uint8 (height, width, 3). placement: which part of the
    given image that is. seconds: that its preparation took.
    """

    index: int
    image: np.ndarray
    placement: Placement
    seconds: float


class Stored(NamedTuple):
    """An output that was fetched while its run went on.

    member: number of the program's member. raw: int16 (height, width, channels). seconds: time taken, by phase.
    """

    member: int
    raw: np.ndarray
    seconds: dict[str, float]


@dataclass
class Frame:
    """What is computed in one run, on its way. program: gives a result, or several of one or more images.

    images: those of the program. whole: the outcome is the whole frame window, which is filled with a pattern before the images are
    written. stored: is given the outputs that are in memory before the run ends, by the machine's thread, if the machine shows them; the
    outcome has them, too. seconds: time taken, by phase. memory: the one whose frame window it uses, from its upload to its download.
    counters: there once it is computed. raw: there once it is downloaded, int16 (height, width, channels) for each member, or the window,
    uint8 (frame_bytes,), alone.
    """

    program: JointProgram
    images: Sequence[Prepared]
    whole: bool = False
    stored: Callable[[Stored], None] | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    memory: Memory = field(init=False)
    counters: Counters = field(init=False)
    raw: list[np.ndarray] = field(init=False)

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

    def prepare(self, source: ImageLike, name: str, index: int = 0) -> Prepared:
        """An image as the network sees it (moesaic.spec.resize.fit).

        source: an Image, or what one is made of. name: what an error calls the image. index: see Prepared. UserError if it cannot be
        taken.
        """
        begin = time.perf_counter()
        given, build = as_image(source), self._build
        pixels = given.pixels(name)
        image, placement = fit(pixels, given.description(build.input), build.image_height, build.image_width)
        if np.may_share_memory(image, pixels):
            image = image.copy()  # a camera may fill its array again while the result still shows this frame
        return Prepared(index, image, placement, time.perf_counter() - begin)

    def upload(self, frame: Frame) -> None:
        """Write the images into the frame's memory and copy them to the machine."""
        with frame.timed("upload"):
            if frame.whole:
                frame.memory.frame[:] = PATTERN
            self._build.write_images(frame.memory.frame, frame.program, [each.image for each in frame.images])
            if self._staged is not None:
                parts = [slice(start, start + self._build.image_bytes) for start in frame.program.image_offsets]
                for part in [slice(None)] if frame.whole else parts:
                    self._staged.upload(frame.memory, part)

    def compute(self, frame: Frame) -> None:
        """Run the program. FrameFault if the machine stops; the next run is not affected."""
        with frame.timed("compute"):
            try:
                run = self._executor.run if self._staged is None else partial(self._compute_staged, self._staged, frame)
                frame.counters = run(frame.program.program, frame.memory, self._max_cycles)
            except MachineFault as fault:
                tags = self._build.tags
                known = fault.unit != "fetch" and fault.tag < len(tags)
                raise FrameFault(fault, frame.program.label, tags[fault.tag] if known else "no layer") from None

    def _compute_staged(
        self, staged: StagedExecutor, frame: Frame, program: Program, memory: Memory, max_cycles: int
    ) -> Counters:
        begin, hand_over = time.perf_counter(), frame.stored
        beats = beats_when_stored(self._build, frame.program) if hand_over is not None else []
        waiting = sorted((count, member) for member, count in enumerate(beats) if count is not None)
        if hand_over is None or not waiting:
            return staged.compute(program, memory, max_cycles)

        def progress(written: int) -> bool:
            while waiting and written >= waiting[0][0]:
                _, number = waiting.pop(0)
                computed = time.perf_counter()
                member = frame.program.members[number]
                staged.download(memory, self._build.output_part(member.pathway, member.output_offset))
                raw = self._build.read_output(memory.frame, member.pathway, member.output_offset)
                times = {"compute": computed - begin, "download": time.perf_counter() - computed}
                hand_over(Stored(number, raw, {**frame.seconds, **times}))
            return bool(waiting)

        return staged.compute(program, memory, max_cycles, progress)

    def download(self, frame: Frame) -> None:
        """Fetch a copy of the outputs, or of the whole window; after that, the memory can take another frame."""
        build, window = self._build, frame.memory.frame
        with frame.timed("download"):
            if self._staged is not None:
                members = frame.program.members
                parts = [build.output_part(member.pathway, member.output_offset) for member in members]
                for part in [slice(None)] if frame.whole else parts:
                    self._staged.download(frame.memory, part)
            if frame.whole:
                frame.raw = [window.copy()]
            else:
                frame.raw = [
                    build.read_output(window, member.pathway, member.output_offset) for member in frame.program.members
                ]

    def limit(self, deadline: float) -> None:
        """If the machine can be stopped, have runs give up at `deadline`, a time of time.monotonic()."""
        if self._staged is not None:
            self._staged.limit(deadline)

    def decode(self, frame: Frame) -> Outcome:
        """The results, with the outputs in the tasks' own terms, or the whole window."""
        if frame.whole:
            return Whole(frame.raw[0], frame.counters)
        members = frame.program.members
        results = [
            self._result(frame, member, raw, frame.counters, frame.seconds)
            for member, raw in zip(members, frame.raw, strict=True)
        ]
        return results if len(results) > 1 else results[0]

    def decode_stored(self, frame: Frame, stored: Stored) -> Result:
        """The result of an output that was fetched while its run went on, without counters."""
        return self._result(frame, frame.program.members[stored.member], stored.raw, {}, stored.seconds)

    def _result(
        self, frame: Frame, member: JointMember, raw: np.ndarray, counters: Counters, seconds: dict[str, float]
    ) -> Result:
        begin, task = time.perf_counter(), self._build.task(member.pathway)
        decoded = decode(task.kind, raw, task.output_scale, task.pooling, task.output)
        prepared, (name, pathway) = frame.images[member.image], split_pathway_name(member.pathway)
        return Result(
            task=name,
            pathway=pathway,
            kind=task.kind,
            image=prepared.image,
            placement=prepared.placement,
            raw=raw,
            decoded=decoded,
            counters=counters,
            index=prepared.index,
            seconds={"prepare": prepared.seconds, **seconds, "decode": time.perf_counter() - begin},
            class_names=task.class_names,
            grid=task.grid,
            output=task.output,
            shared=len(frame.program.members),
        )
