"""A checkpoint's weights for a recipe that describes its input and outputs otherwise: the same function of the same picture."""

import torch
import torch.nn.functional as F
from torch import Tensor

from moesaic.model.recipes.recipe import ModelConfiguration
from moesaic.spec.input_description import InputDescription


def adapted(weights: dict[str, Tensor], source: ModelConfiguration, wanted: ModelConfiguration) -> dict[str, Tensor]:
    """Weights of a model of `source`, named as in `M3ViT.state_dict`, for a model of `wanted`.

    Another normalisation is multiplied into the patch embedding, exactly. Positions of another grid are interpolated (bicubic), also
    where the numbers of patches agree. A head whose outputs mean something else is left out.
    """
    weights = dict(weights)
    if (source.input.mean, source.input.deviation) != (wanted.input.mean, wanted.input.deviation):
        weights |= renormalised(weights, source.input, wanted.input)
    if source.grid != wanted.grid and len(weights["position"]) == source.tokens:
        weights["position"] = regridded(weights["position"], source.prefix_tokens, source.grid, wanted.grid)
    outputs = {task.name: task.output for task in wanted.tasks}
    for task in source.tasks:
        if outputs.get(task.name, task.output) != task.output:
            weights = {name: value for name, value in weights.items() if not name.startswith(f"heads.{task.name}.")}
    return weights


def renormalised(weights: dict[str, Tensor], source: InputDescription, wanted: InputDescription) -> dict[str, Tensor]:
    """The patch embedding's weight and bias for pixels normalised as `wanted` says, from those for `source`."""
    weight, bias = (weights[f"patch_embedding.{part}"].double() for part in ("weight", "bias"))
    (scale, offset), (new_scale, new_offset) = (
        (torch.from_numpy(part).to(weight.device) for part in description.affine()) for description in (source, wanted)
    )
    # pixel * scale + offset, for pixel = (x - new_offset) / new_scale
    ratio = scale / new_scale
    columns = weight.view(len(weight), -1, 3)
    bias = bias + columns.sum(1) @ (offset - new_offset * ratio)
    return {
        "patch_embedding.weight": (columns * ratio).flatten(1).float(),
        "patch_embedding.bias": bias.float(),
    }


def regridded(position: Tensor, prefix: int, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """Positions [prefix + patches, D] of one grid (rows, columns) interpolated to another; those of prefix tokens stay."""
    patches = position[prefix:].reshape(1, *old, -1).permute(0, 3, 1, 2)
    patches = F.interpolate(patches, size=new, mode="bicubic", align_corners=False)
    return torch.cat([position[:prefix], patches.permute(0, 2, 3, 1).reshape(new[0] * new[1], -1)])
