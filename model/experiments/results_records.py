"""What the study has measured so far, read from the kept results of its runs."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from pathlib import Path

from moesaic.campaign.kept_results import read_result
from moesaic.model.experiments.results_design import (
    FACTORS,
    FURTHER,
    NETWORKS,
    SEEDS,
    SETTINGS,
    SINGLES,
    TUNING_SEEDS,
    SeededRun,
    factor_beyond,
    names_in,
)
from moesaic.model.tasks.delta import delta_m

TRAININGS = 1
"""Version of training and of its float metrics; runs of another version are trained again."""
MEASUREMENTS = 6
"""Version of what is measured further; checkpoints measured by another version are measured again without training."""


def run_key(run: SeededRun) -> str:
    """Under which the result of a training is kept."""
    return f"{run.key}-t{TRAININGS}"


def further_key(run: SeededRun) -> str:
    """Under which is kept what is measured further."""
    return f"{run.key}-t{TRAININGS}-m{MEASUREMENTS}"


@dataclass
class Study:
    """Results by recipe name and seed.

    runs, further: see `moesaic.model.experiments.results_study.execute` and `measure_further`. tuning: by network and factor, the mean
    over the tuning seeds of the relative gain over the factor 1 (Δm, in percent); only of networks whose tuning is complete.
    """

    runs: dict[tuple[str, int], dict] = field(default_factory=dict)
    further: dict[tuple[str, int], dict] = field(default_factory=dict)
    tuning: dict[str, dict[float, float]] = field(default_factory=dict)

    def factor(self, network: str) -> float | None:
        """The factor of the learning rates that was best, None if tuning is not complete."""
        gains = self.tuning.get(network)
        return None if gains is None else max(gains, key=gains.__getitem__)

    def seeds(self, *names: str) -> list[int]:
        """The seeds for which all these recipes have been run."""
        return [seed for seed in SEEDS if all((name, seed) in self.runs for name in names)]

    def gains(self, better: str, than: str) -> list[float]:
        """By how much one recipe's network is better than another's of the same tasks, seed by seed: Δm, in percent."""
        return [
            delta_m(self.runs[better, seed]["float"], self.runs[than, seed]["float"])
            for seed in self.seeds(better, than)
        ]

    def singles(self, seed: int) -> dict[str, float]:
        """The metrics by task of the single-task networks of a seed, which have all been run."""
        return {task: self.runs[name, seed]["float"][task] for task, name in SINGLES.items()}

    def gains_over_singles(self, name: str) -> list[float]:
        """Δm of a recipe of the main setting over single-task networks of the same seed, in percent."""
        seeds = self.seeds(name, *SINGLES.values())
        if name in SINGLES.values():
            return []
        return [delta_m(self.runs[name, seed]["float"], self.singles(seed)) for seed in seeds]

    def further_of(self, *names: str) -> list[int]:
        """The seeds for which all these networks have been measured further."""
        return [seed for seed in SEEDS if all((name, seed) in self.further for name in names)]


def tuning_runs(network: str, directory: Path) -> list[SeededRun]:
    """The runs by which a network's learning rates are chosen, as far as those in the directory of kept results say."""
    return _tuning(network, directory)[0]


def read_tuning(network: str, directory: Path) -> dict[float, float] | None:
    """By factor, the mean over the seeds of Δm against the factor 1, in percent; None if a run of `tuning_runs` is missing."""
    return _tuning(network, directory)[1]


def _tuning(network: str, directory: Path) -> tuple[list[SeededRun], dict[float, float] | None]:
    """What both of these return."""
    runs: list[SeededRun] = []
    gains: dict[float, float] = {}
    first, complete = list[dict](), True
    factors = list(FACTORS)
    for factor in factors:
        here = [SeededRun(network, seed, factor) for seed in TUNING_SEEDS]
        runs += here
        found = [read_result(directory / f"{run_key(run)}.json") for run in here]
        complete = complete and None not in found
        if complete:
            first = first or found
            gains[factor] = statistics.fmean(delta_m(mine["float"], its["float"]) for mine, its in zip(found, first))
            if factor == factors[-1] and (beyond := factor_beyond(gains)):
                factors.append(beyond)  # the next that this loop takes
    return runs, gains if complete else None


def gather(directory: Path) -> Study:
    """What has been measured so far. directory: of the kept results, where a missing one is no error."""
    study = Study()
    for network in NETWORKS:
        if (found := read_tuning(network, directory)) is not None:
            study.tuning[network] = found
    for name in (name for setting in (None, *SETTINGS) for name in names_in(setting)):
        factor = study.factor(name.rpartition("/")[2])
        if factor is None:
            continue
        for seed in SEEDS:
            run = SeededRun(name, seed, factor)
            if (result := read_result(directory / f"{run_key(run)}.json")) is not None:
                study.runs[name, seed] = result
            if name in FURTHER and (result := read_result(directory / f"{further_key(run)}.json")) is not None:
                study.further[name, seed] = result
    return study
