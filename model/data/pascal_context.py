"""PASCAL-Context (Mottaghi et al., CVPR 2014) for multi-task learning, as ASTMT (Maninis et al., CVPR 2019) distributes it.

Ground truth for normals and saliency is distilled: the predictions of networks trained for that one task.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from moesaic.errors import UserError
from moesaic.model.data.augmentation import Augmentation
from moesaic.model.data.dataset_files import FileDataset, read_grey, read_labels, read_matlab, read_names, read_normals
from moesaic.model.tasks.targets import INVALID_LABEL
from moesaic.model.tasks.thinning import thin
from moesaic.spec.input_description import InputDescription

CLASSES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("dining table", "dog", "horse", "motorbike", "person", "potted plant", "sheep", "sofa", "train", "tv monitor"),
)
"""The 21 classes of PASCAL VOC, in the order of their numbers."""
PART_CLASSES = ("background", "head", "torso", "upper arm", "lower arm", "upper leg", "lower leg")
_PARTS = {  # part names in PASCAL-Part (Chen et al., CVPR 2014) to indices into PART_CLASSES
    **dict.fromkeys(("head", "hair", "mouth", "nose", "lear", "rear", "lebrow", "rebrow", "leye", "reye"), 1),
    **dict.fromkeys(("torso", "neck"), 2),
    **dict.fromkeys(("luarm", "ruarm"), 3),
    **dict.fromkeys(("llarm", "rlarm", "lhand", "rhand"), 4),
    **dict.fromkeys(("luleg", "ruleg"), 5),
    **dict.fromkeys(("llleg", "rlleg", "lfoot", "rfoot"), 6),
}
_PERSON = 15
_CLASSES_WITH_NORMALS = (
    *(3, 4, 6, 9, 10, 11, 13, 15, 17, 18, 22, 23, 29, 30, 33, 34, 36, 37, 38, 39, 41, 43, 46, 49, 50, 51, 53),
    *(55, 56, 59, 61, 62, 65, 66, 68, 69, 72, 73, 78, 83, 84, 85, 87, 88, 95, 96, 101, 104, 105, 107, 111, 113),
    *(115, 122, 124, 135, 141, 142, 143, 146, 150, 154, 157, 158, 159, 165, 172, 174, 181, 183, 184, 191, 193),
    *(195, 197, 199, 202, 213, 215, 216, 219, 220, 223, 225, 228, 230, 232, 233, 238, 239, 242, 243, 246, 250),
    *(251, 252, 255, 260, 261, 263, 269, 272, 273, 275, 281, 283, 284, 285, 286, 287, 288, 290, 291, 292, 293),
    *(295, 304, 307, 309, 310, 314, 315, 319, 323, 329, 330, 331, 336, 342, 345, 349, 350, 351, 352, 355, 357),
    *(368, 370, 371, 374, 379, 380, 383, 384, 397, 401, 403, 405, 407, 408, 411, 412, 413, 414, 417, 419, 421),
    *(423, 427, 429, 430, 432, 440, 441, 442, 443, 444, 446, 454, 457),
)
"""The classes, of PASCAL-Context's 459, that also occur in NYUD-v2: the network that predicted the normals knows no others."""


