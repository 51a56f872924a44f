"""Photographs in the wheels of PyPI: those that are measured and shown, and others to train and calibrate with."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from moesaic.model.experiments.real.saliency_package import INPUT
from moesaic.model.experiments.real.wheels import wheel_file
from moesaic.spec.resize import fit, resize

_SMALLEST_CROP = 0.5  # of the shorter side
CALIBRATION_CROPS, _CALIBRATION_SEED = 48, 21


@dataclass(frozen=True)
class Photograph:
    """A photograph in an installed wheel. package, path: see `wheel_file`. credit: who made it and under which terms."""

    name: str
    package: str
    path: str
    credit: str

    def read(self) -> np.ndarray:
        """The whole picture, uint8 [height, width, 3] in RGB; grey ones have three equal channels. UserError if it is not installed."""
        with Image.open(wheel_file(self.package, self.path)) as image:
            return np.asarray(image.convert("RGB"))


def _of_skimage(name: str, credit: str, path: str = "") -> Photograph:
    return Photograph(name, "scikit-image", f"skimage/data/{path or f'{name}.png'}", credit)


def _of_tesla(name: str) -> Photograph:
    return Photograph(name, "Nikola", f"nikola/data/samplesite/galleries/demo/{name}_lg.jpg", "public domain")


MEASURED = (
    _of_skimage("chelsea", "Stéfan van der Walt, CC0"),
    _of_skimage("astronaut", "NASA, public domain"),
    Photograph("flower", "scikit-learn", "sklearn/datasets/images/flower.jpg", "vultilion on Flickr, CC BY 2.0"),
    _of_skimage("motorcycle", "Middlebury stereo benchmark 2014, Nešić et al.", "motorcycle_left.png"),
    Photograph("china", "scikit-learn", "sklearn/datasets/images/china.jpg", "danielbuechele on Flickr, CC BY 2.0"),
    _of_skimage("coffee", "Rachel Michetti, CC0"),
    _of_skimage("rocket", "SpaceX, public domain", "rocket.jpg"),
    _of_skimage("camera", "Lav Varshney, CC0"),
    _of_skimage("coins", "Brooklyn Museum, no known copyright restrictions"),
    _of_skimage("clock", "Stéfan van der Walt, public domain", "clock_motion.png"),
    _of_skimage("moon", "scikit-image's test image of the Moon"),
    _of_skimage("hubble", "NASA and ESA, public domain", "hubble_deep_field.jpg"),
)
"""The photographs on which networks are measured; none of them is ever trained on or calibrated with."""

MATERIALS = (
    _of_skimage("brick", "CC0 Textures, CC0"),
    _of_skimage("grass", "Linolafett, CC0"),
    _of_skimage("gravel", "CC0 Textures, CC0"),
)
"""Surfaces without objects, for scenes."""

SEEN = (
    Photograph("hopper", "matplotlib", "matplotlib/mpl-data/sample_data/grace_hopper.jpg", "US Navy, public domain"),
    Photograph("luis", "mahotas", "mahotas/demos/data/luispedro.jpg", "Luis Pedro Coelho, MIT"),
    *(_of_tesla(name) for name in ("tesla2", "tesla4", "tesla_lightning1", "tesla_lightning2", "tesla_tower1")),
    _of_skimage("retina", "Mikael Häggström, CC0", "retina.jpg"),
    _of_skimage("tissue", "no known copyright restrictions", "ihc.png"),
    *MATERIALS,
)
"""The photographs to train and calibrate with."""


def fitted(photograph: Photograph, height: int, width: int) -> np.ndarray:
    """A photograph cropped around the centre and resized: uint8 [height, width, 3]."""
    return fit(photograph.read(), INPUT, height, width)[0]


def calibration_crops(pictures: list[np.ndarray], count: int, height: int, width: int) -> np.ndarray:
    """The windows to calibrate with, as `random_crops` takes them of the pictures `SEEN`."""
    return random_crops(pictures, count, height, width, _CALIBRATION_SEED)


def random_crops(pictures: list[np.ndarray], count: int, height: int, width: int, seed: int) -> np.ndarray:
    """Random windows of pictures uint8 [h, w, 3], in turn, half of them mirrored: uint8 [count, height, width, 3].

    A window has the wanted proportions and half to all of the largest size that fits.
    """
    crops = np.empty((count, height, width, 3), np.uint8)
    for index in range(count):
        rng, picture = np.random.default_rng([seed, index]), pictures[index % len(pictures)]
        largest = min(picture.shape[0] / height, picture.shape[1] / width)
        scale = largest * rng.uniform(_SMALLEST_CROP, 1)
        rows, columns = max(1, int(scale * height)), max(1, int(scale * width))
        top = rng.integers(picture.shape[0] - rows + 1)
        left = rng.integers(picture.shape[1] - columns + 1)
        crop = resize(picture[top : top + rows, left : left + columns], height, width)
        crops[index] = crop[:, ::-1] if rng.integers(2) else crop
    return crops
