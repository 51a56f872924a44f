"""What lowering raises when an on-chip memory has no room: it may still fit with the memories divided in another way."""

from __future__ import annotations


class DoesNotFit(Exception):
    """An on-chip memory has no room for a buffer.

    what: the buffer; needed: its bytes; memory: the memory's name; available: the bytes there are, as a clause; smaller: what would
    have to be smaller.
    """

    def __init__(
        self, what: str, needed: int, memory: str, available: str, smaller: str = "a smaller image or model"
    ) -> None:
        super().__init__(
            f"{what} needs {needed} bytes of {memory} memory, {available}; use a larger configuration or {smaller}"
        )
