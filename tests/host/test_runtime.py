"""Opening builds and running tasks: the same integers everywhere, and every mistake named."""

import asyncio
import json
import logging
import math
import re
import shutil
import threading

import numpy as np
import pytest

import moesaic
from moesaic.errors import UserError
from moesaic.files import manifest_sha256
from moesaic.host.runtime import FrameFault
from moesaic.spec.configuration import load_configuration
from moesaic.spec.executor import Memory, Program
from moesaic.spec.isa import Fault
from moesaic.spec.machine import ReferenceMachine
from moesaic.spec.resize import fit


@pytest.fixture
def reference(saved_build):
    with moesaic.open(saved_build, "reference") as accelerator:
        yield accelerator


def test_integers_are_those_of_a_bare_machine(reference, build, image):
    memory = build.new_memory()
    build.write_image(memory.frame, fit(image, build.input, build.image_height, build.image_width)[0])
    for task in build.tasks:
        ReferenceMachine(build.configuration, seed=3).run(build.tasks[task].program, memory, 0)
        result = reference.run(image, task)
        assert np.array_equal(result.raw, build.read_output(memory.frame, task))
        assert result.raw.dtype == np.int16 and len(np.unique(result.raw)) > 10


def test_reference_emulator_and_board_agree(saved_build, board_build, board, image, build):
    images = [image, image[::-1].copy(), image[:, :16].copy()]
    results = {}
    for name, directory in (("reference", saved_build), ("emulator", saved_build), ("board", board_build)):
        with moesaic.open(directory, name) as accelerator:
            assert accelerator.executor_name == name and accelerator.fingerprint == build.fingerprint
            results[name] = [accelerator.run(picture, task) for picture in images for task in accelerator.tasks]
    for name in ("emulator", "board"):
        for expected, found in zip(results["reference"], results[name], strict=True):
            assert np.array_equal(found.raw, expected.raw)
            assert np.array_equal(found.decoded, expected.decoded)
            assert {key: found.counters[key] for key in expected.counters} == expected.counters
    assert board.buffers == []


def test_tasks_may_alternate(reference, image, build):
    alone = {task: reference.run(image, task).raw for task in build.tasks}
    for task in (*build.tasks, *reversed(build.tasks)):
        assert np.array_equal(reference.run(image, task).raw, alone[task])


def test_result_is_not_changed_by_the_next_run(reference, image):
    first = reference.run(image, "depth")
    kept = first.raw.copy()
    reference.run(255 - image, "depth")
    assert np.array_equal(first.raw, kept)


def test_tasks_describe_themselves(reference, build):
    assert set(reference.tasks) == set(build.tasks)
    assert reference.tasks["segmentation"].class_names == tuple("abcde")


def test_auto_takes_the_board_if_bitstream_and_device_are_there_and_says_so(
    board_build, saved_build, board, build, caplog
):
    caplog.set_level(logging.INFO, "moesaic")
    with moesaic.open(board_build) as accelerator:
        assert accelerator.executor_name == "board"
        assert accelerator.executor_reason.startswith("PYNQ finds a board, and ")
        assert str(board_build / "accel.bit") in accelerator.executor_reason
    with moesaic.open(saved_build) as accelerator:
        assert accelerator.executor_name == "emulator"
        assert f"no bitstream for configuration tiny (fingerprint {build.fingerprint})" in accelerator.executor_reason
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        f"build {build.name} on the board",
        f"build {build.name} on the emulator",
    ]
    with moesaic.open(saved_build, "emulator") as accelerator:
        assert accelerator.executor_reason == "it was asked for"
    with moesaic.open(saved_build, ReferenceMachine(build.configuration)) as accelerator:
        assert accelerator.executor_reason == "it was passed in"


def test_auto_without_a_device(board_build, board):
    board.devices = []
    with moesaic.open(board_build) as accelerator:
        assert (accelerator.executor_name, accelerator.executor_reason) == ("emulator", "PYNQ finds no device")


