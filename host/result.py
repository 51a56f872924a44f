"""What a run gives: a result, or a fault with the names of the task and the layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moesaic.host.png import encode_png
from moesaic.host.prediction_pictures import picture
from moesaic.spec.executor import Counters, MachineFault


class FrameFault(MachineFault):
    """A MachineFault of a task's run that also names the task and the layer."""

    def __init__(self, fault: MachineFault, task: str, layer: str) -> None:
        super().__init__(fault.cause, fault.unit, fault.tag)
        self.task = task
        self.layer = layer

    def __str__(self) -> str:
        return f"task {self.task}: {super().__str__()} ({self.layer})"


@dataclass(frozen=True)
class Result:
    """What a task predicts for an image. A notebook shows it as its picture.

    Attributes:
        task: its name. pathway: the alternative taken, None for the default. kind: of moesaic.spec.predictions.
        image: what the network saw, uint8 (height, width, 3), RGB.
        raw: int16 (height, width, channels), in the task's output scale; the same on every executor.
        decoded: raw in the task's own terms, see moesaic.spec.predictions.decode.
        counters: see moesaic.spec.executor.Counters; "cycles" only from a machine that has a clock.
        index: of the frame in its stream, from 0.
        seconds: what each of moesaic.host.phases.PHASES took on this machine's processor.
    """

    task: str
    pathway: str | None
    kind: str
    image: np.ndarray
    raw: np.ndarray
    decoded: np.ndarray
    counters: Counters
    index: int
    seconds: dict[str, float]

    @property
    def picture(self) -> np.ndarray:
        """The prediction in colours, uint8 (height, width, 3), see moesaic.host.prediction_pictures."""
        return picture(self.kind, self.decoded)

    def _repr_png_(self) -> bytes:
        return encode_png(self.picture)
