"""Points that cannot be reached, or mean nothing, each by name and with the reason."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import tomllib

from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY
from tests.verify.coverage.points import Bit, Block

LIST = Path(__file__).with_name("exclusions.toml")


@dataclass(frozen=True)
class Exclusion:
    """What is left out of a module, and why.

    signal: bits whose names, such as "data_o[3]", this pattern matches as a whole. text: blocks on a line that contains this; kinds: of
    these kinds only, all if empty. A list without either leaves out the module. machines: of these configurations only, all if empty.
    """

    module: str
    reason: str
    signal: str | None = None
    text: str | None = None
    kinds: tuple[str, ...] = ()
    machines: tuple[str, ...] = ()

    def holds_bit(self, bit: Bit) -> bool:
        """Whether the bit is left out."""
        if not re.fullmatch(self.module, bit.module):
            return False
        if self.signal is None:
            return self.text is None
        return re.fullmatch(self.signal, bit.name) is not None

    def holds_block(self, block: Block) -> bool:
        """Whether the block is left out."""
        if not re.fullmatch(self.module, block.module):
            return False
        if self.text is None:
            return self.signal is None
        return self.text in _line(block.module, block.line) and (not self.kinds or block.kind in self.kinds)


def load_exclusions(machine: str | None = None) -> list[Exclusion]:
    """Those of the list that apply to a configuration; all of them without one."""
    rows = tomllib.loads(LIST.read_text(encoding="utf-8")).get("exclude", [])
    lists = ("kinds", "machines")
    rules = [Exclusion(**row | {name: tuple(row.get(name, ())) for name in lists}) for row in rows]
    return [rule for rule in rules if machine is None or not rule.machines or machine in rule.machines]


@cache
def _lines(module: str) -> tuple[str, ...]:
    return tuple((RTL_DIRECTORY / f"{module}.sv").read_text(encoding="utf-8").splitlines())


def _line(module: str, number: int) -> str:
    lines = _lines(module)
    return lines[number - 1] if number <= len(lines) else ""
