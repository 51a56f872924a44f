"""Predictions as files, each at its image's own pixels, and those of edges once more where SEISM looks for them."""

import io
from pathlib import Path

import numpy as np

from moesaic.errors import UserError
from moesaic.files import write_file
from moesaic.model.data.geometry import Fitted
from moesaic.model.data.samples import Dataset
from moesaic.model.evaluation.own_pixels import to_own_pixels
from moesaic.model.recipes.recipe import ModelConfiguration
from moesaic.model.tasks.edge_metric import THRESHOLDS
from moesaic.model.tasks.registry import task_kind
from moesaic.model.tasks.targets import INVALID_LABEL
from moesaic.spec.heads import CLASSIFICATION, is_dense
from moesaic.spec.output_description import decoding_of
from moesaic.spec.placement import Placement
from moesaic.spec.predictions import class_probabilities, decode


class PredictionFiles:
    """Writes what networks predict for the samples of a data set, called by `moesaic.model.evaluation.evaluate.compare` as its `keep`.

    directory: gets NETWORK/TASK/NAME.png or .npy, NETWORK being "float" or "integer" and NAME the sample's. Classes are grey 8-bit
    images, 255 where the network saw nothing; a single channel of probabilities is a grey 8-bit image of 255 times the probability; all
    else are arrays of what `moesaic.spec.predictions.decode` gives, NaN where the network saw nothing. Edges also go to
    NETWORK/seism/datasets/DATA/EXPERIMENT/NAME.png, with the thresholds in NETWORK/seism/parameters/EXPERIMENT.txt, as SEISM's
    `read_one_png` takes them (`evaluation/eval_edge.py` in github.com/VITA-Group/M3ViT). experiment: a name for these predictions.
    UserError if the directory holds anything, or if a file cannot be written.
    """

    def __init__(self, directory: Path, configuration: ModelConfiguration, data: Dataset, experiment: str) -> None:
        if directory.is_dir() and any(directory.iterdir()):
            raise UserError(f"{directory} is not empty: name another directory for the predictions")
        self._directory, self._configuration, self._data, self._experiment = directory, configuration, data, experiment

    def __call__(self, network: str, task: str, first: int, predictions: np.ndarray) -> None:
        for number, prediction in enumerate(predictions, first):
            self._write(network, task, number, prediction)

    def _write(self, network: str, task: str, number: int, prediction: np.ndarray) -> None:
        own, top = self._configuration.task(task), self._directory / network
        name, placement = self._place(number)
        if not is_dense(own.kind):
            shown = class_probabilities(prediction) if own.kind == CLASSIFICATION else prediction
            write_file(top / task / f"{name}.npy", _array(shown))
            return
        output = task_kind(own.kind).bundle_output(own.output)
        values = to_own_pixels(own.kind, prediction, placement, output)
        unseen = np.ma.getmaskarray(values)[..., 0]
        decoded, decoding = decode(own.kind, values.data, 1.0, output=output), decoding_of(own.kind, output)
        if decoding == "classes":
            write_file(top / task / f"{name}.png", _grey(np.where(unseen, np.uint8(INVALID_LABEL), decoded)))
        elif decoding == "probabilities" and decoded.ndim == 2:
            picture = _grey(np.rint(255 * np.where(unseen, 0, decoded)).astype(np.uint8))
            write_file(top / task / f"{name}.png", picture)
            if own.kind == "edges":
                seism = top / "seism"
                write_file(seism / "datasets" / self._data.name / self._experiment / f"{name}.png", picture)
                thresholds = "".join(f"{threshold:.2f}\n" for threshold in THRESHOLDS)
                write_file(seism / "parameters" / f"{self._experiment}.txt", thresholds.encode())
        else:
            decoded[unseen] = np.nan
            write_file(top / task / f"{name}.npy", _array(decoded))

    def _place(self, number: int) -> tuple[str, Placement]:
        """A sample's name, and where its network input lies in its image."""
        data = self._data
        sample = data.dataset[number] if isinstance(data, Fitted) else data[number]
        height, width = sample.image.shape[:2]
        if isinstance(data, Fitted):
            return sample.name, data.placement(height, width)
        size = (height, width)
        return sample.name, Placement(size, (0, 0, *size), size, (0, 0), size)


def _grey(values: np.ndarray) -> bytes:
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(values).save(content, "PNG")
    return content.getvalue()


def _array(values: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, values, allow_pickle=False)
    return content.getvalue()
