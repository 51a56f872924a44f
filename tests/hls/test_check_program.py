"""The command check-program: what it says of sound programs, and of such as lack a wait, a signal or a legal field."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from moesaic.command_line import main
from moesaic.hls.compiler.generate import generate
from moesaic.spec.build import Build
from moesaic.spec.configuration import load_configuration
from moesaic.spec.isa import Unit, pack, semaphore
from moesaic.spec.issue import Issued, read_program
from moesaic.spec.joint_programs import one_picture, one_task
from tests.hls.networks import SMALL, network

TINY = load_configuration("tiny")
TASK = "depth"


@pytest.fixture(scope="module")
def build() -> Build:
    return generate(network(SMALL, 3), TINY)


def instructions(build: Build) -> list[Issued]:
    return list(read_program(build.task(TASK).program, build.constants, TINY))


def check(build: Build, directory, capsys: pytest.CaptureFixture, *options: str) -> tuple[int, str]:
    build.save(directory / "build")
    code = main(["check-program", str(directory / "build"), "--tasks", TASK, "--orders", "4", *options])
    return code, capsys.readouterr().out


def with_instruction(build: Build, index: int, **changes: int) -> Build:
    """The build with other fields in one instruction of the task."""
    wrong = instructions(build)[index]
    fields = {name: value for name, value in wrong.fields.items() if name != "opcode"}
    constants = build.constants.copy()
    start = build.task(TASK).program.offset + 64 * index
    constants[start : start + 64] = np.frombuffer(pack(wrong.name, **{**fields, **changes}), np.uint8)
    return dataclasses.replace(build, constants=constants)


def test_a_generated_program_has_one_result(build, tmp_path, capsys):
    assert check(build, tmp_path, capsys) == (0, f"{TASK}: one result in program order and in 4 other orders\n")


def test_a_missing_wait_is_named(build, tmp_path, capsys):
    """Without what orders a product behind the load of its weights, both are named."""
    mask = 1 << semaphore(Unit.LOAD, Unit.MATMUL)
    found = instructions(build)
    broken = build
    for i in found:
        if i.fields["wait_mask"] & mask or i.fields["signal_mask"] & mask:
            masks = {name: i.fields[name] & ~mask for name in ("wait_mask", "signal_mask")}
            broken = with_instruction(broken, i.index, **masks)
    code, text = check(broken, tmp_path, capsys)
    assert code == 1
    assert "(matmul on matmul, " in text and " must wait for instruction " in text and "(load on load, " in text


def test_a_wait_that_never_ends_is_named(build, tmp_path, capsys):
    index = next(i.index for i in instructions(build) if i.unit == Unit.MATMUL)
    waiting = with_instruction(build, index, wait_mask=1 << semaphore(Unit.STORE, Unit.MATMUL))
    code, text = check(waiting, tmp_path, capsys)
    assert code == 1
    assert "TIMEOUT in the fetch unit" in text and f"matmul (instruction {index}, " in text
    assert "waits for a signal from store" in text


def test_an_illegal_field_is_named(build, tmp_path, capsys):
    index = next(i.index for i in instructions(build) if i.name == "matmul")
    code, text = check(with_instruction(build, index, columns=0), tmp_path, capsys)
    assert code == 1
    assert f"instruction {index}: matmul: columns = 0; on configuration tiny columns is at least 1" in text


def test_a_signal_that_nobody_waits_for_is_named(build, tmp_path, capsys):
    last = instructions(build)[-1]
    signal = 1 << semaphore(last.unit, Unit.ROUTE)
    code, text = check(with_instruction(build, last.index, signal_mask=signal), tmp_path, capsys)
    assert code == 1
    assert f"signals that nobody waits for: 1 from {last.unit.name.lower()} to route" in text


def test_joint_programs_are_checked_too(tmp_path, capsys):
    """With their copies of a lane through DRAM, which a store and loads have to agree on; without that wait both are named."""
    together = generate(network(SMALL, 3), TINY, joint=[one_picture(("normals", "depth")), one_task("depth", 2)])
    together.save(tmp_path / "build")
    words = ["check-program", str(tmp_path / "build"), "--orders", "3"]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert "normals+depth: one result in" in text and "depth of 2 images: one result in" in text
    joint, mask = together.joint[0], 1 << semaphore(Unit.STORE, Unit.LOAD)
    constants = together.constants.copy()
    for i in read_program(joint.program, constants.copy(), TINY):
        if i.fields["wait_mask"] & mask or i.fields["signal_mask"] & mask:
            fields = {name: value for name, value in i.fields.items() if name != "opcode"}
            fields |= {name: fields[name] & ~mask for name in ("wait_mask", "signal_mask")}
            start = joint.program.offset + 64 * i.index
            constants[start : start + 64] = np.frombuffer(pack(i.name, **fields), np.uint8)
    dataclasses.replace(together, constants=constants).save(tmp_path / "broken")
    assert main(["check-program", str(tmp_path / "broken"), "--orders", "6"]) == 1
    assert re.search(r"normals\+depth: .*copy.* must wait for .*copy", capsys.readouterr().out)
