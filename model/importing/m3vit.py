"""Upstream M3ViT (github.com/VITA-Group/M3ViT): a backbone with FastMoE experts, gates, and a SETR-PUP head per task."""

import re
from collections.abc import Collection, Iterable
from dataclasses import replace

from torch import Tensor

from moesaic.errors import UserError
from moesaic.model.importing.backbone import (
    require_heads,
    take_attention,
    take_embedding,
    take_mlp,
    take_norm,
)
from moesaic.model.importing.foreign_checkpoint import ForeignCheckpoint
from moesaic.model.importing.source_recipe import drop_blocks
from moesaic.model.network.heads import PUP_CHANNELS, PUP_STAGES
from moesaic.model.recipes.recipe import ModelConfiguration, TaskConfiguration
from moesaic.spec.heads import FEATURES, is_dense
from moesaic.spec.output_description import USUAL_OUTPUT, OutputDescription

TASK_NAMES = {
    "semseg": "segmentation",
    "human_parts": "parts",
    "sal": "saliency",
    "normals": "normals",
    "edge": "edges",
    "depth": "depth",
}
"""Upstream's task names to ours, in the order in which upstream numbers a network's tasks."""

OUTPUTS = {
    "depth": OutputDescription(encoding="linear"),
    "normals": OutputDescription(axes=("right", "up", "viewer")),
}
"""What upstream's networks output, by our task names.

Depth is in metres: its loss (`losses/loss_functions.py`, lines 126-140) and rmse (`evaluation/eval_depth.py`, lines 32-56) take the
output as it is. Normals have the axes in which the data sets store them (`data/nyud.py`, lines 211-213; `data/pascal_context.py`, lines
339-352): x right, y up, z towards the viewer, as far as the data sets tell.
"""

_TRAINING_ONLY = ("tam_model",)  # for upstream's auxiliary losses
_DECODER = re.compile(r"decoders\.([^.]+)\.")
_BATCH_NORM = ("weight", "bias", "running_mean", "running_var")


def convert_m3vit(
    source: ForeignCheckpoint,
    configuration: ModelConfiguration,
    *,
    heads: int,
    grid: tuple[int, int] | None = None,
    backbone_only: bool = False,
) -> dict[str, Tensor]:
    """Every weight of a model with the head "setr-pup", float32 by our names.

    Upstream numbers gates by task, in a fixed order that does not depend on the order of weights in the file. The only decoder of a
    single-task network becomes the head of the recipe's task. heads, grid: see `convert_plain_vit`.
    backbone_only: leave out the decoders; the recipe may then have any head, and some of the source's tasks alone. A task of kind
    "features" takes the norm with which the decoder of that name begins, if the recipe's head is "setr-pup". Features of an earlier block
    may be called TASK_BLOCK, and blocks that no task runs are left out if all tasks are such. UserError if tasks, heads or gate are not
    the recipe's, or if a weight is missing, of another shape or unknown.
    """
    c = configuration
    require_heads(c, heads)
    own = [task.name for task in c.tasks if not is_dense(task.kind)]
    if own and not backbone_only:
        raise UserError(f"task {own[0]} of the recipe is no decoder of M3ViT: leave those out with --backbone-only")
    if c.head != "setr-pup" and not backbone_only:
        raise UserError(
            f"M3ViT has heads of SETR-PUP, the recipe {c.head!r}: set head = 'setr-pup', or leave them out with --backbone-only"
        )
    source.tensors = {name.removeprefix("backbone."): value for name, value in source.tensors.items()}
    source.drop(*_TRAINING_ONLY)
    _name_only_task(source, c)
    found = {str(match[1]) for name in source.tensors if (match := _DECODER.match(name))}
    tasks = [*(task for task in TASK_NAMES if task in found), *sorted(found - TASK_NAMES.keys())]
    ours = [TASK_NAMES.get(task, task) for task in tasks]
    origins = _origins(c.tasks, ours)
    if set(origins.values()) - set(ours) or (set(ours) - set(c.task_names) and not backbone_only):
        raise UserError(f"{source.path}: the source has tasks {', '.join(ours)}, the recipe {', '.join(c.task_names)}")
    if all(task.last_block is not None for task in c.tasks):
        drop_blocks(source, c.depth)
    weights = take_embedding(source, c, grid)
    for block in range(c.depth):
        weights |= take_attention(source, c, block)
        weights |= _take_moe(source, c, block, ours, origins) if c.is_moe(block) else take_mlp(source, c, block)
    for name in list(source.tensors):
        if name.startswith("gate_task_represent."):
            source.tensors.pop(name)  # taken by every layer, see `_take_task_embedding`
    if backbone_only:
        theirs = dict(zip(ours, tasks))
        for name, origin in origins.items():
            if c.task(name).kind == FEATURES and c.head == "setr-pup":
                copy = ForeignCheckpoint(source.path, source.tensors)  # for several blocks of the task
                weights |= take_norm(copy, f"decoders.{theirs[origin]}.norm", f"heads.{name}.norm", c.width)
        source.drop("decoders.")
    else:
        for task, our in zip(tasks, ours):
            weights |= _take_head(source, c, task, our)
    source.finish()
    return weights


