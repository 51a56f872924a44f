"""`moesaic selftest` on sound machines, and on machines that are broken in one place, which it has to name."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from moesaic.emulator import Emulator
from moesaic.host import selftest
from moesaic.host.board import BoardExecutor
from moesaic.host.selftest import FAILED, NOT_MEASURED, PASSED, Check, Machine, checks_of, copy_program, run_check
from moesaic.sim.machines.rtl_executor import RtlExecutor
from moesaic.spec.build import Build
from moesaic.spec.executor import MachineFault, Memory
from moesaic.spec.isa import Fault, Space
from moesaic.spec.legality import violation
from moesaic.spec.machine import ReferenceMachine
from moesaic.spec.registers import BY_NAME, REGISTERS
from tests.host import mock_pynq
from tests.host.mock_pynq import Board

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def emulator(saved_build, build):
    machine = Emulator(saved_build / "cpp", build.configuration)
    yield machine
    machine.close()


@pytest.fixture
def board_executor(board, board_build, lock_file, monkeypatch):
    """On the mock board with an interrupt, whose arrivals the kernel counts."""
    board.interrupts = True
    monkeypatch.setattr("moesaic.host.board.interrupts_so_far", lambda: board.starts)
    executor = BoardExecutor(board_build / "accel.bit", lock_file=lock_file)
    yield executor
    executor.close()


def check(executor: object, build: Build, name: str, bundle: object = None, title: str = "machine") -> Check:
    machine = Machine(executor, build, title)
    return run_check(name, checks_of(machine, list(build.tasks), bundle)[name])


class Faulty:
    """An executor, broken: before(memory) and after(memory, counters) are called around each run."""

    def __init__(self, executor: object, before: object = None, after: object = None) -> None:
        self.fingerprint, self._executor, self._before, self._after = executor.fingerprint, executor, before, after

    def run(self, program: object, memory: Memory, max_cycles: int) -> dict:
        memory = Memory(memory.constants.copy(), memory.frame)
        if self._before:
            self._before(memory)
        counters = self._executor.run(program, memory, max_cycles)
        if self._after:
            self._after(memory, counters)
        return counters

    def close(self) -> None:
        self._executor.close()


def test_on_the_emulator(run_moesaic, saved_build, build, tmp_path):
    code, out, err = run_moesaic("selftest", saved_build, "--executor", "emulator", "--json", tmp_path / "report.json")
    assert (code, err) == (0, "") and "0 failed" in out.splitlines()[-1]
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["format"], report["version"], report["passed"]) == ("moesaic selftest", 1, True)
    assert report["build"]["fingerprint"] == build.fingerprint and report["executor"] == "emulator"
    states = {check["name"]: check["state"] for check in report["checks"]}
    assert {name for name, state in states.items() if state == PASSED} == {
        "constant memory", "frame memory", *(f"task {name}" for name in build.tasks),
    }  # fmt: skip
    told = {check["name"]: check["detail"] for check in report["checks"]}
    assert "no clock" in told["read rate"] and "no control registers" in told["registers"], (
        "what is not measured is said"
    )
    page = (REPOSITORY / "docs" / "board.md").read_text()
    assert all(f"`{key}`" in page for key in (*report, *report["checks"][0])), "the page explains the report"


def test_golden_vectors(run_moesaic, saved_build, bundle, build, tmp_path, emulator):
    golden = {"image": np.zeros((build.image_height, build.image_width, 3), np.uint8)}
    memory = build.new_memory()
    build.write_image(memory.frame, golden["image"])
    emulator.run(build.tasks["depth"].program, memory, 0)
    golden["depth/output"] = build.read_output(memory.frame, "depth")

    class Vectors:
        pass

    Vectors.golden = golden
    found = check(emulator, build, "task depth", Vectors, "reference")
    assert (found.state, found.figures["against"]) == (PASSED, "golden vectors")
    golden["depth/output"][1, 2, 0] += 1
    found = check(emulator, build, "task depth", Vectors)
    assert found.state == FAILED and "1 of" in found.detail and "(1, 2, 0)" in found.detail
    bundle.save(tmp_path / "bundle")
    other = tmp_path / "other"
    manifest = {**json.loads((tmp_path / "bundle" / "bundle.json").read_text())}
    assert manifest and run_moesaic("selftest", saved_build, "--bundle", other)[0] == 2


def test_on_the_board(board_executor, board, build):
    board.machine = Clocked(ReferenceMachine(build.configuration))
    results = {
        name: run_check(name, one)
        for name, one in checks_of(Machine(board_executor, build, "board"), ["depth"], None).items()
    }
    states = {name: result.state for name, result in results.items()}
    assert {name for name, state in states.items() if state != PASSED} == {"power"}, [
        result.detail for result in results.values()
    ]
    assert results["interrupts"].figures == {"runs": 16, "interrupts": 16}
    assert results["power"].state == NOT_MEASURED and "no power rails" in results["power"].detail
    assert results["registers"].figures == {"registers": len(REGISTERS)}


def test_exit_code_and_last_line(run_moesaic, saved_build, build, monkeypatch, tmp_path):
    run = Emulator.run

    def broken(self, program, memory, max_cycles):
        counters = run(self, program, memory, max_cycles)
        memory.frame[100] &= 0xFB
        return counters

    monkeypatch.setattr(Emulator, "run", broken)
    words = (
        "selftest",
        saved_build,
        "--executor",
        "emulator",
        "--tasks",
        "depth",
        "--json",
        tmp_path / "report.json",
    )
    code, out, err = run_moesaic(*words)
    assert (code, err) == (1, "") and "frame memory" in out.splitlines()[-1].partition("not measured: ")[2]
    report = json.loads((tmp_path / "report.json").read_text())
    failed = [one for one in report["checks"] if one["state"] == FAILED]
    assert not report["passed"] and {"constant memory", "frame memory"} <= {one["name"] for one in failed}
    assert "byte 0x64" in failed[0]["detail"] and "bit 2" in failed[0]["detail"]


def test_mistakes(run_moesaic, saved_build, tmp_path):
    for words, part in (
        (("--tasks", "pose"), "unknown task 'pose'"),
        (("--json", tmp_path / "file" / "report.json"), "cannot be written"),
        (("--executor", "board"), "bitstream"),
    ):
        (tmp_path / "file").write_text("")
        code, _, err = run_moesaic("selftest", saved_build, *words)
        assert code == 2 and err.count("\n") == 1 and part in err


@pytest.mark.parametrize("place", [0, 5_000, -1])
def test_a_stuck_bit_of_the_frame_window(emulator, build, place):
    def stick(memory, counters):
        memory.frame[place] |= 0x10

    found = check(Faulty(emulator, after=stick), build, "frame memory")
    assert (
        found.state == FAILED
        and f"byte {place % build.frame_bytes:#x} is" in found.detail
        and "(bit 4)" in found.detail
    )


@pytest.mark.parametrize("place", [0, 20_000, -5])
def test_a_stuck_bit_of_the_constant_window(emulator, build, place):
    """Also where the program stands for every other pattern; there, it may stop the machine instead."""

    def stick(memory):
        memory.constants[place] &= 0xBF

    found = check(Faulty(emulator, stick), build, "constant memory")
    assert found.state == FAILED and ("constant window" in found.detail or "the machine stopped" in found.detail)


def test_two_addresses_that_are_one(emulator, build):
    """An address line that is not connected: only a pattern that differs from word to word shows it."""

    def alias(memory, counters):
        memory.frame[4096:8192] = memory.frame[:4096]

    found = check(Faulty(emulator, after=alias), build, "frame memory")
    assert found.state == FAILED and "pattern address" in found.detail


def test_a_cache_that_is_not_invalidated(board_executor, build, monkeypatch):
    assert check(board_executor, build, "processor memory").state == PASSED
    flush = mock_pynq.Buffer.flush

    def drop_a_bit(self):
        flush(self)
        self.board.dram[self.physical_address][5000] ^= 1

    monkeypatch.setattr(mock_pynq.Buffer, "flush", drop_a_bit)
    found = check(board_executor, build, "processor memory")
    assert found.state == FAILED and "written and read by the processor" in found.detail and "(bit 0)" in found.detail


def break_register(board: Board, kind: str) -> str:
    """Break the mock board's registers; returns what the check has to name."""
    read, write = board.read, board.write

    def of(name: str) -> int:
        return BY_NAME[name].offset

    if kind == "stuck bit":
        board.read = lambda offset: read(offset) | (8 if offset == of("MAX_CYCLES") else 0)
        return "register MAX_CYCLES"
    if kind == "too many bits":
        board.write = lambda offset, value: (
            board.registers.update({offset: value}) if offset == of("FRAME_BASE_HIGH") else write(offset, value)
        )
        return "register FRAME_BASE_HIGH"
    if kind == "one address for two":
        board.write = lambda offset, value: write(of("CONSTANT_SIZE") if offset == of("FRAME_SIZE") else offset, value)
        board.read = lambda offset: read(of("CONSTANT_SIZE") if offset == of("FRAME_SIZE") else offset)
        return "register CONSTANT_SIZE"
    if kind == "counter that is written":
        board.write = lambda offset, value: (
            board.registers.update({offset: value}) if offset == of("COUNTER_READ_BEATS") else write(offset, value)
        )
        return "register COUNTER_READ_BEATS"
    if kind == "status that cannot be cleared":
        board.read = lambda offset: 1 if offset == of("INTERRUPT_STATUS") else read(offset)
        return "register INTERRUPT_STATUS"
    assert kind == "fingerprint"
    board.read = lambda offset: read(offset) ^ (0x100 if offset == of("FINGERPRINT_HIGH") else 0)
    return "FINGERPRINT shows"


