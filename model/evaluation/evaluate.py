"""Predictions and metrics of the float network and the integer network on the same images."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from moesaic.errors import UserError
from moesaic.model.data.geometry import Fitted
from moesaic.model.data.samples import Batch, Dataset, Sample, require_tasks
from moesaic.model.evaluation.own_pixels import at_own_pixels
from moesaic.model.evaluation.share import Share
from moesaic.model.input_pipeline.held_out import wanted_truth
from moesaic.model.input_pipeline.worker_processes import in_order
from moesaic.model.network.vit import M3ViT, normalise
from moesaic.model.pathways.pathway import on_pathways, pathways_of, whole_network
from moesaic.model.quantisation.integer import IntegerNetwork
from moesaic.model.recipes.recipe import ModelConfiguration
from moesaic.model.tasks.metrics import Meter
from moesaic.model.tasks.task import Task
from moesaic.spec.heads import FEATURES, is_dense
from moesaic.spec.pathway_names import pathway_name
from moesaic.spec.placement import Placement

_BATCH, _BATCH_PIXELS = 32, 1 << 20  # limits, so that predictions of many classes fit into memory

Predictor = Callable[[np.ndarray, str], np.ndarray]
"""A function of images, uint8 [N, height, width, 3], and a task that returns its prediction as metrics take it.

Predictions are float [N, C, h, w]; of a classification logits [N, classes], of features [N, tokens, width].
"""


def batch_size(configuration: ModelConfiguration) -> int:
    """The number of images per batch, 1 to 32."""
    return max(1, min(_BATCH, _BATCH_PIXELS // (configuration.image_height * configuration.image_width)))


def predict(model: M3ViT, images: np.ndarray, task: str) -> np.ndarray:
    """The float network's prediction, float32, for images uint8 [N, height, width, 3]; for its shape see `Predictor`."""
    device, size = model.device, batch_size(model.configuration)
    with torch.inference_mode():
        parts = [
            model(normalise(images[i : i + size], model.configuration.input).to(device), task).float().cpu().numpy()
            for i in range(0, len(images), size)
        ]
    return np.concatenate(parts)


def float_predictor(model: M3ViT) -> Predictor:
    """The float network as a predictor for `evaluate`."""
    return lambda images, task: predict(model, images, task)


def integer_predictor(network: IntegerNetwork, alternative: str | None = None) -> Predictor:
    """The integer network as a predictor for `evaluate`, on its default pathways or on an alternative that all tasks have."""
    return lambda images, task: network.predict(images, pathway_name(task, alternative))


def evaluate(
    predictors: Mapping[str, Predictor],
    configuration: ModelConfiguration,
    data: Dataset,
    console: Console | None = None,
    share: Share = Share(),  # noqa: B008 (immutable)
    workers: int = 0,
) -> dict[str, dict[str, float]]:
    """Every task's metric for several networks, by task and by the predictor's name, in one pass over the data.

    Features are compared with those of the first network, and left out if there is no other. Data without any ground truth measure
    nothing else. Where the configuration's input says how
    images are resized, dense predictions of samples from files are measured at each image's own pixels, otherwise at the network's.
    data: has ground truth for all other tasks, or for none; it is read batch by batch and need not fit into memory. console: where to
    show a progress bar, nowhere if None. share: of the data that this process reads; all processes call this together and get the figures
    of all data, those of one process to the last bit where predictions are. A task whose meter names no `sums` is measured by each
    process on all data. workers: processes that read files ahead, none if 0; the figures do not depend on it. UserError if the data set
    lacks a task or its samples do not have the configuration's image size.
    """
    measured = _measure(predictors, configuration, data, console, share=share, workers=workers)
    return {
        task: {network: meter.result() for network, meter in meters.items()} for task, (_, meters) in measured.items()
    }


_Measured = dict[str, tuple[Task, dict[str, Meter]]]
"""By task: what it is, and the meter of every predictor by its name."""


Keeper = Callable[[str, str, int, np.ndarray], None]
"""Takes every prediction: the predictor's name, the task, the first sample's number in the data, and the predictions of a batch."""


