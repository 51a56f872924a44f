"""Random changes of a training sample that keep the image and all its targets in agreement."""

import math
from dataclasses import dataclass

import numpy as np

from moesaic.model.data.geometry import fitting, mirrored, resized, rotated, window
from moesaic.model.data.samples import Sample

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_BRIGHTNESS = 32.0  # of 255, either way
_FACTORS = 0.5, 1.5  # of contrast and of saturation
_HUE = math.radians(36)  # either way


@dataclass(frozen=True)
class Augmentation:
    """Random scale, rotation, crop, mirror and colours; samples become height x width pixels.

    An image is first made to fit as for evaluation (`geometry.fit`), then scaled by a factor drawn from `scale` and rotated, and
    a window is cut out of it at random. A pixel outside the image is grey and invalid. Depth is divided by the factor: what looks
    twice as large is half as far away. Normals turn when the image is mirrored or rotated, and stay as they are otherwise.

    inverse_depth: depth is one over a distance, and multiplied by the factor. rotation: by up to so many degrees either way,
    about the centre. mirror: half of the samples. colours: brightness by up to 32, contrast and saturation by 0.5 to 1.5 and hue by up
    to 36 degrees, each for half of the samples (Howard, arXiv:1312.5402). exchange: the colour channels change places.
    """

    height: int
    width: int
    scale: tuple[float, float] = (1.0, 1.0)
    rotation: float = 0.0
    mirror: bool = True
    colours: bool = False
    exchange: bool = False
    inverse_depth: bool = False

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The changed sample; the same one for the same state of the generator."""
        if self.mirror and rng.integers(2):
            sample = mirrored(sample)
        sample = self._scaled(sample, rng.uniform(*self.scale))
        if self.rotation:
            sample = rotated(sample, rng.uniform(-self.rotation, self.rotation))
        rows, columns = sample.image.shape[:2]
        top, left = _start(rng, rows, self.height), _start(rng, columns, self.width)
        sample = window(sample, top, left, self.height, self.width)
        image = _recoloured(sample.image, rng) if self.colours else sample.image
        if self.exchange:
            image = image[..., rng.permutation(3)]
        return Sample(image, sample.targets, sample.name)

    def _scaled(self, sample: Sample, factor: float) -> Sample:
        whole = factor * fitting(sample, self.height, self.width)
        sample = resized(sample, *(max(1, round(side * whole)) for side in sample.image.shape[:2]))
        if "depth" not in sample.targets:
            return sample
        depth = sample.targets["depth"]
        depth = depth * np.float32(factor) if self.inverse_depth else depth / np.float32(factor)
        return Sample(sample.image, sample.targets | {"depth": depth}, sample.name)


def standard_augmentation(name: str, height: int, width: int) -> Augmentation:
    """How we train on the data set called `name`.

    NYUD-v2 and PASCAL-Context: scale, crop, mirror and colours of ATRC (Bruggemann et al., ICCV 2021), which InvPT shares;
    PASCAL-Context also turned by up to 20 degrees as in ASTMT and M3ViT. M3ViT itself has neither colours nor these scales,
    but 1, 1.2 or 1.5 on NYUD-v2 and 0.75 to 1.25 on PASCAL-Context, and stretches the result to the network's size.
    Cityscapes: the scales of the loaders for MTAN's release (1, 1.2 or 1.5), any number between. Ours for scenes.
    """
    if name == "scenes":
        return Augmentation(height, width, exchange=True)
    if name in ("cityscapes", "cityscapes-mtan"):
        return Augmentation(height, width, scale=(1.0, 1.5), inverse_depth=name == "cityscapes-mtan")
    return Augmentation(
        height, width, scale=(0.5, 2.0), rotation=20.0 if name == "pascal-context" else 0.0, colours=True
    )


def _start(rng: np.random.Generator, length: int, wanted: int) -> int:
    """Where a window starts along one side: anywhere inside, or so that a shorter side lies in the middle."""
    return int(rng.integers(length - wanted + 1)) if length >= wanted else (length - wanted) // 2


def _recoloured(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """All changes are affine in RGB, so that one matrix makes them: hue turns about the grey axis."""
    brightness, contrast, saturation, hue = rng.integers(2, size=4)
    matrix, offset = np.eye(3), 0.0
    if saturation:
        factor = rng.uniform(*_FACTORS)
        matrix = factor * np.eye(3) + (1 - factor) * _LUMA
    if hue:
        matrix = _turn_about_grey(rng.uniform(-_HUE, _HUE)) @ matrix
    if contrast:
        matrix = rng.uniform(*_FACTORS) * matrix
    if brightness:
        offset = rng.uniform(-_BRIGHTNESS, _BRIGHTNESS)
    changed = image @ matrix.T.astype(np.float32) + np.float32(offset)
    return np.clip(np.rint(changed), 0, 255).astype(np.uint8)


def _turn_about_grey(angle: float) -> np.ndarray:
    """Rotation matrix about (1, 1, 1) (Rodrigues' formula)."""
    c, s, along = math.cos(angle), math.sin(angle), (1 - math.cos(angle)) / 3
    across = s / math.sqrt(3)
    return np.array(
        [
            [c + along, along - across, along + across],
            [along + across, c + along, along - across],
            [along - across, along + across, c + along],
        ]
    )
