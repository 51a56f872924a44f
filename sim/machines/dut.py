"""Type of the design under test that cocotb passes to a coroutine; its attributes are the design's ports and parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from cocotb.handle import LogicObject


class Dut(Protocol):
    """A design with a clock, an active-low reset and further ports that only its bench knows."""

    @property
    def clk_i(self) -> LogicObject: ...

    @property
    def rst_ni(self) -> LogicObject: ...

    def __getattr__(self, name: str, /) -> Any: ...