@pytest.mark.parametrize(
    "kind",
    [
        "stuck bit",
        "too many bits",
        "one address for two",
        "counter that is written",
        "status that cannot be cleared",
        "fingerprint",
    ],
)
def test_wrong_registers(board_executor, board, build, kind):
    assert check(board_executor, build, "registers").state == PASSED
    named = break_register(board, kind)
    found = check(board_executor, build, "registers")
    assert found.state == FAILED and named in found.detail


def test_registers_are_as_they_were(board_executor, board, build):
    check(board_executor, build, "task depth")
    before = dict(board.registers)
    assert check(board_executor, build, "registers").state == PASSED
    changed = {offset for offset, value in board.registers.items() if before[offset] != value}
    assert not changed


def test_lost_interrupts(board_executor, board, build, monkeypatch):
    assert check(board_executor, build, "interrupts").state == PASSED
    monkeypatch.setattr("moesaic.host.board.interrupts_so_far", lambda: board.starts - (board.starts > 20))
    found = check(board_executor, build, "interrupts")
    assert found.state == FAILED and "15 interrupts in 16 runs" in found.detail
    monkeypatch.setattr("moesaic.host.board.interrupts_so_far", lambda: None)
    assert check(board_executor, build, "interrupts").state == NOT_MEASURED


