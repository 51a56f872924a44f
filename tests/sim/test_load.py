"""The load unit against the reference machine: whole on-chip memories after every instruction, and every fault."""

import cocotb
import numpy as np
import pytest
from cocotb.triggers import RisingEdge

from moesaic.sim.bench_kit import clocking
from moesaic.sim.bench_kit.axi_memory import AxiMemory, serve_reads
from moesaic.sim.bench_kit.bus_orders import BusOrders
from moesaic.sim.bench_kit.packing import PackedPorts
from moesaic.sim.bench_kit.pauses import never_pause, phased_pauses
from moesaic.sim.bench_kit.random_values import random_generator
from moesaic.sim.bench_kit.runner import run_module_test
from moesaic.sim.bench_kit.scoreboard import Scoreboard
from moesaic.spec.arithmetic import TABLE_ENTRIES
from moesaic.spec.configuration import load_configuration
from moesaic.spec.dram_timing import LATENCY
from moesaic.spec.executor import Memory
from moesaic.spec.isa import Fault, LoadDestination, Space, decode, pack
from moesaic.spec.machine import ReferenceMachine
from tests.sim.transfers import (
    BEAT_BYTES,
    CONSTANT_BASE,
    FRAME_BASE,
    Unit,
    bench_configuration,
    inside,
    random_transfer,
    unit_parameters,
    unpacking,
)

CONSTANT_BYTES, FRAME_BYTES = 3 * 4096 + 160, 4096 + 64
NAMES = ("act", "weight", "table")


class Bench:
    """Reference memories, and the memories that the unit under test writes, behind random ready."""

    def __init__(self, dut, quiet=False, latency=8, orders=lambda port: None):
        self.dut = dut
        self.configuration = bench_configuration()
        self.rng = random_generator()
        self.machine = ReferenceMachine(self.configuration, seed=1)
        self.machine.queue_count[:] = self.rng.integers(0, 2, self.configuration.experts)
        self.found = {name: getattr(self.machine, name).copy() for name in NAMES}
        self.memory = Memory(
            self.rng.integers(0, 256, CONSTANT_BYTES, np.uint8), self.rng.integers(0, 256, FRAME_BYTES, np.uint8)
        )
        self.unit = Unit(dut, self.rng)
        self.board = Scoreboard("instructions")
        self.axi = TwoWindows(self.memory)
        pauses = (lambda stream: never_pause()) if quiet else (lambda stream: phased_pauses(random_generator(stream)))
        self.ports = PackedPorts(dut, "m_axi", self.configuration.load_ports)
        for port in range(self.ports.count):
            serve_reads(
                self.ports.port(port),
                self.axi,
                latency=latency,
                outstanding=16,
                address_pauses=pauses(10 + port),
                data_pauses=pauses(20 + port),
                orders=orders(port),
            )
        self.grants = 0
        self.blocked = False
        for number, (name, word) in enumerate(
            (("act", self.configuration.act_word_bytes), ("weight", self.configuration.weight_word_bytes), ("table", 0))
        ):
            cocotb.start_soon(self.take_writes(name, word, pauses(3 + number)))
        dut.constant_base_i.value, dut.constant_size_i.value = CONSTANT_BASE, CONSTANT_BYTES
        dut.frame_base_i.value, dut.frame_size_i.value = FRAME_BASE, FRAME_BYTES
        count = 0
        for expert, entries in enumerate(self.machine.queue_count):
            count |= int(entries) << (17 * expert)
        dut.count_i.value = count

    async def take_writes(self, name, word_bytes, pauses):
        """word_bytes: of the memory; 0 for the table, which takes byte addresses and whole beats."""

        def port(signal):
            return getattr(self.dut, f"{name}_wr_{signal}")

        ready = False
        port("ready_i").value = 0
        while True:
            await RisingEdge(self.dut.clk_i)
            if ready and port("valid_o").value == 1:
                self.grants += 1
                size = word_bytes or BEAT_BYTES
                start = int(port("address_o").value) * (word_bytes or 1)
                data = np.frombuffer(int(port("data_o").value).to_bytes(size, "little"), np.uint8)
                strobe = int(port("strobe_o").value) if word_bytes else (1 << BEAT_BYTES) - 1
                written = np.flatnonzero([strobe >> i & 1 for i in range(size)])
                self.found[name][start + written] = data[written]
            ready = not next(pauses) and not self.blocked
            port("ready_i").value = int(ready)

    async def check(self, **fields):
        self.board.expect([Fault.NONE])
        outcome = await self.unit.execute("load", **fields)
        self.board.observe(outcome.cause)
        self.machine.load(self.unit.fields, self.memory)
        for name in NAMES:
            assert np.array_equal(self.found[name], getattr(self.machine, name)), (
                f"{name} differs after {self.unit.fields}"
            )
        return outcome

    async def check_fault(self, cause, **fields):
        self.board.expect([cause])
        outcome = await self.unit.execute("load", **fields)
        self.board.observe(outcome.cause)
        await self.unit.recover()
        # What was loaded before the fault is unspecified; what the next instruction loads is not.
        for name in NAMES:
            getattr(self.machine, name)[:] = self.found[name]

    def random_load(self, destination=None, space=None, unpack=None):
        destination = LoadDestination(self.rng.integers(3) if destination is None else destination)
        space = Space(self.rng.integers(2) if space is None else space)
        window = FRAME_BYTES if space == Space.FRAME else CONSTANT_BYTES
        if unpack is None:
            unpack = destination == LoadDestination.WEIGHT and self.rng.random() < 0.5
        room = len(self.found[destination.name.lower()]) >> int(unpack)
        transfer = random_transfer(self.rng, window, room, local_overlaps=False)
        if unpack:
            transfer = unpacking(transfer)
        return {"destination": destination, "space": space, **transfer}


