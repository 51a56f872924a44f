"""Places images, outputs and observations in the frame window of DRAM."""

from __future__ import annotations

from dataclasses import dataclass

from moesaic.hls.compiler.arena import round_up

_ALIGNMENT = 64


@dataclass
class FrameLayout:
    """The frame window, filled from its start. end: bytes in use."""

    end: int = 0

    def allocate(self, size: int) -> int:
        """Reserve `size` bytes and return their byte offset, a multiple of 64."""
        start = round_up(self.end, _ALIGNMENT)
        self.end = start + size
        return start
