"""A task of a build on the accelerator as Yosys reads or synthesises it, compared with the reference machine byte by byte."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY, rtl_parameters
from moesaic.hls.hardware.source_manifests import TOP
from moesaic.sim.machines.source_closure import source_closure
from moesaic.sim.measurements.netlist_run.netlists import read_by_yosys, synthesised
from moesaic.sim.measurements.netlist_run.simulation import NetlistRun, NetlistSimulator
from moesaic.spec.build import Build
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.dram_timing import BEAT_BYTES
from moesaic.spec.executor import MAX_CYCLES, Memory
from moesaic.spec.machine import ReferenceMachine
from moesaic.spec.registers import STATUS_DONE

_SHOWN = 10
_LEAST_CYCLES = 20_000


@dataclass(frozen=True)
class Comparison:
    """What a run shows.

    task: what was run. frame_bytes: of the frame window; different: how many of them differ
    from the reference, unknown ones included. cycles: from start to done, with the bench's memory. problems: a line for each thing that is
    wrong, shortened; empty if everything is as it should be.
    """

    task: str
    frame_bytes: int
    different: int
    cycles: int
    problems: list[str]


def accelerator(
    configuration: HardwareConfiguration, *, mapped: bool, say: Callable[[str], None] = lambda line: None
) -> str:
    """Verilog of moesaic_accelerator_pins as Yosys writes it: elaborated or, if `mapped`, as cells of UltraScale+.

    say: called with lines about steps that take minutes.

    Raises:
        UserError: Yosys is missing.
        InternalError: Yosys fails.
    """
    sources, parameters = source_closure(TOP, [RTL_DIRECTORY]), rtl_parameters(configuration)
    return synthesised(TOP, sources, parameters, say) if mapped else read_by_yosys(TOP, sources, parameters)


def compare(
    build: Build,
    task: str,
    image: np.ndarray,
    netlist: str,
    *,
    mapped: bool = False,
    states: int = 4,
    seed: int = 0,
) -> Comparison:
    """Run a task once on the accelerator as Yosys wrote it and on the reference machine, from frame windows of the same bytes.

    Args:
        build: of any configuration; its network should be small, since in four states about a hundred cycles are simulated a second.
        image: uint8 (height, width, 3), of the build's size.
        netlist: the accelerator of the build's configuration, see `accelerator`.
        mapped, states: see NetlistSimulator.
        seed: see NetlistSimulator.run.

    Raises:
        UserError: a tool is missing, the task is unknown, or the network too large for the bench.
        InternalError: the simulator refuses the netlist, or the run does not end.
    """
    program = build.task(task).program
    memory = build.new_memory()
    build.write_image(memory.frame, image)
    padded = Memory(_whole_beats(memory.constants), _whole_beats(memory.frame))
    reference = Memory(padded.constants, padded.frame.copy())
    ReferenceMachine(build.configuration).run(program, reference, MAX_CYCLES)
    simulator = NetlistSimulator(netlist, build.configuration.load_ports, states, mapped=mapped)
    run = simulator.run(program, padded, seed=seed, max_cycles=_LEAST_CYCLES + 2 * build.task(task).macs)
    different = np.flatnonzero(run.frame != reference.frame)
    bad = np.union1d(different, np.array(run.unknown_bytes, np.int64))
    return Comparison(
        task,
        reference.frame.size,
        bad.size,
        run.registers["COUNTER_CYCLES"],
        _problems(run, reference, bad, build),
    )


def _problems(run: NetlistRun, reference: Memory, bad: np.ndarray, build: Build) -> list[str]:
    problems = [
        f"byte {offset}: {'unknown' if offset in run.unknown_bytes else run.frame[offset]}, {reference.frame[offset]} is right"
        for offset in bad[:_SHOWN].tolist()
    ]
    fingerprint = f"{run.registers['FINGERPRINT_HIGH']:08x}{run.registers['FINGERPRINT_LOW']:08x}"
    if fingerprint != build.fingerprint:
        problems.append(f"fingerprint {fingerprint}, the configuration has {build.fingerprint}")
    if run.registers["STATUS"] != STATUS_DONE:
        problems.append(f"STATUS {run.registers['STATUS']:#x}, FAULT {run.registers['FAULT']}")
    problems += [f"register {name} has unknown bits" for name in run.unknown_registers]
    return problems + run.unknowns[:_SHOWN]


def _whole_beats(content: np.ndarray) -> np.ndarray:
    return np.pad(content, (0, -content.size % BEAT_BYTES))
