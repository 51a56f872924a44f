"""The weights of a vision transformer in an ONNX graph, under timm's names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from moesaic.model.importing.foreign_checkpoint import PREPROCESSOR, ForeignCheckpoint, read_settings
from moesaic.model.importing.onnx_graphs.file_ranges import FileRange, file_ranges
from moesaic.model.importing.onnx_graphs.graph_file import Graph, read_graph
from moesaic.model.importing.onnx_graphs.values import Value
from moesaic.model.importing.onnx_graphs.vit_structure import Layer, VisionTransformer, find_vision_transformer
from moesaic.model.network.finite import require_finite


class OnnxCheckpoint(ForeignCheckpoint):
    """The weights of a graph. ranges: of activations, which quantised graphs state; see `file_ranges`."""

    def __init__(self, path: Path, tensors: dict[str, Tensor], settings: dict, ranges: dict[str, FileRange]) -> None:
        super().__init__(path, tensors, settings)
        self.ranges = ranges


def read_onnx_checkpoint(path: Path, image_size: tuple[int, int], backbone_only: bool) -> OnnxCheckpoint:
    """The vision transformer in an ONNX file, as a checkpoint with timm's names whose settings state what the graph shows.

    Settings of an image processor beside the file are added.
    image_size: height and width, where the graph leaves them open. backbone_only: leave out what follows the final norm.
    UserError if the file cannot be read, has weights that are not finite, or computes something else; it names the node.
    """
    graph = read_graph(path, image_size)
    checkpoint = as_checkpoint(graph, find_vision_transformer(graph, backbone_only))
    checkpoint.settings = read_settings(path.parent / PREPROCESSOR) | checkpoint.settings
    return checkpoint


def as_checkpoint(graph: Graph, found: VisionTransformer) -> OnnxCheckpoint:
    """The vision transformer's weights with timm's names, float32; UserError names the first that is not finite."""
    tensors = {
        "patch_embed.proj.weight": found.patches.weight,
        "patch_embed.proj.bias": found.patches.bias,
        "pos_embed": np.concatenate([np.zeros_like(found.prefix), found.position])[None],
    }
    if len(found.prefix):
        tensors["cls_token"] = found.prefix[None, :1]
    if len(found.prefix) > 1:
        tensors["reg_token"] = found.prefix[None, 1:]
    for i, block in enumerate(found.blocks):
        path = f"blocks.{i}"
        parts = (block.query, block.key, block.value)
        tensors |= _norm(f"{path}.norm1", block.norm1) | _norm(f"{path}.norm2", block.norm2)
        tensors[f"{path}.attn.qkv.weight"] = np.concatenate([part.weight for part in parts])
        tensors[f"{path}.attn.qkv.bias"] = np.concatenate([part.bias for part in parts])
        tensors |= _linear(f"{path}.attn.proj", block.projection)
        tensors |= _linear(f"{path}.mlp.fc1", block.up) | _linear(f"{path}.mlp.fc2", block.down)
    tensors |= _norm("norm", found.norm)
    (rows, columns), (height, width) = found.patches.grid, found.patches.weight.shape[2:]
    settings = {
        "num_attention_heads": found.heads,
        "layer_norm_eps": found.epsilon,
        "image_size": [rows * height, columns * width],
        "patch_size": height,
    }
    if found.patches.normalised:
        settings["normalised_by_graph"] = True
    weights: dict[str, Tensor] = {name: torch.from_numpy(value).float() for name, value in tensors.items()}
    require_finite(weights, f"{graph.path}", "export it again from a finite checkpoint")
    return OnnxCheckpoint(graph.path, weights, settings, file_ranges(found))


def _norm(name: str, value: Value) -> dict[str, np.ndarray]:
    return {f"{name}.weight": value.scale, f"{name}.bias": value.offset}


def _linear(name: str, layer: Layer) -> dict[str, np.ndarray]:
    return {f"{name}.weight": layer.weight, f"{name}.bias": layer.bias}
