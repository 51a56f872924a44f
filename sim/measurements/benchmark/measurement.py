"""Run one case on the simulated RTL and on the machines that it must match."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from moesaic.emulator import Emulator
from moesaic.hls.compiler.generate import generate
from moesaic.hls.hardware.accelerator_sources import rtl_parameters
from moesaic.sim.machines import dram, recorder
from moesaic.sim.machines.ddr4 import DDR4, FLAT
from moesaic.sim.machines.rtl_directories import SYSTEM_DIRECTORY
from moesaic.sim.machines.rtl_executor import RtlExecutor, build_simulator
from moesaic.sim.measurements.benchmark import account
from moesaic.sim.measurements.benchmark import unit_states as units
from moesaic.sim.measurements.benchmark.account import Product, array_account
from moesaic.sim.measurements.benchmark.cases import Case
from moesaic.sim.measurements.benchmark.limits import encoder_macs
from moesaic.sim.measurements.benchmark.source_hashes import content_hash
from moesaic.sim.measurements.benchmark.unit_states import unit_activity
from moesaic.sim.measurements.timeline import timeline
from moesaic.sim.measurements.timeline.timeline import Timeline, build_timeline
from moesaic.spec.build import Build
from moesaic.spec.bundle import Bundle
from moesaic.spec.dram_timing import LATENCY
from moesaic.spec.executor import MAX_CYCLES, Counters, Memory
from moesaic.spec.isa import Unit
from moesaic.spec.joint_programs import JointProgram
from moesaic.spec.machine import Fields, ReferenceMachine
from moesaic.spec.registers import COUNTERS

FINAL_NORM = "norm"
"""Tag name of the encoder's last instruction."""
_ANALYSIS = tuple(Path(each) for each in (__file__, account.__file__, units.__file__, timeline.__file__))


@dataclass
class Progress:
    """What a measurement is doing. step: in words. cycles: returns the cycles simulated so far by the current run, 0 between runs."""

    step: str = ""
    cycles: Callable[[], int] = lambda: 0


@dataclass(frozen=True)
class Prepared:
    """A case with its build. key: hash of everything that its figures depend on, 24 hex digits."""

    case: Case
    bundle: Bundle
    build: Build
    key: str


def prepare(case: Case, bundle: Bundle) -> Prepared:
    """Generate the build of a case. Raises UserError if the network does not fit the configuration."""
    joint = [case.frame.joint] if case.frame.joint else []
    build = generate(bundle, case.configuration, schedule=case.schedule, joint=joint)
    return Prepared(case, bundle, build, _key(case, bundle, build))


def _key(case: Case, bundle: Bundle, build: Build) -> str:
    """Hash of programs, weights, image, sizes, DRAM rate, what is run, and the sources of the RTL, the simulation and its analysis."""
    about = {
        "analysis": content_hash(_ANALYSIS),
        "macs": [
            encoder_macs(bundle.architecture, bundle.tasks, case.frame.results(run)) for run in case.frame.sequence
        ],
        "bundle": bundle.sha256,
        "parameters": rtl_parameters(case.configuration),
        "bytes_per_cycle": round(case.bytes_per_cycle, 6),
        "latency": LATENCY,
        "dram": None if case.dram == FLAT else dict(DDR4[case.dram].parameters),
        "sequence": case.frame.sequence,
        "joint": case.frame.joint,
        "csim": case.csim,
        "counters": COUNTERS,
    }
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    digest.update(build.constants.tobytes())
    for name in sorted(
        name for name in build.files if name.startswith("rtl/") or (case.csim and name.startswith("cpp/"))
    ):
        digest.update(name.encode() + hashlib.sha256(build.files[name]).digest())
    for path in (*sorted(SYSTEM_DIRECTORY.glob("*.sv")), *dram.SOURCES, *recorder.SOURCES):
        digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:24]


@dataclass
class _Expected:
    """What the reference machine produced for a run.

    program: of the run. frame: the frame window, uint8 [bytes]. products, in_head: every matmul in program order, and whether the
    head contains it.
    """

    program: JointProgram
    frame: np.ndarray
    products: list[Product] = field(default_factory=list)
    in_head: list[bool] = field(default_factory=list)


