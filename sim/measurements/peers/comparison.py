"""The same layers on both accelerators, measured: cycles, multipliers and their use, resources, and whether all integers are right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from moesaic.caches import cache_directory
from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY, rtl_parameters
from moesaic.sim.machines.rtl_executor import RtlExecutor
from moesaic.sim.machines.rtl_lint import SYNTHESISED_TOP
from moesaic.sim.measurements.peers import nngen_simulation
from moesaic.sim.measurements.peers.layer_program import LayerProgram, layer_program
from moesaic.sim.measurements.peers.layers import Layer, nngen_result, operands, our_result
from moesaic.sim.measurements.synthesis.module_synthesis import count_resources
from moesaic.sim.measurements.synthesis.synthesis_report import blocks
from moesaic.sim.measurements.synthesis.synthesised_sources import synthesised_sources
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.executor import MAX_CYCLES, Memory

OURS, PEER = "moesaic", "NNgen"
PRODUCTS_PER_DSP = 2
"""Products that a DSP of this project's array computes in a cycle."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Entry:
    """A layer on a design.

    by: OURS or PEER. design: name of the configuration, or NNgen's channels in x channels out. layer: its name. macs: of the layer.
    multipliers: those that multiply inputs with weights; products: how many of these each computes in a cycle. cycles: of the whole
    layer, from DRAM to DRAM, from the start to the interrupt or the end. next_cycles: those that a second run of the layer right behind
    adds, its loads hidden behind the first as far as memory allows; None if not measured. steps: cycles in which the array multiplies;
    None if unknown. dram_read, dram_written: bytes. mismatches: results that differ from numpy. resources: of the whole design, by
    Yosys; None if not synthesised.
    """

    by: str
    design: str
    layer: str
    macs: int
    multipliers: int
    products: int
    cycles: int
    next_cycles: int | None
    steps: int | None
    dram_read: int
    dram_written: int
    mismatches: int
    resources: dict[str, float] | None

    def use(self, cycles: int | None) -> float | None:
        """Multiply-accumulates over what the multipliers could have done in so many cycles, 0 to 1; None for None."""
        return None if cycles is None else self.macs / (self.multipliers * self.products * cycles)

    @property
    def per_multiplier(self) -> float:
        """Multiply-accumulates for each multiplier and cycle of the whole layer."""
        return self.macs / (self.multipliers * self.cycles)

    def to_dict(self) -> dict:
        """The entry as it stands in peers.json."""
        return {
            **asdict(self),
            "use": self.use(self.cycles),
            "next_use": self.use(self.next_cycles),
            "step_use": self.use(self.steps),
            "macs_per_multiplier_and_cycle": self.per_multiplier,
        }


def measure_ours(
    layers: Sequence[Layer], configuration: HardwareConfiguration, synthesise: bool, say: Say
) -> list[Entry]:
    """All layers on the RTL of a configuration.

    synthesise: have Yosys count its resources.

    Raises:
        UserError: a tool is missing, or a layer does not fit.
        InternalError: the RTL does not compile, or a synthesis fails.
        MachineFault: a run ended with a fault.
    """
    say(f"{OURS} {configuration.name}: compiling the simulator")
    entries = []
    resources = our_resources(configuration, say) if synthesise else None
    with RtlExecutor(RTL_DIRECTORY, configuration) as executor:
        for layer in layers:
            say(f"{OURS} {configuration.name}: {layer.name}")
            values = operands(layer)
            expected = our_result(layer, values)
            once, twice = (layer_program(layer, values, configuration, passes) for passes in (1, 2))
            counters, first = _run(executor, once)
            moved = dict(executor.dram_bytes)
            more, both = _run(executor, twice)
            entries.append(
                Entry(
                    OURS,
                    configuration.name,
                    layer.name,
                    layer.macs,
                    configuration.macs_per_cycle // PRODUCTS_PER_DSP,
                    PRODUCTS_PER_DSP,
                    counters["cycles"],
                    more["cycles"] - counters["cycles"],
                    counters["matmul_array"],
                    moved["load_read"] + moved["main_read"],
                    moved["main_written"],
                    sum(int(np.count_nonzero(result != expected)) for result in (*first, *both)),
                    resources,
                )
            )
    return entries


def our_resources(configuration: HardwareConfiguration, say: Say) -> dict[str, float]:
    """Resources of the accelerator, all its units included, by Yosys."""
    counted = count_resources(
        SYNTHESISED_TOP, synthesised_sources(), rtl_parameters(configuration), cache_directory("netlists"), say
    )
    return blocks(counted)


def _run(executor: RtlExecutor, program: LayerProgram) -> tuple[dict[str, int], np.ndarray]:
    memory = Memory(program.memory.constants, program.memory.frame.copy())
    counters = executor.run(program.program, memory, MAX_CYCLES)
    return dict(counters), program.results(memory.frame)


def measure_nngen(
    python: Path, layer: Layer, inputs_at_once: int, outputs_at_once: int, synthesise: bool, say: Say
) -> tuple[Entry, str]:
    """A layer as NNgen generates it with this parallelism, and NNgen's version.

    Raises:
        UserError: a tool is missing.
        InternalError: NNgen, Verilator or Yosys fails.
    """
    design = f"{inputs_at_once} x {outputs_at_once}"
    say(f"{PEER} {design}: {layer.name}")
    values = operands(layer)
    generated = nngen_simulation.generate(python, layer, values, inputs_at_once, outputs_at_once)
    run = nngen_simulation.simulate(generated)
    # Of the three results, numpy's, that of NNgen's software and that of its hardware, all have to be equal.
    expected = nngen_result(layer, values)
    wrong = (run.result != expected) | (generated.expected != expected)
    resources = None
    if synthesise:
        say(f"{PEER} {design}: synthesis, which takes minutes")
        counted = count_resources(nngen_simulation.TOP, [generated.verilog], {}, cache_directory("netlists"))
        resources = blocks(counted)
    entry = Entry(
        PEER,
        design,
        layer.name,
        layer.macs,
        nngen_simulation.multipliers(generated.verilog.read_text(encoding="utf-8")),
        1,
        run.cycles,
        None,
        None,
        run.dram_bytes["read"],
        run.dram_bytes["written"],
        int(np.count_nonzero(wrong)),
        resources,
    )
    return entry, generated.version
