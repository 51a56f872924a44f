"""Rendered scenes whose surfaces carry textures from photographs, so that a network that learns them is less lost on photographs."""

import dataclasses
from typing import Any

import numpy as np
from scipy import ndimage

from moesaic.model.data.scenes import BACKGROUND, FOCAL, GROUND, Scenes

_TEXTURE = 256  # pixels along a texture's edge
_PATCH = (0.15, 0.5)  # of a picture's shorter side: the part that becomes a texture
_PIXELS_A_METRE = (60.0, 220.0)
_COLOUR = 0.35  # largest change of a colour channel's gain, as a logarithm
_PLAIN = 0.25  # share of the surfaces that keep their own colours


def textured(scenes: Scenes, pictures: list[np.ndarray], seed: int, first: int = 0) -> Scenes:
    """The scenes with textures of `pictures`, uint8 [h, w, 3], on most surfaces; light and shadow stay, and so does the ground truth.

    A surface is a connected region of one class. Its texture is mapped along the two axes across its normal's largest component,
    in metres, mirrored where it ends. Depends only on seed and the scenes' numbers, from `first`.
    """
    images = np.stack(
        [
            _texture_scene(scenes, index, pictures, np.random.default_rng([seed, first + index]))
            for index in range(len(scenes))
        ]
    )
    return dataclasses.replace(scenes, images=images)


def _texture_scene(scenes: Scenes, index: int, pictures: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    image, kinds, normals = scenes.images[index], scenes.segmentation[index], scenes.normals[index]
    points = _points(scenes.depth[index])
    result = image.astype(np.float32)
    for kind in np.unique(kinds):
        labelled: Any = ndimage.label(kinds == kind)
        regions, count = labelled
        if kind in (BACKGROUND, GROUND):
            regions, count = np.minimum(regions, 1), 1
        for number in range(1, count + 1):
            here = regions == number
            if rng.random() < _PLAIN:
                continue
            brightness = result[here].mean(-1, keepdims=True)
            texture = _texture(pictures[rng.integers(len(pictures))], rng)
            shade = brightness / max(float(brightness.mean()), 1.0)
            result[here] = _mapped(texture, points[here], normals[here], rng) * shade
    return np.clip(np.rint(result), 0, 255).astype(np.uint8)


def _points(depth: np.ndarray) -> np.ndarray:
    """Points in camera coordinates, metres [h, w, 3], from depth [h, w]; the camera is that of `moesaic.model.data.scenes`."""
    height, width = depth.shape
    y, x = np.mgrid[:height, :width]
    focal = FOCAL * min(height, width)
    rays = np.stack([(x + 0.5 - width / 2) / focal, (y + 0.5 - height / 2) / focal, np.ones_like(depth)], -1)
    return (depth[..., None] * rays).astype(np.float32)


def _texture(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random square part of a picture with changed colours, float32 [_TEXTURE, _TEXTURE, 3] in 0..255."""
    side = max(2, int(min(picture.shape[:2]) * rng.uniform(*_PATCH)))
    top, left = (int(rng.integers(length - side + 1)) for length in picture.shape[:2])
    places = np.arange(_TEXTURE) * side // _TEXTURE
    part = picture[top + places[:, None], left + places].astype(np.float32)
    gain = np.exp(rng.uniform(-_COLOUR, _COLOUR, 3)).astype(np.float32)
    return np.clip(part[:, :, rng.permutation(3)] * gain, 0, 255)


def _mapped(texture: np.ndarray, points: np.ndarray, normals: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The texture's colours, float32 [N, 3], at points of a surface [N, 3] with normals [N, 3]."""
    angle, scale = rng.uniform(0, np.pi), rng.uniform(*_PIXELS_A_METRE)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], np.float32)
    axes = np.array([[1, 2], [0, 2], [0, 1]])[np.abs(normals).argmax(-1)]
    across = np.take_along_axis(points, axes, 1) @ turn
    places = np.abs((across.astype(np.int64) + _TEXTURE) % (2 * _TEXTURE) - _TEXTURE)
    places = np.minimum(places, _TEXTURE - 1)
    return texture[places[:, 0], places[:, 1]]