def measure(prepared: Prepared, progress: Progress, simulators: Path) -> dict:
    """Run a case and return its measured figures in the form in which they are stored.

    bench.json adds the figures of moesaic.sim.measurements.benchmark.derived. progress: updated along the way. simulators: directory
    of compiled simulators. Differences between machines are no error; the figures count them (`mismatched_bytes` and others).

    Raises UserError if a tool is missing, MachineFault if a machine stops a run, InternalError if the simulator dies.
    """
    case, build = prepared.case, prepared.build
    names = list(dict.fromkeys(case.frame.sequence))
    with tempfile.TemporaryDirectory(prefix="moesaic-bench-") as scratch:
        directory = Path(scratch)
        for name, content in build.files.items():
            (directory / name).parent.mkdir(exist_ok=True)
            (directory / name).write_bytes(content)
        progress.step = "compiling the simulator"
        build_seconds = _compile(directory / "rtl", case, simulators)
        expected = {}
        for name in names:
            progress.step = f"{name} on the reference machine"
            expected[name] = _reference(prepared, name)
        emulator_mismatched = _run_csim(prepared, directory / "cpp", expected, progress) if case.csim else None
        runs, last = _run_rtl(prepared, directory / "rtl", expected, progress, simulators)
    return _figures(prepared, runs, last, expected, build_seconds, emulator_mismatched)


def _compile(rtl: Path, case: Case, simulators: Path) -> float | None:
    """Compile the simulator unless it exists; return the seconds that its compilation took, None if they were not recorded."""
    started = time.time()
    executable = build_simulator(rtl, case.configuration, build_directory=simulators)
    note = executable.parent / "seconds.json"
    if executable.stat().st_mtime >= started:
        note.write_text(json.dumps(time.time() - started))
    return json.loads(note.read_text(encoding="utf-8")) if note.exists() else None


def _reference(prepared: Prepared, run: str) -> _Expected:
    build = prepared.build
    results = prepared.case.frame.results(run)
    program = build.program_for(results)
    assert program is not None
    memory = _memory(prepared, program)
    expected = _Expected(program, memory.frame)

    def observe(name: str, fields: Fields, machine: ReferenceMachine) -> None:
        if name != "matmul":
            return
        rows = fields["rows"]
        if fields["gather"] or fields["scatter"]:
            rows = min(rows, max(int(machine.queue_count[fields["queue"]]) - fields["queue_first"], 0))
        expected.products.append(Product(rows, fields["columns"], fields["depth"]))
        expected.in_head.append(build.tags[fields["tag"]].startswith("heads."))

    with closing(ReferenceMachine(build.configuration, observe=observe)) as machine:
        machine.run(program.program, memory, MAX_CYCLES)
    return expected


def _image(prepared: Prepared, number: int) -> np.ndarray:
    """The bundle's golden image; the others of a batch are that one moved to the side, each by another patch."""
    return np.roll(prepared.bundle.golden["image"], number * prepared.bundle.architecture.patch, axis=1)


def _memory(prepared: Prepared, program: JointProgram) -> Memory:
    memory = prepared.build.new_memory()
    images = [_image(prepared, number) for number in range(len(program.image_offsets))]
    prepared.build.write_images(memory.frame, program, images)
    return memory


def _wrong_outputs(prepared: Prepared, expected: _Expected) -> int:
    """Elements in which the reference machine's outputs differ from the integer network's.

    Of an image that the bundle has no golden outputs for, they are compared with those of a run of their own.
    """
    build, wrong = prepared.build, 0
    for member in expected.program.members:
        if member.image == 0:
            golden = prepared.bundle.golden[f"{member.pathway}/output"]
        else:
            memory = build.new_memory()
            build.write_image(memory.frame, _image(prepared, member.image))
            with closing(ReferenceMachine(build.configuration)) as machine:
                machine.run(build.task(member.pathway).program, memory, MAX_CYCLES)
            golden = build.read_output(memory.frame, member.pathway)
        found = build.read_output(expected.frame, member.pathway, member.output_offset)
        wrong += int(np.count_nonzero(found != golden))
    return wrong


def _run_csim(prepared: Prepared, cpp: Path, expected: dict[str, _Expected], progress: Progress) -> int:
    """Number of bytes, over all tasks, in which the C++ compiled by g++ differs from the reference machine."""
    wrong = 0
    progress.step = "compiling the C++"
    with closing(Emulator(cpp, prepared.build.configuration)) as emulator:
        for name, what in expected.items():
            progress.step = f"{name} on the C++"
            memory = _memory(prepared, what.program)
            emulator.run(what.program.program, memory, MAX_CYCLES)
            wrong += int(np.count_nonzero(memory.frame != what.frame))
    return wrong


@dataclass(frozen=True)
class Run:
    """One frame of the sequence on the RTL.

    task: or the label of a joint run. before: that of the previous frame in this simulation, None for the first frame. cycles: up to
    the end of the encoder. total_cycles: up to the end of the run. dram_bytes, total_dram_bytes: bytes read and written in those cycles.
    mismatched_bytes: bytes of the frame window that differ from the reference machine's. seconds: wall clock of the simulation.
    """

    task: str
    before: str | None
    cycles: int
    total_cycles: int
    dram_bytes: int
    total_dram_bytes: int
    mismatched_bytes: int
    seconds: float


