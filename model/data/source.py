"""What a data set is before its samples are opened: one class that says its name, its tasks and classes, and how to train on it.

The data sets of the project are in the modules beside this one. Another package adds one by a class of its own and an entry point in
the group `moesaic.datasets`; `moesaic.model.data.registry` finds both.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from moesaic.model.data.augmentation import Augmentation
from moesaic.model.data.samples import Dataset
from moesaic.spec.input_description import InputDescription


class DataSource(ABC):
    """A data set by name. class_names: of each kind of task with classes, as far as they are known without the data set's files."""

    name: ClassVar[str]
    class_names: Mapping[str, tuple[str, ...]] = {}

    @classmethod
    @abstractmethod
    def open(
        cls,
        root: Path | None,
        split: str,
        size: tuple[int, int],
        tasks: Mapping[str, int] | None,
        count: int | None,
        seed: int,
    ) -> Dataset:
        """The samples of a split, "train" or "val".

        root: the directory that holds the files, None if none was given. size: height and width of the images to make, for data that are
        rendered; files keep their own. tasks: kind to number of channels of the ground truth to give, None for all there is. count: only
        the first so many samples. seed: of random data. UserError if it cannot be opened.
        """

    @classmethod
    def augmentation(cls, height: int, width: int, description: InputDescription) -> Augmentation:
        """The random changes to samples in training; the usual ones are those of ATRC (Bruggemann et al., ICCV 2021) and InvPT.

        Samples become height x width pixels, for a network whose input is described so.
        """
        return Augmentation(height, width, scale=(0.5, 2.0), colours=True, description=description)
