"""Classifiers of whole images in other libraries' checkpoints: their layers, how they pool tokens, and the names of the classes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from torch import Tensor

from moesaic.errors import UserError
from moesaic.model.importing.foreign_checkpoint import ForeignCheckpoint
from moesaic.model.recipes.recipe import ModelConfiguration, TaskConfiguration
from moesaic.spec.heads import CLASS, CLASS_AND_DISTILLATION, CLASS_AND_MEAN, CLASSIFICATION, MEAN, MEAN_BEFORE_NORM

_PAIRS = (("cls_classifier", "distillation_classifier"), ("head", "head_dist"))
_SINGLE = ("classifier", "head", "fc")
_BEFORE = {
    "pre_logits.": "a layer before the classifier (pre_logits)",
    "attn_pool.": "attention pooling",
}
CLASS_NAMES = ("id2label", "label_names")
"""Settings that name classes, of transformers and of timm."""

_NORM_OF_MEAN = "fc_norm"
_TIMM_POOLS = {"avg": MEAN, "token": CLASS}


@dataclass(frozen=True)
class Classifier:
    """A source's classifier. pooling: a key of moesaic.spec.heads.POOLINGS, whose parts the layers follow: (weight [classes, D], bias).

    class_names: one per class; empty if the source does not tell. norm: weight and bias of the layer norm between the mean of the
    tokens and the layer, for the pooling that has one.
    """

    pooling: str
    layers: tuple[tuple[Tensor, Tensor], ...]
    class_names: tuple[str, ...]
    norm: tuple[Tensor, Tensor] | None = None

    @property
    def classes(self) -> int:
        """The number of classes."""
        return len(self.layers[0][1])

    def task(self, name: str = CLASSIFICATION) -> TaskConfiguration:
        """The task that this classifier serves."""
        return TaskConfiguration(name, self.classes, CLASSIFICATION, self.pooling, class_names=self.class_names)

    def weights(self, task: str) -> dict[str, Tensor]:
        """The layers by `M3ViT`'s names, as the head of a task."""
        parts = {f"layers.{i}": layer for i, layer in enumerate(self.layers)} | (
            {"norm": self.norm} if self.norm else {}
        )
        return {
            f"heads.{task}.{name}.{part}": value
            for name, both in parts.items()
            for part, value in zip(("weight", "bias"), both)
        }


def take_classifier(source: ForeignCheckpoint) -> Classifier | None:
    """Take the classifier from a source whose backbone has timm's names; None if it has none.

    UserError if a weight has another shape, or if the machine does not run what the classifier does; it names the feature.
    """
    pair = next((pair for pair in _PAIRS if all(f"{name}.weight" in source.tensors for name in pair)), None)
    single = next((name for name in _SINGLE if f"{name}.weight" in source.tensors), None)
    names = pair or ((single,) if single else ())
    if not names:
        return None
    for prefix, feature in _BEFORE.items():
        if found := next((name for name in source.tensors if name.startswith(prefix)), None):
            raise _refusal(source, f"{feature} ({found})")
    layers = [_layer(source, name) for name in names]
    inputs, classes = layers[0][0].shape[1], len(layers[0][1])
    pooling = CLASS_AND_DISTILLATION if pair else _pooling(source)
    embedding = source.tensors.get("patch_embed.proj.weight")
    if embedding is not None and inputs not in (len(embedding), (1 if pair else 2) * len(embedding)):
        raise _refusal(source, f"{inputs} inputs where a token has {len(embedding)} channels ({names[0]}.weight)")
    if embedding is not None and inputs == 2 * len(embedding):
        (weight, bias), width = layers[0], len(embedding)
        layers = [(weight[:, :width].clone(), bias), (weight[:, width:].clone(), bias.new_zeros(classes))]
        pooling = CLASS_AND_MEAN
    norm = _norm_of_mean(source) if pooling == MEAN_BEFORE_NORM else None
    return Classifier(pooling, tuple(layers), class_names(source.settings, classes), norm)