@dataclass(frozen=True)
class _Observed:
    """The run that the detailed figures describe."""

    run: Run
    timeline: Timeline
    events: np.ndarray
    counters: Counters


def _run_rtl(
    prepared: Prepared, rtl: Path, expected: dict[str, _Expected], progress: Progress, simulators: Path
) -> tuple[list[Run], _Observed]:
    """Run every frame of the sequence in one simulation; return all runs, and the slowest (the last of equals) in detail."""
    case, build = prepared.case, prepared.build
    runs: list[Run] = []
    observed: list[_Observed] = []
    with RtlExecutor(
        rtl, case.configuration, latency=LATENCY, bytes_per_cycle=case.bytes_per_cycle, dram=case.dram, timeline=True,
        build_directory=simulators,
    ) as executor:  # fmt: skip
        progress.cycles = lambda: executor.simulated_cycles
        for number, task in enumerate(case.frame.sequence):
            progress.step = f"{task} on the RTL, frame {number + 1} of {len(case.frame.sequence)}"
            program = expected[task].program
            memory = _memory(prepared, program)
            started = time.perf_counter()
            counters = executor.run(program.program, memory, MAX_CYCLES)
            seconds = time.perf_counter() - started
            timeline = build_timeline(executor.events, build, program.program)
            cycles = timeline.last_done(lambda execution: execution.name == FINAL_NORM) + 1
            run = Run(
                task=task,
                before=runs[-1].task if runs else None,
                cycles=cycles,
                total_cycles=counters["cycles"],
                dram_bytes=timeline.total("bytes_read", cycles) + timeline.total("bytes_written", cycles),
                total_dram_bytes=sum(executor.dram_bytes.values()),
                mismatched_bytes=int(np.count_nonzero(memory.frame != expected[task].frame)),
                seconds=round(seconds, 2),
            )
            runs.append(run)
            if not observed or run.cycles >= observed[-1].run.cycles:
                observed = [_Observed(run, timeline, executor.events, counters)]
        progress.cycles = lambda: 0
    return runs, observed[-1]


def switch_cost(runs: Sequence[Run]) -> dict[str, int] | None:
    """The cost of a change of task: a frame after another task, compared with a frame of its task that is first or after the same task.

    task_changes: number of such pairs. extra_cycles: sum of their differences. largest: largest absolute difference. None if the
    sequence has no such pair.
    """
    extra = [
        changed.total_cycles - plain.total_cycles
        for changed in runs
        for plain in runs
        if plain.task == changed.task
        and changed.before not in (None, changed.task)
        and plain.before in (None, plain.task)
    ]
    return {"task_changes": len(extra), "extra_cycles": sum(extra), "largest": max(map(abs, extra))} if extra else None


def _figures(
    prepared: Prepared,
    runs: Sequence[Run],
    observed: _Observed,
    expected: dict[str, _Expected],
    build_seconds: float | None,
    emulator_mismatched: int | None,
) -> dict:
    case, build = prepared.case, prepared.build
    run, c = observed.run, case.configuration
    macs = encoder_macs(prepared.bundle.architecture, prepared.bundle.tasks, case.frame.results(run.task))
    what = expected[run.task]
    return {
        "model": case.frame.model,
        "input": case.frame.input,
        "task": run.task,
        "cycles": run.cycles,
        "dram_bytes": run.dram_bytes,
        "mismatched_bytes": sum(each.mismatched_bytes for each in runs),
        "compared_bytes": len(runs) * build.frame_bytes,
        "emulator_mismatched_bytes": emulator_mismatched,
        "integer_network_mismatches": sum(_wrong_outputs(prepared, each) for each in expected.values()),
        "head_cycles": run.total_cycles - run.cycles,
        "total_cycles": run.total_cycles,
        "total_dram_bytes": run.total_dram_bytes,
        "units": unit_activity(observed.events, run.cycles),
        "array": array_account(observed.timeline, observed.events, what.products, c, macs, run.cycles, what.in_head),
        "counters": observed.counters,
        "instructions": {
            unit.name.lower(): sum(execution.unit == unit for execution in observed.timeline.executions)
            for unit in Unit
        },
        "runs": [asdict(each) for each in runs],
        "task_switch": switch_cost(runs),
        "schedule": asdict(case.schedule),
        "configuration": c.to_dict(),
        "fingerprint": build.fingerprint,
        "bundle_sha256": prepared.bundle.sha256,
        "simulated_seconds": round(sum(each.seconds for each in runs), 2),
        "build_seconds": build_seconds,
        "key": prepared.key,
    }