class TwoWindows(AxiMemory):
    """Both windows on one port."""

    def __init__(self, memory):
        super().__init__(memory.constants, CONSTANT_BASE)
        self.frame = AxiMemory(memory.frame, FRAME_BASE)

    def response(self, address):
        if address < CONSTANT_BASE:
            self.frame.error_address = self.error_address
            return self.frame.response(address)
        return super().response(address)

    def read(self, address):
        return self.frame.read(address) if address < CONSTANT_BASE else super().read(address)


@cocotb.test()
async def loads_what_the_reference_loads(dut):
    bench = Bench(dut, orders=lambda port: BusOrders.drawn(random_generator(30 + port)))
    await clocking.start(dut)
    checked = 0
    for destination in LoadDestination:
        for space in Space:
            await bench.check(**bench.random_load(destination, space))
            checked += 1
    for _ in range(14):
        queue = int(bench.rng.integers(bench.configuration.experts))
        skip = int(bench.rng.random() < 0.3)
        before = len(bench.axi.read_bursts)
        await bench.check(**bench.random_load(), skip_if_empty=skip, queue=queue)
        if skip and bench.machine.queue_count[queue] == 0:
            assert len(bench.axi.read_bursts) == before
        checked += 1
    # A queue that is empty but not asked about, and both answers when it is.
    for expert in range(bench.configuration.experts):
        await bench.check(
            **{**bench.random_load(), "count_3": 1, "count_2": 1, "count_1": 1}, skip_if_empty=1, queue=expert
        )
        checked += 1
    assert checked == 20 + bench.configuration.experts and bench.grants > 0
    frame_bursts = [burst for burst in bench.axi.read_bursts if burst[0] < CONSTANT_BASE]
    constant_bursts = [burst for burst in bench.axi.read_bursts if burst[0] >= CONSTANT_BASE]
    assert frame_bursts and inside(frame_bursts, FRAME_BASE, FRAME_BYTES)
    assert constant_bursts and inside(constant_bursts, CONSTANT_BASE, CONSTANT_BYTES)
    bench.board.close()


