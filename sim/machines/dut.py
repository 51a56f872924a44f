"""What cocotb hands to a coroutine: the design under test, whose ports and parameters are its attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from cocotb.handle import LogicObject


class Dut(Protocol):
    """A design of ours: it has a clock, an active-low reset, and ports of its own that only the bench knows."""

    @property
    def clk_i(self) -> LogicObject: ...

    @property
    def rst_ni(self) -> LogicObject: ...

    def __getattr__(self, name: str, /) -> Any: ...
