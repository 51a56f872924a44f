"""The AXI interrupt controller of the block design, with one input, as AMD's product guide PG099 describes its registers.

What counts for a driver: an event is latched whether it is enabled or not, an acknowledgement clears the latch, and a level that is
still up sets it again at once, where an edge is latched once.
"""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree import ElementTree

STATUS, PENDING, ENABLE, ACKNOWLEDGE, SET_ENABLE, CLEAR_ENABLE, MASTER_ENABLE = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x14, 0x1C
"""Byte offsets of ISR, IPR, IER, IAR, SIE, CIE and MER."""


@dataclass
class InterruptController:
    """edge: the input is latched when it rises; otherwise for as long as it is up (C_KIND_OF_INTR)."""

    edge: bool = True
    level: bool = False
    latched: bool = False
    enabled: int = 0
    master: int = 0

    def reset(self) -> None:
        """What loading a bitstream does."""
        self.level = self.latched = False
        self.enabled = self.master = 0

    def input(self, level: bool) -> None:
        """The accelerator's irq is at this level now."""
        rises, self.level = level and not self.level, level
        self.latched |= rises if self.edge else level

    def irq(self) -> bool:
        """The output to the processor."""
        return self.latched and bool(self.enabled & 1) and self.master & 3 == 3

    def read(self, offset: int) -> int:
        return {STATUS: int(self.latched), PENDING: int(self.latched) & self.enabled, ENABLE: self.enabled}.get(
            offset, 0
        )

    def write(self, offset: int, value: int) -> None:
        if offset == ENABLE:
            self.enabled = value
        elif offset == SET_ENABLE:
            self.enabled |= value
        elif offset == CLEAR_ENABLE:
            self.enabled &= ~value
        elif offset == MASTER_ENABLE:
            self.master = value
        elif offset == ACKNOWLEDGE and value & 1:
            self.latched = not self.edge and self.level


def is_edge_triggered(description: ElementTree.Element) -> bool:
    """Whether the interrupt controller of a hardware description latches edges of its first input."""
    (module,) = [module for module in description.iter("MODULE") if module.get("MODTYPE") == "axi_intc"]
    kinds = [entry.get("VALUE", "0") for entry in module.iter("PARAMETER") if entry.get("NAME") == "C_KIND_OF_INTR"]
    return bool(int(kinds[0], 0) & 1)
