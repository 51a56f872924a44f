"""The machines that a build's whole memory images are compared on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from moesaic.emulator import Emulator
from moesaic.sim.machines.rtl_executor import RtlExecutor
from moesaic.spec.build import Build
from moesaic.spec.executor import Executor

MACHINES = {"csim": 41, "rtl": 42, "rtl with random DRAM timing": 43}
"""With the seed of what their memories hold at power-up."""


@pytest.fixture(scope="module", params=MACHINES, ids=lambda name: f"{name}, power-up {MACHINES[name]}")
def machine(request: pytest.FixtureRequest, directory: Path, build: Build) -> Iterator[Executor]:
    """Each machine of the module's build, made from the sources in its directory."""
    c, seed = build.configuration, MACHINES[request.param]
    if request.param == "csim":
        executor: Executor = Emulator(directory / "cpp", c, seed=seed)
    else:
        random_seed = 3 if "random" in request.param else None
        executor = RtlExecutor(directory / "rtl", c, random_seed=random_seed, power_up_seed=seed)
    yield executor
    executor.close()
