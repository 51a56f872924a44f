"""Timelines: of a real run against the machine's own counters, of made-up events, and as a trace."""

from __future__ import annotations

import gzip
import json
from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import pytest

from moesaic.command_line import EXIT_USER_ERROR, main
from moesaic.hls.compiler.generate import generate
from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY as RTL
from moesaic.sim.machines.recorder import EVENT, SAMPLE_CYCLES, Kind, State
from moesaic.sim.machines.rtl_executor import RtlExecutor
from moesaic.sim.measurements.timeline.timeline import Timeline, build_timeline
from moesaic.sim.measurements.timeline.trace_events import trace_events, write_trace
from moesaic.spec.configuration import load_configuration
from moesaic.spec.executor import MachineFault
from moesaic.spec.isa import FAULT_UNIT_NAMES, FETCH, Unit, pack
from tests.hls.networks import NARROW_HEADS, network, picture

TINY = load_configuration("tiny")
TASK = "normals"


@pytest.fixture(scope="module")
def build():
    return generate(network(NARROW_HEADS, 5), TINY)


@pytest.fixture(scope="module")
def run(build):
    """Timeline, counters and DRAM bytes of the second of two runs in one simulation, which waits for everything once."""
    memory = build.new_memory()
    build.write_image(memory.frame, picture(NARROW_HEADS, 5))
    with RtlExecutor(RTL, TINY, timeline=True) as executor:
        program = build.tasks[TASK].program
        executor.run(program, memory, 10_000_000)
        counters = executor.run(program, memory, 10_000_000)
        waits = "matmul_semaphore", "matmul_operand", "matmul_drain", "load_dram", "store_dram"
        assert min(counters[f"{name}_stall"] for name in waits) > 0
        return build_timeline(executor.events, build, build.task(TASK).program), counters, executor.dram_bytes


def cycles_in(timeline, unit, *states):
    return sum(i.end - i.begin for i in timeline.intervals if i.unit == unit and i.state in states)


def test_it_agrees_with_the_counters(run):
    timeline, counters, dram_bytes = run
    assert timeline.cycles == counters["cycles"]
    assert len(timeline.executions) + 1 == counters["instructions"]  # with `end`
    for unit in Unit:
        assert cycles_in(timeline, unit, State.SEMAPHORES) == counters[f"{unit.name.lower()}_semaphore_stall"]
    assert cycles_in(timeline, Unit.LOAD, State.DRAM) == counters["load_dram_stall"]
    assert cycles_in(timeline, Unit.STORE, State.DRAM) == counters["store_dram_stall"]
    assert cycles_in(timeline, Unit.MATMUL, State.DRAIN) == counters["matmul_drain_stall"]
    assert cycles_in(timeline, Unit.MATMUL, State.OPERANDS) == counters["matmul_operand_stall"]
    executing = State.WORKING, State.DRAM, State.OPERANDS, State.DRAIN
    assert cycles_in(timeline, Unit.MATMUL, *executing) == counters["matmul_busy"]
    assert timeline.total("array_cycles", timeline.cycles) == counters["matmul_array"]
    read, written = timeline.total("bytes_read", timeline.cycles), timeline.total("bytes_written", timeline.cycles)
    assert written == dram_bytes["main_written"] == 16 * counters["write_beats"]
    assert read <= dram_bytes["load_read"] + dram_bytes["main_read"]
    assert read > 0.99 * (dram_bytes["load_read"] + dram_bytes["main_read"])


def test_every_instruction_passes_through_its_unit_in_order(run, build):
    timeline, _, _ = run
    by_unit = defaultdict(list)
    overlapping = 0
    for number, execution in enumerate(timeline.executions):
        assert execution.index == number
        assert execution.name == build.tags[execution.tag]
        assert 0 <= execution.accepted < execution.started < execution.done < timeline.cycles
        by_unit[execution.unit].append(execution)
    assert set(by_unit) == set(Unit)
    for executions in by_unit.values():
        for first, second in pairwise(executions):
            assert first.accepted < second.accepted and first.started < second.started and first.done < second.done
            overlapping += first.done > second.started
            assert second.fields["overlap"] or first.done <= second.started
        for first, third in zip(executions, executions[2:]):
            assert first.done <= third.started
    assert overlapping > 0
    assert timeline.last_done(lambda execution: True) == max(e.done for e in timeline.executions)
    encoder = timeline.last_done(lambda execution: execution.name.startswith("blocks."))
    assert 0 < encoder < timeline.last_done(lambda execution: execution.instruction == "store")


def test_the_account_of_matmul_adds_up(run):
    timeline, counters, _ = run
    account = timeline.matmul_account()
    assert sum(account.values()) == timeline.cycles
    assert (account["array"], account["semaphores"], account["drain"]) == tuple(
        counters[name] for name in ("matmul_array", "matmul_semaphore_stall", "matmul_drain_stall")
    )
    assert min(account.values()) >= 0
    middle = timeline.last_done(lambda execution: execution.name.startswith("blocks."))
    first, second = timeline.matmul_account(0, middle), timeline.matmul_account(middle, timeline.cycles)
    assert {name: first[name] + second[name] for name in account} == account


