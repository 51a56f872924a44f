"""Any photographs in folders, one per class, as torchvision's ImageFolder reads them; without classes for calibration alone."""

from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from moesaic.errors import UserError
from moesaic.files import PICTURE_SUFFIXES, is_hidden
from moesaic.model.data.dataset_files import FileDataset
from moesaic.spec.heads import CLASSIFICATION


class ImageFolder(FileDataset):
    """Images train/CLASS/... and val/CLASS/..., in folders of any depth; a class is numbered by its place among the sorted names.

    The classes are the folders in train/. Without the task, as for networks that give features alone, images may also lie in train/
    and val/ themselves. The constructor is that of `FileDataset`.
    """

    name = "imagefolder"
    available = (CLASSIFICATION,)
    download = "put images into {root}/train/CLASS/ and {root}/val/CLASS/, such as train/cat/1.jpg"
    class_names: Mapping[str, tuple[str, ...]] = {}

    def __init__(self, root: Path, split: str, tasks: Collection[str] | None = None, count: int | None = None) -> None:
        train = root / "train"
        folders = train.iterdir() if train.is_dir() else ()
        classes = sorted(path.name for path in folders if path.is_dir() and not is_hidden(Path(path.name)))
        self.class_names = {CLASSIFICATION: tuple(classes)} if classes else {}
        super().__init__(root, split, tasks, count)

    def channels(self, task: str) -> int:
        if not self.class_names:
            raise UserError(f"{self.name}: {self.root / 'train'} has no folder of a class: {self.remedy}")
        return super().channels(task)

    def list_names(self, split: str) -> list[str]:
        """Paths relative to the directory: the first image of every class, then the second, and so on."""
        paths = (self.root / split).rglob("*")
        pictures = [p for p in paths if p.suffix.lower() in PICTURE_SUFFIXES and p.is_file()]
        relative = [path.relative_to(self.root) for path in pictures]
        names = [path.as_posix() for path in relative if not is_hidden(path)]
        seen: Counter[str] = Counter()
        turn = {}
        for name in sorted(names):
            of = _class_of(name)
            if self.tasks and of not in self.class_names[CLASSIFICATION]:
                train = self.root / "train"
                raise UserError(f"{self.name}: {self.root / name} is in no folder that {train} has: {self.remedy}")
            turn[name] = seen[of]
            seen[of] += 1
        return sorted(turn, key=lambda name: (turn[name], name))

    def image_path(self, name: str) -> Path:
        return self.find(name)

    def target_paths(self, name: str, task: str) -> list[Path]:
        return []

    def read_target(self, name: str, task: str) -> np.ndarray:
        return np.array(self.class_names[CLASSIFICATION].index(_class_of(name)), np.int32)


def _class_of(name: str) -> str:
    """The folder below that of the split, "" for an image in the split's own."""
    folders = name.split("/")[1:-1]
    return folders[0] if folders else ""
