"""Joint programs: one run that gives several results, each the same, byte for byte, as in a run of its own.

The results are pathways of one image, or a pathway of several images, or any set of (pathway, image) pairs. What they have in common is
computed once, and every weight is loaded once (moesaic.hls.compiler.lanes).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from moesaic.errors import UserError
from moesaic.spec.executor import Program
from moesaic.spec.observation import Observation

ResultSet = tuple[tuple[str, int], ...]
"""(name of a pathway, number of the image) of each result of a run; the images are numbered from 0 without gaps."""


def one_picture(names: Iterable[str]) -> ResultSet:
    """Several pathways of one image."""
    return tuple((name, 0) for name in names)


def one_task(name: str, images: int) -> ResultSet:
    """One pathway of several images."""
    return tuple((name, image) for image in range(images))


def image_count(results: ResultSet) -> int:
    """How many images the results are of."""
    return len({image for _, image in results})


def label(results: ResultSet) -> str:
    """Results for people: depth+normals, or depth of 4 images."""
    names = "+".join(dict.fromkeys(name for name, _ in results))
    images = image_count(results)
    return names if images == 1 else f"{names} of {images} images"


def checked_results(results: ResultSet) -> ResultSet:
    """The same results. UserError if there are fewer than two, one comes twice, or images are not numbered from 0 without gaps."""
    if len(results) < 2:
        raise UserError(f"a joint program of {len(results)} results: it needs 2 or more")
    if twice := [result for n, result in enumerate(results) if result in results[:n]]:
        name, image = twice[0]
        raise UserError(f"a joint program has {name} of image {image} twice: name each result once")
    images = {image for _, image in results}
    if images != set(range(len(images))):
        raise UserError(f"a joint program has images {sorted(images)}: number them from 0 to {len(images) - 1}")
    return results


@dataclass(frozen=True)
class JointMember:
    """A result of a joint program.

    pathway: its name (moesaic.spec.pathway_names). image: number of its image. output_offset: bytes from the start of the frame window to
    its output, whose shape is that of the task. observations: layer name to where its result is stored, see
    moesaic.spec.build.TaskProgram; what results have in common is stored once.
    """

    pathway: str
    image: int
    output_offset: int
    observations: dict[str, Observation] = field(default_factory=dict)


@dataclass(frozen=True)
class JointProgram:
    """A program for several results.

    program: where it lies in the constant window. image_offsets: bytes from the start of the frame window to each image. members: its
    results. macs: multiply-accumulates of all of them, what they have in common counted once.
    """

    program: Program
    image_offsets: tuple[int, ...]
    members: tuple[JointMember, ...]
    macs: int

    @property
    def results(self) -> ResultSet:
        """What it gives, in the order of its members."""
        return tuple((member.pathway, member.image) for member in self.members)

    @property
    def label(self) -> str:
        """See label."""
        return label(self.results)
