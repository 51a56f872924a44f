"""Fit the constants of the cycle model to runs of the simulated RTL, one constant after the other, each by least squares."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace

import numpy as np

from moesaic.errors import InternalError
from moesaic.hls.compiler.cycle_constants import CycleConstants
from moesaic.hls.compiler.cycle_model import CycleModel
from moesaic.sim.machines.rtl_executor import RtlExecutor
from moesaic.sim.measurements.cycle_fit.probe import Experiment
from moesaic.sim.measurements.cycle_fit.run_times import RunTimes, measured_times, modelled_times
from moesaic.sim.measurements.cycle_fit.sightings import Sighting
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.executor import MAX_CYCLES
from moesaic.spec.machine import Fields, ReferenceMachine

Measure = Callable[[Experiment], RunTimes]

_STEPS = 4
"""Steps of Newton's method; a few are enough, as the figures are piecewise linear in the constants."""
_DIFFERENCE = 1e-3


@dataclass(frozen=True)
class Fit:
    """The result for one constant.

    name, unit, meaning: see CycleConstants. present, fitted: value in use and value fitted. figures: how many figures the fit rests
    on. error: root-mean-square error of the figures in the model with the present value, in cycles.
    """

    name: str
    unit: str
    meaning: str
    present: float
    fitted: float
    figures: int
    error: float


def measure_on_rtl(executor: RtlExecutor) -> Measure:
    """Return a function that runs an experiment on the RTL. executor: must have been opened with `timeline=True`."""

    def measure(experiment: Experiment) -> RunTimes:
        program, memory = experiment.memory()
        executor.run(program, memory, MAX_CYCLES)
        return measured_times(executor.events, experiment.code, [entry.name for entry in experiment.entries])

    return measure


class Fitting:
    """Measured sightings, and the cycle model of the same programs.

    measure: returns the times of an experiment; it is called once per experiment. say: called with a line about each step.
    """

    def __init__(
        self,
        configuration: HardwareConfiguration,
        sightings: Iterable[Sighting],
        measure: Measure,
        say: Callable[[str], None],
    ) -> None:
        self._configuration = configuration
        self._measured: dict[Experiment, RunTimes] = {}
        self._seen: dict[str, list[Sighting]] = {}
        for sighting in sightings:
            experiment = sighting.experiment
            if experiment not in self._measured:
                say(f"{sighting.constant}: running {len(experiment.entries):,} instructions")
                self._measured[experiment] = measure(experiment)
            self._seen.setdefault(sighting.constant, []).append(sighting)
        self._counts = {experiment: queue_counts(configuration, experiment) for experiment in self._measured}

    def fit(self) -> list[Fit]:
        """Fit the constants in the order of CycleConstants, each with those before it at their fitted values.

        Raises InternalError if no program shows a constant, or if the programs meant to show it do not depend on it.
        """
        fits: list[Fit] = []
        for constant in fields(CycleConstants):
            name, present = constant.name, getattr(CycleConstants(), constant.name)
            if name not in self._seen:
                raise InternalError(f"no program shows the constant {name} of the cycle model")
            target = np.concatenate([_figures(each, self._measured[each.experiment]) for each in self._seen[name]])
            error = float(np.sqrt(np.mean((self._modelled(name, {}) - target) ** 2)))
            fitted = self._least_squares(name, {fit.name: fit.fitted for fit in fits}, target, present)
            fits.append(
                Fit(name, **constant.metadata, present=present, fitted=fitted, figures=len(target), error=error)
            )
        return fits

    def longest_run(self, fits: list[Fit]) -> tuple[int, float, float, float]:
        """Return, for the longest program, its instructions and its cycles on the RTL, in the present model and in the fitted model."""
        longest = max(self._measured, key=lambda experiment: self._measured[experiment].cycles)
        fitted = CycleConstants(**{fit.name: fit.fitted for fit in fits})
        present, new = (self._model(longest, constants).cycles for constants in (CycleConstants(), fitted))
        return len(longest.entries), self._measured[longest].cycles, present, new

    def _model(self, experiment: Experiment, constants: CycleConstants) -> RunTimes:
        model = CycleModel(self._configuration, constants=constants)
        return modelled_times(model.run(experiment.entries, self._counts[experiment]))

    def _modelled(self, name: str, values: dict[str, float]) -> np.ndarray:
        """The figures that show a constant, from the model with these values of constants."""
        constants = replace(CycleConstants(), **values)
        return np.concatenate([_figures(each, self._model(each.experiment, constants)) for each in self._seen[name]])

    def _least_squares(self, name: str, known: dict[str, float], target: np.ndarray, start: float) -> float:
        value = start
        for step in range(_STEPS):
            now, beside = (self._modelled(name, {**known, name: each}) for each in (value, value + _DIFFERENCE))
            slope = (beside - now) / _DIFFERENCE
            if not slope.any():
                if step == 0:
                    raise InternalError(f"the programs that should show the constant {name} do not depend on it")
                break  # below this value something else determines the figures
            value += float(slope @ (target - now) / (slope @ slope))
        return value


def _figures(sighting: Sighting, run: RunTimes) -> np.ndarray:
    return np.atleast_1d(sighting.figures(run))


def queue_counts(configuration: HardwareConfiguration, experiment: Experiment) -> list[list[int]]:
    """Number of tokens in each expert queue after each route instruction, from the reference machine."""
    counts: list[list[int]] = []
    if not any(entry.name == "route" for entry in experiment.entries):
        return counts

    def watch(name: str, fields: Fields, machine: ReferenceMachine) -> None:
        if name == "route":
            counts.append(machine.queue_count.tolist())

    program, memory = experiment.memory()
    ReferenceMachine(configuration, observe=watch).run(program, memory, MAX_CYCLES)
    return counts
