"""The kinds of task that are installed: those of the project and those of other packages, found by their entry points."""

from collections.abc import Mapping
from types import MappingProxyType

from moesaic.extensions import Extensions
from moesaic.model.tasks.loss_sets import DEFAULT_LOSSES
from moesaic.model.tasks.targets import Truth
from moesaic.model.tasks.task import Task
from moesaic.spec.output_description import USUAL_OUTPUT, OutputDescription

TASK_KINDS = Extensions("moesaic.tasks", Task, "task", "kind")


def task_kind(kind: str) -> type[Task]:
    """The class of a kind of task. UserError if there is none, or if it cannot be loaded."""
    return TASK_KINDS.load(kind)


def truth_of(kind: str) -> Truth:
    """What the ground truth of a kind is. UserError if the kind is unknown."""
    truth = task_kind(kind).truth
    assert truth is not None, f"{kind} has no ground truth"
    return truth


def find_task(
    kind: str,
    channels: int = 0,
    losses: str = DEFAULT_LOSSES,
    output: OutputDescription = USUAL_OUTPUT,
    class_names: tuple[str, ...] = (),
    options: Mapping[str, float] = MappingProxyType({}),
    label_smoothing: float = 0.0,
) -> Task:
    """A task of this kind.

    channels: of its output, 0 if only the kind matters. losses: a name from LOSS_SETS. output: what the channels mean, which loss and
    metric of depth and normals take into account. class_names: as far as they are known. options: of the metric. label_smoothing: of the
    loss of classifications.

    UserError when there is no such kind, set or option, or when the kind needs another number of channels.
    """
    return task_kind(kind)(channels, losses, output, class_names, options, label_smoothing)