class PascalContext(FileDataset):
    """4,998 training and 5,105 validation images, at most 500 pixels a side. The constructor is that of `FileDataset`.

    edges: thinned boundaries between the 459 classes of PASCAL-Context. parts: of people; in an image without any, every pixel is
    invalid, as in the papers.
    """

    name = "pascal-context"
    class_names: Mapping[str, tuple[str, ...]] = {"segmentation": CLASSES, "parts": PART_CLASSES}
    available = ("segmentation", "parts", "saliency", "normals", "edges")
    download = (
        "download PASCAL_MT.tgz of ASTMT (also used by Multi-Task-Learning-PyTorch and InvPT) and unpack it so that {root} holds "
        "JPEGImages/, ImageSets/, semseg/, pascal-context/, human_parts/, normals_distill/ and sal_distill/"
    )

    @classmethod
    def augmentation(cls, height: int, width: int, description: InputDescription) -> Augmentation:
        """The usual one, and rotated by up to 20 degrees, as in ASTMT and M3ViT.

        M3ViT itself changes no colours, scales by 0.75 to 1.25, and stretches the result to the network's size.
        """
        return Augmentation(height, width, scale=(0.5, 2.0), rotation=20.0, colours=True, description=description)

    def list_names(self, split: str) -> list[str]:
        return read_names(self.find(f"ImageSets/Context/{split}.txt"))

    def image_path(self, name: str) -> Path:
        return self.find(f"JPEGImages/{name}.jpg")

    def target_paths(self, name: str, task: str) -> list[Path]:
        match task:
            case "segmentation":
                return [self.find(f"semseg/VOC12/{name}.png", f"semseg/pascal-context/{name}.png")]
            case "parts":
                return [self.find(f"human_parts/{name}.mat")]
            case "saliency":
                return [self.find(f"sal_distill/{name}.png")]
            case "normals":
                return [self.find(f"normals_distill/{name}.png"), self._context_path(name)]
            case _:
                return [self._context_path(name)]

    def read_target(self, name: str, task: str) -> np.ndarray:
        paths = self.target_paths(name, task)
        match task:
            case "segmentation":
                return read_labels(paths[0], len(CLASSES))
            case "parts":
                return _read_parts(paths[0])
            case "saliency":
                return (read_grey(paths[0]) > 127).astype(np.uint8)
            case "normals":
                return self._read_normals(*paths)
            case _:
                return _edges(_read_context(paths[0]))

    def _context_path(self, name: str) -> Path:
        return self.find(f"pascal-context/trainval/{name}.mat")

    def _read_normals(self, path: Path, context_path: Path) -> np.ndarray:
        normals, context = read_normals(path), _read_context(context_path)
        if normals.shape[:2] != context.shape:
            sizes = f"{normals.shape[:2]} pixels, {context_path.name} has {context.shape}"
            raise UserError(f"{self.name}: {path} has {sizes}: {self.remedy}")
        return np.where(np.isin(context, _CLASSES_WITH_NORMALS)[..., None], normals, np.float32(0))


def _read_context(path: Path) -> np.ndarray:
    """The PASCAL-Context class of each pixel, integers [H, W] in 1..459; 0 where nothing is annotated."""
    labels = read_matlab(path, "LabelMap")
    if labels.ndim != 2 or labels.dtype.kind not in "ui" or (labels.size and labels.max() > 459):
        found = f"{labels.dtype} {list(labels.shape)} up to {labels.max() if labels.size else 0}"
        raise UserError(f"{path}: LabelMap is {found}, not integers [H, W] up to 459: fetch the file again")
    return labels


def _edges(labels: np.ndarray) -> np.ndarray:
    """Pixels where the Laplacian of the labels is not zero, thinned: uint8 [H, W], 0 or 1."""
    around = np.pad(labels.astype(np.int64), 1, mode="reflect")
    laplacian = around[:-2, 1:-1] + around[2:, 1:-1] + around[1:-1, :-2] + around[1:-1, 2:] - 4 * around[1:-1, 1:-1]
    return thin(laplacian != 0).astype(np.uint8)


def _read_parts(path: Path) -> np.ndarray:
    """The parts of all people in a PASCAL-Part file, uint8 [H, W]; INVALID_LABEL everywhere when there are none."""
    annotation = read_matlab(path, "anno")
    try:
        objects = annotation["objects"].item().ravel()
        parts = np.zeros(objects[0]["mask"].shape, np.uint8)
        for item in objects:
            if int(item["class_ind"].item()) == _PERSON and item["parts"].size:
                for part in item["parts"].ravel():
                    parts[part["mask"].astype(bool)] = _part(str(part["part_name"].item()), path)
    except (IndexError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path} is no annotation of PASCAL-Part ({error!r}): fetch the file again") from None
    return parts if parts.any() else np.full_like(parts, INVALID_LABEL)


def _part(name: str, path: Path) -> int:
    if name not in _PARTS:
        raise UserError(f"{path} has part {name!r} of a person, known are {', '.join(_PARTS)}: fetch the file again")
    return _PARTS[name]
