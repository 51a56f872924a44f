"""The configurations of a device that are inside the guidelines, ranked by the cycles that the cycle model gives them.

What the device decides is enumerated: the array, and how the memories are divided. Arrays are the tallest for each width and depth, and
shorter ones; a division of the memories leaves no room that a larger memory would use. A bound ranks the arrays without lowering anything:
those that it ranks first are estimated with every division, the others with the one most like the best found so far. Estimates are made
in a hurry; at the end all blocks of the best are lowered, so that what is recommended runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import geometric_mean

from moesaic.errors import UserError
from moesaic.hls.compiler.cycle_estimate import estimate_frame
from moesaic.hls.hardware.devices import device_of
from moesaic.hls.hardware.guidelines import allowed
from moesaic.hls.hardware.resource_estimate import BRAM_DEPTH, URAM_DEPTH, Resources, estimate_resources
from moesaic.spec.bundle import Architecture, Task
from moesaic.spec.configuration import ULTRA_BANKS, HardwareConfiguration
from moesaic.spec.cost import weight_bytes
from moesaic.spec.dram_timing import BYTES_PER_CYCLE

_COLUMNS, _DEPTHS = (8, 16, 32, 64), (4, 8)
_NORM_LANES, _BANKS = 8, 4
_HEIGHTS = (1.0, 0.8, 0.6, 0.4, 0.2)
"""Rows of the arrays, as shares of what the device allows."""
_IN_FULL = 3


@dataclass(frozen=True)
class Frame:
    """A model at an input size, of which one task is estimated. name: for tables and errors."""

    name: str
    architecture: Architecture
    tasks: dict[str, Task]
    task: str


@dataclass(frozen=True)
class Candidate:
    """A configuration inside the guidelines, its need, and the encoder cycles of each frame, in the order of the frames."""

    configuration: HardwareConfiguration
    need: Resources
    cycles: tuple[float, ...]

    @property
    def score(self) -> float:
        """The geometric mean of the cycles."""
        return geometric_mean(self.cycles)


Estimated = tuple[HardwareConfiguration, "tuple[float, ...] | Exception"]
"""A configuration with the encoder cycles of each frame, or with the UserError that says why it cannot run one."""
Estimates = Callable[[Iterable[HardwareConfiguration], Sequence[Frame], bool], Iterable[Estimated]]
"""Makes the estimates of configurations, in any order, and takes the next configuration only when it can be estimated. The last argument is
`hurry` of `moesaic.hls.compiler.cycle_estimate.estimate_frame`."""


def encoder_cycles(configuration: HardwareConfiguration, frames: Sequence[Frame], hurry: bool) -> tuple[float, ...]:
    """The estimated cycles of each frame's encoder. UserError if the configuration cannot run one."""
    return tuple(
        estimate_frame(f.architecture, f.tasks, f.task, configuration, hurry=hurry).encoder_cycles for f in frames
    )


def one_by_one(
    configurations: Iterable[HardwareConfiguration], frames: Sequence[Frame], hurry: bool
) -> Iterator[Estimated]:
    """Estimates made here, one after the other."""
    for configuration in configurations:
        try:
            yield configuration, encoder_cycles(configuration, frames, hurry)
        except UserError as error:
            yield configuration, error


def explore(
    like: HardwareConfiguration,
    frames: Sequence[Frame],
    room: Callable[[], bool] = lambda: True,
    progress: Callable[[str], None] = lambda line: None,
    best: int = 10,
    estimates: Estimates = one_by_one,
) -> list[Candidate]:
    """The candidates for the device of `like`, the fastest first; configurations that cannot run every frame are left out.

    like: a configuration for the device; what is neither array nor memory (ports, queues, rows of statistics) is as in it.
    frames: at least one. room: asked before each estimate whether there is time for it. progress: called with a line at the end.
    best: so many of the fastest, and those of `pareto`, are estimated once more with all blocks, which takes its time. estimates: who
    makes them.

    Raises UserError if no configuration inside the guidelines runs all frames, with what the last one lacks.
    """
    ranked = sorted(_arrays(like), key=lambda array: _bound(array, frames))
    found: list[Candidate] = []
    tried, refusal, left = 0, "its device is too small", 0

    def proposals() -> Iterator[HardwareConfiguration]:
        nonlocal tried, left
        for n, array in enumerate(ranked):
            divisions = list(_divisions(array))
            if n >= _IN_FULL and found and divisions:
                divisions = [max(divisions, key=lambda division: _likeness(division, found[0].configuration))]
            for configuration in divisions:
                if not room():
                    left = len(ranked) - n
                    return
                tried += 1
                yield configuration

    for configuration, cycles in estimates(proposals(), frames, True):
        if isinstance(cycles, Exception):
            refusal = str(cycles)
            continue
        found.append(Candidate(configuration, estimate_resources(configuration), cycles))
        found.sort(key=lambda candidate: candidate.score)
    if left:
        progress(f"out of time after {tried} configurations; {left} of {len(ranked)} arrays are left")
    else:
        progress(f"{tried} configurations inside the guidelines; {len(found)} of them run every frame")
    return _named(_confirmed(found, frames, best, estimates), like, refusal)


