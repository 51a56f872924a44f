"""Recipes: the sizes of a model and the settings of its training, read from TOML files such as those beside this module."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import tomllib

from moesaic.argument_types import SEED_END
from moesaic.errors import UserError
from moesaic.model.recipes.backbones import with_backbone
from moesaic.model.tasks.loss_sets import DEFAULT_LOSSES, LOSS_SETS
from moesaic.spec.bundle import SIZES_MAX, Alternative, Architecture, Task
from moesaic.spec.heads import CLASS, CLASSIFICATION, FEATURES, MEAN, final_norm, is_dense, task_problem
from moesaic.spec.input_description import MINUS_ONE_TO_ONE, InputDescription
from moesaic.spec.output_description import USUAL_OUTPUT, OutputDescription, output_problem
from moesaic.spec.pathway_names import is_task_name

if TYPE_CHECKING:  # it takes PyTorch, which help texts of commands do without
    from moesaic.model.tasks.task import Task as Definition

GATES = ("multi", "single", "task-conditioned")
CONTROL_GATES = ("position", "random")
"""Gates that only experiments have: their choice of experts is no linear layer of the token, so nothing is exported of them."""
GATE_NOISES = ("fixed", "learned", "none")
HEADS = ("light", "setr-pup")
OPTIMIZERS = ("muon", "adamw", "sgd")
SCHEDULES = ("cosine", "poly")
PRECISIONS = ("float32", "bfloat16", "float16")
WEIGHTINGS = ("fixed", "uncertainty", "dwa", "gradnorm", "pcgrad", "cagrad", "nash-mtl", "famo")
INITIALISATIONS = ("pytorch", "m3vit")
BATCH_PER = ("update", "process")
DECAYED = ("matrices", "all")
AUGMENTATIONS = ("usual", "m3vit")
RATE_GROUPS = ("backbone", "experts", "routers", "heads")
"""The parts of a network that can have learning rates of their own; the backbone is what belongs to none of the others."""

_RECIPES = Path(__file__).parent


@dataclass(frozen=True)
class TaskConfiguration:
    """A task and its head.

    name: letters, digits, - and _. channels: of the output, a classification's number of classes; features have the network's width.
    kind: one that is installed (`moesaic.model.tasks.registry`), by default the name. pooling: of a classification, one of
    moesaic.spec.heads.POOLINGS, by default the class token if there is one. last_block: of features, the index of the block whose
    tokens they are, by default the last. class_names: one per channel, of a task with classes; by default those of the data set.
    output: what the channels of depth and normals mean, and how they are drawn. metric: options of the kind's metric and their values, by
    name, such as the tolerance of edges; a table in a recipe.
    """

    name: str
    channels: int = 0
    kind: str = ""
    pooling: str = ""
    last_block: int | None = None
    class_names: tuple[str, ...] = ()
    output: OutputDescription = USUAL_OUTPUT
    metric: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", self.kind or self.name)
        object.__setattr__(self, "metric", _named_numbers(f"metric of task {self.name}", self.metric))
        object.__setattr__(self, "class_names", tuple(self.class_names))

    @property
    def has_truth(self) -> bool:
        """Whether a data set can have ground truth for this task, so that it can be trained and measured; not so of features."""
        return self.kind != FEATURES

    def definition(
        self, losses: str = DEFAULT_LOSSES, class_names: tuple[str, ...] = (), label_smoothing: float = 0.0
    ) -> "Definition":
        """What the task predicts, its loss and its metric. class_names: where the task itself has none. UserError, see `find_task`."""
        from moesaic.model.tasks.registry import find_task

        names = self.class_names or class_names
        return find_task(self.kind, self.channels, losses, self.output, names, dict(self.metric), label_smoothing)

    def completed(self, width: int, prefix_tokens: int) -> "TaskConfiguration":
        """The task with its defaults filled in that depend on the model."""
        channels = self.channels or (width if self.kind == FEATURES else 0)
        pooling = self.pooling or ("" if self.kind != CLASSIFICATION else CLASS if prefix_tokens else MEAN)
        return dataclasses.replace(self, channels=channels, pooling=pooling)

    def to_dict(self) -> dict:
        """In plain types, without what is left at its default."""
        values = dataclasses.asdict(self) | {"output": self.output.to_dict(), "metric": dict(self.metric)}
        if self.kind == self.name:
            del values["kind"]
        return {name: value for name, value in values.items() if value not in ("", (), None, {})}


@dataclass(frozen=True)
class ModelConfiguration:
    """Every size of an M3ViT. Lengths are in pixels (image and patch) or channels (width, mlp_hidden, expert_hidden, task_embedding).

    A recipe may name a backbone instead of sizes, see `moesaic.model.recipes.backbones`. depth: number of blocks. heads: attention heads.
    experts: per MoE block; 0 makes a dense network, whose `top_k` and `expert_hidden` are then 0 too. gate: one of GATES or, for
    experiments, CONTROL_GATES, see `moesaic.model.network.routers`. gate_noise: noise of the routers in training, "fixed" (V-MoE),
    "learned" (noisy top-k) or "none".
    task_embedding: width of the embedding that a task-conditioned gate appends to the token. expert_dropout: rate for the experts' hidden
    units in training, from 0 to below 1. drop_path: rate at which the last block's two branches are left out of a sample in training,
    from 0 to below 1; it grows linearly from 0 in the first block (stochastic depth, Huang et al., ECCV 2016). head: "light", which the
    accelerator runs, or "setr-pup", which is M3ViT's. head_resolution: output pixels per patch edge; 0 means the patch size, so that
    predictions have the input's resolution. prefix_tokens: number of tokens before the patches, 0 to 8: the class token, then others such
    as registers. norm_epsilon: of every layer norm. input: how pixels are normalised and how an image gets to this size. moe_blocks:
    ascending numbers of the blocks that have experts; empty means every second block, from block 1 on. UserError for sizes that do not
    fit together.
    """

    image_height: int
    image_width: int
    patch: int
    width: int
    depth: int
    heads: int
    mlp_hidden: int
    experts: int
    top_k: int
    expert_hidden: int
    tasks: tuple[TaskConfiguration, ...]
    head_resolution: int = 0
    gate: str = "multi"
    gate_noise: str = "fixed"
    task_embedding: int = 64
    expert_dropout: float = 0.0
    drop_path: float = 0.0
    head: str = "light"
    prefix_tokens: int = 1
    norm_epsilon: float = 1e-6
    input: InputDescription = MINUS_ONE_TO_ONE
    moe_blocks: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        _require_integers(
            self, {"head_resolution": 0, "experts": 0, "top_k": 0, "expert_hidden": 0, "prefix_tokens": 0}
        )
        for name, known in (("gate", (*GATES, *CONTROL_GATES)), ("gate_noise", GATE_NOISES), ("head", HEADS)):
            if getattr(self, name) not in known:
                raise UserError(f"{name} ({getattr(self, name)!r}) is unknown: choose {', '.join(known)}")
        for name in ("expert_dropout", "drop_path"):
            if type(rate := getattr(self, name)) not in (int, float) or not 0 <= rate < 1:
                raise UserError(f"{name} ({rate!r}) is not a number from 0 to below 1: correct it")
        for name, greatest in SIZES_MAX.items():
            if (value := getattr(self, name)) > greatest:
                raise UserError(f"{name} ({value}) is above {greatest}: choose a network with fewer")
        if type(self.norm_epsilon) not in (int, float) or not 0 <= self.norm_epsilon < 1:
            raise UserError(
                f"norm_epsilon ({self.norm_epsilon!r}) is not a number from 0 to below 1: correct the recipe"
            )
        for name, size, divisor in (
            ("image height", self.image_height, self.patch),
            ("image width", self.image_width, self.patch),
            ("width", self.width, self.heads),
        ):
            if divisor < 1 or size < 1 or size % divisor:
                raise UserError(f"{name} ({size}) is not a positive multiple of {divisor}: choose sizes that divide")
        if self.experts == 0 and (self.top_k or self.expert_hidden):
            sizes = f"top_k ({self.top_k}) and expert_hidden ({self.expert_hidden})"
            raise UserError(f"a network without experts (experts = 0) has {sizes}: set both to 0")
        if self.experts and not 1 <= self.top_k <= self.experts:
            raise UserError(f"top_k ({self.top_k}) must be from 1 to the number of experts ({self.experts})")
        if self.experts and not self.expert_hidden:
            raise UserError(f"expert_hidden (0) of {self.experts} experts must be at least 1: correct the recipe")
        _require_moe_blocks(self)
        object.__setattr__(self, "tasks", tuple(t.completed(self.width, self.prefix_tokens) for t in self.tasks))
        names = [task.name for task in self.tasks]
        if not names or len(set(names)) != len(names):
            raise UserError(f"tasks {names} must be one or more different names: correct the recipe")
        for task in self.tasks:
            _require_integers(task, {})
            self._check_task(task)
        reached = max(self.last_block(name) for name in names) + 1
        if reached < self.depth:
            raise UserError(f"no task runs the blocks after the first {reached} of {self.depth}: set depth = {reached}")

    def _check_task(self, task: TaskConfiguration) -> None:
        from moesaic.model.tasks.registry import task_kind

        if not is_task_name(task.name):
            raise UserError(f"task {task.name!r} is not named by letters, digits and _: rename it in the recipe")
        described = task_kind(task.kind).bundle_output(task.output)
        if problem := task_problem(self.architecture, task, task.channels) or output_problem(
            task.kind, task.channels, described
        ):
            raise UserError(f"task {task.name}: {problem}; correct the recipe")
        if task.class_names and len(task.class_names) != task.channels:
            raise UserError(f"task {task.name} has {len(task.class_names)} class names, but {task.channels} channels")
        if task.kind == CLASSIFICATION and self.head != "light":
            raise UserError(
                f"task {task.name} is a classification, which the head {self.head!r} is not: set head = 'light'"
            )

    @property
    def architecture(self) -> Architecture:
        """The sizes in the form that a bundle has."""
        return Architecture(
            image_height=self.image_height,
            image_width=self.image_width,
            patch=self.patch,
            width=self.width,
            depth=self.depth,
            heads=self.heads,
            mlp_hidden=self.mlp_hidden,
            expert_hidden=self.expert_hidden,
            experts=self.experts,
            top_k=self.top_k,
            moe_blocks=tuple(i for i in range(self.depth) if self.is_moe(i)),
            prefix_tokens=self.prefix_tokens,
        )

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return self.image_height // self.patch, self.image_width // self.patch

    @property
    def tokens(self) -> int:
        """Length of the token sequence: the prefix tokens, then the patches row by row."""
        return self.prefix_tokens + self.grid[0] * self.grid[1]

    @property
    def head_dim(self) -> int:
        """Channels per attention head."""
        return self.width // self.heads

    @property
    def resolution(self) -> int:
        """Output pixels per patch edge."""
        return self.head_resolution or self.patch

    @property
    def has_integer_form(self) -> bool:
        """Whether the accelerator runs every gate and head; it does not run those of CONTROL_GATES, nor SETR-PUP."""
        return not self._is_control and self._has_integer_heads

    @property
    def _is_control(self) -> bool:
        return self.experts > 0 and self.gate in CONTROL_GATES

    @property
    def _has_integer_heads(self) -> bool:
        return self.head == "light" or all(task.kind == FEATURES for task in self.tasks)

    def require_linear_gate(self) -> None:
        """Raise UserError if the gate is a control for experiments: then there is nothing to export."""
        if self._is_control:
            raise UserError(
                f"the gate {self.gate!r} is a control for experiments and cannot be exported: choose {', '.join(GATES)}"
            )

    @property
    def tasks_with_truth(self) -> tuple[TaskConfiguration, ...]:
        """The tasks that can be trained and measured."""
        return tuple(task for task in self.tasks if task.has_truth)

    def last_block(self, name: str) -> int:
        """Index of the last block that a task runs."""
        last = self.task(name).last_block
        return self.depth - 1 if last is None else last

    def tasks_through(self, block: int) -> tuple[str, ...]:
        """The names of the tasks that run a block."""
        return tuple(name for name in self.task_names if self.last_block(name) >= block)

    def bundle_task(self, name: str, pathway: Alternative, output_scale: float = 1.0) -> Task:
        """A task in the form that a bundle has. pathway: its experts and its top-k."""
        from moesaic.model.tasks.registry import task_kind

        own = self.task(name)
        return Task(
            kind=own.kind,
            channels=own.channels,
            upscale=self.resolution if is_dense(own.kind) else 1,
            output_scale=output_scale,
            top_k=pathway.top_k,
            pathway=pathway.pathway,
            pooling=own.pooling,
            last_block=own.last_block,
            output=task_kind(own.kind).bundle_output(own.output),
        )

    @property
    def final_norms(self) -> tuple[str, ...]:
        """The names of the norms in front of the heads, as a bundle has them."""
        tasks = {name: self.bundle_task(name, whole) for name, whole in self.whole_pathways.items()}
        return tuple(dict.fromkeys(final_norm(name, task) for name, task in tasks.items()))

    @property
    def whole_pathways(self) -> dict[str, Alternative]:
        """Every task's pathway through every expert of the blocks that it runs, with the model's top-k."""
        every = tuple(range(self.experts))
        return {
            name: Alternative(self.top_k, {i: every for i in range(self.last_block(name) + 1) if self.is_moe(i)})
            for name in self.task_names
        }

    @property
    def task_names(self) -> tuple[str, ...]:
        """The tasks' names, in the recipe's order."""
        return tuple(task.name for task in self.tasks)

    def task(self, name: str) -> TaskConfiguration:
        """The task called `name`; UserError, which lists the model's tasks, if there is none."""
        for task in self.tasks:
            if task.name == name:
                return task
        raise UserError(f"unknown task {name!r}: this model has {', '.join(self.task_names)}")

    def is_moe(self, block: int) -> bool:
        """Whether block `block` routes its tokens to experts, unless the network is dense: see `moe_blocks`."""
        return self.experts > 0 and (block in self.moe_blocks if self.moe_blocks else block % 2 == 1)