@cocotb.test()
async def unpacks_at_every_alignment(dut):
    """Runs that begin at every pair of lanes of a word and end at every other: parts of words, whole ones, several bursts."""
    bench = Bench(dut)
    await clocking.start(dut)
    word_beats = bench.configuration.weight_word_bytes // (2 * BEAT_BYTES)
    for start in range(word_beats):
        for beats in sorted({*range(1, word_beats + 2), 16, 17, 2 * 16 + start}):
            reach = 2 * BEAT_BYTES * (start + beats)
            await bench.check(
                destination=LoadDestination.WEIGHT, unpack=1, bytes=BEAT_BYTES * beats, count_1=2, count_2=1, count_3=1,
                dram_offset=BEAT_BYTES * int(bench.rng.integers(200)), dram_stride_1=BEAT_BYTES * int(bench.rng.integers(200)),
                local_address=2 * BEAT_BYTES * start, local_stride_1=reach + 2 * BEAT_BYTES * int(bench.rng.integers(3)),
            )  # fmt: skip
    bench.board.close()


@cocotb.test()
async def unpacked_beside_plain(dut):
    """Two loads into the weight memory in flight, of either kind, side by side in the same words."""
    bench = Bench(dut)
    await clocking.start(dut)
    stream = Stream(bench)
    local, count = 0, 40
    for n in range(count):
        unpack, beats = int(bench.rng.integers(2)), int(bench.rng.choice([1, 2, 3, bench.rng.integers(1, 50)]))
        stream.add(
            destination=LoadDestination.WEIGHT, unpack=unpack, bytes=BEAT_BYTES * beats, count_1=1, count_2=1, count_3=1,
            dram_offset=BEAT_BYTES * int(bench.rng.integers(400)), local_address=local, overlap=int(n > 0),
        )  # fmt: skip
        local += -(-(beats << unpack) // 2) * 2 * BEAT_BYTES
    clocking.watch_progress(dut, lambda: bench.grants)
    bench.board.expect(["done"] * count)
    while stream.waiting or stream.flying:
        event = await stream.step()
        if event is not None:
            bench.board.observe(event[0])
            bench.machine.load(event[1], bench.memory)
    for name in NAMES:
        assert np.array_equal(bench.found[name], getattr(bench.machine, name)), name
    assert stream.most_flying == 2
    bench.board.close()


@cocotb.test()
async def refuses_and_recovers(dut):
    bench = Bench(dut)
    await clocking.start(dut)
    one = {"count_1": 1, "count_2": 1, "count_3": 1}
    act_bytes, weight_bytes = bench.configuration.act_bytes, bench.configuration.weight_bytes
    address_faults = [
        {"space": Space.CONSTANT, "bytes": 32, "dram_offset": CONSTANT_BYTES - 16},
        {"space": Space.FRAME, "bytes": 32, "dram_offset": FRAME_BYTES - 16},
        {"space": Space.CONSTANT, "bytes": 16, "dram_offset": 0xFFFF_FFF0},
        {"destination": LoadDestination.ACT, "bytes": 32, "local_address": act_bytes - 16},
        {"destination": LoadDestination.WEIGHT, "bytes": 32, "local_address": weight_bytes - 16},
        {"destination": LoadDestination.TABLE, "bytes": 32, "local_address": 2 * TABLE_ENTRIES - 16},
        {"destination": LoadDestination.TABLE, "bytes": 16, "local_address": 0xFFFF_FFF0},
        # Strides that would come back into the window if addresses wrapped at 32 bits.
        {"bytes": 16, "dram_offset": 32, "count_1": 2, "dram_stride_1": 0xFFFF_FFF0},
        {"bytes": 16, "dram_offset": 32, "count_3": 3, "dram_stride_3": 0x8000_0000},
        {"bytes": 16, "local_address": 32, "count_2": 2, "local_stride_2": 0xFFFF_FFF0},
        {"bytes": 16, "count_1": 0xFFFF, "dram_stride_1": 0x0010_0000},
        # Half of what is unpacked lies beyond the memory.
        {"destination": LoadDestination.WEIGHT, "unpack": 1, "bytes": 32, "local_address": weight_bytes - 32},
    ]
    for fields in address_faults:
        before = len(bench.axi.read_bursts)
        await bench.check_fault(Fault.ADDRESS, **{**one, **fields})
        legal = bench.axi.read_bursts[before:]
        assert len(legal) <= 1, "a run out of bounds reached the bus"
        await bench.check(**bench.random_load())
    # Runs so long that twice their bytes, or where they end on chip, would wrap.
    dut.constant_size_i.value = 0xFFFF_FFFF
    for size, local in ((0x8000_0000, 0), (0xFFFF_FFF0, 64)):
        fields = {"destination": LoadDestination.WEIGHT, "unpack": 1, "bytes": size, "local_address": local}
        before = len(bench.axi.read_bursts)
        await bench.check_fault(Fault.ADDRESS, **{**one, **fields})
        assert len(bench.axi.read_bursts) == before
    dut.constant_size_i.value = CONSTANT_BYTES
    await bench.check(**bench.random_load())
    # A slave error in the middle of many bursts, then a window that is larger than the memory behind it.
    bench.axi.error_address = CONSTANT_BASE + 2000
    await bench.check_fault(Fault.AXI_READ, **one, bytes=CONSTANT_BYTES, space=Space.CONSTANT)
    bench.axi.error_address = None
    await bench.check(**bench.random_load())
    dut.frame_size_i.value = FRAME_BYTES + 16
    await bench.check_fault(Fault.AXI_READ, **one, bytes=FRAME_BYTES + 16, space=Space.FRAME)
    dut.frame_size_i.value = FRAME_BYTES
    for _ in range(3):
        await bench.check(**bench.random_load())
    bench.board.close()


@cocotb.test()
async def waits_for_nothing(dut):
    """Memories that take no address before it is offered."""
    bench = Bench(dut, quiet=True, orders=lambda port: BusOrders.patient())
    await clocking.start(dut)
    for _ in range(5):
        await bench.check(**bench.random_load())
    assert set(bench.axi.seen) == {"ar valid first"}
    bench.board.close()


@cocotb.test()
async def halts_in_the_middle(dut):
    bench = Bench(dut)
    await clocking.start(dut)
    for wait in (1, 5, 20, 60):
        execution = cocotb.start_soon(
            bench.unit.execute("load", bytes=CONSTANT_BYTES, count_1=1, count_2=1, count_3=1, space=Space.CONSTANT)
        )
        await clocking.wait_until(dut, lambda: int(dut.m_axi_arvalid.value) != 0, 200)
        for _ in range(wait):
            await RisingEdge(dut.clk_i)
        execution.cancel()
        # The memories may be taken up by a unit that runs wild: draining the bus must not need them.
        bench.blocked = True
        await bench.unit.recover()
        bench.blocked = False
        for name in NAMES:
            getattr(bench.machine, name)[:] = bench.found[name]
        await bench.check(**bench.random_load())
    bench.board.close()


@cocotb.test()
async def a_fault_is_the_last_thing(dut):
    """Until the reset nothing is done and no other fault comes."""
    bench = Bench(dut, quiet=True)
    await clocking.start(dut)
    beat = {"bytes": BEAT_BYTES, "count_1": 1, "count_2": 1, "count_3": 1, "space": Space.FRAME}
    for fields, error_at in (({"dram_offset": FRAME_BYTES}, None), ({}, 0), ({"bytes": 2048}, 32)):
        bench.axi.error_address = None if error_at is None else FRAME_BASE + error_at
        bench.board.expect([Fault.ADDRESS if error_at is None else Fault.AXI_READ])
        bench.board.observe((await bench.unit.execute("load", **{**beat, **fields})).cause)
        await bench.unit.stays_silent(200)
        assert dut.instr_ready_o.value == 0
        bench.axi.error_address = None
        await bench.unit.recover()
        for name in NAMES:
            getattr(bench.machine, name)[:] = bench.found[name]
        await bench.check(**bench.random_load())
    bench.board.close()


@cocotb.test()
async def a_cycle_of_reset_ends_all(dut):
    """In every cycle of an instruction that faults, and in those after the last beat of one, until it is done."""
    bench = Bench(dut, quiet=True)
    await clocking.start(dut)
    beat = {"bytes": BEAT_BYTES, "count_1": 1, "count_2": 1, "count_3": 1, "space": Space.FRAME}
    for fields, outside in ((beat, False), ({**beat, "dram_offset": FRAME_BYTES}, True)):
        for wait in range(12):
            execution = cocotb.start_soon(bench.unit.execute("load", **fields))
            if not outside:
                await clocking.wait_until(dut, lambda: int(dut.m_axi_rvalid.value) != 0, 100)
            for _ in range(wait + 1):
                await RisingEdge(dut.clk_i)
            execution.cancel()
            dut.instr_valid_i.value = 0
            await bench.unit.reset_for_a_cycle()
            assert dut.instr_ready_o.value == 1 and int(dut.m_axi_arvalid.value) == 0
            for name in NAMES:
                getattr(bench.machine, name)[:] = bench.found[name]
            await bench.check(**{**beat, "dram_offset": 2 * BEAT_BYTES * wait, "local_address": BEAT_BYTES * wait})
    bench.board.close()


@cocotb.test()
async def takes_no_third(dut):
    """Two instructions in flight: the next one waits until one of them is done, however long that takes."""
    bench = Bench(dut, quiet=True)
    await clocking.start(dut)
    bench.blocked = True
    await RisingEdge(dut.clk_i)
    dut.instr_valid_i.value = 1
    loads = [
        pack("load", bytes=64, count_1=1, count_2=1, count_3=1, destination=destination, dram_offset=64 * destination)
        for destination in LoadDestination
    ]
    bench.board.expect(range(len(loads)))
    for number, code in enumerate(loads):
        dut.instr_i.value = int.from_bytes(code, "little")
        if number == 2:
            for _ in range(100):
                await RisingEdge(dut.clk_i)
                assert dut.instr_ready_o.value == 0 and dut.done_o.value == 0
            bench.blocked = False
        await RisingEdge(dut.clk_i)
        await clocking.wait_until(dut, lambda: dut.instr_ready_o.value == 1, 100)
        bench.machine.load(decode(code)[1], bench.memory)
    dut.instr_valid_i.value = 0
    for number in range(1, len(loads)):  # the first was done before the third was taken
        bench.board.observe(number - 1)
        await RisingEdge(dut.clk_i)
        await clocking.wait_until(dut, lambda: dut.done_o.value == 1, 100)
    bench.board.observe(len(loads) - 1)
    for name in NAMES:
        assert np.array_equal(bench.found[name], getattr(bench.machine, name)), name
    bench.board.close()


class Stream:
    """Hands instructions over as `issue` does: a second one while the first is in flight, if it may overlap."""

    def __init__(self, bench):
        self.bench = bench
        self.waiting = []
        self.flying = []  # fields, the older first
        self.most_flying = 0

    def add(self, **fields):
        self.waiting.append(pack("load", **fields))

    async def step(self):
        """One cycle. Returns "done" and the fields completed, or the fault and the fields it is blamed on."""
        dut = self.bench.dut
        await RisingEdge(dut.clk_i)
        event = None
        if dut.fault_o.value == 1:
            blamed = self.flying[0 if dut.fault_older_o.value == 1 else -1]
            event = Fault(int(dut.fault_cause_o.value)), blamed
        if dut.done_o.value == 1:
            assert event is None
            event = "done", self.flying.pop(0)
        if dut.instr_valid_i.value == 1 and dut.instr_ready_o.value == 1:
            self.flying.append(decode(self.waiting.pop(0))[1])
            self.most_flying = max(self.most_flying, len(self.flying))
        code = self.waiting[0] if self.waiting else bytes(64)
        fields = decode(code)[1]
        # done_o of the coming cycle is not known yet: one cycle later than issue where an instruction may not overlap.
        free = not self.flying or (len(self.flying) == 1 and fields["overlap"])
        dut.instr_valid_i.value = int(bool(self.waiting) and free)
        dut.instr_i.value = int.from_bytes(code, "little")
        return event


@cocotb.test()
async def two_instructions_in_flight(dut):
    bench = Bench(dut)
    await clocking.start(dut)
    stream = Stream(bench)
    previous = None
    count = 40
    for _ in range(count):
        overlap = int(bench.rng.random() < 0.8)
        # What overlaps must not write where the one before it writes: here, another memory.
        destination = LoadDestination(bench.rng.choice([d for d in LoadDestination if d != previous]))
        skip, queue = int(bench.rng.random() < 0.2), int(bench.rng.integers(bench.configuration.experts))
        stream.add(**bench.random_load(destination), overlap=overlap, skip_if_empty=skip, queue=queue)
        previous = destination
    clocking.watch_progress(dut, lambda: bench.grants)
    bench.board.expect([Fault.NONE] * count)
    while stream.waiting or stream.flying:
        event = await stream.step()
        if event is not None:
            assert event[0] == "done", f"{event}"
            bench.board.observe(Fault.NONE)
            bench.machine.load(event[1], bench.memory)
            name = LoadDestination(event[1]["destination"]).name.lower()
            assert np.array_equal(bench.found[name], getattr(bench.machine, name)), f"{name} differs after {event[1]}"
    for name in NAMES:
        assert np.array_equal(bench.found[name], getattr(bench.machine, name))
    assert stream.most_flying == 2
    bench.board.close()


@cocotb.test()
async def faults_name_the_right_instruction(dut):
    """Two instructions in flight, one of which is wrong; the other one is tag 1, the wrong one tag 2."""
    bench = Bench(dut)
    await clocking.start(dut)
    one = {"count_1": 1, "count_2": 1, "count_3": 1}
    long = {**one, "bytes": 4096, "space": Space.CONSTANT, "destination": LoadDestination.WEIGHT}
    wrong_address = {**one, "bytes": 16, "local_address": bench.configuration.act_bytes, "overlap": 1}
    cases = [
        # the two instructions; where the bus errs; cause
        ([{**long, "tag": 1}, {**wrong_address, "tag": 2}], None, Fault.ADDRESS),
        ([{**long, "tag": 2}, {**long, "dram_offset": 4096, "overlap": 1, "tag": 1}], 4000, Fault.AXI_READ),
        ([{**long, "tag": 1}, {**long, "dram_offset": 4096, "overlap": 1, "tag": 2}], 4096, Fault.AXI_READ),
    ]
    for before in (0, 1):  # so many good ones before them: either may be the even one
        for instructions, error_at, cause in cases:
            stream = Stream(bench)
            for _ in range(before):
                stream.add(**one, bytes=16)
            for fields in instructions:
                stream.add(**fields)
            bench.axi.error_address = None if error_at is None else CONSTANT_BASE + error_at
            bench.board.expect([(cause, 2)])
            event = None
            while event is None or event[0] == "done":
                event = await stream.step()
            bench.board.observe((event[0], event[1]["tag"]))
            dut.instr_valid_i.value = 0
            await bench.unit.recover()
            for name in NAMES:
                getattr(bench.machine, name)[:] = bench.found[name]
            bench.axi.error_address = None
            await bench.check(**bench.random_load())
    bench.board.close()


@cocotb.test()
async def short_runs_keep_the_bus_busy(dut):
    bench = Bench(dut, quiet=True, latency=LATENCY)
    await clocking.start(dut)
    # A word for the activation memory, here as wide as a beat, takes two cycles.
    for destination, cycles in ((LoadDestination.WEIGHT, 1), (LoadDestination.ACT, 2)):
        await short_runs(bench, destination, cycles * 8192 // BEAT_BYTES + LATENCY + 20)
    bench.board.close()


async def short_runs(bench, destination, cycles):
    for run_bytes in (64, 1024):
        runs = 8192 // run_bytes
        outcome = await bench.check(
            destination=destination, bytes=run_bytes, count_1=runs, count_2=1, count_3=1,
            dram_stride_1=run_bytes, local_stride_1=run_bytes,
        )  # fmt: skip
        assert outcome.cycles <= cycles, (
            f"{outcome.cycles} cycles for {8192 // BEAT_BYTES} beats in runs of {run_bytes}"
        )


@pytest.mark.parametrize("configuration", ["tiny", "zcu104"])
@pytest.mark.parametrize("seed", range(2), ids=lambda s: f"seed{s}")
def test_load(configuration, seed):
    sizes = load_configuration(configuration)
    parameters = unit_parameters(
        sizes, "load_ports", "tile_columns", "tile_depth", "act_bytes", "weight_bytes", "experts"
    )
    plusargs = {"configuration": configuration}
    assert run_module_test("load_pins", __name__, parameters=parameters, plusargs=plusargs, seed=seed) == 12
