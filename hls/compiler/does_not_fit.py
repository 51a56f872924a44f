"""What lowering raises when an on-chip memory is too small; another division of the memories may still work."""

from __future__ import annotations


class DoesNotFit(Exception):
    """An on-chip memory has no room for a buffer.

    what: the buffer.
    needed: bytes that it needs.
    memory: the memory's name.
    available: a clause that says how many bytes there are.
    smaller: what would have to be smaller.
    """

    def __init__(
        self, what: str, needed: int, memory: str, available: str, smaller: str = "a smaller image or model"
    ) -> None:
        super().__init__(
            f"{what} needs {needed} bytes of {memory} memory, {available}; use a larger configuration or {smaller}"
        )