def pareto(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those that no other one beats in both DSPs and cycles. candidates: the fastest first."""
    front: list[Candidate] = []
    for candidate in candidates:
        if not front or candidate.need.dsp < front[-1].need.dsp:
            front.append(candidate)
    return front


def _confirmed(found: Sequence[Candidate], frames: Sequence[Frame], best: int, estimates: Estimates) -> list[Candidate]:
    """The candidates with the first `best` and those of `pareto` estimated with all blocks; one that does not run is left out."""
    ranked, whole = list(found), set[str]()
    while waiting := [c for c in (*ranked[:best], *pareto(ranked)) if c.configuration.fingerprint not in whole]:
        configurations = {c.configuration.fingerprint: c.configuration for c in waiting}
        whole |= configurations.keys()
        ranked = [c for c in ranked if c.configuration.fingerprint not in configurations]
        for configuration, cycles in estimates(configurations.values(), frames, False):
            if not isinstance(cycles, Exception):
                ranked.append(Candidate(configuration, estimate_resources(configuration), cycles))
        ranked.sort(key=lambda candidate: candidate.score)
    return ranked


def _named(found: list[Candidate], like: HardwareConfiguration, refusal: str) -> list[Candidate]:
    if not found:
        raise UserError(
            f"no configuration inside the guidelines of {like.part} runs all frames; the last one: {refusal}"
        )
    return [
        replace(candidate, configuration=replace(candidate.configuration, name=f"{like.name}-{n}"))
        for n, candidate in enumerate(found, 1)
    ]


def _inside(configuration: HardwareConfiguration) -> bool:
    device = device_of(configuration)
    return all(amount <= allowed(device, name) for name, amount in estimate_resources(configuration).to_dict().items())


def _with_memories(
    array: HardwareConfiguration, weights: int, ultra: int, private: int, shared: int
) -> HardwareConfiguration:
    """An array with memories: words of the weight memory, and rows of each bank's part in UltraRAM and of its two parts in block RAM."""
    row = array.act_word_bytes * array.act_banks
    ultra_bytes = ultra * array.act_word_bytes * ULTRA_BANKS
    return replace(
        array,
        weight_bytes=weights * array.weight_word_bytes,
        act_ultra_bytes=ultra_bytes,
        act_bytes=ultra_bytes + (private + shared) * row,
        shared_bytes=shared * row,
    )


def _arrays(like: HardwareConfiguration) -> Iterator[HardwareConfiguration]:
    """Arrays with the least memories that fill their blocks."""
    for columns in _COLUMNS:
        for depth in _DEPTHS:
            sizes = {"tile_columns": columns, "tile_depth": depth, "norm_lanes": min(_NORM_LANES, columns)}
            least = replace(
                like, **sizes, tile_rows=like.act_ports, act_banks=_BANKS, act_ultra_bytes=0, shared_bytes=0,
                act_bytes=2 * columns * _BANKS * BRAM_DEPTH, weight_bytes=columns * depth * BRAM_DEPTH,
            )  # fmt: skip
            heights = [
                rows for rows in range(like.act_ports, 65, like.act_ports) if _inside(replace(least, tile_rows=rows))
            ]
            if heights:
                step = like.act_ports
                rows = {max(round(heights[-1] * share / step) * step, step) for share in _HEIGHTS}
                yield from (replace(least, tile_rows=height) for height in sorted(rows, reverse=True))


def _divisions(array: HardwareConfiguration) -> Iterator[HardwareConfiguration]:
    """The array with memories as large as the guidelines allow, for each size of the weight memory and of the shared part."""
    has_ultra = device_of(array).uram > 0
    powers = [BRAM_DEPTH << n for n in range(6)]
    for weights in [n * URAM_DEPTH for n in range(1, 9)] if has_ultra else powers:
        ultra = 0
        while has_ultra and _inside(_with_memories(array, weights, ultra + URAM_DEPTH, BRAM_DEPTH, 0)):
            ultra += URAM_DEPTH
        for shared in (0, *powers):
            fitting = [p for p in powers if _inside(_with_memories(array, weights, ultra, p, shared))]
            if fitting:
                yield _with_memories(array, weights, ultra, fitting[-1], shared)


def _likeness(division: HardwareConfiguration, best: HardwareConfiguration) -> tuple[int, bool]:
    """How much of the best division's memory another one has."""
    alike = min(division.weight_bytes, best.weight_bytes) + min(division.act_bytes, best.act_bytes)
    return alike, bool(division.shared_bytes) == bool(best.shared_bytes)


def _bound(array: HardwareConfiguration, frames: Sequence[Frame]) -> float:
    """The geometric mean over the frames of the cycles that tiles, drain and weights take at least."""
    return geometric_mean(
        max(_steps(array, f), weight_bytes(f.architecture, f.tasks[f.task]) / BYTES_PER_CYCLE) for f in frames
    )


def _steps(c: HardwareConfiguration, frame: Frame) -> float:
    """Cycles of the array for all tiles of a frame's encoder, none shorter than its drain."""
    a, task = frame.architecture, frame.tasks[frame.task]
    drain = c.tile_rows // c.act_ports

    def product(rows: float, columns: int, depth: int) -> float:
        tiles = math.ceil(rows / c.tile_rows) * math.ceil(columns / c.tile_columns)
        return tiles * max(math.ceil(depth / c.tile_depth), drain)

    total = product(a.patches, a.width, 4 * a.patch * a.patch)
    for i in range(a.depth):
        head = a.width // a.heads
        total += 4 * product(a.tokens, a.width, a.width)
        total += a.heads * (product(a.tokens, a.tokens, head) + product(a.tokens, head, a.tokens))
        if i in a.moe_blocks:
            experts = len(task.pathway[i])
            tokens = a.tokens * min(task.top_k, experts) / experts
            total += experts * (product(tokens, a.expert_hidden, a.width) + product(tokens, a.width, a.expert_hidden))
        else:
            total += product(a.tokens, a.mlp_hidden, a.width) + product(a.tokens, a.width, a.mlp_hidden)
    return total