def with_features(c: ModelConfiguration, blocks: Collection[int | None] = (None,)) -> ModelConfiguration:
    """The configuration with features in place of every task's output, after the norm of the task's decoder, on the same routers.

    blocks: of which; those of block N are called TASK_N, those of the last one, for None, TASK. The network ends where the last of them
    does. UserError if there is no such block.
    """
    for n in blocks:
        if n is not None and n >= c.depth:
            raise UserError(f"features of block {n} are asked for, the recipe has blocks 0 to {c.depth - 1}")
    tasks = tuple(
        TaskConfiguration(task.name if n is None else f"{task.name}_{n}", kind=FEATURES, last_block=n)
        for task in c.tasks
        for n in blocks
    )
    depth = max(c.depth if n is None else n + 1 for n in blocks)
    moe = tuple(i for i in range(depth) if c.is_moe(i))
    return replace(
        c,
        tasks=tasks,
        head="setr-pup",
        depth=depth,
        moe_blocks=moe,
        **({} if moe else {"experts": 0, "top_k": 0, "expert_hidden": 0}),
    )


def _origins(tasks: Iterable[TaskConfiguration], known: Collection[str]) -> dict[str, str]:
    """The source's task, by our names, that each task is: its own name, or TASK for features called TASK_BLOCK."""
    found = {}
    for task in tasks:
        origin = task.name.removesuffix(f"_{task.last_block}")
        found[task.name] = origin if task.name not in known and task.kind == FEATURES and origin in known else task.name
    return found


def with_source_outputs(c: ModelConfiguration) -> ModelConfiguration:
    """The configuration with what upstream's heads output, for tasks whose output the recipe does not describe otherwise."""
    tasks = (
        replace(task, output=OUTPUTS[task.kind]) if task.kind in OUTPUTS and task.output == USUAL_OUTPUT else task
        for task in c.tasks
    )
    return replace(c, tasks=tuple(tasks))


def segmentation_classes(source: ForeignCheckpoint) -> int:
    """The number of classes of the source's segmentation; 0 if it has no such task or only one."""
    found = (
        value for name, value in source.tensors.items() if name.endswith(f"decoders.semseg.conv_{PUP_STAGES}.bias")
    )
    return next((len(value) for value in found), 0)


def _name_only_task(source: ForeignCheckpoint, c: ModelConfiguration) -> None:
    """Rename the decoder and gates of a single-task network as in a network with several tasks."""
    if not any(name.startswith("decoder.") for name in source.tensors):
        return
    if len(c.tasks) > 1:
        raise UserError(
            f"{source.path}: the source is of one task, the recipe of {', '.join(c.task_names)}: choose a recipe of that task"
        )
    theirs = {our: their for their, our in TASK_NAMES.items()}.get(c.task_names[0], c.task_names[0])
    gate = ".mlp.gate.0.w_gate" if c.gate == "multi" else ".mlp.gate.w_gate"
    source.tensors = {
        re.sub(r"^decoder\b", f"decoders.{theirs}", name).replace(".mlp.gate.w_gate", gate): value
        for name, value in source.tensors.items()
    }


