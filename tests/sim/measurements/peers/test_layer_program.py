"""Programs of one layer: the integers of numpy on the reference machine and in RTL, whatever does not fit on chip at once."""

from __future__ import annotations

import numpy as np
import pytest

from moesaic.errors import UserError
from moesaic.hls.compiler.assembler import Entry
from moesaic.hls.compiler.cycle_model import CycleModel
from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY
from moesaic.sim.machines.rtl_executor import RtlExecutor
from moesaic.sim.measurements.peers.comparison import PRODUCTS_PER_DSP
from moesaic.sim.measurements.peers.layer_program import LayerProgram, layer_program
from moesaic.sim.measurements.peers.layers import convolution, operands, our_result, product
from moesaic.sim.measurements.peers.peers_page import LEAST_USE
from moesaic.spec.configuration import load_configuration
from moesaic.spec.executor import MAX_CYCLES, Memory
from moesaic.spec.isa import LoadDestination, Space
from moesaic.spec.issue import read_program
from moesaic.spec.machine import ReferenceMachine
from moesaic.spec.unit_orders import adversarial_order, execute_in_order

TINY = load_configuration("tiny")
LAYERS = {
    "all on chip": product(37, 96, 128),
    "columns in turns": product(17, 384, 512),
    "rows in turns": product(400, 384, 64),
    "convolution": convolution(6, 32, 64),
    "convolution, rows in turns": convolution(15, 64, 64),
}


def fresh(program: LayerProgram) -> Memory:
    return Memory(program.memory.constants, program.memory.frame.copy())


@pytest.mark.parametrize("passes", [1, 2])
@pytest.mark.parametrize("name", LAYERS)
def test_the_reference_machine_gives_numpys_integers(name, passes):
    layer = LAYERS[name]
    values = operands(layer)
    program = layer_program(layer, values, TINY, passes)
    memory = fresh(program)
    ReferenceMachine(TINY).run(program.program, memory, MAX_CYCLES)
    assert np.array_equal(program.results(memory.frame), [our_result(layer, values)] * passes)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", LAYERS)
def test_no_order_of_the_units_changes_the_result(name, seed):
    layer = LAYERS[name]
    values = operands(layer)
    program = layer_program(layer, values, TINY, 2)
    memory = fresh(program)
    instructions = list(read_program(program.program, memory.constants, TINY))
    order = adversarial_order(instructions, TINY.instruction_queue, seed)
    execute_in_order(ReferenceMachine(TINY), instructions, order, memory)
    assert np.array_equal(program.results(memory.frame), [our_result(layer, values)] * 2)


def test_the_product_of_the_comparison_uses_the_array_of_zcu104_as_is_asked_by_the_cycle_model():
    configuration, layer = load_configuration("zcu104"), product(129, 384, 384)
    values = operands(layer)
    program = layer_program(layer, values, configuration)
    memory = fresh(program)
    ReferenceMachine(configuration).run(program.program, memory, MAX_CYCLES)
    assert np.array_equal(program.results(memory.frame), [our_result(layer, values)])
    entries = [
        Entry(each.name, each.fields, (), (), each.fields["wait_mask"], each.fields["signal_mask"])
        for each in read_program(program.program, memory.constants, configuration)
    ]
    assert layer.macs >= LEAST_USE * configuration.macs_per_cycle * CycleModel(configuration).run(entries).cycles


def test_rows_reach_the_shared_memory_by_weight_addresses_and_the_rest_of_the_memory_as_activations():
    layer = product(400, 384, 64)
    program = layer_program(layer, operands(layer), TINY)
    loads = [
        each.fields
        for each in read_program(program.program, program.memory.constants, TINY)
        if each.name == "load" and each.fields["space"] == Space.FRAME
    ]
    assert {load["destination"] for load in loads} == {LoadDestination.WEIGHT, LoadDestination.ACT}
    for load in loads:
        end = load["local_address"] + (load["count_2"] - 1) * load["local_stride_2"] + load["bytes"]
        if load["destination"] == LoadDestination.WEIGHT:
            assert TINY.weight_bytes <= load["local_address"] and end <= TINY.weight_bytes + TINY.shared_bytes
        else:
            assert end > TINY.shared_bytes


def test_a_layer_of_which_neither_operand_fits_is_refused_with_both_numbers():
    layer = product(400, 384, 512)
    with pytest.raises(UserError, match=r"320 of 512 columns and \d+ of 400 rows.*choose a larger configuration"):
        layer_program(layer, operands(layer), TINY)


@pytest.mark.parametrize(
    "layer", [product(8, 384, 96), product(8, 40, 64), convolution(6, 24, 64)], ids=lambda layer: layer.name
)
def test_sizes_that_no_tile_divides_are_refused(layer):
    with pytest.raises(UserError, match="have to be a multiple of"):
        layer_program(layer, operands(layer), TINY)


@pytest.mark.slow
def test_the_rtl_gives_numpys_integers_and_its_array_is_used():
    layer = product(64, 384, 128)
    values = operands(layer)
    program = layer_program(layer, values, TINY)
    memory = fresh(program)
    with RtlExecutor(RTL_DIRECTORY, TINY) as executor:
        counters = executor.run(program.program, memory, MAX_CYCLES)
    assert np.array_equal(program.results(memory.frame), [our_result(layer, values)])
    dsps = TINY.macs_per_cycle // PRODUCTS_PER_DSP
    assert layer.macs >= 0.95 * PRODUCTS_PER_DSP * dsps * counters["matmul_array"]
    assert layer.macs >= 0.85 * PRODUCTS_PER_DSP * dsps * counters["cycles"]
