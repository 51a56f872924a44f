"""The weights of a vision transformer in an ONNX graph, under timm's names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from moesaic.model.importing.classifier import CLASS_NAMES, Classifier, class_names
from moesaic.model.importing.foreign_checkpoint import CONFIGURATION, PREPROCESSOR, ForeignCheckpoint, read_settings
from moesaic.model.importing.onnx_graphs.file_ranges import FileRange, file_ranges
from moesaic.model.importing.onnx_graphs.graph_file import Graph, read_graph
from moesaic.model.importing.onnx_graphs.values import Value
from moesaic.model.importing.onnx_graphs.vit_structure import Layer, VisionTransformer, find_vision_transformer
from moesaic.model.network.finite import require_finite
from moesaic.spec.heads import MEAN_BEFORE_NORM


class OnnxCheckpoint(ForeignCheckpoint):
    """The weights of a graph.

    ranges: of activations, which quantised graphs state; see `file_ranges`. classifier: what follows the final norm, if it is one.
    """

    def __init__(
        self,
        path: Path,
        tensors: dict[str, Tensor],
        settings: dict,
        ranges: dict[str, FileRange],
        classifier: Classifier | None = None,
    ) -> None:
        super().__init__(path, tensors, settings)
        self.ranges, self.classifier = ranges, classifier


def read_onnx_checkpoint(path: Path, image_size: tuple[int, int] | None, backbone_only: bool) -> OnnxCheckpoint:
    """The vision transformer in an ONNX file, as a checkpoint with timm's names whose settings state what the graph shows.

    Settings of an image processor beside the file are added, and names of classes in a config.json there.
    image_size: height and width, where the graph leaves them open. backbone_only: leave out what follows the final norm.
    UserError if the file cannot be read, has weights that are not finite, or computes something else; it names the node.
    """
    graph = read_graph(path, image_size)
    labels = {name: value for name, value in read_settings(path.parent / CONFIGURATION).items() if name in CLASS_NAMES}
    checkpoint = as_checkpoint(graph, find_vision_transformer(graph, backbone_only), labels)
    checkpoint.settings = read_settings(path.parent / PREPROCESSOR) | checkpoint.settings
    return checkpoint


def as_checkpoint(graph: Graph, found: VisionTransformer, labels: dict) -> OnnxCheckpoint:
    """The vision transformer's weights with timm's names, float32; UserError names the first that is not finite.

    labels: settings that name its classes, see `moesaic.model.importing.classifier.class_names`.
    """
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
    classifier = _classifier(found, labels)
    require_finite(
        weights | (classifier.weights("classifier") if classifier else {}),
        f"{graph.path}",
        "export it again from a finite checkpoint",
    )
    return OnnxCheckpoint(graph.path, weights, settings, file_ranges(found), classifier)


def _classifier(found: VisionTransformer, labels: dict) -> Classifier | None:
    if found.classifier is None:
        return None

    def tensors(*parts: np.ndarray) -> tuple[Tensor, Tensor]:
        weight, bias = (torch.from_numpy(np.ascontiguousarray(part)).float() for part in parts)
        return weight, bias

    pooling = found.classifier.pooling
    layers = tuple(tensors(*layer) for layer in found.classifier.layers)
    norm = tensors(found.norm.scale, found.norm.offset) if pooling == MEAN_BEFORE_NORM else None
    return Classifier(pooling, layers, class_names(labels, len(layers[0][1])), norm)


def _norm(name: str, value: Value) -> dict[str, np.ndarray]:
    return {f"{name}.weight": value.scale, f"{name}.bias": value.offset}


def _linear(name: str, layer: Layer) -> dict[str, np.ndarray]:
    return {f"{name}.weight": layer.weight, f"{name}.bias": layer.bias}
