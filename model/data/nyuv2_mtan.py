"""NYUv2 as distributed by MTAN (Liu et al., CVPR 2019): the data set of LibMTL and most papers on multi-task optimisation."""

from collections.abc import Mapping

from moesaic.model.data.mtan_files import MtanFiles

CLASSES = (
    *("bed", "books", "ceiling", "chair", "floor", "furniture", "objects", "picture", "sofa", "table", "television"),
    *("wall", "window"),
)
"""The 13 classes of Couprie et al. (ICLR 2013) in the order of github.com/ankurhanda/nyuv2-meta-data, to which MTAN refers; the release
itself does not name them."""


class Nyuv2Mtan(MtanFiles):
    """795 training and 654 validation images, 384 x 288 pixels, named split/number; depth is in metres.

    The constructor is that of `FileDataset`.
    """

    name = "nyuv2-mtan"
    class_names: Mapping[str, tuple[str, ...]] = {"segmentation": CLASSES}
    available = ("segmentation", "depth", "normals")
    directories = {"segmentation": "label", "depth": "depth", "normals": "normal"}  # noqa: RUF012 (read only)
    download = (
        "download the pre-processed NYUv2 linked from github.com/lorenmt/mtan and unpack it so that {root} holds train/ and val/, "
        "each with image/, label/, depth/ and normal/"
    )
