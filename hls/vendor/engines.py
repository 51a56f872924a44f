"""What a user has to know before choosing between the two engines of a bitstream."""

from __future__ import annotations

TAKES_TURNS = "the units of engine hls take turns instead of overlapping: about eight times the cycles of engine rtl, the same integers"
