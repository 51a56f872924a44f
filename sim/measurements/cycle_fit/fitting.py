"""Fits the constants of the cycle model to runs of the simulated RTL, one after the other, each by least squares."""

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
from moesaic.sim.measurements.cycle_fit.sightings import RIVALS, Sighting
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.executor import MAX_CYCLES
from moesaic.spec.machine import Fields, ReferenceMachine

Measure = Callable[[Experiment], RunTimes]

_STEPS = 4
"""Of Newton's method: all constants but rates enter times linearly, where one is enough."""
_DIFFERENCE = 1e-3


@dataclass(frozen=True)
class Fit:
    """A constant's name, unit and meaning, its present and its fitted value, and from how many times that follows.

    error: cycles by which the model with the present value is off, the root of the mean square.
    """

    name: str
    unit: str
    meaning: str
    present: float
    fitted: float
    times: int
    error: float


def measure_on_rtl(executor: RtlExecutor) -> Measure:
    """What runs an experiment on the RTL. executor: one with a timeline."""

    def measure(experiment: Experiment) -> RunTimes:
        program, memory = experiment.memory()
        executor.run(program, memory, MAX_CYCLES)
        return measured_times(executor.events, experiment.code, [entry.name for entry in experiment.entries])

    return measure


def fit_constants(
    configuration: HardwareConfiguration, sightings: Iterable[Sighting], measure: Measure, say: Callable[[str], None]
) -> list[Fit]:
    """The constants in the order of CycleConstants.

    Each is fitted with the others at their present values. measure: gives the times of an experiment, which is run once. say: is told
    what is done. InternalError if nothing shows a constant.
    """
    measured: dict[Experiment, RunTimes] = {}
    seen: dict[str, list[Sighting]] = {}
    for sighting in sightings:
        if sighting.experiment not in measured:
            say(f"{sighting.constant}: running {len(sighting.experiment.entries):,} instructions")
            measured[sighting.experiment] = measure(sighting.experiment)
        seen.setdefault(sighting.constant, []).append(sighting)
    counts = {experiment: queue_counts(configuration, experiment) for experiment in measured}

    def model(sighting: Sighting, constants: CycleConstants) -> np.ndarray:
        run = CycleModel(configuration, constants=constants).run(
            sighting.experiment.entries, counts[sighting.experiment]
        )
        return np.atleast_1d(sighting.time(modelled_times(run)))

    fits = []
    for constant in fields(CycleConstants):
        name, chosen = constant.name, seen.get(constant.name)
        if chosen is None:
            raise InternalError(f"no program shows the constant {name} of the cycle model")
        target = np.concatenate([np.atleast_1d(sighting.time(measured[sighting.experiment])) for sighting in chosen])
        start = CycleConstants() if name in RIVALS else replace(CycleConstants(), **dict.fromkeys(RIVALS, 1.0))

        def times(value: float, name=name, chosen=chosen, start=start) -> np.ndarray:
            return np.concatenate([model(sighting, replace(start, **{name: value})) for sighting in chosen])

        present = getattr(start, name)
        error = float(np.sqrt(np.mean((times(present) - target) ** 2)))
        fitted = _least_squares(name, times, target, present)
        fits.append(Fit(name, **constant.metadata, present=present, fitted=fitted, times=len(target), error=error))
    return fits


def _least_squares(name: str, times: Callable[[float], np.ndarray], target: np.ndarray, start: float) -> float:
    value = start
    for _ in range(_STEPS):
        now = times(value)
        slope = (times(value + _DIFFERENCE) - now) / _DIFFERENCE
        if not slope.any():
            raise InternalError(f"the programs that should show the constant {name} do not depend on it")
        value += float(slope @ (target - now) / (slope @ slope))
    return value


def queue_counts(configuration: HardwareConfiguration, experiment: Experiment) -> list[list[int]]:
    """Tokens per expert queue after each route instruction, from the reference machine."""
    counts: list[list[int]] = []
    if not any(entry.name == "route" for entry in experiment.entries):
        return counts

    def watch(name: str, fields: Fields, machine: ReferenceMachine) -> None:
        if name == "route":
            counts.append(machine.queue_count.tolist())

    program, memory = experiment.memory()
    ReferenceMachine(configuration, observe=watch).run(program, memory, MAX_CYCLES)
    return counts
