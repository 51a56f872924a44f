"""Untrained networks for measuring speed: random weights distributed like those of a trained network.

They imitate those properties of a trained network that affect speed and arithmetic, not its accuracy: weights whose size varies from
channel to channel, layer norms near 1, attention neither uniform nor on a single key, updates that are small against the residual
stream, smooth position embeddings, and routers that give tokens to every expert, to some two or three times as many as to others.

Each tensor is drawn from its own generator, seeded with the network's seed and the tensor's name; then updates and routers are
adjusted block by block on images (as in Mishkin and Matas 2016, "All you need is a good init"). Networks with one seed and
different image sizes therefore differ only in these adjustments.
"""

import zlib

import numpy as np
import torch
from torch import Tensor

from moesaic.model.network.moe import MoE, top_k_mask
from moesaic.model.network.routers import Router
from moesaic.model.network.vit import M3ViT, normalise
from moesaic.model.recipes.recipe import ModelConfiguration

# Standard deviations unless stated otherwise.
_PATCH_GAIN, _QUERY_KEY_GAIN = 3.0, 1.4  # of a layer's output for an input of 1; other layers have 1
_CHANNEL_SPREAD = 0.25  # of the logarithm of a row's or column's size
_LARGEST_WEIGHT = 4.0  # truncation of the weights, in standard deviations
_GAMMA_SPREAD, _BETA_SPREAD, _BIAS_SPREAD, _CLASS_TOKEN_SPREAD = 0.2, 0.2, 0.1, 0.5
_POSITION_SPREAD, _POSITION_WAVES = 1.0, 1.5  # second: of the number of periods along the image's height and width
_LOCALITY = (0.2, 1.0)  # range over heads of the correlation between a token's query and its own key
_UPDATE = 0.35  # of what a branch adds to the residual stream, whose own starts near 1
_LOGIT_SPREAD = 1.5  # of router logits over tokens and experts
_LOAD_SPREAD, _LOAD_TAIL = 0.5, 0.8  # of the logarithm of the experts' loads, and its truncation, either way
_BALANCING_STEPS = 100


def random_model(configuration: ModelConfiguration, seed: int, images: np.ndarray) -> M3ViT:
    """A model with random weights, in evaluation mode; equal seeds, configurations and images give equal models.

    images: uint8 [N, height, width, 3]; on their tokens, the updates of the residual stream and the routers' loads are adjusted.
    The experts' shares of a task's tokens are then log-normal: most lie between 0.5 and 2 times the mean.
    """
    model, tasks = M3ViT(configuration).eval(), configuration.task_names
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            value = _draw(_generator(seed, name), name, tuple(parameter.shape), configuration)
            parameter.copy_(torch.from_numpy(value))
        x = model.embed(normalise(images, configuration.input)).repeat(len(tasks), 1, 1)
        for i, block in enumerate(model.blocks):  # in order: a block's tokens depend on the blocks before it
            through = configuration.tasks_through(i)
            if through != tasks:
                x = torch.cat([part for task, part in zip(tasks, x.chunk(len(tasks))) if task in through])
                tasks = through
            normed, projection = block.norm1(x), block.attention.projection
            _adjust_update(projection.weight, projection.bias, block.attention(normed))
            x = x + block.attention(normed)
            normed, mlp = block.norm2(x), block.mlp
            if isinstance(mlp, MoE):
                parts = dict(zip(tasks, normed.flatten(0, 1).chunk(len(tasks))))
                for name, router in mlp.routers.items():
                    shares = _load_shares(_generator(seed, f"blocks.{i}.load.{name}"), configuration.experts)
                    _adjust_router(
                        router, parts.get(name, torch.cat(list(parts.values()))), shares, configuration.top_k
                    )
                _adjust_update(mlp.down_weight, mlp.down_bias, mlp(normed, tasks)[0])
            else:
                _adjust_update(mlp.down.weight, mlp.down.bias, mlp(normed, tasks)[0])
            x = x + mlp(normed, tasks)[0]
    return model


