"""The shape that every part of a network has for lowering."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from moesaic.hls.compiler.prefetch import Step


class Layer(Protocol):
    """A part of the network, made from the plan of its program and, where there are several of its kind, its transformer block."""

    def steps(self) -> Iterator[Step]:
        """The part as steps of the program, in order. DoesNotFit if there is no room for its buffers."""
        ...
