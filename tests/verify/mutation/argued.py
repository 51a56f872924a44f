"""Mutants that differ from the design only where it never comes, by an argument that no tool here checks; argued.toml has the reasons."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import tomllib

from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY
from tests.verify.mutation.operators import Mutation

LIST = Path(__file__).with_name("argued.toml")


@dataclass(frozen=True)
class Argued:
    """A change of `original`, on the line with the text `line`, into `replacement`, and why it cannot be told from the design."""

    module: str
    line: str
    original: str
    replacement: str
    reason: str

    def fits(self, mutant: Mutation) -> bool:
        return (
            mutant.module == self.module
            and " ".join(mutant.original.split()) == self.original
            and " ".join(mutant.replacement.split()) == self.replacement
            and _line(mutant) == self.line
        )


@functools.cache
def load_argued() -> tuple[Argued, ...]:
    """All of the list."""
    return tuple(Argued(**entry) for entry in tomllib.loads(LIST.read_text(encoding="utf-8"))["argued"])


def reason_for(mutant: Mutation) -> str:
    """Why the mutant cannot be told from the design; "" if nobody says so."""
    return next((each.reason for each in load_argued() if each.fits(mutant)), "")


def _line(mutant: Mutation) -> str:
    """The text of the line on which the change begins."""
    return (RTL_DIRECTORY / f"{mutant.module}.sv").read_text(encoding="utf-8").splitlines()[mutant.line - 1].strip()