@dataclass(frozen=True)
class DataConfiguration:
    """What to train on. name: one of DATASETS; the place of its files is not part of a recipe.

    validation: number of held-out samples to validate on; 0 means all, except for rendered scenes, which are endless. augment: scale,
    crop, mirror and recolour the samples of a data set in files (rendered scenes are always mirrored and recoloured). augmentation:
    "usual", the data set's own, or "m3vit", see `moesaic.model.data.m3vit_augmentation`. largest_class_share: of the pixels of a crop
    that one class of the segmentation may take, above 0 to 1, which is no limit; see `moesaic.model.data.augmentation`. UserError for any
    other value.
    """

    name: str = "scenes"
    validation: int = 128
    augment: bool = True
    augmentation: str = "usual"
    largest_class_share: float = 1.0

    def __post_init__(self) -> None:
        from moesaic.model.data.m3vit_augmentation import CHANGES
        from moesaic.model.data.registry import DATASETS

        choices = {"name": DATASETS.names, "augment": (False, True), "augmentation": AUGMENTATIONS}
        _require_one_of(self, choices)
        _require_integers(self, {"validation": 0})
        if self.name == "scenes" and self.validation == 0:
            raise UserError("validation (0) means all samples, but scenes have no end: give the number to render")
        if self.augmentation == "m3vit" and self.name not in CHANGES:
            raise UserError(f"augmentation 'm3vit' is for {', '.join(CHANGES)}, not for {self.name}: leave it out")
        share = self.largest_class_share
        if type(share) not in (int, float) or not 0 < share <= 1:
            raise UserError(f"largest_class_share ({share!r}) is not a number above 0 to 1: correct the recipe")
        if share < 1 and (self.name == "scenes" or not self.augment):
            why = "scenes are not cropped" if self.name == "scenes" else "augment = false crops nothing"
            raise UserError(f"largest_class_share ({share}) limits crops, but {why}: leave it out")