def test_an_interrupt_that_never_arrives(board_executor, board, build, monkeypatch):
    monkeypatch.setattr("moesaic.host.board._INTERRUPT_SECONDS", 0.05)
    board.lose_interrupts = True
    found = check(board_executor, build, "interrupts")
    assert found.state == FAILED and "got lost" in found.detail


def test_wrong_results_of_a_task(emulator, build):
    def spoil(memory, counters):
        memory.frame[build.tasks["depth"].output_offset + 3] ^= 0x80

    found = check(Faulty(emulator, after=spoil), build, "task depth")
    assert found.state == FAILED and "task depth" in found.detail and "(bit 7)" in found.detail

    def miscount(memory, counters):
        counters["matmul_array"] += 1

    found = check(Faulty(emulator, after=miscount), build, "task depth")
    assert found.state == FAILED and "counter matmul_array" in found.detail


def test_every_run_has_the_limit_asked_for(emulator, build):
    limits = set()

    class Watched(Faulty):
        def run(self, program, memory, max_cycles):
            limits.add(max_cycles)
            return super().run(program, memory, max_cycles)

    checks = checks_of(Machine(Watched(emulator), build, "machine", 12_345), list(build.tasks), None)
    for name, one in checks.items():
        run_check(name, one)
    assert limits == {12_345}


