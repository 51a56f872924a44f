"""Results that are fetched while their run goes on for others: the same integers, never too early, and faults afterwards."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import moesaic
from moesaic.errors import UserError
from moesaic.hls.compiler.generate import generate
from moesaic.host.result import FrameFault
from moesaic.host.stored_results import beats_when_stored
from moesaic.sim.machines.rtl_executor import RtlExecutor
from moesaic.sim.measurements.timeline.timeline import build_timeline
from moesaic.spec.build import load_build
from moesaic.spec.configuration import load_configuration
from moesaic.spec.executor import MAX_CYCLES, MachineFault, Memory
from moesaic.spec.isa import Fault
from moesaic.spec.joint_programs import one_picture, one_task
from moesaic.spec.machine import ReferenceMachine
from tests.hls.networks import SMALL, picture
from tests.host import rtl_board
from tests.host.description import bitstream, description
from tests.host.mock_pynq import make_module

TINY = load_configuration("tiny")
NAMES = ["depth", "segmentation", "normals@1x1"]
SETS = [one_picture(NAMES), one_picture(("normals", "depth")), one_task("depth", 3)]
IMAGE = picture(SMALL, 1)


@pytest.fixture(scope="module")
def directory(bundle, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("stored") / "build"
    generate(bundle, TINY, joint=SETS).save(path)
    (path / "accel.bit").write_bytes(bitstream())
    (path / "accel.hwh").write_text(description())
    return path


@pytest.fixture
def expected(directory) -> dict[str, np.ndarray]:
    with moesaic.open(directory, "reference") as reference:
        return {name: reference.run(IMAGE, *name.split("@")).raw for name in NAMES}


class Showing(ReferenceMachine):
    """A machine with a frame window of its own, as a board's, that shows the first beat of a store before any of the store's data is there.

    It stops at the first store after which nothing more has to be shown until it is let go, or with a fault.
    """

    def __init__(self, faulty: bool = False) -> None:
        super().__init__(TINY)
        self.faulty, self.go = faulty, threading.Event()
        self.window, self.progress, self.shown = np.zeros(0, np.uint8), None, False

    def upload(self, memory, part) -> None:
        """All of it is copied when a run begins."""

    def compute(self, program, memory, max_cycles, progress=None):
        self.window, self.progress, self.shown = memory.frame.copy(), progress, progress is not None
        return self.run(program, Memory(memory.constants, self.window), max_cycles)

    def download(self, memory, part) -> None:
        memory.frame[part] = self.window[part]

    def limit(self, deadline: float) -> None:
        """Its runs are short."""

    def store(self, f, memory) -> None:
        if self.progress is not None and not self.progress(self._counters["write_beats"] + 1):
            self.progress = None
        elif self.shown and self.progress is None:
            assert self.go.wait(60)
            if self.faulty:
                raise MachineFault(Fault.AXI_WRITE, "store", 0)
        super().store(f, memory)


def test_results_come_before_the_end_of_the_run(directory, expected) -> None:
    """All but the last one stored, with all of their bytes, while the machine waits for the test."""
    machine = Showing()
    with moesaic.open(directory, machine) as accelerator:
        results = accelerator.run_each(IMAGE, NAMES)
        found = [next(results), next(results)]
        assert [result.counters for result in found] == [{}, {}]
        machine.go.set()
        found += results
        assert len(found) == 3 and found[2].counters["write_beats"] > 0
        again = accelerator.run(IMAGE, NAMES)
    names = {f"{result.task}@{result.pathway}" if result.pathway else result.task: result for result in found}
    assert set(names) == set(NAMES)
    for name, result in names.items():
        assert np.array_equal(result.raw, expected[name]), name
        assert np.array_equal(result.decoded, again[name].decoded)
        assert result.shared == 3 and result.index == 0
        assert set(result.seconds) == {"prepare", "upload", "compute", "download", "decode"}


def test_results_before_a_fault_are_good(directory, expected) -> None:
    machine = Showing(faulty=True)
    machine.go.set()
    with moesaic.open(directory, machine) as accelerator:
        results = accelerator.run_each(IMAGE, NAMES)
        for result in (next(results), next(results)):
            name = f"{result.task}@{result.pathway}" if result.pathway else result.task
            assert np.array_equal(result.raw, expected[name])
        with pytest.raises(FrameFault, match="AXI_WRITE in the store unit"):
            next(results)
        assert np.array_equal(accelerator.run(IMAGE, "depth").raw, expected["depth"])


def test_whoever_leaves_the_loop_keeps_nobody_waiting(directory, expected) -> None:
    machine = Showing()
    with moesaic.open(directory, machine) as accelerator:
        results = accelerator.run_each(IMAGE, NAMES)
        next(results)
        results.close()
        machine.go.set()
        assert np.array_equal(accelerator.run(IMAGE, "depth").raw, expected["depth"])


@pytest.mark.parametrize("names", [NAMES, ["segmentation", "depth"], ["depth", "depth"], ["normals@1x1"]], ids=str)
def test_elsewhere_they_come_at_the_end_of_their_run_in_its_order(directory, expected, names) -> None:
    """Whether the build has a program for the set or not."""
    with moesaic.open(directory, "reference") as accelerator:
        results = list(accelerator.run_each(IMAGE, names))
    found = [f"{result.task}@{result.pathway}" if result.pathway else result.task for result in results]
    assert found == list(dict.fromkeys(names))
    for name, result in zip(found, results):
        assert np.array_equal(result.raw, expected[name]) and result.counters


@pytest.mark.parametrize(
    ("names", "message"),
    [([], "a run of 0 tasks"), (["depth", "colour"], "unknown task 'colour'")],
    ids=["none", "unknown"],
)
def test_wrong_names_are_refused_at_once(directory, names, message: str) -> None:
    with moesaic.open(directory, "reference") as accelerator, pytest.raises(UserError, match=message):
        accelerator.run_each(IMAGE, names)


@pytest.mark.parametrize("number", range(len(SETS)), ids=["tasks", "pair", "batch"])
def test_an_output_is_whole_from_its_beat_on_and_not_before_the_store_that_ends_with_it(directory, number: int) -> None:
    build = load_build(directory)
    program = build.joint[number]
    beats = beats_when_stored(build, program)
    parts = [build.output_part(member.pathway, member.output_offset) for member in program.members]
    frames = []

    class Recording(ReferenceMachine):
        def store(self, f, memory) -> None:
            super().store(f, memory)
            frames.append((self._counters["write_beats"], memory.frame.copy()))

    memory = build.new_memory()
    memory.frame[:] = 0xA5
    build.write_images(memory.frame, program, [picture(SMALL, n) for n in range(len(program.image_offsets))])
    Recording(TINY).run(program.program, memory, MAX_CYCLES)
    assert beats.count(None) == 1
    at_the_end = frames[-1][0] + 1
    for part, count in zip(parts, (at_the_end if each is None else each for each in beats)):
        whole = [written for written, frame in frames if np.array_equal(frame[part], memory.frame[part])]
        assert count == whole[0] + 1
        assert whole == [written for written, _ in frames if written >= whole[0]]


def test_a_board_is_asked_for_results_while_it_runs(directory, expected, tmp_path, monkeypatch) -> None:
    """The driver on the simulated RTL, register by register."""
    (tmp_path / "dram").mkdir()
    monkeypatch.setattr(rtl_board, "CYCLES_BETWEEN_POLLS", 400)
    board = rtl_board.RtlBoard(
        configuration=TINY, rtl_directory=directory / "rtl", directory=tmp_path / "dram", interrupts=True
    )
    monkeypatch.setitem(sys.modules, "pynq", make_module(board))
    try:
        with moesaic.open(directory, "board") as accelerator:
            results = list(accelerator.run_each(IMAGE, NAMES))
        assert len(results) == 3 and board.starts == 1
        assert [bool(result.counters) for result in results] == [False, False, True]
        for result in results:
            name = f"{result.task}@{result.pathway}" if result.pathway else result.task
            assert np.array_equal(result.raw, expected[name])
    finally:
        board.end()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [None, 1, 2])
def test_no_beat_of_a_store_is_written_in_rtl_before_the_store_before_it_is_complete(directory, seed) -> None:
    build = load_build(directory)
    program = build.joint[0]
    memory = build.new_memory()
    build.write_images(memory.frame, program, [IMAGE])
    with RtlExecutor(directory / "rtl", TINY, random_seed=seed, timeline=True) as executor:
        executor.run(program.program, memory, MAX_CYCLES)
        timeline = build_timeline(executor.events, build, program.program)
    written = 0
    stores = [execution for execution in timeline.executions if execution.instruction == "store"]
    assert len(stores) > 3
    for execution in stores:
        f = execution.fields
        written += f["bytes"] * f["count_1"] * f["count_2"] * f["count_3"]
        assert execution.done is not None
        assert timeline.total("bytes_written", execution.done) == written