@dataclass(frozen=True)
class TrainingConfiguration:
    """How to train: linear warm-up to the learning rate, then decay to zero.

    steps: updates of the weights, more than `warmup`, which is in steps too. batch: images per update, over all ranks and all
    `accumulate` parts into which it is split, or with batch_per = "process" images per update and rank. pool: number of rendered scenes
    from which batches are drawn. optimizer: "muon" uses Muon with `muon_learning_rate` for the blocks' weight matrices and AdamW with
    `learning_rate` for the rest; "adamw" and "sgd" (with `momentum`) take all weights. decayed: what `weight_decay` is for, the
    "matrices" alone or "all" weights, also biases, norms, positions and the class token. schedule: "cosine" (half a period) or "poly"
    (power 0.9); schedule_period: steps for which the rate stays, such as an epoch. rates: factors of the learning rates by the parts of
    RATE_GROUPS, 1 where none is stated, a table in a recipe. layer_decay: factor of the learning rate from each block to the one before
    it, above 0 to 1 (Clark et al., ICLR 2020; Bao et al., ICLR 2022). ema_decay: of the moving average of the weights that is measured,
    exported and started from in place of the weights themselves, from 0 (none) to below 1, see `moesaic.model.training.weight_average`.
    label_smoothing: of the loss of classifications. losses: the tasks' losses and weights, "scenes" or "papers" (see
    `moesaic.model.tasks.loss_sets`). balance_weight: of the load-balance loss. gradient_clip: largest norm of the whole gradient, 0 for
    no limit. precision: of the network's arithmetic; weights stay float32. experts_sharded: each rank holds only its part of the experts,
    and tokens travel to them. initialisation: of all weights, "pytorch" (as it initialises linear layers) or "m3vit", see
    `moesaic.model.network.initialisation`. initialise_from: checkpoint from which to take initial weights; if it is dense, experts start
    as copies of its MLPs (`upcycle`), or as `initialisation` says. validate_every: steps between validations, 0 for none. The checkpoint
    with the best `select`, a task's name or "delta_m" (mean relative gain over all tasks), is kept beside the last one. reference: the
    metric of each task to which delta_m relates, such as that of a network trained for this task alone, a table in a recipe; empty takes
    those of the run's own first validation. least_experts: train for budgets that can be changed afterwards, down to this many experts
    per task and MoE block and one expert per token (`moesaic.model.pathways.sampling`); 0 trains only the whole network. weighting: of
    the tasks' losses, whose fixed weights a method multiplies, see `moesaic.model.training.weighting`. weighting_period: steps over which
    "dwa" averages losses, in its paper an epoch. UserError for values out of range or that do not fit together.
    """

    steps: int
    batch: int
    learning_rate: float
    warmup: int
    pool: int = 2048
    muon_learning_rate: float = 0.02
    weight_decay: float = 0.02
    balance_weight: float = 0.01
    gradient_clip: float = 1.0
    seed: int = 0
    optimizer: str = "muon"
    momentum: float = 0.9
    schedule: str = "cosine"
    losses: str = "scenes"
    accumulate: int = 1
    precision: str = "float32"
    experts_sharded: bool = False
    initialise_from: str = ""
    validate_every: int = 0
    select: str = "delta_m"
    least_experts: int = 0
    reference: tuple[tuple[str, float], ...] = ()
    weighting: str = "fixed"
    weighting_period: int = 100
    initialisation: str = "pytorch"
    upcycle: bool = True
    batch_per: str = "update"
    decayed: str = "matrices"
    schedule_period: int = 1
    rates: tuple[tuple[str, float], ...] = ()
    layer_decay: float = 1.0
    ema_decay: float = 0.0
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "reference", _named_numbers("reference", self.reference))
        if wrong := [task for task, value in self.reference if not value > 0]:
            raise UserError(f"reference of {wrong[0]} is not above 0: no change relates to it")
        object.__setattr__(self, "rates", _named_numbers("rates", self.rates))
        for part, factor in self.rates:
            if part not in RATE_GROUPS:
                raise UserError(f"rates has {part!r}, which is no part of a network: choose {', '.join(RATE_GROUPS)}")
            if factor < 0:
                raise UserError(f"rates of {part} is {factor}, it must be a number from 0: correct the recipe")
        choices = {
            "optimizer": OPTIMIZERS,
            "schedule": SCHEDULES,
            "losses": LOSS_SETS,
            "precision": PRECISIONS,
            "weighting": WEIGHTINGS,
            "experts_sharded": (False, True),
            "initialisation": INITIALISATIONS,
            "upcycle": (False, True),
            "batch_per": BATCH_PER,
            "decayed": DECAYED,
        }
        _require_one_of(self, choices)
        _require_integers(self, {"warmup": 0, "seed": 0, "validate_every": 0, "least_experts": 0})
        if self.seed >= SEED_END:
            raise UserError(f"seed ({self.seed}) is above {SEED_END - 1}: correct the recipe")
        if self.batch % self.accumulate:
            sizes = f"batch ({self.batch}) is not a multiple of accumulate ({self.accumulate})"
            raise UserError(f"{sizes}: correct the recipe")
        for entry in dataclasses.fields(self):
            value = getattr(self, entry.name)
            if entry.type in (int, float) and (type(value) not in (int, float) or not 0 <= value < math.inf):
                raise UserError(f"{entry.name} ({value!r}) is not a number from 0: correct the recipe")
            if entry.type is str and type(value) is not str:
                raise UserError(f"{entry.name} ({value!r}) is not text: correct the recipe")
        if self.warmup >= self.steps:
            raise UserError(f"warmup ({self.warmup}) is not below steps ({self.steps}): shorten it or train longer")
        for name in ("momentum", "ema_decay", "label_smoothing"):
            if getattr(self, name) >= 1:
                raise UserError(f"{name} ({getattr(self, name)}) is not below 1: correct the recipe")
        if not 0 < self.layer_decay <= 1:
            raise UserError(f"layer_decay ({self.layer_decay}) is not above 0 to 1: correct the recipe")

    def rate_of(self, part: str) -> float:
        """The factor of the learning rate of one of RATE_GROUPS."""
        return dict(self.rates).get(part, 1.0)

    def in_steps(self, steps: int) -> "TrainingConfiguration":
        """The same training with another number of steps; a warm-up that no longer fits is shortened in proportion."""
        warmup = self.warmup if self.warmup < steps else self.warmup * steps // self.steps
        return dataclasses.replace(self, steps=steps, warmup=warmup)


