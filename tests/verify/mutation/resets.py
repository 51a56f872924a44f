"""Deliberate faults of one kind: a register whose reset is taken away. resets.toml lists them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import tomllib

from moesaic.errors import InternalError
from tests.verify.mutation.operators import Mutation

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

    def mutation(self, rtl: Path) -> Mutation:
        """It as a change of the design in `rtl`. InternalError unless the reset sets the register in exactly one place."""
        path = rtl / f"{self.module}.sv"
        text, line = path.read_text(encoding="utf-8"), re.compile(rf"^ *({self.register} *<= [^;]*;)\n", re.MULTILINE)
        found = [
            (block.start() + each.start(1), each[1])
            for block in _BLOCK.finditer(text)
            for each in line.finditer(block.group())
        ]
        if len(found) != 1:
            raise InternalError(
                f"{self.name}: the reset sets {self.register} in {len(found)} places of {path.name}, not in one"
            )
        ((at, statement),) = found
        start = len(text[:at].encode())
        return Mutation(
            self.module,
            "reset",
            start,
            start + len(statement.encode()),
            text[:at].count("\n") + 1,
            statement,
            ";",
            f"{self.name}: {self.doc}",
        )

    def apply(self, directory: Path) -> None:
        """Change the copy of the RTL in `directory`."""
        path = directory / f"{self.module}.sv"
        path.write_bytes(self.mutation(directory).apply(path.read_bytes()))


def load_resets() -> list[TakenReset]:
    """All of the list."""
    return [TakenReset(f"moesaic_{module}", register) for module, register in tomllib.loads(LIST.read_text())["resets"]]
