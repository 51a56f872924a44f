"""Deliberate faults of one kind: a register whose reset is taken away. resets.toml lists them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import tomllib

from moesaic.errors import InternalError

LIST = Path(__file__).with_name("resets.toml")
_BLOCK = re.compile(r"if \(!rst_ni\) begin\n(?:(?! *end\b)[^\n]*\n)*")


@dataclass(frozen=True)
class TakenReset:
    """In `module`, the reset no longer sets `register`."""

    module: str
    register: str

    @property
    def name(self) -> str:
        return f"reset/{self.module.removeprefix('moesaic_')}/{self.register}"

    @property
    def doc(self) -> str:
        return f"{self.register} of {self.module} has no reset"

    def apply(self, directory: Path) -> None:
        """Change the copy of the RTL in `directory`. InternalError unless the reset sets the register in exactly one place."""
        path = directory / f"{self.module}.sv"
        line = re.compile(rf"^ *{self.register} *<= [^;]*;\n", re.MULTILINE)
        count = 0

        def without(block: re.Match[str]) -> str:
            nonlocal count
            text, found = line.subn("", block.group())
            count += found
            return text

        text = _BLOCK.sub(without, path.read_text())
        if count != 1:
            raise InternalError(
                f"{self.name}: the reset sets {self.register} in {count} places of {path.name}, not in one"
            )
        path.write_text(text)


def load_resets() -> list[TakenReset]:
    """All of the list."""
    return [TakenReset(f"moesaic_{module}", register) for module, register in tomllib.loads(LIST.read_text())["resets"]]
