"""Cityscapes as distributed by MTAN (Liu et al., CVPR 2019) and used by M³ViT and many others: small images, 7 classes, inverse depth."""

from collections.abc import Mapping

from moesaic.errors import UserError
from moesaic.model.data.augmentation import Augmentation
from moesaic.model.data.mtan_files import MtanFiles
from moesaic.spec.input_description import InputDescription

CLASSES = ("flat", "construction", "object", "nature", "sky", "human", "vehicle")
"""The 7 groups of the 19 classes, in the order of Cityscapes and of MTAN's table 1; the release itself does not name them."""


class CityscapesMtan(MtanFiles):
    """2,975 training and 500 validation images, 256 x 128 pixels (or 512 x 256), named split/number.

    depth is the stored value, a relative inverse depth without a unit (16-bit disparity / 65535), not metres, so that results
    compare with the papers'. The constructor is that of `FileDataset`.
    """

    name = "cityscapes-mtan"
    class_names: Mapping[str, tuple[str, ...]] = {"segmentation": CLASSES}
    available = ("segmentation", "depth")
    directories = {"segmentation": "label_7", "depth": "depth"}  # noqa: RUF012 (read only)
    download = (
        "download cityscapes2.zip (128x256 pixels), linked as pre-processed CityScapes from github.com/lorenmt/mtan, and unpack "
        "it so that {root} holds train/ and val/, each with image/, label_7/ and depth/"
    )

    @classmethod
    def augmentation(cls, height: int, width: int, description: InputDescription) -> Augmentation:
        """As of all these releases; what looks larger has a larger inverse depth."""
        return Augmentation(height, width, scale=(1.0, 1.5), inverse_depth=True, description=description)

    def list_names(self, split: str) -> list[str]:
        if not (self.root / split / "image").is_dir() and (self.root / "leftImg8bit").is_dir():
            raise UserError(f"{self.root} holds the whole Cityscapes: take a recipe of data cityscapes")
        return super().list_names(split)
