"""The DDR4 model against times worked out by hand, and its parameters against the registers of a controller of the same kind."""

import ctypes
from pathlib import Path

import numpy as np
import pytest

from moesaic.caches import cache_directory
from moesaic.compiled_library import compile_library
from moesaic.errors import UserError
from moesaic.sim.machines import ddr4
from moesaic.sim.machines.ddr4 import DDR4, require_ddr4

ACCESS = np.dtype([("cycle", "u8"), ("port", "i8"), ("write", "i8"), ("address", "u8")])
ROW, BANK, GROUP = 1 << 16, 1 << 14, 1 << 6
QUIET = 10**9  # of a refresh that never comes


@pytest.fixture(scope="module")
def library():
    sources = Path(ddr4.__file__).parent
    entry = Path(__file__).parent / "ddr4_probe.cpp"
    included = [sources / "ddr4.cpp", sources / "ddr4.hpp"]
    flags = ("-O1", "-std=c++17", "-Wall", "-Wextra", "-Werror", f"-I{sources}")
    probe = ctypes.CDLL(str(compile_library("ddr4-probe", entry, included, flags, cache_directory("simulators"))))
    probe.ddr4_names.restype = ctypes.c_char_p
    return probe


@pytest.fixture(params=DDR4)
def memory(request, library):
    """A function that answers accesses (cycle, port, write, address) with clocks: there is no interconnect, and cycles are clocks."""
    parameters = dict(DDR4[request.param].parameters)

    def access(accesses, seed=0, **changes):
        values = (
            parameters | {"clocks": 1, "cycles": 1, "request_cycles": 0, "response_cycles": 0, "refi": QUIET} | changes
        )
        names = library.ddr4_names().decode().split()
        content = np.array([tuple(each) for each in accesses], ACCESS)
        answers = np.zeros(len(content), np.uint64)
        library.ddr4_probe(
            (ctypes.c_int64 * len(names))(*(values[name] for name in names)), ctypes.c_uint64(seed),
            content.ctypes.data_as(ctypes.c_void_p), ctypes.c_size_t(len(content)), answers.ctypes.data_as(ctypes.c_void_p),
        )  # fmt: skip
        return answers.astype(int).tolist()

    access.p = type("Parameters", (), parameters)
    return access


def reads(addresses, cycle=0, port=0):
    return [(cycle, port, 0, address) for address in addresses]


def writes(addresses, cycle=0, port=0):
    return [(cycle, port, 1, address) for address in addresses]


def test_parameters_are_those_in_the_registers_of_a_k26():
    """DRAMTMG0, 1, 2, 4 and 9 of the K26 (DDR4-2133), as U-Boot's psu_init_gpl.c writes them, in clocks of the controller."""
    registers = {
        "write_to_precharge": 0x11, "faw": 0x10, "rc": 0x19, "read_to_precharge": 0x04, "read_to_write": 0x06, "write_to_read_l": 0x0D,
        "rcd": 0x08, "ccd_l": 0x03, "rrd_l": 0x04, "ccd_s": 0x02, "rrd_s": 0x03, "write_to_read_s": 0x0B,
    }  # fmt: skip
    parameters = DDR4["ddr4-2133"].parameters
    assert {name: parameters[name] for name in registers} == registers


def test_peak():
    """Bytes a cycle at 300 MHz: 17.07 and 19.2 GB/s."""
    assert {name: round(float(timing.peak), 2) for name, timing in DDR4.items()} == {
        "ddr4-2133": 56.89,
        "ddr4-2400": 64.0,
    }


def test_a_read_of_a_closed_row_an_open_row_and_another_row(memory):
    p = memory.p
    closed, hit, conflict = memory([(10, 0, 0, 0), (200, 0, 0, 2 * GROUP), (400, 0, 0, ROW)])
    assert closed == 10 + p.rcd + p.read_data
    assert hit == 200 + p.read_data
    assert conflict == 400 + p.rp + p.rcd + p.read_data


def test_a_row_stays_open_for_tras(memory):
    p = memory.p
    first, second = memory(reads([0, ROW]))
    assert first == p.rcd + p.read_data
    assert second == max(p.ras + p.rp, p.rc) + p.rcd + p.read_data


def test_a_bank_takes_another_row_every_trc(memory):
    answers = memory(reads(n * ROW for n in range(20)))
    apart = max(memory.p.rc, memory.p.ras + memory.p.rp)
    assert np.diff(answers).tolist() == [apart] * 19