@dataclass(frozen=True)
class Recipe:
    """A model, how to train it, and on what. UserError if `training.select` names a task that the model does not have."""

    model: ModelConfiguration
    training: TrainingConfiguration
    data: DataConfiguration = field(default_factory=DataConfiguration)

    def __post_init__(self) -> None:
        select = self.training.select
        if select != "delta_m":
            self.model.task(select)
        measured = {task.name for task in self.model.tasks_with_truth}
        if self.training.reference and (wrong := measured ^ dict(self.training.reference).keys()):
            raise UserError(
                f"reference is for {', '.join(dict(self.training.reference))}, not for the tasks {', '.join(sorted(measured))}: "
                f"correct {', '.join(sorted(wrong))}"
            )
        kinds = {task.kind for task in self.model.tasks}
        for section, entry, kind in (
            (self.data, "largest_class_share", "segmentation"),
            (self.training, "label_smoothing", CLASSIFICATION),
        ):
            if getattr(section, entry) != type(section).__dataclass_fields__[entry].default and kind not in kinds:
                raise UserError(
                    f"{entry} ({getattr(section, entry)}) is for {kind}, which is none of the tasks {', '.join(self.model.task_names)}: "
                    "leave it out"
                )

    def for_processes(self, count: int) -> "Recipe":
        """The same training by so many processes, with a batch that is that of all of them together."""
        training = self.training
        if training.batch_per == "update":
            return self
        return dataclasses.replace(
            self, training=dataclasses.replace(training, batch=count * training.batch, batch_per="update")
        )

    def to_dict(self) -> dict:
        """The recipe in plain types, which `Recipe.from_dict` reads back.

        Entries that recipes have had for a while only, and the descriptions of input and outputs, are left out at their defaults.
        """
        values = dataclasses.asdict(self)
        for section, usual in _UNMENTIONED.items():
            for name, default in usual.items():
                if values[section][name] == default:
                    del values[section][name]
        values["model"]["tasks"] = tuple(task.to_dict() for task in self.model.tasks)
        for name in ("reference", "rates"):
            if table := getattr(self.training, name):
                values["training"][name] = dict(table)
        del values["model"]["input"]
        if described := self.model.input.to_dict():
            values["model"]["input"] = described
        return values

    @classmethod
    def from_dict(cls, data: dict) -> "Recipe":
        """The recipe that `data`, structured like a TOML recipe, describes; UserError names an unknown, missing or wrong entry."""
        try:
            if surplus := data.keys() - {entry.name for entry in dataclasses.fields(cls)}:
                raise UserError(f"recipe has an unknown section {sorted(surplus)[0]!r}: choose model, training, data")
            model = with_backbone(data["model"])
            model["tasks"] = tuple(_task(task) for task in model["tasks"])
            model["input"] = InputDescription.from_dict(model.get("input", {}))
            model["moe_blocks"] = tuple(model.get("moe_blocks", ()))
            return cls(
                ModelConfiguration(**model),
                TrainingConfiguration(**data["training"]),
                DataConfiguration(**data.get("data", {})),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"recipe does not describe a model: {error}") from error


