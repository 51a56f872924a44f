"""Devices that hang, lose interrupts, fault or are replaced: what the C++ runtime says, and that it goes on."""

import pytest

from moesaic.spec.isa import Fault
from moesaic.spec.registers import CONTROL_START, CONTROL_STOP, INTERRUPT_DONE, STATUS_BUSY, STATUS_DONE
from tests.host.cpp.conftest import CppError
from tests.host.cpp.devices import Registers

WRITTEN_BY_A_RUN = [
    "CONSTANT_BASE_LOW", "CONSTANT_BASE_HIGH", "CONSTANT_SIZE", "FRAME_BASE_LOW", "FRAME_BASE_HIGH", "FRAME_SIZE", "PROGRAM_OFFSET",
    "PROGRAM_SIZE", "MAX_CYCLES", "INTERRUPT_STATUS", "INTERRUPT_ENABLE", "CONTROL", "INTERRUPT_STATUS",
]  # fmt: skip


@pytest.fixture
def registers(build):
    return Registers(build.fingerprint)


@pytest.fixture
def run(folder, image):
    """Returns a function that makes a run and tells how it waited, "interrupt" or "polling"."""

    def make(opened, task: str = "depth") -> str:
        return opened.driver("run", folder.path / "out", task, folder.image(image)).split(";")[1]

    return make


def test_what_a_run_writes(connect, registers, run):
    opened = connect(registers)
    assert opened.open() == "interrupt"
    assert registers.writes == []
    assert run(opened) == "interrupt"
    assert [name for name, _ in registers.writes] == WRITTEN_BY_A_RUN
    values = dict(registers.writes)
    assert values["CONTROL"] == CONTROL_START and values["INTERRUPT_ENABLE"] == INTERRUPT_DONE
    assert registers.values["INTERRUPT_STATUS"] == 0, "acknowledged"
    opened.driver("close")
    assert registers.writes[-1] == ("INTERRUPT_ENABLE", 0)


@pytest.mark.parametrize("interrupts", [True, False], ids=["interrupt", "polling"])
def test_a_run_that_never_ends_is_stopped(connect, registers, run, interrupts):
    opened = connect(registers, interrupts=interrupts)
    opened.open(200)
    registers.polls = None
    with pytest.raises(
        CppError, match=r"task depth: .*TIMEOUT in the fetch unit.*: stopped after 200 ms by the processor's clock"
    ) as caught:
        run(opened)
    assert caught.value.kind == "Fault"
    assert registers.writes.count(("CONTROL", CONTROL_STOP)) == 1
    registers.polls = 2
    run(opened)


def test_a_machine_that_does_not_stop_keeps_its_memory(connect, device_files, registers, run):
    """Nothing is written to the frame window while the machine may still be writing there."""
    opened = connect(registers, interrupts=False)
    opened.open(100)
    registers.polls, registers.stops = None, False
    with pytest.raises(
        CppError,
        match=r"has run task depth for more than 100 ms and has not stopped 100 ms after .*; load the bitstream again",
    ):
        run(opened)
    before = device_files.udmabuf.read_bytes()
    with pytest.raises(CppError, match=r"is still at the run before and has not stopped .*; load the bitstream again"):
        run(opened, "segmentation")
    assert device_files.udmabuf.read_bytes() == before
    registers.values["STATUS"], registers.polls = 0, 2  # as after a new bitstream
    run(opened)


def test_an_earlier_programs_run_is_stopped_first(connect, registers, run):
    registers.values["STATUS"], registers.polls = STATUS_BUSY, None
    opened = connect(registers)
    opened.open()
    assert registers.writes == [("CONTROL", CONTROL_STOP)]
    registers.polls = 2
    run(opened)


def test_an_earlier_programs_run_that_goes_on(connect, device_files, registers):
    registers.values["STATUS"], registers.polls, registers.stops = STATUS_BUSY, None, False
    opened = connect(registers)
    before = device_files.udmabuf.read_bytes()
    with pytest.raises(
        CppError, match="still at an earlier program's run and has not stopped 100 ms after it was told to; load"
    ):
        opened.open()
    assert device_files.udmabuf.read_bytes() == before


def test_a_lost_interrupt(connect, registers, run):
    """The run is right although nothing told of its end, and from then on STATUS is polled."""
    opened = connect(registers, lose=True)
    assert opened.open() == "interrupt"
    assert run(opened) == "polling"
    assert registers.values["INTERRUPT_ENABLE"] == 0
    assert run(opened) == "polling"


def test_interrupts_that_nobody_raised(connect, registers, run):
    """They do not end a run."""
    opened = connect(registers, extra=3)
    opened.open()
    for _ in range(4):
        registers.polls = 20
        assert run(opened) == "interrupt"
        assert registers.values["STATUS"] == STATUS_DONE
    assert opened.bridge.extra == 0 and ("CONTROL", CONTROL_STOP) not in registers.writes


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ((Fault.AXI_READ, 0, 3), r"AXI_READ in the load unit, instruction tag 3 \((?!no layer).+\)$"),
        ((Fault.BAD_INSTRUCTION, 5, 0), r"BAD_INSTRUCTION in the fetch unit, instruction tag 0 \(no layer\)$"),
        ((Fault.ADDRESS, 2, 10**6), r"ADDRESS in the matmul unit, instruction tag 1000000 \(no layer\)$"),
    ],
    ids=["layer", "fetch", "tag"],
)
def test_a_fault_names_task_cause_unit_and_layer(connect, registers, run, fault, message):
    opened = connect(registers)
    opened.open()
    registers.fault = tuple(map(int, fault))
    with pytest.raises(CppError, match="^task segmentation: the machine stopped: " + message) as caught:
        run(opened, "segmentation")
    assert caught.value.kind == "Fault"
    registers.fault = None
    run(opened, "segmentation")


def test_a_timeout_tells_who_waited(connect, registers, run):
    opened = connect(registers)
    opened.open()
    registers.fault = (int(Fault.TIMEOUT), 5, 0)
    registers.values |= {"COUNTER_CYCLES": 900, "COUNTER_MATMUL_SEMAPHORE_STALL": 800}
    with pytest.raises(CppError, match=r"of 900 cycles units waited for signals: matmul 800$"):
        run(opened)


def test_a_fault_that_does_not_exist(connect, registers, run):
    opened = connect(registers)
    opened.open()
    registers.fault = (99, 1, 0)
    with pytest.raises(CppError, match="reports fault 99 of unit 1, which do not exist") as caught:
        run(opened)
    assert caught.value.kind == "Error"


def test_an_accelerator_that_was_replaced(connect, registers, run, build):
    opened = connect(registers)
    opened.open()
    run(opened)
    registers.values["FINGERPRINT_LOW"] ^= 1
    writes = len(registers.writes)
    with pytest.raises(
        CppError, match=f"has fingerprint {build.fingerprint}, device socket has .*; the accelerator was replaced"
    ):
        run(opened)
    assert len(registers.writes) == writes
