"""The sizes of a model and the settings of its training, read from the TOML recipes beside this file."""

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path

import tomllib

from moesaic.argument_types import SEED_END
from moesaic.errors import UserError
from moesaic.model.data.registry import DATASETS
from moesaic.model.recipes.backbones import with_backbone
from moesaic.spec.bundle import PREFIX_TOKENS_MAX, Architecture

GATES = ("multi", "single", "task-conditioned")
GATE_NOISES = ("fixed", "learned", "none")
HEADS = ("light", "setr-pup")
OPTIMIZERS = ("muon", "adamw", "sgd")
SCHEDULES = ("cosine", "poly")
LOSSES = ("scenes", "papers")
PRECISIONS = ("float32", "bfloat16", "float16")

_RECIPES = Path(__file__).parent


@dataclass(frozen=True)
class TaskConfiguration:
    """One task's name (a key of `moesaic.model.tasks.definitions.TASKS`) and number of output channels."""

    name: str
    channels: int


@dataclass(frozen=True)
class ModelConfiguration:
    """Every size of an M3ViT. Lengths are in pixels (image, patch, head_resolution) or channels (the rest).

    A recipe may name a backbone instead of sizes (`moesaic.model.recipes.backbones`). experts: 0 is the dense network, whose `top_k`
    and `expert_hidden` are 0 too. gate: who routes, see GATES. gate_noise: of the routers in training, "fixed" (V-MoE),
    "learned" (noisy top-k) or "none". task_embedding: what a task-conditioned gate adds to the token. expert_dropout: of the experts'
    hidden units in training, 0 to below 1. head: "light" runs on the accelerator, "setr-pup" is M3ViT's.
    `head_resolution` is the number of output pixels per patch edge; with the patch size, which is what 0 means,
    predictions have the input's resolution. prefix_tokens: before the patches, 0 to 8: the class token, then others such as registers.
    norm_epsilon: of every layer norm.
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
    head: str = "light"
    prefix_tokens: int = 1
    norm_epsilon: float = 1e-6

    def __post_init__(self) -> None:
        _require_integers(
            self, {"head_resolution": 0, "experts": 0, "top_k": 0, "expert_hidden": 0, "prefix_tokens": 0}
        )
        for name, known in (("gate", GATES), ("gate_noise", GATE_NOISES), ("head", HEADS)):
            if getattr(self, name) not in known:
                raise UserError(f"{name} ({getattr(self, name)!r}) is unknown: choose {', '.join(known)}")
        if type(self.expert_dropout) not in (int, float) or not 0 <= self.expert_dropout < 1:
            raise UserError(f"expert_dropout ({self.expert_dropout!r}) is not a number from 0 to below 1: correct it")
        if self.prefix_tokens > PREFIX_TOKENS_MAX:
            raise UserError(
                f"prefix_tokens ({self.prefix_tokens}) is above {PREFIX_TOKENS_MAX}: choose a network with fewer"
            )
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
        for task in self.tasks:
            _require_integers(task, {})
        names = [task.name for task in self.tasks]
        if not names or len(set(names)) != len(names):
            raise UserError(f"tasks {names} must be one or more different names: correct the recipe")

    @property
    def architecture(self) -> Architecture:
        """The sizes as a bundle states them."""
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
        return self.width // self.heads

    @property
    def resolution(self) -> int:
        """Output pixels per patch edge."""
        return self.head_resolution or self.patch

    @property
    def task_names(self) -> tuple[str, ...]:
        return tuple(task.name for task in self.tasks)

    def task(self, name: str) -> TaskConfiguration:
        """The task called `name`; UserError lists the known ones when there is none."""
        for task in self.tasks:
            if task.name == name:
                return task
        raise UserError(f"unknown task {name!r}: this model has {', '.join(self.task_names)}")

    def is_moe(self, block: int) -> bool:
        """Whether block `block` routes its tokens to experts: every second one from block 1 on, none if there are none."""
        return self.experts > 0 and block % 2 == 1


@dataclass(frozen=True)
class DataConfiguration:
    """What to train on. name: one of DATASETS; where its files are is no part of a recipe.

    validation: held-out samples that validation looks at, 0 for all of a data set that has an end. augment: scale, crop, mirror
    and recolour the samples of a data set (rendered scenes are mirrored and recoloured in any case).
    """

    name: str = "scenes"
    validation: int = 128
    augment: bool = True

    def __post_init__(self) -> None:
        _require_one_of(self, {"name": DATASETS, "augment": (False, True)})
        _require_integers(self, {"validation": 0})
        if self.name == "scenes" and self.validation == 0:
            raise UserError("validation (0) means all samples, but scenes have no end: give the number to render")


@dataclass(frozen=True)
class TrainingConfiguration:
    """How to train: linear warm-up to the learning rate, then decay to zero.

    steps: updates of the weights, more than `warmup`. batch: images per update, over all ranks and all of the `accumulate` parts that
    it is split into. pool: number of rendered scenes that batches are drawn from. optimizer: "muon" is Muon for the weight matrices
    of the blocks with muon_learning_rate and AdamW for all the rest with learning_rate; "adamw" and "sgd" (with `momentum`) are for
    all weights. schedule: half a cosine, or a polynomial of power 0.9. losses: the tasks' losses and weights, those for rendered
    scenes or those of the papers (`moesaic.model.tasks.losses`). balance_weight: of the load-balance loss. gradient_clip: the largest
    norm of the whole gradient, 0 for no limit. precision: of the network's arithmetic; weights stay float32.
    experts_sharded: each rank holds its part of the experts and tokens travel to them, instead of all experts on every rank.
    initialise_from: a dense checkpoint whose weights to start from, experts as copies of its MLP.
    validate_every: steps between two validations, 0 for none; the checkpoint with the best `select`, a task's name or
    "delta_m" (mean relative gain over all tasks), is kept beside the last one.
    least_experts: train for budgets that may change afterwards, down to so many experts per task and MoE block and one per token
    (`moesaic.model.pathways.sampling`); 0 trains the whole network only.
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

    def __post_init__(self) -> None:
        choices = {
            "optimizer": OPTIMIZERS,
            "schedule": SCHEDULES,
            "losses": LOSSES,
            "precision": PRECISIONS,
            "experts_sharded": (False, True),
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
        if self.momentum >= 1:
            raise UserError(f"momentum ({self.momentum}) is not below 1: correct the recipe")

    def in_steps(self, steps: int) -> "TrainingConfiguration":
        """The same training in so many steps. A warm-up that no longer fits is shortened in proportion."""
        warmup = self.warmup if self.warmup < steps else self.warmup * steps // self.steps
        return dataclasses.replace(self, steps=steps, warmup=warmup)


@dataclass(frozen=True)
class Recipe:
    """A model, how to train it and on what."""

    model: ModelConfiguration
    training: TrainingConfiguration
    data: DataConfiguration = field(default_factory=DataConfiguration)

    def __post_init__(self) -> None:
        select = self.training.select
        if select != "delta_m":
            self.model.task(select)

    def to_dict(self) -> dict:
        """Plain types only; `Recipe.from_dict` reads it back. What most networks have in common is not mentioned."""
        values = dataclasses.asdict(self)
        for name, usual in _UNMENTIONED.items():
            if values["model"][name] == usual:
                del values["model"][name]
        return values

    @classmethod
    def from_dict(cls, data: dict) -> "Recipe":
        """The recipe that `data` (as in a TOML recipe) describes; UserError names an unknown or missing entry."""
        try:
            if surplus := data.keys() - {entry.name for entry in dataclasses.fields(cls)}:
                raise UserError(f"recipe has an unknown section {sorted(surplus)[0]!r}: choose model, training, data")
            model = with_backbone(data["model"])
            model["tasks"] = tuple(TaskConfiguration(**task) for task in model["tasks"])
            return cls(
                ModelConfiguration(**model),
                TrainingConfiguration(**data["training"]),
                DataConfiguration(**data.get("data", {})),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"recipe does not describe a model: {error}") from error


_UNMENTIONED = {
    entry.name: entry.default
    for entry in dataclasses.fields(ModelConfiguration)
    if entry.name in ("prefix_tokens", "norm_epsilon")
}

_Settings = TaskConfiguration | ModelConfiguration | DataConfiguration | TrainingConfiguration


def _require_one_of(settings: "_Settings", choices: dict[str, tuple]) -> None:
    """UserError unless each named field of a dataclass holds one of its choices."""
    for name, known in choices.items():
        value = getattr(settings, name)
        if value not in known or type(value) is not type(known[0]):
            raise UserError(f"{name} ({value!r}) is unknown: choose {', '.join(map(str, known))}")


def _require_integers(settings: "_Settings", least: dict[str, int]) -> None:
    """UserError unless every field of a dataclass that is declared int holds one, from 1 or from what `least` says."""
    for entry in dataclasses.fields(settings):
        value, low = getattr(settings, entry.name), least.get(entry.name, 1)
        if entry.type is int and (type(value) is not int or value < low):
            raise UserError(f"{entry.name} ({value!r}) is not an integer from {low}: correct the recipe")


def recipe_names() -> list[str]:
    """The names of the recipes that come with the package, of those in a directory as directory/name."""
    return sorted(path.relative_to(_RECIPES).with_suffix("").as_posix() for path in _RECIPES.rglob("*.toml"))


def load_recipe(name: str) -> Recipe:
    """The named recipe, or the one in the TOML file of that path. UserError when there is neither.

    A recipe with `base = "other.toml"`, relative to its own file, has all entries of that one and replaces or adds its own.
    """
    path = Path(name)
    if path.suffix != ".toml":
        if name not in recipe_names():
            raise UserError(f"unknown recipe {name!r}: choose {', '.join(recipe_names())} or give a .toml file")
        path = _RECIPES / f"{name}.toml"
    data = _read_toml(path, ())
    try:
        return Recipe.from_dict(data)
    except UserError as error:
        raise UserError(f"recipe {name}: {error}") from None


def _read_toml(path: Path, heirs: tuple[Path, ...]) -> dict:
    """The entries of a recipe file and of those that it is based on; `heirs` are based on it."""
    if path.resolve() in heirs:
        raise UserError(f"recipe {path} is based on itself: take its base away")
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"recipe {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"recipe {path} is not UTF-8 text ({error.reason} at byte {error.start})") from error
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"recipe {path} is not TOML: {error}") from error
    base = data.pop("base", None)
    if base is None:
        return data
    if type(base) is not str:
        raise UserError(f"base ({base!r}) of recipe {path} is not text: name a .toml file")
    merged = _read_toml(path.parent / base, (*heirs, path.resolve()))
    for section, entries in data.items():
        same_kind = isinstance(entries, dict) and isinstance(merged.get(section), dict)
        merged[section] = {**merged[section], **entries} if same_kind else entries
    return merged
