"""Sizes of a model and settings of its training, read from the TOML recipes beside this file."""

import dataclasses
import math
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import tomllib

from spec.arguments import SEED_END
from spec.bundle import Architecture
from spec.errors import UserError


@dataclass(frozen=True)
class TaskConfiguration:
    """One task's name (a key of `model.tasks.definitions.TASKS`) and number of output channels."""

    name: str
    channels: int


@dataclass(frozen=True)
class ModelConfiguration:
    """Every size of an M3ViT. Lengths are in pixels (image, patch, head_resolution) or channels (the rest).

    `head_resolution` is the number of output pixels per patch edge; with the patch size, which is what 0 means,
    predictions have the input's resolution.
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

    def __post_init__(self) -> None:
        _require_integers(self, {"head_resolution": 0})
        for name, size, divisor in (
            ("image height", self.image_height, self.patch),
            ("image width", self.image_width, self.patch),
            ("width", self.width, self.heads),
        ):
            if divisor < 1 or size < 1 or size % divisor:
                raise UserError(f"{name} ({size}) is not a positive multiple of {divisor}: choose sizes that divide")
        if not 1 <= self.top_k <= self.experts:
            raise UserError(f"top_k ({self.top_k}) must be from 1 to the number of experts ({self.experts})")
        for task in self.tasks:
            _require_integers(task, {})
        names = [task.name for task in self.tasks]
        if not names or len(set(names)) != len(names):
            raise UserError(f"tasks {names} must be one or more different names: correct the recipe")

    @property
    def architecture(self) -> Architecture:
        """The sizes in the words of a bundle."""
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
        )

    @property
    def grid(self) -> tuple[int, int]:
        """Patches per column and per row."""
        return self.image_height // self.patch, self.image_width // self.patch

    @property
    def tokens(self) -> int:
        """Length of the sequence: one class token, then the patches row by row."""
        return 1 + self.grid[0] * self.grid[1]

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
        """Whether block number `block` routes its tokens to experts: every second one does, starting with block 1."""
        return block % 2 == 1


@dataclass(frozen=True)
class TrainingConfiguration:
    """How to train: Muon and AdamW, linear warm-up, cosine decay to zero, on a pool of rendered scenes.

    muon_learning_rate is for the weight matrices of the blocks, learning_rate for all the rest.
    """

    steps: int
    batch: int
    learning_rate: float
    warmup: int
    pool: int
    muon_learning_rate: float = 0.02
    weight_decay: float = 0.02
    balance_weight: float = 0.01
    gradient_clip: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        _require_integers(self, {"warmup": 0, "seed": 0})
        if self.seed >= SEED_END:
            raise UserError(f"seed ({self.seed}) is above {SEED_END - 1}: correct the recipe")
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if type(value) not in (int, float) or not 0 <= value < math.inf:
                raise UserError(f"{field.name} ({value!r}) is not a number from 0: correct the recipe")


@dataclass(frozen=True)
class Recipe:
    """A model and how to train it."""

    model: ModelConfiguration
    training: TrainingConfiguration

    def to_dict(self) -> dict:
        """Plain types only; `Recipe.from_dict` reads it back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: dict) -> "Recipe":
        """The recipe that `data` (as in a TOML recipe) describes; UserError names an unknown or missing entry."""
        try:
            model = dict(data["model"])
            model["tasks"] = tuple(TaskConfiguration(**task) for task in model["tasks"])
            return cls(ModelConfiguration(**model), TrainingConfiguration(**data["training"]))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"recipe does not describe a model: {error}") from error


def _require_integers(settings: object, least: dict[str, int]) -> None:
    """UserError unless every field of a dataclass that is declared int holds one, from 1 or from what `least` says."""
    for field in dataclasses.fields(settings):
        value, low = getattr(settings, field.name), least.get(field.name, 1)
        if field.type is int and (type(value) is not int or value < low):
            raise UserError(f"{field.name} ({value!r}) is not an integer from {low}: correct the recipe")


def recipe_names() -> list[str]:
    """Names of the recipes that come with the package."""
    entries = resources.files("model").joinpath("recipes").iterdir()
    return sorted(entry.name.removesuffix(".toml") for entry in entries if entry.name.endswith(".toml"))


def load_recipe(name: str) -> Recipe:
    """The named recipe, or the one in the TOML file of that path. UserError when there is neither."""
    path = Path(name)
    if path.suffix == ".toml":
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise UserError(f"recipe {name} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise UserError(f"recipe {name} is not UTF-8 text ({error.reason} at byte {error.start})") from error
    elif name in recipe_names():
        text = resources.files("model").joinpath("recipes", f"{name}.toml").read_text(encoding="utf-8")
    else:
        raise UserError(f"unknown recipe {name!r}: choose {', '.join(recipe_names())} or give a .toml file")
    try:
        return Recipe.from_dict(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"recipe {name} is not TOML: {error}") from error
