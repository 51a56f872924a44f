"""What steers a stream while it runs: the tasks for the frames to come, pause and step."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from moesaic.errors import UserError
from moesaic.host.image import ImageLike, as_image
from moesaic.spec.build import Build

_MOST_STEPS = 100


class DrawnFrame(NamedTuple):
    """A frame as the source gave it: uint8 (height, width, 3), RGB. moment: when it was sent, on the clock of time.monotonic()."""

    image: np.ndarray
    moment: float


class StreamControl:
    """Steers one stream. Any thread may call any method.

    A pipeline works several frames ahead of the one that is shown. A pause takes effect at once all the same: frames on their way
    are not shown, and go back to the source. A step shows the next frame, whatever had been on its way. Tasks chosen during a pause
    are run on the frame that is shown.

    names: the pathways chosen at first. rate: frames a second at most, 0 for no limit; steps do not wait for it. live: the source
    goes on by itself, as a camera does: during a pause its frames are drawn and dropped, and those on their way are not kept.
    """

    def __init__(self, build: Build, names: Sequence[str], rate: float = 0, live: bool = False) -> None:
        self._build, self._rate, self.live = build, rate, live
        self._changed = threading.Condition()
        self._chosen = tuple(dict.fromkeys(names))
        self._paused = self._closed = False
        self._revision = self._steps = self._index = 0
        self._on_their_way: dict[int, DrawnFrame] = {}
        self._returned = deque[DrawnFrame]()
        self._shown: DrawnFrame | None = None
        self._due = time.monotonic()

    @property
    def chosen(self) -> tuple[str, ...]:
        """The pathways on which the next frame is to be run."""
        return self._chosen

    @property
    def paused(self) -> bool:
        """Whether frames are shown only one by one, by `step`."""
        return self._paused

    @property
    def revision(self) -> int:
        """Grows with every change that a method makes."""
        return self._revision

    def choose(self, name: str, chosen: bool) -> None:
        """Add a pathway to those that are run, or take it out. UserError if the build does not have it, or none would be left."""
        self._build.task(name)
        with self._changed:
            names = {known: known in self._chosen for known in self._build.pathways} | {name: chosen}
            if not any(names.values()):
                raise UserError(f"{name} is the last task that is shown; choose another one first")
            wanted = tuple(known for known, there in names.items() if there)
            if set(wanted) == set(self._chosen):
                return
            self._chosen = wanted
            if self._paused and self._shown is not None:
                under_way = self._take_back()
                if not under_way:
                    self._returned.appendleft(self._shown)
                self._steps += max(1, under_way)
            self._change()

    def pause(self, paused: bool) -> None:
        """Pause or resume."""
        with self._changed:
            if paused != self._paused:
                self._paused, self._steps = paused, 0
                if paused:
                    self._take_back()
                elif self.live:
                    self._returned.clear()
                self._change()

    def step(self) -> None:
        """Show one more frame, then pause. Steps add up."""
        with self._changed:
            if not self._paused:
                self._take_back()
                self._paused = True
            self._steps = min(self._steps + 1, _MOST_STEPS)
            self._change()

    def close(self) -> None:
        """End `frames`."""
        with self._changed:
            self._closed = True
            self._change()

    def frames(self, source: Iterable[ImageLike]) -> Iterator[np.ndarray]:
        """The frames for the stream: those of `source`, images or image files, as pause, step and rate allow.

        The n-th frame that this yields has index n in the stream, see `settle`. UserError for a file that cannot be read.
        """
        drawing = iter(source)
        while self._wait_for_turn():
            with self._changed:
                drawn = None
                if self._returned and self._wanted:
                    drawn = DrawnFrame(self._returned.popleft().image, time.monotonic())
                    self._send(drawn)
            if drawn is None:
                image = next(drawing, None)
                if image is None:
                    if self._wait_for_returned():
                        continue
                    return
                drawn = DrawnFrame(as_image(image).pixels(), time.monotonic())
                with self._changed:
                    if not self._wanted:
                        if not self.live:
                            self._returned.append(drawn)
                        continue
                    self._send(drawn)
            yield drawn.image

    def settle(self, index: int) -> DrawnFrame | None:
        """The frame of this index, which is about to be shown; None if it was taken back since and must not be shown."""
        with self._changed:
            drawn = self._on_their_way.pop(index, None)
            for older in [other for other in self._on_their_way if other < index]:
                del self._on_their_way[older]  # dropped by the stream
            if drawn is not None:
                self._shown = drawn
            self._changed.notify_all()
            return drawn

    @property
    def _wanted(self) -> bool:
        """Whether a frame may be sent on its way now."""
        return self._steps > 0 or (not self._paused and time.monotonic() >= self._due)

    def _send(self, drawn: DrawnFrame) -> None:
        self._steps = max(0, self._steps - 1)
        self._due = max(self._due, time.monotonic()) + (1 / self._rate if self._rate > 0 else 0)
        self._on_their_way[self._index] = drawn
        self._index += 1

    def _wait_for_turn(self) -> bool:
        """Wait until a frame is wanted; a live source is drawn at any time. False once closed."""
        with self._changed:
            while not (self._closed or self.live or self._wanted):
                self._changed.wait(None if self._paused else max(0.0, self._due - time.monotonic()))
            return not self._closed

    def _wait_for_returned(self) -> bool:
        """After the last frame of the source: whether frames are still to come, because they were or may yet be taken back."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._returned or not (self._paused or self._on_their_way))
            return bool(self._returned) and not self._closed

    def _take_back(self) -> int:
        """Take back the frames on their way; returns how many they were."""
        count = len(self._on_their_way)
        if not self.live:
            self._returned.extendleft(self._on_their_way[index] for index in sorted(self._on_their_way, reverse=True))
        self._on_their_way.clear()
        return count

    def _change(self) -> None:
        self._revision += 1
        self._changed.notify_all()