def test_auto_without_pynq_takes_the_emulator(board_build, no_pynq):
    with moesaic.open(board_build) as accelerator:
        assert accelerator.executor_name == "emulator"
        assert accelerator.executor_reason == "the package pynq is not installed"


def test_auto_where_pynq_fails(board_build, board, monkeypatch):
    def fail() -> None:
        raise RuntimeError("XRT is not sourced")

    monkeypatch.setattr("asyncio.get_event_loop", fail)
    with moesaic.open(board_build) as accelerator:
        assert accelerator.executor_name == "emulator"
        assert "XRT is not sourced" in accelerator.executor_reason


def test_what_auto_took_is_named_if_it_cannot_be_made(saved_build, no_pynq, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match=r"g\+\+ is missing.*taken by auto: the package pynq is not installed"):
        moesaic.open(saved_build)


@pytest.mark.parametrize("executor", [None, "board"])
@pytest.mark.parametrize("place", ["another thread", "the main thread after its event loop", "a running loop"])
def test_first_open_of_the_process_finds_the_board(board_build, board, image, reference, executor, place):
    """PYNQ looks for its devices once, the first time, and asks for an event loop as it does."""
    found = []

    def first() -> None:
        with moesaic.open(board_build, executor) as accelerator:
            found.append((accelerator.executor_name, accelerator.run(image, "depth").raw))

    async def cell() -> None:
        first()

    if place == "another thread":
        thread = threading.Thread(target=first)
        thread.start()
        thread.join()
    elif place == "a running loop":
        asyncio.run(cell())
    else:
        asyncio.run(asyncio.sleep(0))
        first()
    first()
    assert [name for name, _ in found] == ["board", "board"]
    for _, raw in found:
        assert np.array_equal(raw, reference.run(image, "depth").raw)


@pytest.mark.parametrize(
    "value", [-5, 0, 1 << 32, "x", "5", True, 1.5, math.nan, None, [1], np.float32(3), np.ones(1, int)], ids=repr
)
def test_max_cycles_that_the_machine_cannot_keep(saved_build, value):
    with pytest.raises(
        UserError, match=re.escape(f"max_cycles is {value!r}; it takes an integer from 1 to 4294967295")
    ):
        moesaic.open(saved_build, "reference", max_cycles=value)


@pytest.mark.parametrize("value", [1, (1 << 32) - 1, np.int64(7)], ids=repr)
def test_max_cycles_that_it_can(saved_build, value):
    with moesaic.open(saved_build, "reference", max_cycles=value) as accelerator:
        assert accelerator.max_cycles == value and type(accelerator.max_cycles) is int


@pytest.mark.parametrize("task", [None, 3, b"depth", {"depth"}, np.zeros(2)], ids=repr)
def test_task_that_is_no_text(reference, image, task):
    with pytest.raises(UserError, match=r"a task is named by a text, not by .*depth, normals, segmentation"):
        reference.run(image, task)


@pytest.mark.parametrize("pathway", [3, b"1x1", ["1x1"], ""], ids=repr)
def test_pathway_of_another_kind(reference, image, pathway):
    with pytest.raises(UserError, match="pathway"):
        reference.run(image, "normals", pathway)


@pytest.mark.parametrize("path", [None, 3, b"build", ["build"]], ids=repr)
def test_path_of_another_kind(path):
    with pytest.raises(UserError, match=r"a build is opened by the path of its directory, not by"):
        moesaic.open(path)


def test_bitstream_is_found_by_configuration_and_fingerprint(
    saved_build, board_build, build, board, tmp_path, monkeypatch
):
    directory = tmp_path / "bitstreams" / f"tiny-{build.fingerprint}"
    directory.mkdir(parents=True)
    for name in ("accel.bit", "accel.hwh"):
        shutil.copy(board_build / name, directory)
    monkeypatch.chdir(tmp_path)
    with moesaic.open(saved_build) as accelerator:
        assert accelerator.executor_name == "board"


def test_board_of_another_configuration_prints_both_fingerprints(board_build, board, build):
    board.machine = ReferenceMachine(load_configuration("zcu104"))
    with pytest.raises(UserError) as caught:
        moesaic.open(board_build, "board")
    assert build.fingerprint in str(caught.value) and board.machine.fingerprint in str(caught.value)
    assert board.buffers == [] and board.starts == 0


