"""A data set: SPLIT/NAME.png, and SPLIT/NAME.csv with a line "row,column" for the left keypoint and one for the right."""

import numpy as np

from moesaic.model.data.augmentation import Augmentation
from moesaic.model.data.dataset_files import FileDataset, read_image

SPREAD = 3.0  # pixels


class Pairs(FileDataset):
    name = "pairs"
    available = ("keypoints",)
    download = "put NAME.png and NAME.csv into {root}/train/ and {root}/val/"

    def list_names(self, split):
        return sorted(f"{split}/{path.stem}" for path in (self.root / split).glob("*.png"))

    def image_path(self, name):
        return self.find(f"{name}.png")

    def target_paths(self, name, task):
        return [self.find(f"{name}.csv")]

    def read_target(self, name, task):
        height, width = read_image(self.image_path(name)).shape[:2]
        rows, columns = np.mgrid[:height, :width]
        points = np.loadtxt(self.target_paths(name, task)[0], delimiter=",", ndmin=2)
        heat = [np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * SPREAD**2)) for y, x in points]
        return np.stack(heat, -1).astype(np.float32)

    @classmethod
    def augmentation(cls, height, width, description):
        return Augmentation(height, width, scale=(0.8, 1.25), rotation=10, colours=True, description=description)
