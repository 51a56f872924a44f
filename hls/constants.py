"""The constant window of DRAM: weights once for all tasks, then the programs."""

from __future__ import annotations

import numpy as np

from hls.arena import round_up
from hls.network import lowered_linears
from hls.weight_layout import pack_linear, pack_norm, parameter_block
from spec.bundle import Bundle
from spec.configuration import HardwareConfiguration

_ALIGNMENT = 64


class Constants:
    """Named byte blocks, each at a multiple of 64. offset, size: name to bytes."""

    def __init__(self) -> None:
        self._blocks: list[np.ndarray] = []
        self.offset: dict[str, int] = {}
        self.size: dict[str, int] = {}
        self.total = 0

    def add(self, name: str, content: np.ndarray) -> None:
        """Append a uint8 block, padded with zeros to the alignment; size keeps whole 16-byte beats."""
        padded = np.zeros(round_up(len(content), _ALIGNMENT), np.uint8)
        padded[: len(content)] = content
        self.offset[name], self.size[name] = self.total, round_up(len(content), 16)
        self._blocks.append(padded)
        self.total += len(padded)

    def image(self) -> np.ndarray:
        """The whole window, uint8."""
        return np.concatenate(self._blocks)


def pack_network(bundle: Bundle, configuration: HardwareConfiguration) -> Constants:
    """All weights of a bundle, in the order in which a frame first needs them.

    Blocks: position (rows padded to act words), norms (all layer norms), one per linear layer, BLOCK.scores (one parameter block),
    BLOCK.mlp.table / BLOCK.experts.table.
    """
    a, tensors = bundle.architecture, bundle.tensors
    constants = Constants()
    position = np.zeros((a.tokens, round_up(2 * a.width, configuration.act_word_bytes)), np.uint8)
    position[:, : 2 * a.width] = tensors["position"].astype("<i2").view(np.uint8)
    constants.add("position", position.reshape(-1))
    norms = [
        pack_norm(configuration, tensors[f"{name}.gamma"], tensors[f"{name}.beta"]) for name in norm_names(a.depth)
    ]
    constants.add("norms", np.concatenate(norms))
    ones = np.ones(configuration.tile_columns, np.int64)
    for i in range(a.depth):
        scores = f"blocks.{i}.scores"
        multiplier, shift = tensors[f"{scores}.multiplier"], tensors[f"{scores}.shift"]
        constants.add(scores, parameter_block(configuration, 0 * ones, multiplier * ones, shift * ones))
        table = f"blocks.{i}.{'experts' if i in a.moe_blocks else 'mlp'}.table"
        constants.add(table, tensors[table].view(np.uint8))
    for name, layer in lowered_linears(bundle, configuration).items():
        constants.add(name, pack_linear(configuration, layer))
    return constants


def norm_names(depth: int) -> list[str]:
    """Layer norms in the order of the `norms` block."""
    return [f"blocks.{i}.norm{n}" for i in range(depth) for n in (1, 2)] + ["norm"]
