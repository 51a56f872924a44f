"""Which results of a run are in memory while the run goes on, by what the machine has written so far."""

from __future__ import annotations

import math

from moesaic.spec.build import Build
from moesaic.spec.dram_timing import BEAT_BYTES
from moesaic.spec.isa import BY_NAME, INSTRUCTION_BYTES, decode
from moesaic.spec.joint_programs import JointProgram


def beats_when_stored(build: Build, program: JointProgram) -> list[int | None]:
    """For each member of a program, how many beats the machine has written (COUNTER_WRITE_BEATS) once its output is in memory.

    The store unit takes one instruction at a time, and has done with it once DRAM has answered all of its bursts. So the first beat of
    the next store says that those before it are in memory. None: no store comes after the output's own, so only the end of the run says so.
    """
    start, size = program.program.offset, program.program.size
    words = build.constants[start : start + size].view("<u4").reshape(-1, INSTRUCTION_BYTES // 4)
    outputs = [build.output_part(member.pathway, member.output_offset) for member in program.members]
    written, stored = 0, [0] * len(outputs)
    for row in words[words[:, 0] & 0xFF == BY_NAME["store"].opcode]:
        decoded = decode(row.tobytes())
        assert decoded is not None
        f = decoded[1]
        begin = f["dram_offset"]
        end = begin + f["bytes"] + sum((f[f"count_{n}"] - 1) * f[f"dram_stride_{n}"] for n in (1, 2, 3))
        written += f["bytes"] // BEAT_BYTES * math.prod(f[f"count_{n}"] for n in (1, 2, 3))
        stored = [written if begin < part.stop and part.start < end else n for n, part in zip(stored, outputs)]
    return [beats + 1 if beats < written else None for beats in stored]