def _defaults(section: type, *names: str) -> dict:
    return {entry.name: entry.default for entry in dataclasses.fields(section) if entry.name in names}


_UNMENTIONED = {
    "model": _defaults(ModelConfiguration, "prefix_tokens", "norm_epsilon", "moe_blocks", "drop_path"),
    "training": _defaults(
        TrainingConfiguration,
        *("reference", "weighting", "weighting_period", "initialisation", "upcycle", "batch_per", "decayed"),
        *("schedule_period", "rates", "layer_decay", "ema_decay", "label_smoothing"),
    ),
    "data": _defaults(DataConfiguration, "augmentation", "largest_class_share"),
}
"""Left out of a recipe's plain form at these values, so that studies which keep results under it find those of before."""


def _task(values: dict) -> TaskConfiguration:
    return TaskConfiguration(**{**values, "output": OutputDescription.from_dict(values.get("output", {}))})


def _named_numbers(
    what: str, values: Mapping[str, float] | tuple[tuple[str, float], ...]
) -> tuple[tuple[str, float], ...]:
    """A table of numbers by name, in the form that a frozen dataclass holds. UserError, which calls it `what`, for anything else."""
    try:
        found = dict(values)
    except (TypeError, ValueError):
        raise UserError(f"{what} ({values!r}) is no table of names and numbers: correct the recipe") from None
    for name, value in found.items():
        if type(name) is not str or type(value) not in (int, float) or not math.isfinite(value):
            raise UserError(f"{what} has {name} = {value!r}, which is no number: correct the recipe")
    return tuple(sorted(found.items()))


