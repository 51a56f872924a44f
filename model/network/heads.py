"""Task heads: dense ones, the light head or SETR's progressive upsampling head; classifications; and features."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moesaic.model.recipes.recipe import ModelConfiguration, TaskConfiguration
from moesaic.spec.heads import (
    CLASS,
    CLASS_AND_DISTILLATION,
    CLASSIFICATION,
    DISTILLATION,
    FEATURES,
    MEAN,
    MEAN_BEFORE_NORM,
)

PUP_CHANNELS = 256
PUP_STAGES = 4


def pixel_shuffle(x: Tensor, grid: tuple[int, int], resolution: int, channels: int) -> Tensor:
    """Rearrange patch outputs [B, patches, r*r*C], with elements in the order `[y][x][c]`, to an image [B, C, rows*r, columns*r].

    grid: rows and columns of patches. resolution: r, output pixels per patch edge. channels: C.
    """
    rows, columns = grid
    x = x.view(-1, rows, columns, resolution, resolution, channels)
    return x.permute(0, 5, 1, 3, 2, 4).reshape(-1, channels, rows * resolution, columns * resolution)


class Head(nn.Module):
    """Tokens [B, prefix + patches, D] to a prediction [B, C, rows*r, columns*r] by one linear layer; prefix tokens are dropped."""

    def __init__(self, width: int, channels: int, grid: tuple[int, int], resolution: int, prefix: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, resolution * resolution * channels)
        self.grid, self.resolution, self.channels, self.prefix = grid, resolution, channels, prefix

    def forward(self, x: Tensor) -> Tensor:
        return pixel_shuffle(self.linear(x[:, self.prefix :]), self.grid, self.resolution, self.channels)


class SetrPupHead(nn.Module):
    """The last block's output tokens [B, prefix + patches, D] to a prediction [B, C, rows*r, columns*r].

    SETR-PUP (Zheng et al., CVPR 2021, figure 1b) as M3ViT uses it: the head has its own layer norm, four stages of 3x3
    convolution, batch norm, ReLU and bilinear upsampling by 2, and a 1x1 convolution before the last upsampling. This gives 16
    pixels per patch edge; for another resolution r, no stage upsamples beyond r, and the last one upsamples to r.
    """

    def __init__(
        self, width: int, channels: int, grid: tuple[int, int], resolution: int, prefix: int, epsilon: float
    ) -> None:
        super().__init__()
        self.grid, self.resolution, self.channels, self.prefix = grid, resolution, channels, prefix
        self.norm = nn.LayerNorm(width, eps=epsilon)
        inputs = (width, *[PUP_CHANNELS] * (PUP_STAGES - 1))
        self.convolutions = nn.ModuleList(nn.Conv2d(n, PUP_CHANNELS, 3, padding=1) for n in inputs)
        self.batch_norms = nn.ModuleList(nn.BatchNorm2d(PUP_CHANNELS) for _ in inputs)
        self.classifier = nn.Conv2d(PUP_CHANNELS, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = self.grid
        x = self.norm(x[:, self.prefix :]).transpose(1, 2).unflatten(2, (rows, columns))
        for stage, (convolution, norm) in enumerate(zip(self.convolutions, self.batch_norms), start=1):
            x = F.relu(norm(convolution(x)))
            last = stage == PUP_STAGES
            if last:
                x = self.classifier(x)
            scale = self.resolution if last else min(2**stage, self.resolution)
            if x.shape[-2] != rows * scale:
                size = (rows * scale, columns * scale)
                x = F.interpolate(x, size=size, mode="bilinear", align_corners=False)
        return x


class ClassificationHead(nn.Module):
    """Tokens [B, prefix + patches, D] to logits [B, classes].

    pooling: one of moesaic.spec.heads.POOLINGS; there is one layer for each of its parts, in their order. With "mean_before_norm"
    the head has a layer norm of its own, and its tokens are those of the last block, not normalised.
    """

    def __init__(self, width: int, classes: int, pooling: str, prefix: int, epsilon: float) -> None:
        super().__init__()
        patches = slice(prefix, None)
        read = {CLASS: slice(0, 1), DISTILLATION: slice(1, 2), MEAN: patches, MEAN_BEFORE_NORM: patches}
        self._tokens = [read[part] for part in pooling.split("+")]
        self.layers = nn.ModuleList(nn.Linear(width, classes) for _ in self._tokens)
        self.pooling = pooling
        self.norm = nn.LayerNorm(width, eps=epsilon) if pooling == MEAN_BEFORE_NORM else None

    def forward(self, x: Tensor) -> Tensor:
        pooled = [layer(part.mean(1)) for layer, part in zip(self.layers, self._parts(x))]
        total = torch.stack(pooled).sum(0)
        return total / 2 if self.pooling == CLASS_AND_DISTILLATION else total

    def read(self, x: Tensor) -> Tensor:
        """What the layers read, one part after another: [B, rows, D], normalised."""
        return torch.cat(self._parts(x), 1)

    def rows(self, x: Tensor) -> Tensor:
        """What the machine computes, [B, rows, classes]: the layer of every row that is read; moesaic.spec.heads.logits adds up."""
        return torch.cat([layer(part) for layer, part in zip(self.layers, self._parts(x))], 1)

    def _parts(self, x: Tensor) -> list[Tensor]:
        parts = [x[:, tokens] for tokens in self._tokens]
        return parts if self.norm is None else [self.norm(part.mean(1, keepdim=True)) for part in parts]


class FeaturesHead(nn.Module):
    """Tokens [B, prefix + patches, D], as they are, or after a norm of their own."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x)


def normalised(head: nn.Module, x: Tensor, result: Tensor) -> Tensor:
    """What the final layer norm gives for a head that makes `result` of x: [B, rows, D], all tokens for a dense one."""
    if isinstance(head, FeaturesHead):
        return result
    return head.read(x) if isinstance(head, ClassificationHead) else x


def build_head(c: ModelConfiguration, task: TaskConfiguration) -> nn.Module:
    """The head of a task; that of a dense task is the one that the configuration selects."""
    if task.kind == CLASSIFICATION:
        return ClassificationHead(c.width, task.channels, task.pooling, c.prefix_tokens, c.norm_epsilon)
    if task.kind == FEATURES:
        return FeaturesHead(nn.Identity() if c.head == "light" else nn.LayerNorm(c.width, eps=c.norm_epsilon))
    if c.head == "light":
        return Head(c.width, task.channels, c.grid, c.resolution, c.prefix_tokens)
    return SetrPupHead(c.width, task.channels, c.grid, c.resolution, c.prefix_tokens, c.norm_epsilon)


def final_norm(c: ModelConfiguration) -> nn.Module:
    """The layer between the last block and the heads: one norm for all heads, or the identity if each head has its own."""
    return nn.LayerNorm(c.width, eps=c.norm_epsilon) if c.head == "light" else nn.Identity()
