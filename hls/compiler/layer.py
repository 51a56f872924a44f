"""The interface of the parts of a network for lowering."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from moesaic.hls.compiler.prefetch import Step


class Layer(Protocol):
    """A part of the network, made from its program's plan and, if there are several of its kind, its transformer block's index."""

    def steps(self) -> Iterator[Step]:
        """The part as steps of the program, in order. Raises DoesNotFit if there is no room for its buffers."""
        ...
