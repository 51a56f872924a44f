"""Parts common to all vision transformer backbones, read under timm's names: embedding, attention, MLPs and norms."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from moesaic.errors import UserError
from moesaic.model.importing.foreign_checkpoint import ForeignCheckpoint
from moesaic.model.recipes.recipe import ModelConfiguration

_PREFIX_TOKENS = ("cls_token", "dist_token", "reg_token")  # in the order in which they precede the patches


def stated_grid(source: ForeignCheckpoint) -> tuple[int, int] | None:
    """Rows and columns of patches according to the settings beside the source's file; None unless they give height and width."""
    size, patch = source.settings.get("image_size"), source.settings.get("patch_size")
    if not isinstance(size, list) or len(size) != 2 or type(patch) is not int or patch < 1:
        return None
    height, width = size
    return (height // patch, width // patch) if type(height) is type(width) is int else None


@dataclass(frozen=True)
class PositionResampling:
    """How a library interpolates a position embedding from one grid to another: bicubic, without aligned corners.

    antialias: use PyTorch's antialiasing, whose cubic kernel differs even when enlarging. offset: added to the wanted numbers of rows
    and columns, which are then divided by the source's to give the scale; 0 uses the exact sizes.
    """

    antialias: bool = False
    offset: float = 0.0

    def __call__(self, image: Tensor, wanted: tuple[int, int]) -> Tensor:
        """Positions [1, D, rows, columns] resampled to the wanted rows and columns."""
        if not self.offset:
            return F.interpolate(image, size=wanted, mode="bicubic", align_corners=False, antialias=self.antialias)
        scale = [(after + self.offset) / before for after, before in zip(wanted, image.shape[2:])]
        return F.interpolate(image, scale_factor=scale, mode="bicubic", align_corners=False, antialias=self.antialias)


PLAIN = PositionResampling()


def require_heads(configuration: ModelConfiguration, heads: int) -> None:
    """Raise UserError unless source and recipe have equally many attention heads: with any other number the weights load, but wrongly."""
    if heads != configuration.heads:
        raise UserError(
            f"the source has {heads} attention heads, the recipe {configuration.heads}: its weights would load and be"
            f" wrong; set heads = {heads} in the recipe (ViT-S of M3ViT has 12, DeiT-small 6)"
        )


def count_prefix_tokens(source: ForeignCheckpoint) -> int:
    """The number of prefix tokens in the source: class token, distillation token and registers."""
    found = [source.tensors[name] for name in _PREFIX_TOKENS if name in source.tensors]
    return sum(value.shape[1] if value.ndim == 3 else 1 for value in found)


def take_embedding(
    source: ForeignCheckpoint,
    c: ModelConfiguration,
    grid: tuple[int, int] | None = None,
    resampling: PositionResampling = PLAIN,
) -> dict[str, Tensor]:
    """Patch embedding, prefix tokens and positions for the source's images and the recipe's grid: float32, by `M3ViT`'s names and shapes.

    grid: rows and columns of patches in the source's
    positions; by default a square, or the recipe's grid if their number is not a square. resampling: how positions are interpolated
    for another grid. UserError if a weight is missing or has another shape, or if grid or prefix tokens do not match.
    """
    weight = source.take("patch_embed.proj.weight", c.width, 3, c.patch, c.patch)
    bias = source.take_or_zeros("patch_embed.proj.bias", c.width)
    result = {
        "patch_embedding.weight": weight.permute(0, 2, 3, 1).flatten(1),  # in [y][x][c] order
        "patch_embedding.bias": bias,
    }
    tokens = _take_prefix_tokens(source, c)
    position = source.take("pos_embed", 1, None, c.width)[0]
    own, old = _division(source, len(position), len(tokens), c.grid, grid)
    patches = position[own:]
    if old != c.grid:
        # Channels last, as in the libraries: the memory layout affects PyTorch's antialiasing where a side is 1.
        image = patches.reshape(1, *old, -1).permute(0, 3, 1, 2)
        patches = resampling(image, c.grid).permute(0, 2, 3, 1).reshape(-1, c.width)
    prefix = F.pad(position[:own], (0, 0, 0, len(tokens) - own))
    if len(tokens):
        result["class_token"] = tokens[0].clone()
        prefix[1:] += tokens[1:]
    return result | {"position": torch.cat([prefix, patches])}


def _take_prefix_tokens(source: ForeignCheckpoint, c: ModelConfiguration) -> Tensor:
    """The source's prefix tokens, [prefix tokens, D]; UserError if the recipe has another number of them."""
    found = {name: source.take(name, 1, None, c.width)[0] for name in _PREFIX_TOKENS if name in source.tensors}
    tokens = torch.cat([*found.values(), torch.empty(0, c.width)])
    if len(tokens) != c.prefix_tokens:
        parts = ", ".join(f"{len(value)} in {name}" for name, value in found.items()) or "none"
        raise UserError(
            f"{source.path}: the source has {len(tokens)} prefix tokens ({parts}), the recipe {c.prefix_tokens}:"
            f" set prefix_tokens = {len(tokens)} in the recipe"
        )
    return tokens


def _division(
    source: ForeignCheckpoint, count: int, prefix: int, wanted: tuple[int, int], grid: tuple[int, int] | None
) -> tuple[int, tuple[int, int]]:
    """How many of the source's `count` positions belong to prefix tokens, and the grid of the others.

    Libraries give a position to every prefix token, to the class token alone (DINOv2), or to none (timm's no_embed_class).
    UserError if no grid fits.
    """
    shares = [n for n in dict.fromkeys((prefix, min(prefix, 1), 0)) if n < count]
    for own in shares:
        if grid is not None and grid[0] * grid[1] == count - own:
            return own, grid
    if grid is None:
        for own in shares:
            side = math.isqrt(count - own)
            if side * side == count - own:
                return own, (side, side)
        for own in shares:
            if count - own == wanted[0] * wanted[1]:
                return own, wanted
    patches, stated = count - prefix, grid or (math.isqrt(max(count - prefix, 0)),) * 2
    sizes = f"weight pos_embed has {patches} patches, a grid of {stated[0]}x{stated[1]} has {stated[0] * stated[1]}"
    raise UserError(f"{source.path}: {sizes}: state the source's grid of patches")


def take_attention(source: ForeignCheckpoint, c: ModelConfiguration, block: int) -> dict[str, Tensor]:
    """Both norms and the attention of a block, float32 by our names; LayerScale is multiplied into the projection.

    UserError names a weight that is missing or of another shape.
    """
    theirs, d = f"blocks.{block}", c.width
    result = take_norm(source, f"{theirs}.norm1", f"{theirs}.norm1", d)
    result |= take_norm(source, f"{theirs}.norm2", f"{theirs}.norm2", d)
    result |= _take_linear(source, f"{theirs}.attn.qkv", f"{theirs}.attention.qkv", 3 * d, d)
    projection = _take_linear(source, f"{theirs}.attn.proj", f"{theirs}.attention.projection", d, d)
    return result | _scaled(source, f"{theirs}.ls1.gamma", d, projection)


def take_mlp(source: ForeignCheckpoint, c: ModelConfiguration, block: int) -> dict[str, Tensor]:
    """The dense MLP of a block, float32 by our names; LayerScale is multiplied into its second layer.

    UserError names a weight that is missing or of another shape.
    """
    path = f"blocks.{block}"
    up = _take_linear(source, f"{path}.mlp.fc1", f"{path}.mlp.up", c.mlp_hidden, c.width)
    down = _take_linear(source, f"{path}.mlp.fc2", f"{path}.mlp.down", c.width, c.mlp_hidden)
    return up | _scaled(source, f"{path}.ls2.gamma", c.width, down)


def take_norm(source: ForeignCheckpoint, theirs: str, ours: str, width: int) -> dict[str, Tensor]:
    """Weight and bias [width] of the layer norm called `theirs`, under the name `ours`; UserError if they are missing or misshapen."""
    return {
        f"{ours}.weight": source.take(f"{theirs}.weight", width),
        f"{ours}.bias": source.take_or_zeros(f"{theirs}.bias", width),
    }


def _take_linear(source: ForeignCheckpoint, theirs: str, ours: str, outputs: int, inputs: int) -> dict[str, Tensor]:
    return {
        f"{ours}.weight": source.take(f"{theirs}.weight", outputs, inputs),
        f"{ours}.bias": source.take_or_zeros(f"{theirs}.bias", outputs),
    }


def _scaled(source: ForeignCheckpoint, name: str, width: int, layer: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weight and bias of a linear layer with its outputs multiplied by LayerScale's factors `name`, if the source has them."""
    if name not in source.tensors:
        return layer
    gamma = source.take(name, width)
    return {entry: value * (gamma[:, None] if value.ndim > 1 else gamma) for entry, value in layer.items()}


def fuse_query_key_value(source: ForeignCheckpoint, blocks: Iterable[int]) -> None:
    """Join the query, key and value layers of the given blocks into one, in place; parts without a bias get zeros.

    Blocks in which they are already joined are left alone.
    """
    for block in blocks:
        path = f"blocks.{block}.attn"
        if f"{path}.q.weight" not in source.tensors:
            continue
        sizes = source.tensors[f"{path}.q.weight"].shape
        parts = [source.take(f"{path}.{part}.weight", *sizes) for part in "qkv"]
        source.tensors[f"{path}.qkv.weight"] = torch.cat(parts)
        if any(f"{path}.{part}.bias" in source.tensors for part in "qkv"):
            biases = [source.take_or_zeros(f"{path}.{part}.bias", sizes[0]) for part in "qkv"]
            source.tensors[f"{path}.qkv.bias"] = torch.cat(biases)
