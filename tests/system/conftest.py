"""The machines that a build's whole memory images are compared on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from moesaic.emulator import Emulator
from moesaic.sim.machines.rtl_executor import RtlExecutor
from moesaic.spec.build import Build
from moesaic.spec.executor import Executor

MACHINES = ("csim", "rtl", "rtl with random DRAM timing")


@pytest.fixture(scope="module", params=MACHINES)
def machine(request: pytest.FixtureRequest, directory: Path, build: Build) -> Iterator[Executor]:
    """Each machine of the module's build, made from the sources in its directory."""
    c = build.configuration
    if request.param == "csim":
        executor: Executor = Emulator(directory / "cpp", c)
    else:
        executor = RtlExecutor(directory / "rtl", c, random_seed=3 if "random" in request.param else None)
    yield executor
    executor.close()
