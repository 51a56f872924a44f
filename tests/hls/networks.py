"""Architectures that hold the corners of the generator, and bundles of random weights for them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from moesaic.spec.bundle import Architecture, Bundle, Task
from moesaic.spec.heads import POOLINGS
from tests.hls.random_bundle import random_bundle

SMALL = Architecture(
    image_height=32, image_width=32, patch=8, width=32, depth=2, heads=2, mlp_hidden=64, expert_hidden=32, experts=4, top_k=2,
    moe_blocks=(1,),
)  # fmt: skip
"""The least network with every kind of layer."""

ODD = Architecture(
    image_height=40, image_width=56, patch=8, width=40, depth=2, heads=5, mlp_hidden=100, expert_hidden=72, experts=6, top_k=2,
    moe_blocks=(1,),
)  # fmt: skip
"""36 tokens, heads of 8, hidden layers that are no multiples of a tile."""

NARROW_HEADS = Architecture(
    image_height=24, image_width=40, patch=4, width=36, depth=2, heads=9, mlp_hidden=52, expert_hidden=20, experts=3, top_k=3,
    moe_blocks=(0, 1),
)  # fmt: skip
"""61 tokens, heads of 4 that are padded to a tile, patches of 4, every token to every expert."""

WHOLE_TILES = Architecture(
    image_height=56, image_width=72, patch=8, width=64, depth=2, heads=4, mlp_hidden=128, expert_hidden=64, experts=8, top_k=2,
    moe_blocks=(1,),
)  # fmt: skip
"""64 tokens: a multiple of every tile of the tiny configuration."""

DENSE = Architecture(
    image_height=32, image_width=48, patch=16, width=48, depth=1, heads=3, mlp_hidden=96, expert_hidden=8, experts=2, top_k=1,
    moe_blocks=(),
)  # fmt: skip
"""7 tokens and no experts at all."""

REGISTERS = Architecture(
    image_height=28, image_width=56, patch=14, width=32, depth=2, heads=2, mlp_hidden=64, expert_hidden=32, experts=4, top_k=2,
    moe_blocks=(1,), prefix_tokens=5,
)  # fmt: skip
"""Patches of 14, whose lines of 56 bytes are padded to 64, behind a class token and four registers."""

NO_PREFIX = Architecture(
    image_height=18, image_width=24, patch=6, width=32, depth=1, heads=2, mlp_hidden=64, expert_hidden=32, experts=4, top_k=2,
    moe_blocks=(0,), prefix_tokens=0,
)  # fmt: skip
"""12 patches and no other token."""

FOUR_BITS = replace(SMALL, four_bit_experts=SMALL.all_experts)
"""All experts with weights of 4 bits."""

MIXED_BITS = replace(NARROW_HEADS, four_bit_experts={0: (1,), 1: (0, 2)})
"""Some experts with weights of 4 bits and some of 8; hidden layers that are no multiples of a tile."""

ARCHITECTURES = {
    "small": SMALL,
    "odd": ODD,
    "narrow heads": NARROW_HEADS,
    "whole tiles": WHOLE_TILES,
    "dense": DENSE,
    "registers": REGISTERS,
    "no prefix": NO_PREFIX,
    "four bits": FOUR_BITS,
    "mixed bits": MIXED_BITS,
}


def tasks_of(architecture: Architecture) -> dict[str, Task]:
    """Three tasks: all experts and upscale = patch; half the experts, coarse output, 5 channels; one expert, one channel."""
    a = architecture

    def keep(experts: tuple[int, ...]) -> dict[int, tuple[int, ...]]:
        return dict.fromkeys(a.moe_blocks, experts)

    every = tuple(range(a.experts))
    return {
        "normals": Task("normals", 3, a.patch, 1e-3, a.top_k, keep(every)),
        "segmentation": Task(
            "segmentation", 5, a.patch // 2, 1e-3, a.top_k, keep(every[1::2] or every), class_names=tuple("abcde")
        ),
        "depth": Task("depth", 1, a.patch, 1e-3, 1, keep(every[-1:])),
    }


def token_tasks_of(architecture: Architecture) -> dict[str, Task]:
    """A task beside each pooling that the architecture has the tokens for, and features of the last and of the first block."""
    a, every = architecture, tuple(range(architecture.experts))

    def keep(blocks: tuple[int, ...]) -> dict[int, tuple[int, ...]]:
        return {i: every for i in a.moe_blocks if i in blocks}

    tasks = {
        f"classes_{n}": Task("classification", 11 + n, 1, 1e-3, a.top_k, keep(a.moe_blocks), pooling=pooling)
        for n, (pooling, prefix) in enumerate(POOLINGS.items())
        if prefix <= a.prefix_tokens
    }
    tasks["features"] = Task("features", a.width, 1, 1e-3, a.top_k, keep(a.moe_blocks))
    tasks["features_0"] = Task("features", a.width, 1, 1e-3, a.top_k, keep((0,)), last_block=0)
    return tasks


def network(architecture: Architecture, seed: int) -> Bundle:
    return random_bundle(architecture, tasks_of(architecture), seed)


def picture(architecture: Architecture, seed: int) -> np.ndarray:
    """Random pixels, with black and white corners."""
    shape = (architecture.image_height, architecture.image_width, 3)
    image = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    image[:4, :4], image[-4:, -4:] = 0, 255
    return image
