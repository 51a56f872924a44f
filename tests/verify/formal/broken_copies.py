"""`python -m tests.verify.formal.broken_copies [TASK ...]`: each property of broken.toml fails on its broken copy of the design."""

from __future__ import annotations

import shutil
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import tomllib

from moesaic.errors import InternalError
from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY
from tests.verify.formal import sby
from tests.verify.formal.environment import require
from tests.verify.formal.tasks import BOUNDED, TASKS, ProofTask

LIST = Path(__file__).with_name("broken.toml")
DEPTH = 24
"""Cycles from the reset within which a broken copy has to be caught."""


@dataclass(frozen=True)
class BrokenCopy:
    """In `file`, `find` becomes `replace`; then `property` of `task` has to fail."""

    task: str
    file: str
    find: str
    replace: str
    property: str

    def write(self, directory: Path) -> None:
        """The whole design in `directory`, with the change. InternalError if there is not one place for it."""
        shutil.copytree(RTL_DIRECTORY, directory)
        path = directory / self.file
        text = path.read_text()
        if text.count(self.find) != 1:
            raise InternalError(f"{self.file} has {text.count(self.find)} times {self.find!r}, not once")
        path.write_text(text.replace(self.find, self.replace))


def broken_copies() -> list[BrokenCopy]:
    """All of the list."""
    return [BrokenCopy(**values) for values in tomllib.loads(LIST.read_text())["broken"]]


def task_of(copy: BrokenCopy) -> ProofTask:
    """Its task."""
    return next(task for task in TASKS if task.name == copy.task)


def failing(copy: BrokenCopy, directory: Path) -> sby.Verdict:
    """What a bounded check of that property alone, from the reset, says of a broken copy."""
    rtl = directory / "rtl"
    copy.write(rtl)
    task = replace(task_of(copy), engine=BOUNDED, depth=DEPTH, ignored=(), only=(f"*{copy.property}",))
    return sby.run(task, "bmc", directory / "run", rtl, timeout=300)


def main(names: list[str]) -> int:
    """Exit status 0 if every property failed that had to."""
    require()
    missed = 0
    for copy in broken_copies():
        if names and copy.task not in names:
            continue
        with tempfile.TemporaryDirectory(prefix="broken-") as directory:
            verdict = failing(copy, Path(directory))
        caught = verdict.status == "FAIL"
        missed += not caught
        print(
            f"{'caught' if caught else 'MISSED'}  {copy.task}  {copy.property}  {verdict.status} {', '.join(verdict.named)}",
            flush=True,
        )
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
