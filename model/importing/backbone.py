"""What timm's vision transformers, DeiT and M3ViT share: the names and the layout of the backbone's weights."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from moesaic.errors import UserError
from moesaic.model.importing.foreign_checkpoint import ForeignCheckpoint
from moesaic.model.recipes.recipe import ModelConfiguration

NORMALISATIONS = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}
"""Mean and standard deviation, of pixels in 0..1, that a network was trained with."""


def require_heads(configuration: ModelConfiguration, heads: int) -> None:
    """UserError unless the source's attention heads are the recipe's: any number fits the weights, another one is wrong."""
    if heads != configuration.heads:
        raise UserError(
            f"the source has {heads} attention heads, the recipe {configuration.heads}: its weights would load and be"
            f" wrong; set heads = {heads} in the recipe (ViT-S of M3ViT has 12, DeiT-small 6)"
        )


def take_embedding(
    source: ForeignCheckpoint, c: ModelConfiguration, normalisation: str, grid: tuple[int, int] | None = None
) -> dict[str, Tensor]:
    """Patch embedding, class token and positions, for images in -1..1 and the recipe's grid.

    grid: rows and columns of patches that the source's positions are for; by default the recipe's if their number is the
    same, else a square. Positions of another grid are interpolated, bicubic as in DeiT.
    """
    weight = source.take("patch_embed.proj.weight", c.width, 3, c.patch, c.patch)
    bias = source.take("patch_embed.proj.bias", c.width)
    mean, std = (torch.tensor(values) for values in NORMALISATIONS[normalisation])
    # The source takes (pixel / 255 - mean) / std, we give x = pixel / 127.5 - 1: (x / 2 + 1 / 2 - mean) / std.
    bias = bias + torch.einsum("dcyx,c->d", weight, (0.5 - mean) / std)
    weight = weight * (0.5 / std)[:, None, None]
    position = source.take("pos_embed", 1, None, c.width)[0]
    return {
        "patch_embedding.weight": weight.permute(0, 2, 3, 1).flatten(1),  # in [y][x][c] order
        "patch_embedding.bias": bias,
        "class_token": source.take("cls_token", 1, 1, c.width).flatten(),
        "position": torch.cat([position[:1], _resized(source, position[1:], c.grid, grid)]),
    }


def _resized(
    source: ForeignCheckpoint, patches: Tensor, wanted: tuple[int, int], grid: tuple[int, int] | None
) -> Tensor:
    """Position embeddings [patches, D] of one grid for another."""
    count = len(patches)
    if grid is None:
        side = math.isqrt(count)
        grid = wanted if count == wanted[0] * wanted[1] else (side, side)
    if grid[0] * grid[1] != count:
        sizes = f"weight pos_embed has {count} patches, a grid of {grid[0]}x{grid[1]} has {grid[0] * grid[1]}"
        raise UserError(f"{source.path}: {sizes}: state the source's grid of patches")
    if grid == wanted:
        return patches
    image = patches.T.reshape(1, -1, *grid)
    resized = F.interpolate(image, size=wanted, mode="bicubic", align_corners=False)
    return resized.flatten(2)[0].T


def take_attention(source: ForeignCheckpoint, c: ModelConfiguration, block: int) -> dict[str, Tensor]:
    """Both norms and the attention of a block."""
    theirs, ours, d = f"blocks.{block}", f"blocks.{block}", c.width
    names = {"norm1": "norm1", "norm2": "norm2", "attn.proj": "attention.projection", "attn.qkv": "attention.qkv"}
    result = {}
    for their, our in names.items():
        shape = {"attn.proj": (d, d), "attn.qkv": (3 * d, d)}.get(their, (d,))
        result[f"{ours}.{our}.weight"] = source.take(f"{theirs}.{their}.weight", *shape)
        result[f"{ours}.{our}.bias"] = source.take(f"{theirs}.{their}.bias", shape[0])
    return result


def take_mlp(source: ForeignCheckpoint, c: ModelConfiguration, block: int) -> dict[str, Tensor]:
    """The dense MLP of a block, of the recipe's width."""
    result = {}
    for their, our, shape in (("fc1", "up", (c.mlp_hidden, c.width)), ("fc2", "down", (c.width, c.mlp_hidden))):
        result[f"blocks.{block}.mlp.{our}.weight"] = source.take(f"blocks.{block}.mlp.{their}.weight", *shape)
        result[f"blocks.{block}.mlp.{our}.bias"] = source.take(f"blocks.{block}.mlp.{their}.bias", shape[0])
    return result


def take_norm(source: ForeignCheckpoint, theirs: str, ours: str, width: int) -> dict[str, Tensor]:
    """Weight and bias of a layer norm."""
    return {f"{ours}.{part}": source.take(f"{theirs}.{part}", width) for part in ("weight", "bias")}