def check_trace(trace):
    """What the format asks of an event, and that slices of a track do not overlap."""
    slices = defaultdict(list)
    for event in trace["traceEvents"]:
        assert event["ph"] in ("M", "X", "C") and isinstance(event["name"], str) and event["pid"] == 1
        if event["ph"] == "X":
            assert isinstance(event["tid"], int) and isinstance(event["cat"], str)
            assert isinstance(event["ts"], int) and isinstance(event["dur"], int)
            assert event["ts"] >= 0 and event["dur"] > 0
            slices[event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
        if event["ph"] == "C":
            assert event["ts"] >= 0 and all(isinstance(value, int | float) for value in event["args"].values())
    tracks = {e["tid"] for e in trace["traceEvents"] if e["ph"] == "M" and e["name"] == "thread_name"}
    assert set(slices) <= tracks
    for track in slices.values():
        assert all(first[1] <= second[0] for first, second in pairwise(sorted(track)))
    return slices


def test_trace_of_a_run(run, tmp_path):
    timeline, counters, _ = run
    for name in ("trace.json", "trace.json.gz"):
        write_trace(tmp_path / name, timeline, "narrow heads")
    trace = json.loads((tmp_path / "trace.json").read_text())
    assert json.loads(gzip.decompress((tmp_path / "trace.json.gz").read_bytes())) == trace
    check_trace(trace)
    events = trace["traceEvents"]
    names = {e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert {*FAULT_UNIT_NAMES, *(f"{name} stalls" for name in FAULT_UNIT_NAMES)} <= names
    units = Counter(e["cat"] for e in events if e["ph"] == "X")
    expected = Counter(FAULT_UNIT_NAMES[e.unit] for e in timeline.executions)
    assert {name: units[name] for name in expected} == expected
    assert units["fetch"] == len(timeline.executions)
    waited = Counter()
    for event in events:
        if event.get("cat") == "stall":
            waited[event["name"], event["cname"]] += event["args"]["stalled"]
            assert 0 < event["args"]["stalled"] <= event["dur"]
    assert waited["waiting for the drain", "olive"] == counters["matmul_drain_stall"]
    assert waited["waiting for semaphores", "yellow"] == sum(
        counters[f"{unit.name.lower()}_semaphore_stall"] for unit in Unit
    )
    written = [e["args"]["written"] for e in events if e["name"].startswith("DRAM bytes") and e["ph"] == "C"]
    assert len(written) == -(-timeline.cycles // SAMPLE_CYCLES) + 1 and sum(written) > 0


def events_of(*rows):
    """rows: (cycle, kind, unit, state, array cycles)."""
    events = np.zeros(len(rows), EVENT)
    for index, (cycle, kind, unit, state, array) in enumerate(rows):
        events[index] = (cycle, array, 0, 0, kind, unit, state, 0)
    return events


LOADS = b"".join(pack("load", tag=tag) for tag in (0, 1, 0)) + pack("end")


def test_instructions_that_overlap_lie_on_two_tracks():
    load = Unit.LOAD
    timeline = Timeline(
        events_of(
            (1, Kind.ACCEPT, load, 0, 0), (2, Kind.ACCEPT, load, 0, 0), (2, Kind.TAKE, load, 0, 0),
            (3, Kind.ACCEPT, load, 0, 0), (5, Kind.TAKE, load, 0, 0), (9, Kind.DONE, load, 0, 0),
            (9, Kind.TAKE, load, 0, 0), (12, Kind.DONE, load, 0, 0), (15, Kind.DONE, load, 0, 0),
            (20, Kind.END, 0, 0, 0),
        ),
        LOADS, ("a", "b"),
    )  # fmt: skip
    assert [(e.name, e.accepted, e.started, e.done) for e in timeline.executions] == [
        ("a", 1, 2, 9), ("b", 2, 5, 12), ("a", 3, 9, 15)
    ]  # fmt: skip
    slices = check_trace(trace_events(timeline, "overlap"))
    assert slices[1] == [(2, 9), (9, 15)] and slices[2] == [(5, 12)]


def test_stalls_that_follow_closely_are_one_slice():
    load = Unit.LOAD
    timeline = Timeline(
        events_of(
            (10, Kind.STATE, load, State.DRAM, 0), (14, Kind.STATE, load, State.WORKING, 0),
            (20, Kind.STATE, load, State.DRAM, 0), (21, Kind.STATE, load, State.SEMAPHORES, 0),
            (22, Kind.STATE, load, State.DRAM, 0), (30, Kind.STATE, load, State.WORKING, 0),
            (47, Kind.STATE, load, State.DRAM, 0), (50, Kind.STATE, load, State.EMPTY, 0),
            (60, Kind.STATE, FETCH, State.QUEUE_FULL, 0), (100, Kind.END, 0, 0, 0),
        ),
        LOADS, ("a", "b"),
    )  # fmt: skip
    trace = trace_events(timeline, "stalls")
    check_trace(trace)
    stalls = [(e["name"], e["ts"], e["dur"], e["args"]["stalled"]) for e in trace["traceEvents"] if e["ph"] == "X"]
    assert stalls == [
        ("waiting for DRAM", 10, 11, 5), ("waiting for semaphores", 21, 1, 1), ("waiting for DRAM", 22, 8, 8),
        ("waiting for DRAM", 47, 3, 3), ("waiting for a full queue", 60, 40, 40),
    ]  # fmt: skip


def test_account_of_made_up_events():
    matmul = Unit.MATMUL
    timeline = Timeline(
        events_of(
            (10, Kind.STATE, matmul, State.SEMAPHORES, 0), (20, Kind.STATE, matmul, State.WORKING, 0),
            (25, Kind.SAMPLE, 0, 0, 0), (45, Kind.STATE, matmul, State.DRAIN, 20),
            (50, Kind.STATE, matmul, State.OPERANDS, 20), (52, Kind.STATE, matmul, State.EMPTY, 20),
            (60, Kind.END, 0, 0, 20),
        ),
        pack("matmul") + pack("end"), ("a",),
    )  # fmt: skip
    assert timeline.matmul_account() == {
        "array": 20, "semaphores": 10, "operands": 2, "drain": 5, "no_instruction": 18, "fill": 5
    }  # fmt: skip
    assert timeline.matmul_account(35, 47) == {
        "array": 10, "semaphores": 0, "operands": 0, "drain": 2, "no_instruction": 0, "fill": 0
    }  # fmt: skip


def test_events_of_another_program_are_refused():
    rows = [(cycle, Kind.ACCEPT, Unit.LOAD, 0, 0) for cycle in range(4)]
    with pytest.raises(ValueError, match="4 ACCEPT events of LOAD but the program has 3 instructions"):
        Timeline(events_of(*rows, (9, Kind.END, 0, 0, 0)), LOADS, ("a", "b"))
    with pytest.raises(ValueError, match="not those of a whole run"):
        Timeline(events_of(*rows), LOADS, ("a", "b"))


def test_a_run_that_times_out_has_a_timeline(build):
    with RtlExecutor(RTL, TINY, timeline=True) as executor:
        with pytest.raises(MachineFault, match="TIMEOUT"):
            executor.run(build.tasks[TASK].program, build.new_memory(), 3000)
        timeline = build_timeline(executor.events, build, build.task(TASK).program)
    assert 3000 <= timeline.cycles <= 3002
    done = [execution.done is not None for execution in timeline.executions]
    assert 0 < sum(done) < len(done)
    assert any(execution.started is not None and execution.done is None for execution in timeline.executions)
    check_trace(trace_events(timeline, "timeout"))
    with pytest.raises(ValueError, match="did not complete"):
        timeline.last_done(lambda execution: True)


@pytest.fixture(scope="module")
def directory(build, tmp_path_factory):
    directory = tmp_path_factory.mktemp("timeline") / "build"
    build.save(directory)
    return directory


def command(*words):
    return main(["timeline", *map(str, words)])


def test_command(directory, tmp_path, capsys):
    output = tmp_path / "new" / "trace.json"
    assert command(directory, "--task", "depth", "--output", output) == 0
    check_trace(json.loads(output.read_text()))
    assert f"{output}: " in capsys.readouterr().out
    assert [path.name for path in output.parent.iterdir()] == ["trace.json"]


@pytest.mark.slow
def test_command_with_a_waveform(directory, tmp_path, capsys):
    """The simulator for waveforms is a build of its own, which takes more than a minute."""
    from tests.sim.fst import read_fst

    words = directory, "--task", "depth", "--output", tmp_path / "trace.json", "--waveform", tmp_path / "some.fst"
    assert command(*words, "--from", 100, "--to", 250) == 0
    waveform = read_fst(tmp_path / "some.fst")
    assert (waveform.start, waveform.end) == (100_000, 250_500)
    assert "testbench.u_accelerator.u_matmul.instr_i" in waveform.signals
    capsys.readouterr()
    (tmp_path / "some.fst").unlink()
    assert command(*words, "--from", 10**8, "--to", 10**8) == EXIT_USER_ERROR
    assert "--from is 100000000: no waveform" in capsys.readouterr().err
    assert not (tmp_path / "some.fst").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--task", "sleep"], "unknown task 'sleep'; build"),
        (["--task", TASK, "--waveform", "w.fst", "--from", "3"], "--from CYCLE and --to CYCLE go together"),
        (["--task", TASK, "--from", "3", "--to", "4"], "--from CYCLE and --to CYCLE go together"),
        (["--task", TASK, "--waveform", "w.fst", "--from", "5", "--to", "4"], "--from 5 is after --to 4"),
        (["--task", TASK, "--waveform", "w.fst", "--from", "-1", "--to", "4"], "-1 is below 0"),
        (["--task", TASK, "--output", "/proc/no/trace.json"], "/proc/no cannot be written"),
        (["--task", TASK, "--image", "missing.png"], "missing.png cannot be read"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ",
)
def test_wrong_arguments_are_one_line(directory, capsys, words, message):
    assert command(directory, *words) == EXIT_USER_ERROR
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