def _measure(
    predictors: Mapping[str, Predictor],
    configuration: ModelConfiguration,
    data: Dataset,
    console: Console | None,
    keep: Keeper | None = None,
    share: Share = Share(),  # noqa: B008 (immutable)
    workers: int = 0,
) -> _Measured:
    """Meters that have taken in all data; see `evaluate`. keep: is given the predictions of all tasks, measured or not."""
    found = {
        task.name: task.definition(class_names=tuple(data.class_names.get(task.kind, ())))
        for task in configuration.tasks
    }
    tasks = {
        name: task
        for name, task in found.items()
        if (len(predictors) > 1 if task.kind == FEATURES else len(data.tasks) > 0)
    }
    if data.tasks:
        require_tasks(data, wanted_truth(configuration))
    meters = {name: {network: task.meter() for network in predictors} for name, task in tasks.items()}
    batches = -(-len(data) // batch_size(configuration))
    whole = {name for name, of in meters.items() if share.ranks > 1 and not all(one.sums for one in of.values())}
    names = [name for name in (found if keep else tasks) if name not in whole]
    measurement = _Measurement(predictors, configuration, data, found, meters, console, workers)
    measurement.take_in(names, share.of(batches), keep)
    measurement.keep_in_step(names, share.largest(batches) - len(share.of(batches)))
    if whole:
        measurement.take_in([name for name in tasks if name in whole], range(batches), None if share.rank else keep)
    shared = [(name, network) for name in tasks if name not in whole for network in predictors]
    for (name, network), meter in zip(shared, share.merged([meters[name][network] for name, network in shared])):
        meters[name][network] = meter
    return {name: (task, meters[name]) for name, task in tasks.items()}


@dataclass(frozen=True)
class _Measurement:
    """What is measured, and the meters by task and network."""

    predictors: Mapping[str, Predictor]
    configuration: ModelConfiguration
    data: Dataset
    tasks: Mapping[str, Task]
    meters: dict[str, dict[str, Meter]]
    console: Console | None
    workers: int

    def take_in(self, names: list[str], numbers: range, keep: Keeper | None) -> None:
        """Show the named tasks' meters the batches with these numbers; what tasks without a meter predict is only kept."""
        for seen, batch, own in _batches(self.data, self.configuration, self.console, numbers, self.workers):
            for name in names:
                first: np.ndarray | None = None
                for network, predictor in self.predictors.items():
                    prediction = predictor(batch.images, name)
                    if keep:
                        keep(network, name, seen, prediction)
                    if name not in self.meters:
                        continue
                    first = prediction if first is None else first
                    for shown, truth in _pairs(self.tasks[name], prediction, batch, own, first):
                        self.meters[name][network].update(shown, truth)

    def keep_in_step(self, names: list[str], rounds: int) -> None:
        """Predict for a black image in so many rounds, as many as other shares are longer: where experts are divided, they need it."""
        image = np.zeros((1, self.configuration.image_height, self.configuration.image_width, 3), np.uint8)
        for _ in range(rounds):
            for name in names:
                for predictor in self.predictors.values():
                    predictor(image, name)


_Own = list[tuple[Sample, Placement]]
"""The samples of a batch at their own sizes, and where the batch's images lie in them; empty if they are measured at the network's."""


def _pairs(
    task: Task, prediction: np.ndarray, batch: Batch, own: _Own, first: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """What a meter takes: predictions with their ground truth; for features, those of the `first` network."""
    if task.kind == FEATURES:
        yield prediction, first
    elif is_dense(task.kind) and own:
        for one, (sample, placement) in zip(prediction, own, strict=True):
            output = task.bundle_output(task.output)
            yield at_own_pixels(task.kind, one, sample.targets[task.kind], placement, output)
    else:
        yield prediction, task.target(batch, prediction.shape)


def _batches(
    data: Dataset, configuration: ModelConfiguration, console: Console | None, numbers: range, workers: int
) -> Iterator[tuple[int, Batch, _Own]]:
    """The batches with these numbers, each after the number of its first sample."""
    reader = _Reader(data, (configuration.image_height, configuration.image_width), batch_size(configuration))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=console is None) as progress:
        bar = progress.add_task("evaluating", total=sum(len(reader.places(number)) for number in numbers))
        # Other data sets are in memory already.
        read = in_order(reader.read, numbers, workers if isinstance(data, Fitted) else 0)
        for number, (batch, own) in zip(numbers, read):
            yield reader.places(number).start, batch, own
            progress.update(bar, advance=len(batch))


@dataclass(frozen=True)
class _Reader:
    """Reads batches of `count` samples, whose images have to have this size: height and width."""

    data: Dataset
    size: tuple[int, int]
    count: int

    def places(self, number: int) -> range:
        """The numbers of a batch's samples."""
        return range(number * self.count, min((number + 1) * self.count, len(self.data)))

    def read(self, number: int) -> tuple[Batch, _Own]:
        """A batch, and its samples at their own sizes. UserError if the images have another size."""
        data, places = self.data, self.places(number)
        if isinstance(data, Fitted) and data.places_whole_images:
            samples = [data.with_own(i) for i in places]
            batch = Batch.of([sample for sample, _, _ in samples])
            own = [(sample, placement) for _, sample, placement in samples]
        else:
            batch, own = Batch.of([data[i] for i in places]), []
        if batch.images.shape[1:3] != self.size:
            found, (height, width) = "{}x{}".format(*batch.images.shape[1:3]), self.size
            raise UserError(f"images are {found}, the model takes {height}x{width}: open the data at its size")
        return batch, own


def measure_float(
    model: M3ViT,
    data: Dataset,
    console: Console | None = None,
    share: Share = Share(),  # noqa: B008 (immutable)
    workers: int = 0,
) -> dict[str, float]:
    """Every task's metric for the float network on its current pathways; see `evaluate`."""
    found = evaluate({"float": float_predictor(model)}, model.configuration, data, console, share, workers)
    return {task: values["float"] for task, values in found.items()}


def measure_integer(
    network: IntegerNetwork,
    configuration: ModelConfiguration,
    data: Dataset,
    alternative: str | None = None,
    console: Console | None = None,
) -> dict[str, float]:
    """Every task's metric for the integer network, on its default pathways or an alternative that all tasks have; see `evaluate`."""
    found = evaluate({"integer": integer_predictor(network, alternative)}, configuration, data, console)
    return {task: values["integer"] for task, values in found.items()}


def compare(
    model: M3ViT,
    network: IntegerNetwork | None,
    data: Dataset,
    alternative: str | None = None,
    console: Console | None = None,
    everything: bool = False,
    keep: Keeper | None = None,
    share: Share = Share(),  # noqa: B008 (immutable)
    workers: int = 0,
) -> dict[str, dict]:
    """By task: the metric's name ("metric"), "higher_is_better", and its values "float" and, with an integer network, "integer".

    Further figures of the task are in the same form in a list under "further": those of a short account (`Task.in_short`), or
    `everything` that the meter knows. The metric of features compares the integer network
    with the float one, so they have no "float", and are missing without an integer network.
    Both are measured on the integer network's default pathways, or on an alternative that all its tasks have; without an integer
    network, the whole float network is measured. data, console, share, workers: see `evaluate`. keep: is given the
    predictions, each by one of the processes.
    """
    predictors = {"float": float_predictor(model)}
    if network is not None:
        predictors["integer"] = integer_predictor(network, alternative)
    with on_pathways(model, whole_network(model) if network is None else pathways_of(network.tasks, alternative)):
        measured = _measure(predictors, model.configuration, data, console, keep, share, workers)
    return {name: _described(task, meters, everything) for name, (task, meters) in measured.items()}


def _described(task: Task, meters: dict[str, Meter], everything: bool) -> dict:
    """The entry of a task in the result of `compare`."""
    shown = {network: meter for network, meter in meters.items() if task.kind != FEATURES or network != "float"}
    entry = {"metric": task.metric_name, "higher_is_better": task.higher_is_better}
    entry |= {network: meter.result() for network, meter in shown.items()}
    further = {network: meter.further() for network, meter in shown.items()}
    names = [name for name in next(iter(further.values())) if everything or name in task.in_short]
    rows = [
        {
            "metric": name,
            "higher_is_better": task.higher(name),
            **{network: of[name] for network, of in further.items()},
        }
        for name in names
    ]
    return entry | ({"further": rows} if rows else {})