_Settings = TaskConfiguration | ModelConfiguration | DataConfiguration | TrainingConfiguration


def _require_one_of(settings: "_Settings", choices: dict[str, tuple]) -> None:
    """Raise UserError unless each named field of a dataclass holds one of its choices."""
    for name, known in choices.items():
        value = getattr(settings, name)
        if value not in known or type(value) is not type(known[0]):
            raise UserError(f"{name} ({value!r}) is unknown: choose {', '.join(map(str, known))}")


def _require_integers(settings: "_Settings", least: dict[str, int]) -> None:
    """Raise UserError unless every int field of a dataclass holds an integer of at least 1, or of the minimum given in `least`."""
    for entry in dataclasses.fields(settings):
        value, low = getattr(settings, entry.name), least.get(entry.name, 1)
        if entry.type is int and (type(value) is not int or value < low):
            raise UserError(f"{entry.name} ({value!r}) is not an integer from {low}: correct the recipe")


def _require_moe_blocks(model: ModelConfiguration) -> None:
    """Raise UserError unless the model's `moe_blocks` are ascending numbers of its blocks, and none if it has no experts."""
    blocks = model.moe_blocks
    if any(type(block) is not int for block in blocks) or list(blocks) != sorted(set(blocks) & set(range(model.depth))):
        raise UserError(
            f"moe_blocks {list(blocks)} are not ascending numbers from 0 to {model.depth - 1}: correct them"
        )
    if blocks and not model.experts:
        raise UserError(
            f"moe_blocks {list(blocks)} are given to a network without experts (experts = 0): leave them out"
        )


