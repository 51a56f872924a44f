"""What a run returns: a result, or a fault that names the task and the layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moesaic.errors import UserError
from moesaic.host.image import ImageLike, as_image
from moesaic.host.png import encode_png
from moesaic.host.prediction_pictures import picture
from moesaic.spec.executor import Counters, MachineFault
from moesaic.spec.heads import CLASSIFICATION, is_dense
from moesaic.spec.output_description import USUAL_OUTPUT, OutputDescription, decoding_of
from moesaic.spec.placement import Placement
from moesaic.spec.predictions import ClassScore, top_classes


class FrameFault(MachineFault):
    """A MachineFault in a task's run that also names the task (or TASK@PATHWAY) and the layer."""

    def __init__(self, fault: MachineFault, task: str, layer: str) -> None:
        super().__init__(fault.cause, fault.unit, fault.tag)
        self.task = task
        self.layer = layer

    def __str__(self) -> str:
        return f"task {self.task}: {super().__str__()} ({self.layer})"


@dataclass(frozen=True)
class Result:
    """What a task predicts for an image. A notebook shows its picture.

    Attributes:
        task: its name. pathway: the alternative taken, None for the default. kind, output: see moesaic.spec.bundle.Task.
        image: what the network saw, uint8 (height, width, 3), RGB.
        placement: which part of the given image that is: `placement.seen` is (top, left, height, width) in its pixels, and
            `placement.image_points` takes points of the network's input there. Of a file, the pixels are those after it was turned
            upright, as `moesaic.Image(path).pixels()` gives them.
        raw: int16 (height, width, channels), in units of the task's output scale; the same on every executor.
        decoded: raw in the task's own terms; for shape, dtype and unit see moesaic.spec.predictions.decode.
        counters: see moesaic.spec.executor.Counters; "cycles" only from a machine with a clock; empty if the
            run was still under way (moesaic.Accelerator.run_each).
        shared: how many results the run gave that these counters and the times of "upload" to "download" are of.
        index: number of the frame in its stream, from 0.
        dropped: of a stream of newest frames, how many the source delivered since the frame of the result before this one; else 0.
        seconds: how long each of moesaic.host.phases.PHASES took, by this machine's processor.
        class_names: of a task with classes, as far as they are known.
        grid: of features, the rows and columns of patches, whose tokens are the last of `decoded`; (0, 0) for other kinds.
    """

    task: str
    pathway: str | None
    kind: str
    image: np.ndarray
    placement: Placement
    raw: np.ndarray
    decoded: np.ndarray
    counters: Counters
    index: int
    seconds: dict[str, float]
    class_names: tuple[str, ...] = ()
    grid: tuple[int, int] = (0, 0)
    dropped: int = 0
    shared: int = 1
    output: OutputDescription = USUAL_OUTPUT

    @property
    def decoding(self) -> str:
        """What `decoded` holds, see moesaic.spec.output_description.decoding_of."""
        return decoding_of(self.kind, self.output)

    @property
    def picture(self) -> np.ndarray:
        """The prediction in colour, uint8 (height, width, 3), RGB, see moesaic.host.prediction_pictures."""
        return picture(self.kind, self.decoded, self.grid, self.output)

    def top(self, count: int = 5) -> list[ClassScore]:
        """The most probable classes of a classification, each with index, label and probability. UserError for any other kind."""
        if self.kind != CLASSIFICATION:
            raise UserError(f"task {self.task} is of kind {self.kind}: only a classification has most probable classes")
        return top_classes(self.decoded, self.class_names, count)

    @property
    def at_image(self) -> np.ma.MaskedArray:
        """`decoded` at the given image's own pixels, (height, width) or (height, width, channels), masked where the network saw nothing.

        Classes are those of the nearest pixel; all else is interpolated linearly, normals and other directions to unit length.
        UserError for a classification and for features.
        """
        if not is_dense(self.kind):
            raise UserError(f"task {self.task} is of kind {self.kind}: it has no value for every pixel of an image")
        found = self.placement.to_image(self.decoded, smooth=self.decoding != "classes")
        if self.decoding == "directions":
            found = found / np.maximum(np.linalg.norm(found.data, axis=-1, keepdims=True), 1e-12)
        return found

    def overlay(self, image: ImageLike, opacity: float = 0.5) -> np.ndarray:
        """The prediction's picture laid over the given image, uint8 (height, width, 3), RGB; what the network did not see stays as it is.

        image: what was run, in any of the forms that `run` takes. opacity: of the prediction, 0 to 1. UserError for an image of another
        size, and where `at_image` raises it.
        """
        below = as_image(image).pixels()
        if below.shape[:2] != self.placement.image:
            (rows, columns), (height, width) = below.shape[:2], self.placement.image
            raise UserError(
                f"the image is {columns}x{rows} pixels, the one that was run {width}x{height}; give the same image"
            )
        if not 0 <= opacity <= 1:
            raise UserError(f"an opacity of {opacity}; it may be 0 to 1")
        mask = np.ma.getmaskarray(self.at_image)
        seen = ~(mask if mask.ndim == 2 else mask[..., 0])
        share = np.float32(opacity) * seen[..., None]
        above = self.placement.to_image(self.picture, smooth=False).data
        return np.floor(below * (1 - share) + above * share + np.float32(0.5)).astype(np.uint8)

    def _repr_png_(self) -> bytes:
        return encode_png(self.picture)
