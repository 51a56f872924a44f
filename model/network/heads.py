"""Task heads: the light one, which the accelerator runs as one matrix product, and SETR's progressive upsampling."""

import torch.nn.functional as F
from torch import Tensor, nn

PUP_CHANNELS = 256
PUP_STAGES = 4


def pixel_shuffle(x: Tensor, grid: tuple[int, int], resolution: int, channels: int) -> Tensor:
    """Token outputs [B, patches, r*r*C], elements in the order `[y][x][c]`, to an image [B, C, rows*r, columns*r]."""
    rows, columns = grid
    x = x.view(-1, rows, columns, resolution, resolution, channels)
    return x.permute(0, 5, 1, 3, 2, 4).reshape(-1, channels, rows * resolution, columns * resolution)


class Head(nn.Module):
    """Patch tokens [B, 1 + patches, D] to a prediction [B, C, rows*r, columns*r]; the class token is left out."""

    def __init__(self, width: int, channels: int, grid: tuple[int, int], resolution: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, resolution * resolution * channels)
        self.grid, self.resolution, self.channels = grid, resolution, channels

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [B, 1 + patches, D] to a prediction [B, C, rows*r, columns*r]."""
        return pixel_shuffle(self.linear(x[:, 1:]), self.grid, self.resolution, self.channels)


class SetrPupHead(nn.Module):
    """Tokens as they leave the last block [B, 1 + patches, D] to a prediction [B, C, rows*r, columns*r].

    SETR-PUP (Zheng et al., CVPR 2021, figure 1b) as M3ViT uses it: a layer norm of the head's own, four stages of 3x3
    convolution, batch norm, ReLU and bilinear upsampling by 2, and a 1x1 convolution before the last upsampling. That is 16
    pixels a patch edge; for another resolution r a stage goes no further than r, and the last one to r.
    """

    def __init__(self, width: int, channels: int, grid: tuple[int, int], resolution: int) -> None:
        super().__init__()
        self.grid, self.resolution, self.channels = grid, resolution, channels
        self.norm = nn.LayerNorm(width, eps=1e-6)
        inputs = (width, *[PUP_CHANNELS] * (PUP_STAGES - 1))
        self.convolutions = nn.ModuleList(nn.Conv2d(n, PUP_CHANNELS, 3, padding=1) for n in inputs)
        self.batch_norms = nn.ModuleList(nn.BatchNorm2d(PUP_CHANNELS) for _ in inputs)
        self.classifier = nn.Conv2d(PUP_CHANNELS, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [B, 1 + patches, D] to a prediction [B, C, rows*r, columns*r]."""
        rows, columns = self.grid
        x = self.norm(x[:, 1:]).transpose(1, 2).unflatten(2, (rows, columns))
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


def build_head(head: str, width: int, channels: int, grid: tuple[int, int], resolution: int) -> nn.Module:
    """The head of that name, "light" or "setr-pup"."""
    return {"light": Head, "setr-pup": SetrPupHead}[head](width, channels, grid, resolution)


def final_norm(head: str, width: int) -> nn.Module:
    """What stands between the last block and the heads: one norm for all, or nothing where each head has its own."""
    return nn.LayerNorm(width, eps=1e-6) if head == "light" else nn.Identity()
