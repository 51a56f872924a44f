"""Batches of a fuzz campaign: a kind, a seed and a count give the same cases each time, in a process of their own.

A case is a function of bytes. hypothesis makes the bytes and, once a case fails, the smallest that still do. What they stand for, and how
a kind checks it, is in the modules that `KINDS` names.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.verify.fuzz.observed_emulator import sanitizer_environment

ROOT = Path(__file__).parents[3]
_ERROR_CHARACTERS = 2000
CASE_SECONDS = 60.0
"""A case that takes longer hangs: a hundred times what the slowest takes on an idle machine."""
_START_SECONDS = 900.0
"""For compilers, which run in the first batch of a kind alone."""


@dataclass(frozen=True)
class Kind:
    """A kind of case.

    maker: module of tests.verify.fuzz whose `checker(name)` gives the function that checks a case: it takes the case's bytes and
    returns how the case ended, in a word; whatever it raises is a failure. case_bytes: bytes of a case. sanitized: whether the process
    has the address sanitizer.
    """

    maker: str
    case_bytes: int
    sanitized: bool = False


KINDS = {
    "programs": Kind("emulator_programs", 600, sanitized=True),
    "rtl-programs": Kind("rtl_programs", 600),
    "bundles": Kind("damaged_files", 200),
    "builds": Kind("damaged_files", 200),
    "images": Kind("damaged_files", 200),
    "recipes": Kind("damaged_files", 200),
    "checkpoints": Kind("damaged_files", 200),
    "onnx": Kind("damaged_files", 200),
}


def run_batch(kind: str, seed: int, count: int) -> dict:
    """Run a batch and return {"kind", "seed", "cases", "outcomes": word to cases, "failures": [{"input", "error"}]}.

    kind: one of KINDS. A failure's input is hexadecimal, for `check_case`; the first one ends the batch, so `cases` may be below
    `count`. A process that dies or hangs is a failure too. KeyError for an unknown kind.
    """
    chosen = KINDS[kind]
    with tempfile.TemporaryDirectory(prefix="moesaic-fuzz-") as name:
        current, result = Path(name, "case"), Path(name, "result.json")
        command = [
            sys.executable,
            "-m",
            "tests.verify.fuzz.batch_process",
            kind,
            str(seed),
            str(count),
            str(current),
            str(result),
        ]
        environment = sanitizer_environment() if chosen.sanitized else None
        limit = _START_SECONDS + CASE_SECONDS * count
        try:
            process = subprocess.run(
                command,
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=limit,
                check=False,
            )
            error = (process.stdout + process.stderr)[-_ERROR_CHARACTERS:]
        except subprocess.TimeoutExpired:
            error = f"the batch took more than {limit:.0f} s"
        if result.exists():
            return json.loads(result.read_text())
        cases, case = current.read_text().split() if current.exists() else ("0", "")
        return {
            "kind": kind, "seed": seed, "cases": int(cases), "outcomes": {}, "failures": [{"input": case, "error": error}],
        }  # fmt: skip
