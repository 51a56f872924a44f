"""The light task head: one linear layer and a pixel shuffle, which the accelerator runs as one matrix product."""

from torch import Tensor, nn


def pixel_shuffle(x: Tensor, grid: tuple[int, int], resolution: int, channels: int) -> Tensor:
    """Token outputs [B, patches, r*r*C], elements in [y][x][c] order, to an image [B, C, rows*r, columns*r]."""
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
        return pixel_shuffle(self.linear(x[:, 1:]), self.grid, self.resolution, self.channels)
