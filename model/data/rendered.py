"""Rendered scenes as a data set held in memory."""

from collections.abc import Callable, Mapping
from pathlib import Path

from moesaic.errors import UserError
from moesaic.model.data.augmentation import Augmentation
from moesaic.model.data.samples import Sample
from moesaic.model.data.scenes import PART_CLASSES, SEGMENTATION_CLASSES, Scenes, render
from moesaic.model.data.source import DataSource
from moesaic.model.tasks.registry import task_kind
from moesaic.spec.input_description import InputDescription

_CHUNK = 16
_SEQUENCES = {"train": 0, "val": 1}  # each seed has two sequences, so the splits never share a scene


class RenderedScenes(DataSource):
    """Scenes with ground truth for all six tasks."""

    name = "scenes"
    class_names: Mapping[str, tuple[str, ...]] = {"segmentation": SEGMENTATION_CLASSES, "parts": PART_CLASSES}

    def __init__(self, scenes: Scenes) -> None:
        self.scenes = scenes

    @property
    def tasks(self) -> Mapping[str, int]:
        """The channels of every kind that has ground truth."""
        return {kind: task_kind(kind).channels or len(self.class_names[kind]) for kind in self.scenes.targets}

    @classmethod
    def open(
        cls,
        root: Path | None,
        split: str,
        size: tuple[int, int],
        tasks: Mapping[str, int] | None,
        count: int | None,
        seed: int,
    ) -> "RenderedScenes":
        if count is None:
            raise UserError("scenes have no end: give the number to render")
        return cls.of_split(split, count, *size, seed)

    @classmethod
    def augmentation(cls, height: int, width: int, description: InputDescription) -> Augmentation:
        """Our own choice: channels exchanged, half of the samples mirrored."""
        return Augmentation(height, width, exchange=True, description=description)

    @classmethod
    def of_split(
        cls,
        split: str,
        count: int,
        height: int,
        width: int,
        seed: int,
        first: int = 0,
        advance: Callable[[int], None] = lambda count: None,
    ) -> "RenderedScenes":
        """Scenes `first` to `first + count - 1` of the seed's split "train" or "val", height x width pixels.

        advance: called with the number of scenes rendered since the last call, for a progress bar.
        """
        parts = []
        for start in range(first, first + count, _CHUNK):
            size = min(_CHUNK, first + count - start)
            parts.append(render(size, height, width, 2 * seed + _SEQUENCES[split], start))
            advance(size)
        return cls(Scenes.joined(parts))

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: int) -> Sample:
        targets = {task: target[index] for task, target in self.scenes.targets.items()}
        return Sample(self.scenes.images[index], targets, f"scene {index}")