def test_given_executor_of_another_configuration_is_closed(saved_build):
    class Closing(ReferenceMachine):
        closed = False

        def close(self) -> None:
            self.closed = True

    machine = Closing(load_configuration("zcu104"))
    with pytest.raises(UserError, match="Closing has"):
        moesaic.open(saved_build, machine)
    assert machine.closed


class Faulting(ReferenceMachine):
    """Runs a program that is cut off before its end, once."""

    broken = True

    def run(self, program: Program, memory: Memory, max_cycles: int) -> dict[str, int]:
        if self.broken:
            self.broken = False
            # The frame window ends early, so the store of the result is outside.
            memory = Memory(memory.constants, memory.frame[: memory.frame.size - 4096])
        return super().run(program, memory, max_cycles)


def test_fault_names_task_and_layer_and_the_next_run_is_right(saved_build, build, image, reference):
    task = max(build.tasks, key=lambda name: build.tasks[name].output_offset)
    with moesaic.open(saved_build, Faulting(build.configuration)) as accelerator:
        with pytest.raises(FrameFault) as caught:
            accelerator.run(image, task)
        fault = caught.value
        assert (fault.cause, fault.unit, fault.task, fault.layer) == (
            Fault.ADDRESS,
            "store",
            task,
            build.tags[fault.tag],
        )
        assert fault.layer in str(fault) and "ADDRESS in the store unit" in str(fault)
        assert np.array_equal(accelerator.run(image, task).raw, reference.run(image, task).raw)


def test_unknown_task_lists_the_known_ones(reference, image):
    with pytest.raises(UserError, match=r"unknown task 'pose'.*depth, normals, segmentation"):
        reference.run(image, "pose")


BAD_IMAGES = {
    "grey": np.zeros((8, 8), np.uint8),
    "4 channels": np.zeros((8, 8, 4), np.uint8),
    "float": np.zeros((8, 8, 3)),
    "empty": np.zeros((0, 8, 3), np.uint8),
    "too large": np.zeros((1, 16_385, 3), np.uint8),
}


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_image_of_another_kind_is_refused(reference, name):
    with pytest.raises(UserError, match=r"the image (is|has)"):
        reference.run(BAD_IMAGES[name], "depth")


@pytest.mark.parametrize("executor", ["fpga", "", 5, b"board", ["board"], ReferenceMachine, 1.5], ids=repr)
def test_unknown_executor_lists_the_known_ones(saved_build, executor):
    with pytest.raises(
        UserError, match=r"unknown executor .*; known: auto, board, emulator, reference.*, and objects with"
    ):
        moesaic.open(saved_build, executor)


def test_board_without_bitstream_says_where_it_looked(saved_build, board, build):
    with pytest.raises(UserError, match=f"tiny-{build.fingerprint}.*Vivado"):
        moesaic.open(saved_build, "board")


def test_no_compiler(saved_build, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match=r"g\+\+ is missing.*apt-get install"):
        moesaic.open(saved_build, "emulator")


def test_closed_build_does_not_run(saved_build, image):
    accelerator = moesaic.open(saved_build, "reference")
    accelerator.close()
    accelerator.close()
    for call in (
        lambda: accelerator.run(image, "depth"),
        lambda: accelerator.run_whole(image, "depth"),
        lambda: accelerator.submit(image, "depth"),
        lambda: accelerator.stream([image], "depth"),
        accelerator.power,
    ):
        with pytest.raises(UserError, match=r"was closed; open it again with moesaic\.open"):
            call()


def test_build_whose_fingerprint_was_edited(own_build, build):
    manifest = json.loads((own_build / "build.json").read_text())
    manifest["fingerprint"] = "0123456789abcdef"
    manifest["sha256"] = manifest_sha256(manifest)
    (own_build / "build.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=f"0123456789abcdef.*{build.fingerprint}"):
        moesaic.open(own_build, "reference")
