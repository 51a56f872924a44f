"""The constants of the cycle model: what is put into a machine is found again, and the times of the RTL are read right."""

from dataclasses import fields

import numpy as np
import pytest

from moesaic.hls.compiler.cycle_constants import CycleConstants
from moesaic.hls.compiler.cycle_model import CycleModel
from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY
from moesaic.sim.machines.rtl_executor import RtlExecutor
from moesaic.sim.measurements.cycle_fit.fitting import Fitting, measure_on_rtl, queue_counts
from moesaic.sim.measurements.cycle_fit.probe import Probe
from moesaic.sim.measurements.cycle_fit.run_times import modelled_times
from moesaic.sim.measurements.cycle_fit.sightings import sightings
from moesaic.spec.configuration import load_configuration
from moesaic.spec.isa import LoadDestination

TINY, ZCU104 = load_configuration("tiny"), load_configuration("zcu104")
NAMES = [constant.name for constant in fields(CycleConstants)]


def machine(constants: CycleConstants):
    """What measures on a machine that is the model with other constants."""

    def measure(experiment):
        counts = queue_counts(ZCU104, experiment)
        return modelled_times(CycleModel(ZCU104, constants=constants).run(experiment.entries, counts))

    return measure


@pytest.mark.parametrize("seed", range(3), ids=lambda seed: f"seed{seed}")
def test_the_constants_of_a_machine_are_found(seed: int) -> None:
    rng, present = np.random.default_rng(seed), CycleConstants()
    real = CycleConstants(**{name: getattr(present, name) * rng.uniform(0.9, 1.1) for name in NAMES})
    fitting = Fitting(ZCU104, list(sightings(ZCU104)), machine(real), lambda line: None)
    fits = fitting.fit()
    assert [fit.name for fit in fits] == NAMES
    assert {fit.name: fit.fitted for fit in fits} == pytest.approx(vars(real), rel=1e-6)
    assert all(fit.present == getattr(present, fit.name) and fit.error > 0 for fit in fits)
    _, measured, before, after = fitting.longest_run(fits)
    assert after == pytest.approx(measured) and before != pytest.approx(measured)


def test_a_machine_like_the_model_keeps_the_constants() -> None:
    fits = Fitting(ZCU104, sightings(ZCU104), machine(CycleConstants()), lambda line: None).fit()
    assert {fit.name: fit.fitted for fit in fits} == pytest.approx(vars(CycleConstants()))
    assert all(fit.error == pytest.approx(0) for fit in fits)


def test_times_of_the_rtl() -> None:
    """A product multiplies for as many cycles as it has steps; a load's bytes come between its start and its end."""
    with RtlExecutor(RTL_DIRECTORY, TINY, timeline=True) as executor:
        measure = measure_on_rtl(executor)
        product = measure(Probe(TINY).product(TINY.tile_rows, 1, 16).softmax(2, 1, after=True).finish())
        load = measure(Probe(TINY).load(LoadDestination.WEIGHT, TINY.weight_bytes).finish())
    assert product.last[0] - product.first[0] == 16
    assert 0 < product.accepted[0] < product.taken[0] < product.first[0] < product.last[0] < product.done[0]
    assert product.done[0] < product.taken[1] < product.done[1] < product.cycles
    assert np.isnan([product.first[1], product.last[1]]).all()
    assert load.taken[0] < load.first[0] < load.last[0] <= load.done[0]