def recipe_names() -> list[str]:
    """The names of the recipes that come with the package, sorted; a recipe in a directory is named directory/name.

    Files whose names start with _ are no recipes, but what several of them share.
    """
    files = (path for path in _RECIPES.rglob("*.toml") if not path.name.startswith("_"))
    return sorted(path.relative_to(_RECIPES).with_suffix("").as_posix() for path in files)


def recipe_entries(name: str) -> dict:
    """The entries of the package's recipe called `name`, or of a TOML file if `name` ends in .toml, with those of its base.

    A recipe with `base = "other.toml"`, a path relative to its own file, inherits the entries of that recipe and overrides or extends
    them; with a list of files, each one's go before those of the files named earlier. UserError if there is no such recipe or it cannot
    be read.
    """
    path = Path(name)
    if path.suffix != ".toml":
        if name not in recipe_names():
            raise UserError(f"unknown recipe {name!r}: choose {', '.join(recipe_names())} or give a .toml file")
        path = _RECIPES / f"{name}.toml"
    return _read_toml(path, ())


def load_recipe(name: str) -> Recipe:
    """The recipe that `recipe_entries` finds. UserError if there is none, or if it is invalid."""
    data = recipe_entries(name)
    try:
        return Recipe.from_dict(data)
    except UserError as error:
        raise UserError(f"recipe {name}: {error}") from None


def _read_toml(path: Path, heirs: tuple[Path, ...]) -> dict:
    """The entries of a recipe file merged with those of its bases; `heirs` are the files already read, which are based on it."""
    if path.resolve() in heirs:
        raise UserError(f"recipe {path} is based on itself: take its base away")
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"recipe {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"recipe {path} is not UTF-8 text ({error.reason} at byte {error.start})") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UserError(f"recipe {path} is not TOML: {error}") from error
    base = data.pop("base", None)
    if base is None:
        return data
    names = base if type(base) is list else [base]
    if not names or any(type(name) is not str for name in names):
        raise UserError(f"base ({base!r}) of recipe {path} is not text: name a .toml file, or a list of them")
    merged: dict = {}
    for part in (*(_read_toml(path.parent / name, (*heirs, path.resolve())) for name in names), data):
        for section, entries in part.items():
            same_kind = isinstance(entries, dict) and isinstance(merged.get(section), dict)
            merged[section] = {**merged[section], **entries} if same_kind else entries
    return merged
