"""Rendered scenes as a data set held in memory."""

from collections.abc import Callable, Mapping

from moesaic.model.data.samples import Sample
from moesaic.model.data.scenes import PART_CLASSES, SEGMENTATION_CLASSES, Scenes, render
from moesaic.model.tasks.targets import CHANNELS

_CHUNK = 16
_SEQUENCES = {"train": 0, "val": 1}  # each seed has two sequences, so the splits never share a scene


class RenderedScenes:
    """Scenes with ground truth for all six tasks."""

    name = "scenes"
    class_names: Mapping[str, tuple[str, ...]] = {"segmentation": SEGMENTATION_CLASSES, "parts": PART_CLASSES}
    tasks: Mapping[str, int] = {task: len(names) for task, names in class_names.items()} | CHANNELS

    def __init__(self, scenes: Scenes) -> None:
        self.scenes = scenes

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
