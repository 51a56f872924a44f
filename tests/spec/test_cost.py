"""Costs of a frame against sums written out."""

from dataclasses import replace

import pytest

from moesaic.spec.bundle import Alternative, Architecture, Task
from moesaic.spec.cost import dram_bytes, frame_macs, weight_bytes

A = Architecture(
    image_height=16, image_width=32, patch=8, width=24, depth=2, heads=3, mlp_hidden=40, expert_hidden=10, experts=6, top_k=2,
    moe_blocks=(1,),
)  # fmt: skip
KEPT = {1: (0, 2, 5)}
TASK = Task("depth", 1, 4, 1.0, 2, KEPT)
TOKENS, PATCHES, D = 9, 8, 24


def linear(outputs: int, inputs: int, weight: float = 1) -> int:
    return int(outputs * inputs * weight) + outputs * (4 + 2 + 1)


def test_weight_bytes_are_those_of_the_layers_on_the_path():
    norm, scores = 2 * 2 * D + 1, 2 + 1
    attention = 4 * linear(D, D) + 2 * norm + scores + 1
    embedding = linear(D, 8 * 8 * 4) + 2 * TOKENS * D
    dense = linear(40, D) + linear(D, 40) + 1024
    moe = linear(3, D) + 3 * (linear(10, D) + linear(D, 10)) + 1024 + 1
    assert weight_bytes(A, TASK) == embedding + 2 * attention + dense + moe + norm + linear(16, D)
    fewer = replace(TASK, pathway={1: (2,)}, top_k=1)
    assert weight_bytes(A, TASK) - weight_bytes(A, fewer) == linear(2, D) + 2 * (linear(10, D) + linear(D, 10))


def test_alternatives_are_not_on_the_path():
    more = replace(TASK, alternatives={"fast": Alternative(1, {1: (1, 3, 4)})})
    assert weight_bytes(A, more) == weight_bytes(A, TASK)


def test_four_bit_experts_take_half_a_byte_a_weight():
    four, two = (replace(A, four_bit_experts={1: experts}) for experts in (tuple(range(6)), (1, 2, 5)))
    assert weight_bytes(A, TASK) - weight_bytes(four, TASK) == 3 * 2 * 10 * D // 2
    assert weight_bytes(A, TASK) - weight_bytes(two, TASK) == 2 * 2 * 10 * D // 2  # expert 1 is not on the path


def test_dram_bytes_add_image_and_output():
    assert dram_bytes(A, TASK) == weight_bytes(A, TASK) + 4 * 16 * 32 + 2 * 8 * 4 * 4


@pytest.mark.parametrize(("top_k", "experts"), [(1, 1), (1, 3), (2, 3), (3, 3)])
def test_macs_count_the_experts_of_a_token_and_the_routers_rows(top_k: int, experts: int):
    task = replace(TASK, top_k=top_k, pathway={1: tuple(range(experts))})
    attention = 2 * (4 * TOKENS * D * D + 2 * TOKENS * TOKENS * D)
    rest = PATCHES * 8 * 8 * 3 * D + TOKENS * 2 * D * 40 + PATCHES * D * 16
    assert frame_macs(A, task) == attention + rest + TOKENS * D * experts + top_k * TOKENS * 2 * D * 10
