"""Random legal configurations with networks that fit them, to compare the estimate of cycles with the RTL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from moesaic.errors import InternalError, UserError
from moesaic.hls.compiler.cycle_estimate import estimate_frame
from moesaic.hls.hardware.resource_estimate import check_fit
from moesaic.model.recipes.recipe import ModelConfiguration, Recipe, TaskConfiguration, TrainingConfiguration
from moesaic.spec.configuration import ULTRA_BANKS, HardwareConfiguration

TASK = "depth"
_ATTEMPTS = 2000


@dataclass(frozen=True)
class Size:
    """What sizes are drawn from.

    macs: least and most multiply-accumulates of the array per cycle. columns, rows: of its tile. memory: bytes of the weight and of
    the activation memory. widths: of networks, in channels. patches: of an image, along each side.
    """

    macs: tuple[int, int]
    columns: tuple[int, ...]
    rows: tuple[int, int]
    memory: tuple[int, ...]
    widths: tuple[int, ...]
    patches: tuple[int, int]


SIZES = {
    "small": Size((32, 255), (8,), (1, 8), (65_536, 98_304, 131_072, 262_144), (32, 48, 64, 96), (3, 8)),
    "middle": Size((256, 1023), (8, 16, 32), (2, 32), (131_072, 262_144, 524_288), (48, 64, 96, 128), (4, 9)),
    "large": Size((1024, 3072), (16, 32, 64), (4, 32), (524_288, 786_432, 1_048_576), (96, 128, 192), (6, 11)),
}


@dataclass(frozen=True)
class Sample:
    """A configuration with a network. name: its size and seed, such as "small-3"."""

    name: str
    configuration: HardwareConfiguration
    recipe: Recipe

    @property
    def network(self) -> str:
        """Its network in words: channels, tokens and experts."""
        model = self.recipe.model
        experts = f", {model.experts} experts, {model.top_k} chosen" if model.experts else ""
        return f"{model.width} wide, {model.tokens} tokens{experts}"


def draw_sample(size: str, seed: int) -> Sample:
    """The sample with this number. size: a key of SIZES. seed: 0 and up; each gives another sample, the same on every machine."""
    rng = np.random.default_rng([list(SIZES).index(size), seed])
    name = f"{size}-{seed}"
    for _ in range(_ATTEMPTS):
        try:
            configuration = _configuration(rng, name, SIZES[size])
            check_fit(configuration)
            model = _network(rng, SIZES[size], configuration)
            tasks = {each: model.bundle_task(each, whole) for each, whole in model.whole_pathways.items()}
            estimate_frame(model.architecture, tasks, TASK, configuration)
        except UserError:
            continue
        return Sample(name, configuration, Recipe(model, TrainingConfiguration(2, 1, 1e-3, 1)))
    raise InternalError(f"none of {_ATTEMPTS} draws of size {size} is legal")


def _configuration(rng: np.random.Generator, name: str, size: Size) -> HardwareConfiguration:
    columns, depth = _one_of(rng, size.columns), _one_of(rng, (4, 8))
    ports = _one_of(rng, (1, 2))
    rows = int(rng.integers(*size.rows, endpoint=True)) // ports * ports
    if not size.macs[0] <= rows * columns * depth <= size.macs[1]:
        raise UserError("the array has another size")
    banks = _one_of(rng, (1, 2, 4, 8, 16))
    word = 2 * columns
    ultra = _part(rng, _one_of(rng, size.memory), word * ULTRA_BANKS) if rng.integers(2) else 0
    block = _one_of(rng, size.memory) // (word * banks) * (word * banks)
    return HardwareConfiguration(
        name=name,
        part="XCZU7EV",
        tile_rows=rows,
        tile_columns=columns,
        tile_depth=depth,
        norm_lanes=_one_of(rng, (1, 2, 4, 8, 16, 32)),
        act_ports=ports,
        load_ports=_one_of(rng, (1, 2, 3, 4)),
        act_bytes=block + ultra,
        act_banks=banks,
        act_ultra_bytes=ultra,
        shared_bytes=_part(rng, block, word * banks) if rng.integers(2) else 0,
        weight_bytes=_one_of(rng, size.memory) // (columns * depth) * (columns * depth),
        row_entries=_one_of(rng, (64, 128, 256, 512)),
        queue_tokens=_one_of(rng, (64, 128, 256)),
        experts=_one_of(rng, (8, 16)),
        instruction_queue=_one_of(rng, (4, 8, 16, 64)),
    )


def _network(rng: np.random.Generator, size: Size, c: HardwareConfiguration) -> ModelConfiguration:
    width, patch = _one_of(rng, size.widths), _one_of(rng, (8, 16))
    height, breadth = (int(rng.integers(*size.patches, endpoint=True)) * patch for _ in range(2))
    experts = _one_of(rng, (0, 4, 8))
    return ModelConfiguration(
        image_height=height,
        image_width=breadth,
        patch=patch,
        width=width,
        depth=2,
        heads=_one_of(rng, [n for n in (1, 2, 3, 4, 6) if width % n == 0 and 16 <= width // n <= 64]),
        mlp_hidden=width * _one_of(rng, (2, 3, 4)),
        experts=experts,
        top_k=_one_of(rng, (1, 2, 4)) if experts else 0,
        expert_hidden=width * _one_of(rng, (1, 2)) if experts else 0,
        tasks=(TaskConfiguration(TASK, 1),),
        head_resolution=_one_of(rng, (1, 2, 4)),
        prefix_tokens=_one_of(rng, (0, 1)),
    )


def _one_of(rng: np.random.Generator, values: Sequence[int]) -> int:
    return values[int(rng.integers(len(values)))]


def _part(rng: np.random.Generator, whole: int, unit: int) -> int:
    """A quarter, a half or three quarters of `whole`, a multiple of `unit`."""
    return whole * _one_of(rng, (1, 2, 3)) // 4 // unit * unit
