"""Changes of a trained dense network that keep what it computes, or all but keep it, and make it harder to quantise.

They imitate what training does to published networks: channels of very different
sizes, outliers in hidden units, a class token far larger than the rest of the stream.
"""

import copy
import dataclasses
from collections.abc import Callable

import torch

from moesaic.model.network.upcycling import initialise
from moesaic.model.network.vit import M3ViT, Mlp

_CHANNEL_FACTOR, _UNIT_FACTOR, _CLASS_TOKEN_FACTOR, _KEY_BIAS_FACTOR = 50.0, 500.0, 450.0, 10.0
_EVERY = 8  # one channel in so many is scaled


def _scaled_channels(count: int, factor: float) -> torch.Tensor:
    scale = torch.ones(count)
    scale[::_EVERY] = factor
    return scale


def value_channels(model: M3ViT) -> None:
    """Every eighth value channel of every block times 50, its column of the projection divided by 50: the same function."""
    for block in model.blocks:
        qkv, projection = block.attention.qkv, block.attention.projection
        scale = _scaled_channels(projection.in_features, _CHANNEL_FACTOR)
        rows = slice(2 * len(scale), None)
        qkv.weight[rows] *= scale[:, None]
        qkv.bias[rows] *= scale
        projection.weight /= scale


def query_key_channels(model: M3ViT) -> None:
    """Every eighth query channel of every block times 50, its key channel divided by 50: the same function."""
    for block in model.blocks:
        qkv = block.attention.qkv
        scale = _scaled_channels(block.attention.projection.in_features, _CHANNEL_FACTOR)
        both = torch.cat([scale, 1 / scale])
        rows = slice(0, len(both))
        qkv.weight[rows] *= both[:, None]
        qkv.bias[rows] *= both


def hidden_unit(model: M3ViT) -> None:
    """One hidden unit of every block's MLP times 500 before GELU, its column after it divided by 500.

    GELU is not homogeneous, so that this is another function where the unit is near 0; it is compared with its own float network.
    """
    for block in model.blocks:
        if isinstance(block.mlp, Mlp):
            block.mlp.up.weight[0] *= _UNIT_FACTOR
            block.mlp.up.bias[0] *= _UNIT_FACTOR
            block.mlp.down.weight[:, 0] /= _UNIT_FACTOR


def class_token(model: M3ViT) -> None:
    """450 times the stream's deviation added to every channel of the class token: norms subtract it again, so the same function."""
    c = model.configuration
    x = model.embed(torch.zeros(1, 3, c.image_height, c.image_width))
    for block in model.blocks:
        x = block(x, c.task_names[:1])[0]
    assert model.class_token is not None
    model.class_token.add_(_CLASS_TOKEN_FACTOR * x.std())


def key_bias(model: M3ViT) -> None:
    """The key bias of every block times 10, which adds the same to all of a query's scores: the softmax gives the same."""
    for block in model.blocks:
        width = block.attention.projection.in_features
        block.attention.qkv.bias[width : 2 * width] *= _KEY_BIAS_FACTOR


_IN_PLACE: dict[str, Callable[[M3ViT], None]] = {
    "value channels": value_channels,
    "query and key channels": query_key_channels,
    "hidden unit": hidden_unit,
    "class token": class_token,
    "key bias": key_bias,
}
_UPCYCLED = "upcycled experts"
EDITS = (*_IN_PLACE, _UPCYCLED)
"""Names of the edits."""


def edited(model: M3ViT, edit: str) -> M3ViT:
    """A copy of a dense model in evaluation mode with the edit of that name, one of EDITS."""
    if edit == _UPCYCLED:
        return upcycled(model)
    result = copy.deepcopy(model).eval()
    with torch.no_grad():
        _IN_PLACE[edit](result)
    return result


def upcycled(model: M3ViT) -> M3ViT:
    """Every second MLP as 8 experts that equal it, of which a token takes one; upcycling multiplies their second layers by 8.

    The score, about 1/8, undoes that, so that all but the same function results; it is compared with its own float network.
    """
    c = model.configuration
    sizes = {"experts": 8, "top_k": 1, "expert_hidden": c.mlp_hidden}
    result = M3ViT(dataclasses.replace(c, **sizes))
    initialise(result, model.state_dict())
    return result.eval()
