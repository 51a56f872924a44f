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
class Member:
    """One result of a program.

    pathway: its name (moesaic.spec.pathway_names).
    image: number of the image that it is computed from.
    output_offset: bytes from the start of the frame window to the output.
    """

    pathway: str
    image: int
    output_offset: int


@dataclass(frozen=True)
class Target:
    """Pathways of a bundle on one or several images, to be lowered to one program for one configuration.

    bundle: its tensors may be placeholders, because only shifts are read from them.
    constants: where the weights lie in the constant window.
    members: the results, at least one; no two of the same pathway and image.
    image_offsets: bytes from the start of the frame window to each image.
    frame_end: bytes of the frame window in use; what else the program stores is placed after them.
    tags: the layers named by programs lowered earlier, in the order of their tag numbers.
    observe: also store every layer's result in the frame window (see moesaic.spec.observation.Observation).
    """

    bundle: Bundle
    configuration: HardwareConfiguration
    constants: Constants
    members: tuple[Member, ...]
    image_offsets: tuple[int, ...]
    frame_end: int
    tags: tuple[str, ...] = ()
    observe: bool = False
    schedule: Schedule = field(default_factory=Schedule)

    @property
    def architecture(self) -> Architecture:
        """The sizes of the network."""
        return self.bundle.architecture

    def task(self, member: Member) -> Task:
        """The task of a member, with the experts and the top-k of its pathway."""
        return self._pathways[member.pathway]

    @cached_property
    def _pathways(self) -> dict[str, Task]:
        return pathways(self.bundle.tasks)

    @cached_property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """(outputs, inputs) of every linear layer as it is stored, by name."""
        return linear_shapes(self.architecture, self.bundle.tasks, self.configuration)

    @property
    def head_pitch(self) -> int:
        """Columns that one attention head occupies."""
        return head_pitch(self.architecture, self.configuration)
