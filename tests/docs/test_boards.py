"""docs/boards.md against spec/boards: every cell of its table."""

import pytest

from moesaic.hls.hardware.devices import DEVICES
from moesaic.spec.board import known_boards, load_board
from tests.docs.markdown import REPOSITORY

ROWS = [
    [cell.strip() for cell in line.strip().strip("|").split(" | ")]
    for line in (REPOSITORY / "docs" / "boards.md").read_text().splitlines()
    if line.startswith("| ")
]
COLUMNS = {name.strip("`"): index for index, name in enumerate(ROWS[0])}


def test_there_is_a_column_for_each_board():
    assert sorted(COLUMNS)[1:] == known_boards()


@pytest.mark.parametrize("name", known_boards())
def test_the_cells_are_what_the_file_says(name):
    b = load_board(name)
    device, ddr = DEVICES[b.device_name], b.ddr
    mhz = b.clock.accelerator_mhz
    expected = {
        "board": b.title,
        "part": f"`{b.part}`",
        "preset of Vivado's board files": f"`{b.board_part}`",
        "DSP48E2, BRAM36, UltraRAM": f"{device.dsp:,}, {device.bram36:,}, {device.uram:,}",
        "LUTs, flip-flops": f"{device.lut:,}, {device.ff:,}",
        "ports to memory": ", ".join(b.ports.memory),
        "DRAM": f"{ddr.rate} MT/s, {ddr.bits} bits: {ddr.peak_bytes_per_second / 1e9:.1f} GB/s at most",
        "of it, seen by the accelerator": ", ".join(
            f"{part.bytes >> 30} GiB from {part.base:#x}" for part in ddr.ranges
        ),
        "`pl_clk0`": f"{b.clock.pl_clk0_mhz:g} MHz: {mhz:g} MHz asked are {mhz * b.clock.pl_clk0_mhz / 100:.3f}",
        "accelerator's clock": f"{mhz:g} MHz",
        "PYNQ's name": f"{b.pynq.name}: {b.pynq.status}",
        "power": b.power.status,
    }
    assert {row[0]: row[COLUMNS[name]] for row in ROWS[1:]} == expected