def test_four_rows_are_opened_in_tfaw(memory):
    """Eight banks in turns, each time another row: two banks of a group, then two of the other."""
    p, count = memory.p, 400
    order = [0, GROUP, BANK, BANK + GROUP, 2 * BANK, 2 * BANK + GROUP, 3 * BANK, 3 * BANK + GROUP]
    answers = memory(reads(n // 8 * ROW + order[n % 8] for n in range(count)))
    clocks = (answers[-1] - answers[count // 2]) / (count - 1 - count // 2)
    bound = max(p.faw / 4, p.rrd_s, (p.ras + p.rp) / 8)
    assert 0.98 * bound <= clocks <= 1.15 * bound


def test_a_stream_moves_at_the_peak(memory):
    """Neighbouring requests lie in different groups of banks, so each follows the last after tCCD_S; the next row is opened ahead."""
    count = 4096
    answers = memory(reads(64 * n for n in range(count)))
    assert memory.p.ccd_s * (count - 1) <= answers[-1] - answers[0] <= 1.01 * memory.p.ccd_s * (count - 1)


def test_one_group_of_banks_is_slower(memory):
    """Requests to a single group follow one another after tCCD_L."""
    answers = memory(reads(2 * GROUP * n for n in range(64)))
    assert np.diff(answers).tolist() == [memory.p.ccd_l] * 63


def test_refresh_costs_its_share(memory):
    """A stream loses tRFC, and the closing and opening of its row, of every tREFI."""
    p, count = memory.p, 60_000
    stream = reads(64 * n for n in range(count))
    refi = DDR4["ddr4-2400"].parameters["refi"]
    without, refreshed = (memory(stream, refi=each)[-1] for each in (QUIET, refi))
    refreshes = refreshed // refi
    assert refreshes * p.rfc <= refreshed - without <= (refreshes + 1) * (p.rfc + p.ras + p.rp + p.rcd + p.read_data)


def test_a_read_waits_for_a_refresh(memory):
    """Every row is closed after it; a row that was opened just before it has to be opened twice."""
    p, refi = memory.p, 1000
    start = {seed: memory([(0, 0, 0, 0)], seed=seed, refi=refi)[0] for seed in range(50)}
    assert set(start.values()) > {p.rcd + p.read_data}
    answers = [memory([(cycle, 0, 0, 0)], refi=refi)[0] - cycle for cycle in range(3 * refi, 4 * refi, 3)]
    assert min(answers) == p.rcd + p.read_data
    assert p.rfc < max(answers) - p.rcd - p.read_data <= p.rfc + p.ras + p.rp
    assert sum(each > min(answers) for each in answers) == pytest.approx((p.rfc + p.rcd) / 3, abs=2)


@pytest.mark.parametrize("same", [False, True], ids=["other-group", "same-group"])
def test_a_read_after_a_write_waits_for_the_turnaround(memory, same):
    p = memory.p
    opened = reads([0, GROUP])
    *_, write, read = memory([*opened, (200, 0, 1, 0), (202, 1, 0, 0 if same else GROUP)])
    assert write == 201, "it is answered once the controller has it"
    assert read == 200 + (p.write_to_read_l if same else p.write_to_read_s) + p.read_data


def test_writes_after_reads_wait_for_the_turnaround(memory):
    """A write to an open row is issued tRD2WR after the last read; a read after it shows when."""
    p = memory.p
    answers = memory([(0, 0, 0, 0), (200, 0, 0, 0), (201, 1, 1, 0), (202, 2, 0, GROUP * 2)])
    assert answers[1] == 200 + p.read_data
    assert answers[3] in (202 + p.read_data, 200 + p.read_to_write + p.write_to_read_l + p.read_data)


def test_writes_get_their_turn_beside_a_stream_of_reads(memory):
    """After `starvation` clocks without a write, a run of at least `run_length`; each change of direction costs."""
    count = 6000
    stream = [*reads(64 * n for n in range(count)), *writes(((1 << 30) + 64 * n for n in range(400)), port=1)]
    alone = memory(stream[:count])
    both = memory(stream)
    assert both[-1] < both[count - 1], "the writes ended before the reads"
    more = both[count - 1] - alone[-1]
    p = memory.p
    turns = 400 / p.run_length
    assert 400 * p.ccd_s < more < 400 * p.ccd_s + turns * (p.read_to_write + p.write_to_read_l + p.rp + p.rcd + p.ras)


def test_ports_share_the_memory_evenly(memory):
    count = 1000
    accesses = [(0, port, 0, port * (1 << 28) + 64 * n) for n in range(count) for port in range(4)]
    answers = np.reshape(memory(accesses), (count, 4))
    assert np.ptp(answers[-1]) < 0.05 * answers[-1].max()


def test_entries_bound_what_is_reordered(memory):
    """With one entry nothing overlaps: a read of every row takes its whole time; with the controller's entries tFAW is the bound."""
    p = memory.p
    rows = [n // 8 * ROW + n % 8 // 2 * BANK + n % 2 * GROUP for n in range(64)]
    one, all_entries = (memory(reads(rows), read_entries=entries)[-1] for entries in (1, p.read_entries))
    assert one > 2 * all_entries


def test_an_unknown_ddr4_is_refused():
    require_ddr4("ddr4-2133")
    with pytest.raises(UserError, match="no DDR4 'ddr5': choose ddr4-2133, ddr4-2400"):
        require_ddr4("ddr5")