def place_classifier(
    source: ForeignCheckpoint, c: ModelConfiguration, found: Classifier
) -> tuple[tuple[TaskConfiguration, ...], dict[str, Tensor]]:
    """The configuration's tasks with the classifier's pooling and class names in the one of this kind, and the weights of its head.

    UserError unless there is exactly one, with as many classes.
    """
    tasks = [task for task in c.tasks if task.kind == CLASSIFICATION]
    remedy = "leave it out with --backbone-only"
    if len(tasks) != 1:
        entry = f'{{ name = "{CLASSIFICATION}", channels = {found.classes} }}'
        raise UserError(
            f"{source.path}: the source has a classifier of {found.classes} classes, the recipe {len(tasks)} tasks for it:"
            f" put {entry} among its tasks, or {remedy}"
        )
    (own,) = tasks
    if own.channels != found.classes:
        raise UserError(
            f"{source.path}: the source's classifier has {found.classes} classes, task {own.name} of the recipe {own.channels}:"
            f" set channels = {found.classes}, or {remedy}"
        )
    names = own.class_names or found.class_names
    task = dataclasses.replace(own, pooling=found.pooling, class_names=names)
    return tuple(task if each is own else each for each in c.tasks), found.weights(own.name)


def _layer(source: ForeignCheckpoint, name: str) -> tuple[Tensor, Tensor]:
    """Weight [classes, inputs] and bias [classes] of a layer, zeros if it has none."""
    weight = source.take(f"{name}.weight", None, None)
    if f"{name}.bias" not in source.tensors:
        return weight, weight.new_zeros(len(weight))
    return weight, source.take(f"{name}.bias", len(weight))


def _pooling(source: ForeignCheckpoint) -> str:
    """How a classifier with as many inputs as a token has channels pools: by the settings, else as its weights show.

    timm's fc_norm takes the place of the final norm and follows the pooling, which is the mean unless the settings say otherwise. Of
    one token it is the same as a final norm.
    """
    stated = source.settings.get("global_pool")
    if stated is not None and stated not in _TIMM_POOLS:
        raise _refusal(source, f"the pooling {stated} (global_pool in config.json)")
    if f"{_NORM_OF_MEAN}.weight" in source.tensors:
        if "norm.weight" in source.tensors:
            raise _refusal(source, f"a norm behind the pooling and another one before it ({_NORM_OF_MEAN} and norm)")
        return CLASS if stated is not None and _TIMM_POOLS[stated] == CLASS else MEAN_BEFORE_NORM
    if stated is not None:
        return _TIMM_POOLS[stated]
    return CLASS if "cls_token" in source.tensors else MEAN


def _norm_of_mean(source: ForeignCheckpoint) -> tuple[Tensor, Tensor]:
    """Weight and bias of the norm behind the pooling; the source keeps them, for the features of its tokens."""
    copy = ForeignCheckpoint(source.path, source.tensors)
    weight = copy.take(f"{_NORM_OF_MEAN}.weight", None)
    return weight, copy.take_or_zeros(f"{_NORM_OF_MEAN}.bias", len(weight))


def class_names(settings: dict, classes: int) -> tuple[str, ...]:
    """The names in transformers' id2label or timm's label_names; empty if there are none for every class, or only LABEL_0 and so on."""
    labels = settings.get("id2label")
    found = settings.get("label_names")
    if isinstance(labels, dict):
        found = [labels.get(str(n), labels.get(n)) for n in range(classes)]
    names = tuple(name for name in found if isinstance(name, str)) if isinstance(found, list) else ()
    return names if len(names) == classes and names != tuple(f"LABEL_{n}" for n in range(classes)) else ()


def _refusal(source: ForeignCheckpoint, feature: str) -> UserError:
    return UserError(
        f"{source.path}: the source's classifier has {feature}, which the machine does not run: leave it out with --backbone-only"
    )
