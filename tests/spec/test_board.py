"""The boards' files, and what is refused in one."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest

from moesaic.errors import UserError
from moesaic.hls.hardware.devices import DEVICES
from moesaic.spec.board import Board, DdrRange, board_of, clock_mhz, known_boards, load_board
from moesaic.spec.clock import CLOCK_MHZ
from moesaic.spec.configuration import load_configuration, shipped_configurations

ZCU104 = load_board("zcu104")


def test_the_boards() -> None:
    assert known_boards() == ["kv260", "zcu102", "zcu104"]


@pytest.mark.parametrize("name", known_boards())
def test_a_board_survives_json(name: str) -> None:
    board = load_board(name)
    assert Board.from_dict(json.loads(json.dumps(board.to_dict()))) == board
    assert board.name == name and board.pynq.name == name.upper()


@pytest.mark.parametrize("name", known_boards())
def test_what_the_fabric_reaches(name: str) -> None:
    board = load_board(name)
    # HP1 and HP2 share a port of the memory controller (AMD UG1085).
    assert not {"HP1", "HP2"} <= set(board.ports.memory)
    assert board.ddr.ranges[0] == DdrRange("DDR_LOW", 0, 2 << 30)
    # The registers and the interrupt controller lie behind M_AXI_HPM0_FPD: 256 MiB from 0xA0000000 (UG1085, address map).
    for address in (board.ports.control_address, board.ports.interrupt_controller_address):
        assert 0xA000_0000 <= address < 0xB000_0000
    # The processing system makes pl_clk0 of its reference: IOPLL 45 times, divided by 15.
    assert board.clock.pl_clk0_mhz == pytest.approx(board.clock.reference_mhz * 45 / 15, abs=2e-3)


def test_peak_rates() -> None:
    assert {name: load_board(name).ddr.peak_bytes_per_second for name in known_boards()} == {
        "kv260": 19_200_000_000, "zcu102": 17_064_000_000, "zcu104": 17_064_000_000,
    }  # fmt: skip


def test_what_dram_holds() -> None:
    ddr = load_board("kv260").ddr
    assert ddr.holds(0, 2 << 30) and ddr.holds(0x8_7FFF_F000, 4096)
    assert not ddr.holds(0x7FFF_F000, 4097) and not ddr.holds(0x8000_0000, 1)
    assert not ZCU104.ddr.holds(0x8_0000_0000, 1)


@pytest.mark.parametrize("path", shipped_configurations(), ids=lambda path: path.stem)
def test_every_shipped_configuration_has_a_board(path) -> None:
    configuration = load_configuration(path)
    assert board_of(configuration).device_name == configuration.part


def test_every_board_has_a_device_of_its_own_that_is_judged() -> None:
    names = [load_board(name).device_name for name in known_boards()]
    assert len(set(names)) == len(names)
    assert set(names) <= set(DEVICES)


def test_the_clock_of_a_configuration_is_its_boards() -> None:
    tiny, kv260 = load_configuration("tiny"), load_configuration("kv260")
    assert (clock_mhz(tiny), clock_mhz(kv260)) == (300, 225)
    assert clock_mhz(dataclasses.replace(tiny, part="XCZU15EG")) == CLOCK_MHZ


@pytest.mark.parametrize("name", known_boards())
def test_the_clock_is_the_highest_multiple_of_25_that_the_longest_path_allows(name: str) -> None:
    """The machine's longest path, 3.33 ns at 0.300 ns a LUT (docs/configuration.md), at the LUTs of the board's part."""
    board = load_board(name)
    longest = 3.33 * DEVICES[board.device_name].level_ns / 0.300
    assert board.clock.accelerator_mhz == 25 * math.floor(1000 / longest / 25)


def test_an_unknown_board_and_a_part_without_one() -> None:
    with pytest.raises(UserError, match="board pynq-z2 is unknown; known: kv260, zcu102, zcu104"):
        load_board("pynq-z2")
    with pytest.raises(UserError, match="no board has the part XCZU15EG; known: XCK26"):
        board_of(dataclasses.replace(load_configuration("tiny"), part="XCZU15EG"))


WRONG = {
    "a field that is missing": ({"title": None}, r"board zcu104: missing \['title'\], unknown nothing"),
    "a field that nobody knows": ({"fan": 1}, r"missing nothing, unknown \['fan'\]"),
    "a section that is none": ({"clock": 3}, "3 where the fields of Clock belong"),
    "a count that is text": ({"ddr.bits": "64"}, "ddr: bits = '64', but it must be of the type int"),
    "a count that is a truth": ({"ddr.bits": True}, "bits = True, but it must be of the type int"),
    "a port that is none": ({"ports.memory": ["HP0", "ACP"]}, r"ports.memory = \['HP0', 'ACP'\], but it must name some of HP0"),
    "a port twice": ({"ports.memory": ["HP0", "HP0"]}, "each once"),
    "no DRAM": ({"ddr.ranges": []}, "ddr.ranges is empty"),
    "a part without its package": ({"part": "XCZU7EV"}, "part = XCZU7EV, but it must be like xczu7ev-ffvc1156-2-e"),
    "a board part without its version": ({"board_part": "xilinx.com:zcu104:part0"}, "it must be like xilinx.com:zcu104:part0:1.1"),
    "a source that is missing": ({"sources.ddr": None}, "sources of .* but they must be of"),
    "a source that says nothing": ({"sources.ddr": ""}, "a source is empty"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_refused(name: str) -> None:
    changes, message = WRONG[name]
    values = dataclasses.asdict(ZCU104)
    for path, value in changes.items():
        *sections, last = path.split(".")
        place = values
        for section in sections:
            place = place[section]
        if value is None:
            del place[last]
        else:
            place[last] = value
    with pytest.raises(UserError, match=message) as caught:
        Board.from_dict(values)
    assert "\n" not in str(caught.value)
