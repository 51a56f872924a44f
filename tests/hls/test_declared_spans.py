"""What the compiler says that an instruction reads and writes, by which the units wait for one another, has every byte that it touches."""

from __future__ import annotations

import numpy as np
import pytest

from moesaic.hls.compiler.arena import Span
from moesaic.hls.compiler.assembler import Assembler, Entry
from moesaic.hls.compiler.generate import generate
from moesaic.spec.bundle import Architecture
from moesaic.spec.configuration import HardwareConfiguration, load_configuration
from moesaic.spec.issue import read_program
from moesaic.spec.joint_programs import one_picture
from tests.hls.networks import NARROW_HEADS, ODD, REGISTERS, SMALL, tasks_of, token_tasks_of
from tests.hls.random_bundle import random_bundle
from tests.verify.fuzz.touched_bytes import Places, touched_bytes

TINY = load_configuration("tiny")
NETWORKS = {
    "small": (SMALL, tasks_of(SMALL)),
    "odd": (ODD, tasks_of(ODD)),
    "narrow heads": (NARROW_HEADS, tasks_of(NARROW_HEADS)),
    "registers, tokens": (REGISTERS, token_tasks_of(REGISTERS)),
}


def marked(spans: tuple[Span, ...], places: Places, configuration: HardwareConfiguration) -> np.ndarray:
    """The bytes of spans, bool (places.end,). The last bytes of the weight window are the first ones of the activation memory."""
    line = np.zeros(places.end, bool)
    for span in spans:
        if span.space == "progress":
            continue
        first = getattr(places, span.space)
        line[first + span.start : first + span.end] = True
        if span.space == "weight" and span.end > configuration.weight_bytes:
            line[
                places.act + max(span.start - configuration.weight_bytes, 0) : places.act
                + span.end
                - configuration.weight_bytes
            ] = True
    return line


@pytest.mark.parametrize(("architecture", "tasks"), NETWORKS.values(), ids=NETWORKS)
def test_every_byte_that_an_instruction_touches_is_declared(
    architecture: Architecture, tasks: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    assembled: dict[bytes, list[Entry]] = {}
    encoded = Assembler.program

    def program(self: Assembler) -> bytes:
        code = encoded(self)
        assembled[code] = self.entries
        return code

    monkeypatch.setattr(Assembler, "program", program)
    build = generate(random_bundle(architecture, tasks, 1), TINY, observe=True, joint=(one_picture(tuple(tasks)[:2]),))
    places = Places.of(TINY, build.frame_bytes)
    programs = [task.program for task in build.tasks.values()] + [joint.program for joint in build.joint]
    for each in programs:
        code = build.constants[each.offset : each.offset + each.size].tobytes()
        entries = assembled[code]
        issued = list(read_program(each, build.constants, TINY))
        assert len(issued) == len(entries)
        for instruction, entry in zip(issued, entries, strict=True):
            fields = instruction.fields
            touched = touched_bytes(instruction.name, fields, TINY, places)
            if instruction.name == "matmul":
                touched.reads[places.table : places.frame] = (
                    False  # what it has there is every table, not the chosen one
                )
                if fields["gather"]:  # and every number that a queue may hold, not only those of tokens
                    touched.reads[: places.weight] = False
                if fields["scatter"]:
                    touched.writes[: places.weight] = False
            for bytes_touched, spans in ((touched.reads, entry.reads), (touched.writes, entry.writes)):
                beyond = np.flatnonzero(bytes_touched & ~marked(spans, places, TINY))
                assert beyond.size == 0, (instruction, spans, beyond[:4])
