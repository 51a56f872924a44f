"""The random changes to training samples in M3ViT's own code, for the data sets that it reads.

From github.com/VITA-Group/M3ViT: `get_transformations` in `utils/common_config.py` for NYUD-v2 and PASCAL-Context, whose images
`ScaleNRotate` in `data/custom_transforms.py` scales and turns about the centre, and `RandomScaleCropCityScapes` in `data/cityscapes.py`,
which cuts a window out at random. Colours stay, and half of the samples are mirrored. The stretching to the network's size that follows
there comes first here, as the recipe's input says, so on PASCAL-Context a turn is one of the stretched picture.
"""

import dataclasses

from moesaic.model.data.augmentation import Augmentation

_FACTORS = (1.0, 1.2, 1.5)
_CITYSCAPES = {"factors": _FACTORS, "inverse_depth": False}  # it divides inverse depth, too
CHANGES: dict[str, dict] = {
    "nyud": {"factors": _FACTORS, "centred": True, "colours": False},
    "pascal-context": {"scale": (0.75, 1.25), "rotation": 20.0, "centred": True, "colours": False},
    "cityscapes": _CITYSCAPES,
    "cityscapes-mtan": _CITYSCAPES,
}
"""What differs from a data set's usual augmentation, by the data set's name."""


def as_in_m3vit(augmentation: Augmentation, name: str) -> Augmentation:
    """The augmentation with what M3ViT does on the data set called `name`, one of CHANGES."""
    return dataclasses.replace(augmentation, **CHANGES[name])