def _generator(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def _draw(rng: np.random.Generator, name: str, shape: tuple[int, ...], configuration: ModelConfiguration) -> np.ndarray:
    """Values for the parameter `name`, float64 of the given shape."""
    *path, kind = name.split(".")
    if name == "position":
        return _waves(rng, configuration)
    if name == "class_token":
        return rng.normal(0, _CLASS_TOKEN_SPREAD, shape)
    if path[-1].startswith("norm"):
        return rng.normal(0, _BETA_SPREAD, shape) if kind == "bias" else rng.normal(1, _GAMMA_SPREAD, shape)
    if kind.endswith("bias"):
        return rng.normal(0, _BIAS_SPREAD, shape)
    if kind != "weight":
        return _matrix(rng, shape, inputs=-2)  # experts' weights: [experts, in, out]
    if path[-1] == "qkv":
        query, key, value = (_matrix(rng, (shape[0] // 3, shape[1])) for _ in range(3))
        locality = np.repeat(rng.uniform(*_LOCALITY, configuration.heads), configuration.head_dim)[:, None]
        key = locality * query + np.sqrt(1 - locality**2) * key
        return np.concatenate([_QUERY_KEY_GAIN * query, _QUERY_KEY_GAIN * key, value])
    return _matrix(rng, shape) * (_PATCH_GAIN if path[-1] == "patch_embedding" else 1)


def _matrix(rng: np.random.Generator, shape: tuple[int, ...], inputs: int = -1) -> np.ndarray:
    """Truncated normal weights whose rows and columns differ in size; `inputs` is the dimension that a product sums over."""
    rows = rng.lognormal(-(_CHANNEL_SPREAD**2), _CHANNEL_SPREAD, (*shape[:-1], 1))  # mean square 1
    columns = rng.lognormal(-(_CHANNEL_SPREAD**2), _CHANNEL_SPREAD, (*shape[:-2], 1, shape[-1]))
    normal = np.clip(rng.standard_normal(shape), -_LARGEST_WEIGHT, _LARGEST_WEIGHT)
    return normal * rows * columns / np.sqrt(shape[inputs])


def _waves(rng: np.random.Generator, configuration: ModelConfiguration) -> np.ndarray:
    """Position embedding [T, D]: in each channel one long wave across the image, whatever its resolution; 0 for prefix tokens."""
    rows, columns = configuration.grid
    y, x = (np.mgrid[:rows, :columns].reshape(2, -1, 1) + 0.5) / np.array([rows, columns])[:, None, None]
    periods = rng.normal(0, _POSITION_WAVES, (2, configuration.width))
    phase = rng.uniform(0, 1, configuration.width)
    waves = np.sqrt(2) * _POSITION_SPREAD * np.cos(2 * np.pi * (y * periods[0] + x * periods[1] + phase))
    return np.concatenate([np.zeros((configuration.prefix_tokens, configuration.width)), waves])


def _adjust_update(weight: Tensor, bias: Tensor, update: Tensor) -> None:
    """Scale and shift a branch's last layer in place. update: what the branch adds to the residual stream so far, [..., D].

    Untrained attention would otherwise add nearly the same to every token, and after some blocks all tokens would be alike.
    """
    mean = update.flatten(0, -2).mean(0)
    scale = _UPDATE / (update - mean).std()
    weight *= scale
    bias -= mean
    bias *= scale


def _load_shares(rng: np.random.Generator, experts: int) -> Tensor:
    """The share of all choices that each expert should get, float32 [experts], with sum 1."""
    size = np.exp(np.clip(rng.normal(0, _LOAD_SPREAD, experts), -_LOAD_TAIL, _LOAD_TAIL))
    return torch.from_numpy(size / size.sum()).float()


def _adjust_router(router: Router, tokens: Tensor, shares: Tensor, top_k: int) -> None:
    """Scale a router's logits, then shift them until expert e gets about shares[e] of all choices on tokens [N, D].

    As in Wang et al. 2024, "Auxiliary-loss-free load balancing", a shift is raised while the expert's load is too small and lowered
    while it is too large. A router has no bias, so the shifts go into its weights, along the tokens' mean. The task's part of a
    task-conditioned router's weights stays as drawn.
    """
    weight = router.linear.weight[:, : router.width]
    mean = tokens.mean(0)
    direction = mean / mean.square().sum()  # its product with a token is 1 on average
    weight -= torch.outer(weight @ mean, direction)
    weight *= _LOGIT_SPREAD / (tokens @ weight.T).std()
    logits, along = tokens @ weight.T, tokens @ direction
    wanted = shares * top_k * len(tokens)
    shift = torch.zeros_like(wanted)
    for step in range(_BALANCING_STEPS):
        load = top_k_mask(logits + torch.outer(along, shift), top_k).sum(0)
        shift += 0.5 * (1 - step / _BALANCING_STEPS) * torch.log((wanted + 1) / (load + 1))
    weight += torch.outer(shift, direction)
