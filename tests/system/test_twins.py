"""Every recipe's twin with the light head reaches the accelerator: the compiler makes its programs for `zcu104` from the sizes alone."""

import pytest

from moesaic.hls.compiler.cycle_estimate import estimate_frame
from moesaic.model.recipes.recipe import load_recipe, recipe_names
from moesaic.sim.measurements.exploration.frames import network
from moesaic.spec.bundle import Architecture
from moesaic.spec.configuration import load_configuration
from moesaic.spec.joint_programs import one_picture

TWINS = [name for name in recipe_names() if name.endswith("-light")]
QUICK = ("nyud/m3vit-tiny-light", "cityscapes/m3vit-tiny-light", "scenes/multi-gate-setr-pup-light")
_found: dict[str, float] = {}


def cycles(architecture: Architecture, task: object) -> float:
    """Of a frame, estimated once for all recipes with this network."""
    key = f"{architecture} {task}"
    if key not in _found:
        configuration = load_configuration("zcu104")
        _found[key] = estimate_frame(architecture, {"task": task}, one_picture(["task"]), configuration).cycles
    return _found[key]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in TWINS]
)
def test_the_accelerator_runs_every_twin(name):
    """The task with the most channels, whose head and output are the largest; the encoder is the same for all."""
    architecture, tasks = network(name, None)
    model = load_recipe(name).model
    assert model.has_integer_form
    largest = max(tasks.values(), key=lambda task: task.channels)
    assert cycles(architecture, largest) > 0
