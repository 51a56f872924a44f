"""The design of the study behind docs/results.md: networks, seeds, learning rates, settings, and what the runs cost.

Every network is trained with every seed of SEEDS, and a seed gives all networks the same scenes in the same order and the same held-out
scenes, so that they are compared seed by seed. Before that, its learning rates are tuned: the recipe's times each of FACTORS, and times
half or twice of the best as long as that is the least or the greatest (`factor_beyond`), on TUNING_SEEDS, in runs of full length.
Nothing else is tuned, and no seed is left out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from moesaic.campaign.kept_results import content_key
from moesaic.model.recipes.recipe import Recipe, load_recipe

SEEDS = tuple(range(10))
"""Of the comparisons."""
TUNING_SEEDS = (100, 101)
"""Of the runs by which learning rates are chosen."""
FACTORS = (1.0, 0.5, 0.25, 2.0)
"""Of the recipe's learning rates, both Muon's and AdamW's, to begin with."""
FEWEST_SEEDS = 5
"""With fewer, the page draws no conclusion."""

REFERENCE, DENSE = "multi-gate", "dense"
"""The network with experts, and the dense one of equal work."""
TASKS = ("segmentation", "depth", "normals")
"""Of the main setting."""
SINGLES = {task: f"single-task-{task}" for task in TASKS}
"""The single-task network of each task."""


@dataclass(frozen=True)
class Network:
    """A network of the study. title: on the page. seconds: of one processor core that a run was seen to take, for the plan alone."""

    title: str
    seconds: int


NETWORKS = {
    REFERENCE: Network("M³ViT, multi-gate", 140),
    DENSE: Network("dense, equal work", 60),
    "dense-time": Network("dense, equal training time", 140),
    "dense-weights": Network("dense, equal weights", 75),
    "position": Network("experts by position (fixed routing)", 120),
    "random": Network("experts at random", 115),
    **{name: Network(f"single-task ViT, {task}", 50) for task, name in SINGLES.items()},
    "single-gate": Network("M³ViT, single gate", 95),
    "task-conditioned": Network("M³ViT, task-conditioned gate", 150),
    "sampled-budgets": Network("M³ViT, multi-gate, sampled budgets", 145),
}
"""Recipes in recipes/results, in the order of the page."""


@dataclass(frozen=True)
class Setting:
    """Other conditions under which some of the networks are compared. seconds: by network, as for `Network`."""

    title: str
    seconds: dict[str, int]


SETTINGS = {
    "longer": Setting(
        "four times the scenes, four times the steps",
        {REFERENCE: 565, DENSE: 230, "dense-time": 565, "dense-weights": 300, "position": 480},
    ),
    "six-tasks": Setting(
        "six tasks, four times the scenes, twice the steps",
        {REFERENCE: 430, DENSE: 145, "dense-time": 430, "dense-weights": 180, "position": 370},
    ),
}
"""Directories of recipes/results. Networks are called there as in the main setting, and take the learning rates tuned in it."""

QUANTISED = (REFERENCE, DENSE)
"""Networks that are also measured in integers."""
BUDGETED = (REFERENCE, "sampled-budgets")
"""Networks that are also measured under budgets of experts."""
FURTHER = {REFERENCE: 400, DENSE: 20, "sampled-budgets": 60}
"""Networks of which more than float metrics is measured, and the seconds it takes, as for `Network`."""

TIERS = (
    (REFERENCE, DENSE),
    ("dense-time", "dense-weights"),
    ("position", "random"),
    tuple(SINGLES.values()),
    ("single-gate", "task-conditioned", "sampled-budgets"),
)
"""The order of the work: the networks of a tier are tuned and run with every seed before the next tier begins."""


@dataclass(frozen=True)
class SeededRun:
    """One training. name: of a recipe in recipes/results; seed: replaces the recipe's; factor: of its learning rates."""

    name: str
    seed: int
    factor: float = 1.0

    @property
    def recipe(self) -> Recipe:
        """The named recipe with this run's seed and learning rates."""
        recipe = load_recipe(f"results/{self.name}")
        training = dataclasses.replace(
            recipe.training,
            seed=self.seed,
            learning_rate=self.factor * recipe.training.learning_rate,
            muon_learning_rate=self.factor * recipe.training.muon_learning_rate,
        )
        return dataclasses.replace(recipe, training=training)

    @property
    def network(self) -> str:
        """The network's name, without the setting."""
        return self.name.rpartition("/")[2]

    @property
    def title(self) -> str:
        """The run for people."""
        return f"{self.name}, seed {self.seed}, rates x {self.factor:g}"

    @property
    def key(self) -> str:
        """File name stem for the run's results; it depends on every entry of the recipe."""
        return f"{self.name.replace('/', '-')}-{self.seed}-{content_key(self.recipe.to_dict())}"


def factor_beyond(gains: Mapping[float, float]) -> float | None:
    """The factor to be tried next, None if the best lies inside of those that were. gains: by factor."""
    best = max(gains, key=gains.__getitem__)
    return best / 2 if best == min(gains) else 2 * best if best == max(gains) else None


def names_in(setting: str | None) -> list[str]:
    """The names of the recipes that are compared in a setting, None for the main one."""
    return list(NETWORKS) if setting is None else [f"{setting}/{network}" for network in SETTINGS[setting].seconds]


@dataclass(frozen=True)
class Planned:
    """A row of the plan. name: of the recipe. kind: "tuning", "runs" or "further". runs: of tuning, those with FACTORS.

    seconds: of one core, for each of the runs.
    """

    name: str
    kind: str
    runs: int
    seconds: int

    @property
    def title(self) -> str:
        """The row for people."""
        return {"tuning": f"tune {self.name}", "runs": self.name, "further": f"measure {self.name} further"}[self.kind]


def plan() -> Iterator[Planned]:
    """All runs of the study, in the order of the work."""
    for tier in TIERS:
        for name in tier:
            yield Planned(name, "tuning", len(FACTORS) * len(TUNING_SEEDS), NETWORKS[name].seconds)
        for name in tier:
            yield Planned(name, "runs", len(SEEDS), NETWORKS[name].seconds)
    for directory, setting in SETTINGS.items():
        for network, seconds in setting.seconds.items():
            yield Planned(f"{directory}/{network}", "runs", len(SEEDS), seconds)
    for name, seconds in FURTHER.items():
        yield Planned(name, "further", len(SEEDS), seconds)