def _take_moe(
    source: ForeignCheckpoint, c: ModelConfiguration, block: int, tasks: list[str], origins: dict[str, str]
) -> dict[str, Tensor]:
    """The experts and gates of a block. tasks: the source's, by our names. origins: by our tasks, see `_origins`."""
    theirs, ours = f"blocks.{block}.mlp", f"blocks.{block}.mlp"
    e, d, h = c.experts, c.width, c.expert_hidden
    weights = {
        f"{ours}.up_weight": source.take(f"{theirs}.experts.htoh4.weight", e, h, d).transpose(1, 2).contiguous(),
        f"{ours}.up_bias": source.take(f"{theirs}.experts.htoh4.bias", e, h),
        f"{ours}.down_weight": source.take(f"{theirs}.experts.h4toh.weight", e, d, h).transpose(1, 2).contiguous(),
        f"{ours}.down_bias": source.take(f"{theirs}.experts.h4toh.bias", e, d),
    }
    _refuse_other_gates(source, theirs, c.gate)
    if c.gate == "multi":
        for i, task in enumerate(tasks):
            gate = source.take(f"{theirs}.gate.{i}.w_gate", d, e)
            for name in c.tasks_through(block):
                if origins[name] == task:
                    weights[f"{ours}.routers.{name}.linear.weight"] = gate.T.contiguous()
        return weights
    inputs = d + (c.task_embedding if c.gate == "task-conditioned" else 0)
    weights[f"{ours}.routers.all.linear.weight"] = source.take(f"{theirs}.gate.w_gate", inputs, e).T.contiguous()
    if c.gate != "task-conditioned":
        return weights
    return weights | _take_task_embedding(
        source, c, ours, [tasks.index(origins[name]) for name in c.tasks_through(block)], len(tasks)
    )


def _refuse_other_gates(source: ForeignCheckpoint, path: str, gate: str) -> None:
    names = [name for name in source.tensors if name.startswith(f"{path}.gate.")]
    if noisy := [name for name in names if name.endswith("w_noise")]:
        raise UserError(
            f"{source.path}: weight {noisy[0]} is of the gate 'noisy', whose scores are a softmax over the chosen experts;"
            " here it is over all, as in 'noisy_vmoe': train with --moe_gate_type noisy_vmoe"
        )
    multi = any(re.fullmatch(r".*\.gate\.\d+\.w_gate", name) for name in names)
    found = "multi" if multi else "task-conditioned" if "gate_task_represent.fc1.weight" in source.tensors else "single"
    if names and found != gate:
        raise UserError(
            f"{source.path}: weight {names[0]} is of the gate {found!r}, the recipe has gate = {gate!r}: set it"
        )


def _take_task_embedding(
    source: ForeignCheckpoint, c: ModelConfiguration, ours: str, numbers: list[int], tasks: int
) -> dict[str, Tensor]:
    """The task embedding, which upstream's layers share while each of ours has its own.

    numbers: the source's of our tasks that run the block. tasks: how many the source has.
    """
    v = c.task_embedding
    weights = {}
    for their, our, shape in (("fc1", "up", (v, tasks)), ("fc2", "down", (v, v)), ("norm", "norm", (v,))):
        for part, sizes in (("weight", shape), ("bias", shape[:1])):
            name = f"gate_task_represent.{their}.{part}"
            weights[f"{ours}.routers.all.{our}.{part}"] = value = source.take(name, *sizes)
            source.tensors[name] = value  # the next layer takes it again
    one_hot = f"{ours}.routers.all.up.weight"
    weights[one_hot] = weights[one_hot][:, numbers]
    return weights


def _take_head(source: ForeignCheckpoint, c: ModelConfiguration, task: str, our: str) -> dict[str, Tensor]:
    theirs, ours, n = f"decoders.{task}", f"heads.{our}", PUP_CHANNELS
    weights = take_norm(source, f"{theirs}.norm", f"{ours}.norm", c.width)
    for stage in range(PUP_STAGES):
        inputs = n if stage else c.width
        weights[f"{ours}.convolutions.{stage}.weight"] = source.take(f"{theirs}.conv_{stage}.weight", n, inputs, 3, 3)
        weights[f"{ours}.convolutions.{stage}.bias"] = source.take(f"{theirs}.conv_{stage}.bias", n)
        norm = f"{ours}.batch_norms.{stage}"
        for part in _BATCH_NORM:
            weights[f"{norm}.{part}"] = source.take(f"{theirs}.syncbn_fc_{stage}.{part}", n)
        weights[f"{norm}.num_batches_tracked"] = source.take(f"{theirs}.syncbn_fc_{stage}.num_batches_tracked")
    channels = c.task(our).channels
    weights[f"{ours}.classifier.weight"] = source.take(f"{theirs}.conv_{PUP_STAGES}.weight", channels, n, 1, 1)
    weights[f"{ours}.classifier.bias"] = source.take(f"{theirs}.conv_{PUP_STAGES}.bias", channels)
    return weights
