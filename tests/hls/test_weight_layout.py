import dataclasses

import numpy as np
import pytest

from moesaic.hls.compiler.weight_layout import (
    Linear,
    linear_bytes,
    linear_depth,
    linear_strides,
    linear_tile_bytes,
    linear_tiles,
    pack_linear,
    pack_norm,
    packed_from,
)
from moesaic.spec.arithmetic import layer_norm, matmul_exact, requantise, saturate
from moesaic.spec.configuration import HardwareConfiguration, load_configuration
from moesaic.spec.executor import Memory
from moesaic.spec.isa import Destination, decode, pack
from moesaic.spec.machine import ReferenceMachine

TINY = load_configuration("tiny")
CONFIGURATIONS = {
    "tiny": TINY,
    "deep": dataclasses.replace(TINY, name="deep", tile_depth=8),
    "wide": dataclasses.replace(TINY, name="wide", tile_columns=32, tile_depth=8, norm_lanes=8),
}
NO_MEMORY = Memory(np.empty(0, np.uint8), np.empty(0, np.uint8))


def random_linear(rng: np.random.Generator, outputs: int, inputs: int, largest: int = 127) -> Linear:
    return Linear(
        rng.integers(-largest, largest + 1, (outputs, inputs)).astype(np.int8),
        rng.integers(-(1 << 20), 1 << 20, outputs).astype(np.int32),
        rng.integers(1 << 15, 1 << 16, outputs).astype(np.uint16),
        rng.integers(12, 24, outputs).astype(np.uint8),
    )


@pytest.mark.parametrize("configuration", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
@pytest.mark.parametrize(("outputs", "inputs"), [(8, 4), (1, 1), (9, 5), (40, 72), (31, 100), (64, 64)])
@pytest.mark.parametrize("bits", [8, 4])
def test_a_packed_linear_layer_is_that_layer_on_the_machine(
    configuration: HardwareConfiguration, outputs: int, inputs: int, bits: int
) -> None:
    rng = np.random.default_rng(outputs * 1000 + inputs)
    layer = random_linear(rng, outputs, inputs, 127 if bits == 8 else 7)
    machine, rows = ReferenceMachine(configuration), 7
    packed = pack_linear(configuration, layer, bits)
    assert len(packed) == linear_bytes(configuration, outputs, inputs, bits)
    on_chip = linear_tiles(configuration, outputs) * linear_tile_bytes(configuration, inputs)
    parameters = packed_from(configuration, outputs, bits)
    loads = (
        [(0, len(packed), 0)] if parameters is None else [(0, parameters, 0), (parameters, len(packed) - parameters, 1)]
    )
    assert sum(size << unpack for _, size, unpack in loads) == on_chip
    for start, size, unpack in loads:
        load = {"destination": 1, "unpack": unpack, "dram_offset": start, "local_address": start, "bytes": size}
        code = pack("load", **load, count_1=1, count_2=1, count_3=1)
        machine.load(decode(code)[1], Memory(packed, np.empty(0, np.uint8)))
    first, b_stride, param_stride = linear_strides(configuration, outputs, inputs, bits)
    pitch = -(-inputs // configuration.act_word_bytes) * configuration.act_word_bytes
    result_pitch = -(-2 * outputs // configuration.act_word_bytes) * configuration.act_word_bytes
    x = rng.integers(-128, 128, (rows, inputs)).astype(np.int8)
    for r in range(rows):
        machine.act[r * pitch : r * pitch + inputs] = x[r].view(np.uint8)
    target = 64 * configuration.act_word_bytes * 16
    fields = dict.fromkeys(
        (
            "row_scale",
            "table_enable",
            "track_max",
            "gather",
            "scatter",
            "table_index",
            "queue",
            "output_shift",
            "row_base",
            "queue_first",
        ),
        0,
    )
    fields |= {
        "destination": int(Destination.INT16), "rows": rows, "columns": outputs, "depth": linear_depth(configuration, inputs),
        "a_address": 0, "a_pitch": pitch, "b_address": first, "b_stride": b_stride, "param_address": 0,
        "param_stride": param_stride, "d_address": target, "d_pitch": result_pitch,
    }  # fmt: skip
    machine.matmul(fields, NO_MEMORY)
    found = np.stack([machine.act[target + r * result_pitch :][: 2 * outputs].view("<i2") for r in range(rows)])
    expected = requantise(matmul_exact(x, layer.weight) + layer.bias, layer.multiplier, layer.shift)
    assert np.array_equal(found, saturate(expected, 16))


def test_padding_of_groups_adds_zero_outputs_and_ignores_the_inputs_it_adds() -> None:
    rng = np.random.default_rng(0)
    layer = random_linear(rng, 12, 9)
    padded = layer.with_output_groups(3, 8)
    x = rng.integers(-128, 128, (5, 9))
    groups = (x @ padded.weight.T + padded.bias).reshape(5, 4, 8)
    assert np.array_equal(groups[..., :3].reshape(5, 12), x @ layer.weight.T.astype(np.int64) + layer.bias)
    assert not groups[..., 3:].any() and not padded.multiplier.reshape(4, 8)[:, 3:].any()
    noisy = rng.integers(-128, 128, (5, 3, 8))
    noisy[..., :3] = x.reshape(5, 3, 3)
    wider = layer.with_input_groups(3, 8)
    assert np.array_equal(noisy.reshape(5, 24) @ wider.weight.T, x @ layer.weight.T.astype(np.int64))


@pytest.mark.parametrize("width", [1, 8, 20, 64])
def test_packed_layer_norm_parameters_are_read_back_by_the_machine(width: int) -> None:
    rng = np.random.default_rng(width)
    gamma, beta = rng.integers(-3000, 3000, (2, width)).astype(np.int16)
    x = rng.integers(-30000, 30000, (3, width)).astype("<i2")
    machine = ReferenceMachine(TINY)
    packed = pack_norm(TINY, gamma, beta)
    machine.act[1024 : 1024 + len(packed)] = packed
    pitch = -(-2 * width // TINY.act_word_bytes) * TINY.act_word_bytes
    for r in range(3):
        machine.act[4096 + r * pitch : 4096 + r * pitch + 2 * width] = x[r].view(np.uint8)
    fields = {
        "rows": 3, "columns": width, "source_address": 4096, "source_pitch": pitch, "destination_address": 8192,
        "destination_pitch": 128, "param_address": 1024, "shift": 15,
    }  # fmt: skip
    machine.layer_norm(fields, NO_MEMORY)
    found = np.stack([machine.act[8192 + r * 128 :][:width].view(np.int8) for r in range(3)])
    assert np.array_equal(found, layer_norm(x, gamma, beta, 15))
