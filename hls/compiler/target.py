"""What a program is made from and made for: everything that is fixed before its first instruction."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from moesaic.hls.compiler.constants import Constants
from moesaic.hls.compiler.padded_layers import head_pitch, linear_shapes
from moesaic.hls.compiler.schedule import Schedule
from moesaic.spec.bundle import Architecture, Bundle, Task, pathways
from moesaic.spec.configuration import HardwareConfiguration


@dataclass(frozen=True)
class Target:
    """One pathway of a bundle, to be lowered to a program for one configuration.

    bundle: its tensors may be placeholders, because only shifts are read from them.
    constants: where the weights lie in the constant window.
    pathway: the name of the pathway (moesaic.spec.pathway_names).
    image_offset, output_offset: byte offsets in the frame window.
    frame_end: bytes of the frame window in use; observations are placed after them.
    tags: the layers named by programs lowered earlier, in the order of their tag numbers.
    observe: also store every layer's result in the frame window (see moesaic.spec.build.Observation).
    """

    bundle: Bundle
    configuration: HardwareConfiguration
    constants: Constants
    pathway: str
    image_offset: int
    output_offset: int
    frame_end: int
    tags: tuple[str, ...] = ()
    observe: bool = False
    schedule: Schedule = field(default_factory=Schedule)

    @property
    def architecture(self) -> Architecture:
        """The sizes of the network."""
        return self.bundle.architecture

    @cached_property
    def task(self) -> Task:
        """The task, with the experts and the top-k of the pathway."""
        return pathways(self.bundle.tasks)[self.pathway]

    @cached_property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """(outputs, inputs) of every linear layer as it is stored, by name."""
        return linear_shapes(self.architecture, self.bundle.tasks, self.configuration)

    @property
    def head_pitch(self) -> int:
        """Columns that one attention head occupies."""
        return head_pitch(self.architecture, self.configuration)