def test_a_machine_that_stops(emulator, build):
    def fail(memory):
        raise MachineFault(Fault.AXI_READ, "load", 0)

    for name in ("constant memory", "frame memory", "task depth", "read rate"):
        found = check(Faulty(emulator, fail), build, name)
        assert found.state == FAILED and "AXI_READ in the load unit" in found.detail


class Clocked(Faulty):
    """The emulator, with the counters of a machine that has a clock."""

    def run(self, program: object, memory: Memory, max_cycles: int) -> dict:
        counters = super().run(program, memory, max_cycles)
        busy = {
            "cycles": 1_000_000,
            "load_busy": counters["read_beats"],
            "store_busy": 2 * counters["write_beats"],
            "load_dram_stall": 100,
            "store_dram_stall": 50,
        }
        return {**busy, **counters}


def test_every_port_alone(emulator, build):
    """The emulator knows the bytes, the RTL bench of the load unit knows the ports: tests/sim/test_read_ports.py."""
    rates = [name for name in checks_of(Machine(emulator, build, "machine"), [], None) if "port" in name]
    assert rates == [f"read rate, port {port}" for port in range(build.configuration.load_ports)]
    for name in rates:
        found = check(Clocked(emulator), build, name)
        assert found.state == PASSED, found.detail
        read = found.figures["read"]
        assert read["ports"] == 1 and read["bytes"] >= (1 << 16) // 3 - 1280 and 13 < read["bytes_per_cycle"] < 16
        found = check(emulator, build, name)
        assert found.state == NOT_MEASURED and "no clock" in found.detail
        fast = Clocked(emulator, after=lambda memory, counters: counters.update(load_busy=counters["read_beats"] // 2))
        found = check(fast, build, name)
        assert found.state == FAILED and "more than 16 a cycle, which is all that 1 port can move" in found.detail


def test_a_machine_that_counts_no_busy_cycles(emulator, build):
    """The kernel of the engine hls: rates are those of whole runs. One broken counter is not taken for that."""

    def kernel(memory, counters):
        counters.update(load_busy=0, store_busy=0)

    for name in ("read rate", "write rate"):
        found = check(Clocked(emulator, after=kernel), build, name)
        assert found.state == PASSED, found.detail
        (rate,) = (found.figures[way] for way in ("read", "write") if way in found.figures)
        assert rate["busy_cycles"] is None and rate["bytes_per_cycle"] == rate["bytes"] / 1_000_000
    found = check(Clocked(emulator, after=kernel), build, "read rate, port 1")
    assert found.state == NOT_MEASURED and "one read port" in found.detail
    broken = Clocked(emulator, after=lambda memory, counters: counters.update(load_busy=0))
    found = check(broken, build, "read rate")
    assert found.state == FAILED and "COUNTER_LOAD_BUSY is 0" in found.detail


def test_a_port_alone_needs_room(emulator, build, monkeypatch):
    machine = Machine(emulator, build, "machine")
    for attribute, value, part in (
        ("constant_bytes", 1024, "constant window has 1,024"),
        ("weight", 64, "weight memory"),
    ):
        if attribute == "weight":
            smaller = replace(build.configuration, weight_bytes=value)
            monkeypatch.setattr(machine, "configuration", smaller)
        else:
            monkeypatch.setattr(machine, attribute, value)
        found = run_check("one", lambda: selftest.check_read_port(machine, 0))
        assert found.state == NOT_MEASURED and part in found.detail
        monkeypatch.undo()


def test_rates(emulator, build):
    found = check(Clocked(emulator), build, "read and write rate")
    assert found.state == PASSED
    read, write = found.figures["read"], found.figures["write"]
    assert read["bytes"] == write["bytes"] >= 1 << 16 and write["bytes_per_cycle"] == 8.0
    assert read["bytes_per_cycle"] == read["bytes"] / read["busy_cycles"]
    assert (read["ports"], write["ports"], write["dram_stall_cycles"]) == (build.configuration.load_ports, 1, 50)
    assert set(check(Clocked(emulator), build, "read rate").figures) == {"cycles", "read"}
    for counter, change in (("write_beats", 1), ("read_beats", -100_000)):
        wrong = Clocked(emulator, after=lambda memory, counters: counters.update({counter: counters[counter] + change}))  # noqa: B023
        found = check(wrong, build, "read and write rate")
        assert found.state == FAILED and f"COUNTER_{counter.upper()}" in found.detail


def test_power(emulator, build):
    meter = Faulty(emulator)
    meter.power = lambda: {"VCCINT": 1.5}
    assert check(meter, build, "power").figures == {"watts": {"VCCINT": 1.5}}


def test_programs_are_legal_and_cover_the_activation_memory(build):
    """Every byte of it carries patterns in some move of a window that is larger than it."""
    c = build.configuration
    size = 4 * c.act_bytes
    moves = [selftest.Move(Space.CONSTANT, p.start, p.start, p.stop - p.start) for p in selftest._pieces(size, c)]
    code = copy_program(moves, c)
    from moesaic.spec.isa import decode

    for start in range(0, len(code), 64):
        name, fields = decode(code[start : start + 64])
        assert violation(name, fields, c) is None
    machine = ReferenceMachine(c, seed=1)
    constants = np.random.default_rng(2).integers(0, 256, size + len(code)).astype(np.uint8)
    constants[size:] = np.frombuffer(code, np.uint8)
    frame = np.zeros(size, np.uint8)
    from moesaic.spec.executor import Program

    machine.run(Program(size, len(code)), Memory(constants, frame), 0)
    assert np.array_equal(frame, constants[:size])


@pytest.fixture(scope="module")
def rtl(saved_build, build):
    with RtlExecutor(saved_build / "rtl", build.configuration) as executor:
        yield executor


def test_on_the_rtl(rtl, build):
    """Everything but power and the processor's own copies; DRAM rates as the DRAM model has them."""
    results = {
        name: run_check(name, one) for name, one in checks_of(Machine(rtl, build, "rtl"), ["depth"], None).items()
    }
    states = {name: result.state for name, result in results.items()}
    assert {name for name, state in states.items() if state != PASSED} == {"processor memory", "power"}, [
        result.detail for result in results.values()
    ]
    assert 8 < results["write rate"].figures["write"]["bytes_per_cycle"] <= 16
    assert 16 < results["read rate"].figures["read"]["bytes_per_cycle"] <= 16 * build.configuration.load_ports
    for port in range(build.configuration.load_ports):
        assert 14 < results[f"read rate, port {port}"].figures["read"]["bytes_per_cycle"] <= 16


def test_registers_that_the_rtl_lacks(rtl, build, monkeypatch):
    """A table that promises bits which the RTL does not keep."""
    table = [
        type(register)(**{**vars(register), "writable": 0xFFFFFFFF}) if register.name == "PROGRAM_OFFSET" else register
        for register in REGISTERS
    ]
    monkeypatch.setattr(selftest, "REGISTERS", tuple(table))
    found = check(rtl, build, "registers")
    assert found.state == FAILED and "register PROGRAM_OFFSET" in found.detail
