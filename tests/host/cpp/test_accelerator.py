"""Runs in C++: the same bytes as the reference machine's on the emulator and on the RTL, and a device that does not do as it should."""

from collections.abc import Iterator

import numpy as np
import pytest

import moesaic
from moesaic.emulator import compile_emulator
from moesaic.sim.machines.rtl_executor import RtlExecutor
from moesaic.spec.registers import COUNTERS
from tests.host.cpp.conftest import CppError, Driver, compiled
from tests.host.cpp.devices import Rtl, needed

PATHWAYS = ("depth", "segmentation", "normals@1x1", "normals")


@pytest.fixture(scope="session")
def emulator(saved_build):
    return compile_emulator(saved_build / "cpp")


def reference_run(directory, image, name):
    task, _, pathway = name.partition("@")
    with moesaic.open(directory, "reference") as reference:
        whole, counters = reference.run_whole(image, task, pathway or None)
        return whole, reference.run(image, task, pathway or None), counters


def check_run(driver: Driver, folder, directory, image, name: str) -> dict[str, int]:
    """A run and a whole frame against the reference machine; returns the counters."""
    whole, expected, counters = reference_run(directory, image, name)
    driver("whole", folder.path / "whole", name, folder.image(image))
    found = folder.bytes("whole")
    assert np.array_equal(found, whole), np.flatnonzero(found != whole)[:5]
    answer, _, counted = driver("run", folder.path / "out", name, folder.image(image)).split(";")
    assert np.array_equal(folder.bytes("out.raw", np.int16), expected.raw.reshape(-1))
    assert np.array_equal(folder.bytes("out.image"), expected.image.reshape(-1))
    dtype, *shape = answer.split()
    decoded = folder.bytes("out.prediction", np.dtype(dtype).type).reshape([int(side) for side in shape])
    assert decoded.dtype == expected.decoded.dtype and decoded.shape == expected.decoded.shape
    assert np.array_equal(decoded, expected.decoded) if dtype == "uint8" else True
    if dtype == "float32":
        np.testing.assert_array_max_ulp(decoded, expected.decoded, 1)
    words = counted.split()
    found_counters = dict(zip(words[::2], map(int, words[1::2]), strict=True))
    assert list(found_counters) == [name for name, _ in COUNTERS]
    assert {name: found_counters[name] for name in counters} == counters
    return found_counters


def test_every_pathway_on_the_emulator(driver, folder, saved_build, build, emulator, image):
    driver("load", saved_build)
    assert driver("emulator", emulator, needed(build)) == "polling"
    assert set(PATHWAYS) == set(build.pathways)
    for name in PATHWAYS:
        check_run(driver, folder, saved_build, image, name)


def test_an_emulator_of_another_configuration(driver, saved_build, build, emulator, tmp_path):
    driver("load", saved_build)
    with pytest.raises(CppError, match=r"cannot be loaded .*; compile it from BUILD/cpp/emulator\.cpp"):
        driver("emulator", tmp_path / "none.so", needed(build))
    with pytest.raises(CppError, match=f"has {needed(build) - 1} bytes of contiguous memory, .* needs {needed(build)}"):
        driver("emulator", emulator, needed(build) - 1)


def test_unknown_tasks_and_pathways(driver, folder, saved_build, build, emulator, image):
    driver("load", saved_build)
    driver("emulator", emulator, needed(build))
    for name, message in {
        "flow": f'unknown task "flow"; build {build.name} has depth, normals, segmentation$',
        "flow@1x1": 'unknown task "flow"; build',
        "normals@9": f'unknown pathway "9" of task normals: build {build.name} has its default and the alternatives 1x1$',
        "depth@9": f'unknown pathway "9" of task depth: build {build.name} has its default and no alternative$',
    }.items():
        with pytest.raises(CppError, match=message):
            driver("run", folder.path / "out", name, folder.image(image))


@pytest.mark.parametrize("sanitizer", ["address", "thread"])
def test_many_threads_share_an_accelerator(folder, saved_build, build, emulator, image, sanitizer):
    driver = Driver(compiled(sanitizer) / "driver")
    driver("load", saved_build)
    driver("emulator", emulator, needed(build))
    assert driver("stress", 8, 40, folder.image(image)) == "320 0"
    driver.end()


@pytest.fixture
def rtl(device_files, saved_build, build) -> Iterator[Rtl]:
    """To be asked for before `connect`, so that it outlives the connection."""
    with RtlExecutor(saved_build / "rtl", build.configuration) as executor:
        yield Rtl(executor, device_files)


@pytest.mark.parametrize("interrupts", [True, False], ids=["interrupt", "polling"])
def test_every_pathway_on_the_rtl(rtl, connect, folder, saved_build, image, interrupts):
    """Each register access is one on the RTL's AXI4-Lite port, and the RTL's masters read and write the u-dma-buf file."""
    opened = connect(rtl, interrupts=interrupts)
    assert opened.open(600_000) == ("interrupt" if interrupts else "polling")
    for name in PATHWAYS if interrupts else PATHWAYS[:1]:
        counters = check_run(opened.driver, folder, saved_build, image, name)
        assert counters["cycles"] > 1000
    runs = 2 * (len(PATHWAYS) if interrupts else 1)
    assert rtl.starts == runs and rtl.stops == 0
    assert opened.bridge.delivered >= runs if interrupts else opened.bridge.delivered == 0
    if interrupts:
        assert rtl.polls <= 8 * runs, "an interrupt is waited for, not polled"


def test_a_cycle_limit_on_the_rtl(rtl, connect, folder, saved_build, image):
    opened = connect(rtl)
    opened.open(600_000, 500)
    with pytest.raises(
        CppError, match=r"task depth: the machine stopped: TIMEOUT in the fetch unit, instruction tag 0 \(no layer\)"
    ) as caught:
        opened.driver("run", folder.path / "out", "depth", folder.image(image))
    assert caught.value.kind == "Fault"


def test_the_stop_bit_on_the_rtl(rtl, connect, folder, saved_build, image):
    """A run that takes too long by the processor's clock is stopped, and the next one is right."""
    opened = connect(rtl, interrupts=False)
    opened.open(1)
    with pytest.raises(CppError, match=r"TIMEOUT .* stopped after 1 ms by the processor's clock"):
        opened.driver("run", folder.path / "out", "normals", folder.image(image))
    assert rtl.stops == 1
    whole, _, _ = reference_run(saved_build, image, "depth")
    opened.open(600_000)
    opened.driver("whole", folder.path / "whole", "depth", folder.image(image))
    assert np.array_equal(folder.bytes("whole"), whole)
