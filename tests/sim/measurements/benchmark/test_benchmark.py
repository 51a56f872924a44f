"""The benchmark: a small network on the tiny configuration, its account of cycles, what is kept, the page, wrong arguments."""

from __future__ import annotations

import dataclasses
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from moesaic.caches import cache_directory
from moesaic.campaign.workers import in_this_process
from moesaic.command_line import EXIT_USER_ERROR, main
from moesaic.errors import InternalError, UserError
from moesaic.hls.compiler.schedule import Schedule
from moesaic.model.network.vit import M3ViT
from moesaic.model.quantisation.integer import IntegerNetwork
from moesaic.model.recipes.recipe import ModelConfiguration, TaskConfiguration
from moesaic.sim.machines.recorder import EVENT, Kind, State
from moesaic.sim.measurements.benchmark import measurement
from moesaic.sim.measurements.benchmark import source_hashes as sources
from moesaic.sim.measurements.benchmark.account import CAUSES, Product, array_account
from moesaic.sim.measurements.benchmark.asked import asked_figures
from moesaic.sim.measurements.benchmark.bundles import frame_recipe
from moesaic.sim.measurements.benchmark.cases import (
    ALL_OFF,
    ALL_ON,
    BYTES_PER_CYCLE,
    DRAM_PART,
    FRAMES,
    PARTS,
    Case,
    Frame,
    ablation_cases,
    chosen_cases,
    chosen_frames,
    dram_cases,
    joint_frame,
    scaling_cases,
)
from moesaic.sim.measurements.benchmark.limits import cycle_limit, encoder_macs, encoder_weight_bytes
from moesaic.sim.measurements.benchmark.measurement import Run, prepare, switch_cost
from moesaic.sim.measurements.benchmark.session import Session
from moesaic.sim.measurements.benchmark.summary import show
from moesaic.sim.measurements.benchmark.technique_resources import synthesised_modules, technique_cost
from moesaic.sim.measurements.synthesis.synthesised_sources import synthesised_hash
from moesaic.sim.measurements.timeline.timeline import Timeline
from moesaic.spec.bundle import Task
from moesaic.spec.clock import CLOCK_HZ
from moesaic.spec.configuration import load_configuration
from moesaic.spec.isa import FAULT_UNIT_NAMES, Unit, pack, semaphore
from moesaic.spec.joint_programs import one_picture, one_task
from tests.hls.networks import FOUR_BITS, SMALL, network, picture

TINY, ZCU104, FULL = (load_configuration(name) for name in ("tiny", "zcu104", "zcu104-full"))
FRAME = Frame("small", 32, 32, ("normals", "depth", "normals", "depth", "depth"), asked={"tiny": 10**6})
CASES = (
    Case("frames", "", FRAME, TINY, csim=True),
    Case("ablation", ALL_ON, FRAME, TINY, csim=True),
    Case("ablation", "prefetch", dataclasses.replace(FRAME, sequence=("normals",)), TINY, Schedule(prefetch=False)),
    Case(
        "scaling",
        "8 B/cycle",
        dataclasses.replace(FRAME, sequence=("depth",)),
        TINY,
        bytes_per_cycle=8.0,
        series="DRAM",
    ),
    *dram_cases(TINY, [FRAME], "ddr4-2133"),
    Case(
        "joint",
        "two tasks",
        joint_frame("small", 32, 32, one_picture(("normals", "depth")), {"tiny": 10**6}),
        TINY,
        csim=True,
    ),
    Case("joint", "three pictures", joint_frame("small", 32, 32, one_task("depth", 3), {"tiny": 1}), TINY, csim=True),
    Case("joint", "4-bit experts", dataclasses.replace(FRAME, sequence=("normals",), expert_bits=4), TINY, csim=True),
)


class Networks:
    """The small network for any frame, with 4-bit experts where the frame has them. wrong: golden output that no machine computes."""

    def __init__(self, wrong: bool = False) -> None:
        self.bundle, self.four_bits = (self._bundle(architecture, wrong) for architecture in (SMALL, FOUR_BITS))

    @staticmethod
    def _bundle(architecture, wrong):
        bundle = network(architecture, 5)
        integers = IntegerNetwork(bundle.architecture, bundle.tasks, bundle.tensors)
        bundle.golden["image"] = picture(SMALL, 5)
        for task in bundle.tasks:
            bundle.golden[f"{task}/output"] = integers.run(bundle.golden["image"][None], task)[0] + wrong
        return bundle

    def get(self, frame):
        return self.four_bits if frame.expert_bits == 4 else self.bundle

    def float_network(self, frame):
        torch.manual_seed(5)
        tasks = tuple(TaskConfiguration(name, task.channels) for name, task in self.bundle.tasks.items())
        sizes = {field.name: getattr(SMALL, field.name) for field in dataclasses.fields(SMALL)}
        known = {field.name for field in dataclasses.fields(ModelConfiguration)}
        return M3ViT(ModelConfiguration(**{n: v for n, v in sizes.items() if n in known}, tasks=tasks)).eval()


@pytest.fixture(scope="module", autouse=True)
def sources_at_rest():
    """Somebody may be editing while the tests run; what a change does has tests of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("moesaic.sim.measurements.benchmark.session.sources_hash", lambda: "sources")
        patch.setattr("moesaic.sim.measurements.benchmark.session.read_hash", lambda: "read")
        yield


@pytest.fixture(scope="module")
def networks():
    return Networks()


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return tmp_path_factory.mktemp("bench")


def session(output: Path, networks: Networks, console: Console | None = None) -> Session:
    return Session(
        output,
        networks,
        console or Console(file=io.StringIO()),
        synthesis=output / "resources.json",
        simulators=cache_directory("simulators"),
        measurements=output / "measurements",
        workers=in_this_process(),
    )


@pytest.fixture(scope="module")
def document(networks, output):
    return session(output, networks).run(CASES)


def test_figures_of_a_frame(document, networks):
    (entry,) = document["frames"]
    assert (entry["model"], entry["input"], entry["asked"]) == ("small", "32x32", 10**6)
    assert entry["mismatched_bytes"] == entry["emulator_mismatched_bytes"] == entry["integer_network_mismatches"] == 0
    assert entry["compared_bytes"] > 5 * 32 * 32 * 4
    assert 0 < entry["limit"] < entry["cycles"] < entry["total_cycles"] == entry["counters"]["cycles"]
    assert entry["head_cycles"] == entry["total_cycles"] - entry["cycles"]
    assert entry["ratio"] == pytest.approx(entry["cycles"] / entry["limit"], rel=1e-3)
    assert entry["mac_utilisation"] == entry["macs"] / (entry["cycles"] * TINY.macs_per_cycle)
    dsp = entry["estimated_resources"]["dsp"]
    assert entry["gops_per_dsp"] == pytest.approx(2 * entry["macs"] / (entry["cycles"] / CLOCK_HZ) / 1e9 / dsp)
    assert entry["weight_bytes"] < entry["dram_bytes"] < entry["total_dram_bytes"]
    slowest = max(entry["runs"], key=lambda run: run["cycles"])
    assert (entry["task"], entry["cycles"]) == (slowest["task"], slowest["cycles"])
    assert [run["task"] for run in entry["runs"]] == list(FRAME.sequence)
    assert entry["task_switch"]["task_changes"] >= 2
    assert entry["task_switch"]["extra_cycles"] == entry["task_switch"]["largest"] == 0


def test_units_and_account_add_up(document):
    for part in ("frames", "ablation", "scaling", "dram", "joint"):
        for entry in document[part]:
            assert set(entry["array"]) == set(CAUSES)
            assert sum(entry["array"].values()) == entry["cycles"]
            assert min(entry["array"].values()) >= 0
            assert entry["array"]["useful"] == round(entry["macs"] / TINY.macs_per_cycle)
            assert entry["array"]["dram"] > 0 and entry["array"]["vector"] > 0 and entry["array"]["fetch"] < 500
            assert set(entry["units"]) == set(FAULT_UNIT_NAMES)
            for values in entry["units"].values():
                assert 0 < values["busy"] <= entry["cycles"] or values == entry["units"]["store"]
                assert all(0 <= cycles <= entry["cycles"] for cycles in values["stall"].values())
            matmul = entry["units"]["matmul"]
            array = sum(entry["array"][name] for name in ("useful", "rows", "columns", "depth", "head"))
            assert array + matmul["stall"]["operands"] + matmul["stall"]["drain"] <= matmul["busy"]


def test_slower_machines_are_slower(document):
    (frame,), (on, off), (slow,) = document["frames"], document["ablation"], document["scaling"]
    assert on["cycles"] == frame["cycles"] < off["cycles"]
    assert off["array"]["load"] > on["array"]["load"]
    assert slow["limit"] == round(max(slow["weight_bytes"] / 8.0, slow["macs"] / TINY.macs_per_cycle))
    assert slow["array"]["dram"] > frame["array"]["dram"] and slow["dram_bytes"] < frame["dram_bytes"]
    assert all(entry["estimated_cycles"] > 0 for entry in (frame, on, off, slow))


def test_a_ddr4_costs_other_cycles_and_no_byte(document):
    (frame,), (entry,) = document["frames"], document["dram"]
    assert entry["label"] == "ddr4-2133" and entry["task"] == FRAME.sequence[0]
    assert entry["mismatched_bytes"] == entry["integer_network_mismatches"] == 0
    assert entry["limit"] < entry["cycles"] != frame["cycles"]
    assert entry["bytes_per_cycle"] == 16 * TINY.load_ports


def test_a_joint_entry_says_what_it_is_of(document, networks):
    entry = document["joint"][-1]
    about = ("config", "model", "input", "tasks", "batch", "expert_bits", "experts_kept")
    assert [entry[name] for name in about] == ["tiny", "small", "32x32", ["normals"], 1, 4, SMALL.experts]
    assert entry["cycles_per_picture"] == entry["cycles"] and entry["mismatched_bytes"] == 0
    experts = 2 * SMALL.experts * SMALL.width * SMALL.expert_hidden
    eight_bits = encoder_weight_bytes(SMALL, networks.bundle.tasks, one_picture(["normals"]))
    assert entry["weight_bytes"] == eight_bits - experts // 2
    assert entry["ratio"] == pytest.approx(entry["cycles"] / entry["limit"], rel=1e-3)


def test_entries_of_several_results(document, networks):
    """Figures of the set, those of pictures divided by their number."""
    tasks, pictures, _ = document["joint"]
    alone = {entry["task"]: entry for entry in document["frames"]}
    assert (tasks["task"], tasks["tasks"], tasks["batch"]) == ("normals+depth", ["normals", "depth"], 1)
    assert (pictures["task"], pictures["tasks"], pictures["batch"]) == ("depth of 3 images", ["depth"], 3)
    for entry in (tasks, pictures):
        assert (
            entry["mismatched_bytes"] == entry["emulator_mismatched_bytes"] == entry["integer_network_mismatches"] == 0
        )
        assert sum(entry["array"].values()) == entry["cycles"]
        assert entry["cycles_per_picture"] == round(entry["cycles"] / entry["batch"])
        assert entry["ratio"] == pytest.approx(entry["cycles_per_picture"] / entry["limit"], rel=1e-3)
    results = one_picture(("normals", "depth"))
    assert tasks["macs"] == encoder_macs(SMALL, networks.bundle.tasks, results)
    assert pictures["macs"] == 3 * encoder_macs(SMALL, networks.bundle.tasks, one_picture(["depth"]))
    one = encoder_weight_bytes(SMALL, networks.bundle.tasks, one_picture(["depth"]))
    assert pictures["weight_bytes"] == one < tasks["weight_bytes"]
    assert all(tasks["cycles"] < 2 * entry["cycles"] for entry in alone.values())
    asked = {figure["of"]: figure["met"] for figure in document["asked"] if "per picture" in figure["figure"]}
    assert asked["small 32x32, two tasks, tiny"] and not asked["small 32x32, three pictures, tiny"]


def test_joint_entries_of_another_configuration_are_kept(document, networks, output, tmp_path, monkeypatch):
    kept = document["joint"][-1]
    measured = json.loads((output / "measurements" / f"{kept['key']}.json").read_text())
    other = dataclasses.replace(TINY, name="other", instruction_queue=16)
    of_other = {**measured, "configuration": other.to_dict()}
    monkeypatch.setattr("moesaic.sim.measurements.benchmark.session.measure", lambda *_: of_other)
    (tmp_path / "bench.json").write_text(json.dumps(document))
    found = session(tmp_path, networks).run([dataclasses.replace(CASES[-1], configuration=other)])
    assert [entry["config"] for entry in found["joint"]] == ["tiny", "tiny", "tiny", "other"] and found["frames"] == []


def test_files_say_the_same(document, output):
    assert json.loads((output / "bench.json").read_text()) == document
    page = (output / "index.html").read_text()
    for title in (
        "Frames against",
        "Roofline",
        "Where the array",
        "What each technique",
        "Scaling",
        "What is measured",
    ):
        assert title in page
    assert f"{document['frames'][0]['cycles']:,}" in page and "assumed 300 MHz" in page
    assert not re.search(r'(src|href)="(?!data:)', page), "the page has to be self-contained"
    assert page.count("<svg") == page.count("</svg>") >= 4
    assert not [path for path in output.rglob("*") if path.name.startswith(".")]


def test_the_terminal_has_the_figures_of_the_page(document, output):
    console = Console(file=io.StringIO(), width=80)
    show(document, console)
    text, page = console.file.getvalue(), (output / "index.html").read_text()
    assert max(map(len, text.splitlines())) <= 80
    for part in (*PARTS, DRAM_PART):
        for entry in document[part]:
            cycles = entry.get("cycles_per_picture", entry["cycles"])
            for figure in (f"{cycles:,}", f"{entry['ratio']:.3f}"):
                assert figure in text and f">{figure}</td>" in page
    (entry,) = document["frames"]
    assert f"{100 * entry['mac_utilisation']:.1f} %" in text and "prefetch off" in text


def test_technique_costs_come_from_synthesis_of_the_same_rtl(document, tmp_path):
    kept = tmp_path / "resources.json"
    amounts = {"dsp": 0, "bram36": 32.0, "uram": 0, "lut": 1207, "ff": 320, "carry4": 80}
    written = {
        "fingerprint": TINY.fingerprint,
        "sources": synthesised_hash(),
        "modules": [{"module": "moesaic_expert_queue", "own": amounts}],
    }
    kept.write_text(json.dumps(written))
    modules = synthesised_modules(TINY, kept)
    on = document["ablation"][0]
    assert (
        technique_cost({"label": "patch reordering"}, on, modules)
        == "32 BRAM36, 1,207 LUT, 320 FF (moesaic_expert_queue)"
    )
    assert "order of instructions" in technique_cost(document["ablation"][1], on, modules)
    for other in ({"fingerprint": ZCU104.fingerprint}, {"sources": "of other RTL"}, {"modules": None}):
        kept.write_text(json.dumps({**written, **other}))
        assert synthesised_modules(TINY, kept) is None
    assert synthesised_modules(TINY, tmp_path / "missing.json") is None
    assert "moesaic resources" in technique_cost({"label": "patch reordering"}, on, None)


def test_finished_cases_are_kept(document, networks, output, monkeypatch):
    kept = {path: path.stat().st_mtime_ns for path in (output / "measurements").iterdir()}
    assert len(kept) == 7  # the ablation's "all on" is the frame's own case
    monkeypatch.setattr(
        "moesaic.sim.measurements.benchmark.session.measure", lambda *_: pytest.fail("it was run again")
    )
    again = session(output, networks).run(CASES)
    assert again == document
    assert {path: path.stat().st_mtime_ns for path in (output / "measurements").iterdir()} == kept


def test_entries_of_other_cases_stay_while_the_sources_do(document, networks, output, monkeypatch):
    def run_one():
        return session(output, networks).run(CASES[3:4])

    assert run_one() == document
    monkeypatch.setattr("moesaic.sim.measurements.benchmark.session.sources_hash", lambda: "other")
    alone = run_one()
    assert alone["frames"] == alone["ablation"] == [] and alone["sources"] == "other"
    assert alone["scaling"] == [{**entry, "sources": "other"} for entry in document["scaling"]]
    monkeypatch.undo()
    assert run_one()["scaling"] == document["scaling"]
    session(output, networks).run(CASES)


def test_an_entry_of_other_sources_is_not_kept_though_the_document_says_so(document, networks, output):
    """Entries of one document may be of several states of the sources; each has its own stamp."""
    path = output / "bench.json"
    before = path.read_text()
    written = json.loads(before)
    written["frames"][0]["sources"] = "other"
    path.write_text(json.dumps(written))
    alone = session(output, networks).run(CASES[3:4])
    assert alone["frames"] == [] and alone["ablation"] == document["ablation"]
    path.write_text(before)


def test_no_result_is_kept_of_sources_that_change_meanwhile(networks, tmp_path, monkeypatch):
    """They change while the first of two cases is measured; neither is written under the key of the new ones, nor stamped with it."""
    states = ["before"]
    monkeypatch.setattr("moesaic.sim.measurements.benchmark.session.read_hash", lambda: states[-1])
    monkeypatch.setattr("moesaic.sim.measurements.benchmark.session.measure", lambda *_: states.append("after"))
    with pytest.raises(UserError, match="sources were changed while the benchmark ran"):
        session(tmp_path, networks).run(CASES[2:4])
    written = json.loads((tmp_path / "bench.json").read_text())
    assert len(written["failed"]) == 2 and written["ablation"] == written["scaling"] == []
    assert not (tmp_path / "measurements").exists()


def test_hash_of_what_is_read_later_sees_the_rtl(tmp_path, monkeypatch):
    for name in ("hls/hardware/rtl/a.sv", "hls/a.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("one")
    monkeypatch.setattr(sources, "room_files", lambda pattern: sorted(tmp_path.glob(pattern)))
    before = sources.sources_hash(), sources.read_hash()
    (tmp_path / "hls/a.py").write_text("two")
    assert sources.sources_hash() != before[0] and sources.read_hash() == before[1]
    (tmp_path / "hls/hardware/rtl/a.sv").write_text("two")
    assert sources.read_hash() != before[1]


def test_asked_figures(document, networks, output):
    """What a session says of them, and the limits of each: a figure at its limit is met, one beyond is not."""
    assert document["asked"] == asked_figures({part: document[part] for part in PARTS})
    (entry,) = document["frames"]
    names = [figure["figure"] for figure in document["asked"] if figure["of"] == "small 32x32"]
    assert (
        names[:2] == ["cycles of the encoder", "extra cycles for a change of task"]
        and "estimate against measured cycles" in names
    )

    def states(**changes):
        changed = {**entry, "model": "m3vit_small", "input": "224x224", "build_seconds": 1.0, **changes}
        return {figure["figure"]: figure["met"] for figure in asked_figures({"frames": [changed]})}

    fine = {
        "asked": 1000, "cycles": 1000, "gops_per_dsp": 0.9, "estimated_cycles": 1029, "total_cycles": 2000, "estimated_total_cycles": 1942,
        "emulator_seconds": 0.1, "pytorch_seconds": 0.1,
    }  # fmt: skip
    assert all(states(**fine).values()) and len(states(**fine)) == 6
    assert not states(**{**fine, "cycles": 1001})["cycles of the encoder"]
    assert not states(**{**fine, "gops_per_dsp": 0.899})["GOPS per DSP"]
    assert not states(**{**fine, "task_switch": {"largest": 1}})["extra cycles for a change of task"]
    assert not states(**{**fine, "estimated_cycles": 1032})["estimate against measured cycles"]
    assert not states(**{**fine, "estimated_total_cycles": 1938})["estimate against measured cycles"]
    assert not states(**{**fine, "emulator_seconds": 0.101})["emulator"]
    assert not states(**{**fine, "build_seconds": 601.0})["Verilator build"]
    assert not states(**{**fine, "model": "m3vit_tiny", "simulated_seconds": 181 * len(entry["runs"])})[
        "simulation of a frame"
    ]


def test_missed_figures_are_told_at_the_end(networks, document, output):
    console = Console(file=io.StringIO(), width=300)
    hopeless = dataclasses.replace(CASES[0], frame=dataclasses.replace(FRAME, asked={"tiny": 1}))
    again = session(output, networks, console).run([hopeless])
    assert again["frames"][0]["cycles"] == document["frames"][0]["cycles"]
    assert "missed: cycles of the encoder, small 32x32" in console.file.getvalue()
    assert "<td>at most 1</td><td>8," in (output / "index.html").read_text()
    session(output, networks).run(CASES)


def test_what_a_result_depends_on(networks, monkeypatch):
    case, _, off, _, behind, *_ = CASES
    bundle = networks.bundle
    key = prepare(case, bundle).key
    assert prepare(dataclasses.replace(case, part="scaling", label="other"), bundle).key == key
    others = [off, dataclasses.replace(case, csim=False), dataclasses.replace(case, bytes_per_cycle=8.0), behind]
    others.append(dataclasses.replace(case, configuration=dataclasses.replace(TINY, instruction_queue=16)))
    keys = {key, *(prepare(other, bundle).key for other in others), prepare(case, network(SMALL, 6)).key}
    sources = dict(prepare(case, bundle).build.files)
    sources["rtl/moesaic_matmul.sv"] += b"\n"
    changed = dataclasses.replace(prepare(case, bundle).build, files=sources)
    monkeypatch.setattr(measurement, "generate", lambda *_, **__: changed)
    keys.add(prepare(case, bundle).key)
    assert len(keys) == 8


def test_differing_bytes_are_an_error_after_all_is_written(tmp_path):
    console = Console(file=io.StringIO(), width=200)
    with pytest.raises(InternalError, match=r"small 32x32: \d+ bytes differ"):
        session(tmp_path, Networks(wrong=True), console).run(CASES[2:3])
    (entry,) = json.loads((tmp_path / "bench.json").read_text())["ablation"]
    assert entry["integer_network_mismatches"] > 0 and entry["mismatched_bytes"] == 0
    assert "BYTES DIFFER" in console.file.getvalue()


def test_a_case_that_does_not_fit_leaves_the_others(networks, document, output):
    huge = dataclasses.replace(TINY, weight_bytes=1 << 26)
    with pytest.raises(UserError, match="does not fit"):
        session(output, networks).run([dataclasses.replace(CASES[0], configuration=huge), *CASES])
    written = json.loads((output / "bench.json").read_text())
    assert "does not fit" in written["failed"][0] and written["frames"] == document["frames"]
    assert "does not fit" in (output / "index.html").read_text()


@pytest.mark.parametrize(
    ("frame", "macs", "megabytes", "limit"),
    list(
        zip(
            FRAMES,
            (0.783e9, 2.935e9, 4.606e9, 39.19e9),
            (17.9, 42.8, 42.8, 42.8),
            ((0.42e6, 0.42e6), (1.15e6, 1.00e6), (1.80e6, 1.50e6), (15.3e6, 12.8e6)),
        )
    ),
    ids=lambda value: f"{value.model} {value.input}" if isinstance(value, Frame) else " ",
)
def test_limits_of_the_real_frames(frame, macs, megabytes, limit):
    model = frame_recipe(frame).model
    architecture = model.architecture
    everyone = dict.fromkeys(architecture.moe_blocks, tuple(range(architecture.experts)))
    task = Task("depth", 1, 16, 1.0, architecture.top_k, everyone)
    results = one_picture(["depth"])
    found = (
        encoder_macs(architecture, {"depth": task}, results),
        encoder_weight_bytes(architecture, {"depth": task}, results),
    )
    assert found[0] == pytest.approx(macs, rel=1e-3) and found[1] / 1e6 == pytest.approx(megabytes, abs=0.05)
    for machine, cycles in zip((ZCU104, FULL), limit, strict=True):
        assert cycle_limit(*found, machine, BYTES_PER_CYCLE) == pytest.approx(cycles, rel=5e-3)


def test_limit_is_the_larger_of_two():
    assert cycle_limit(128 * 1000, 1, TINY, 1.0) == 1000
    assert cycle_limit(1, 5000, TINY, 10.0) == 500


def test_cases():
    cases = ablation_cases(ZCU104, FRAMES[0])
    assert [case.label for case in cases] == [
        ALL_ON, "prefetch", "patch reordering", "single-pass softmax", "attention reordering", "table GELU in the drain",
        "unified unit", ALL_OFF
    ]  # fmt: skip
    assert len({(case.schedule, case.configuration) for case in cases}) == len(cases)
    scaling = scaling_cases(ZCU104, FRAMES[0], (6, 10, 24), (64 / 3, BYTES_PER_CYCLE, 64.0))
    assert [case.configuration.macs_per_cycle for case in scaling] == [1536, 2560, 6144, 2560, 2560, 2560]
    assert [case.configuration.load_ports for case in scaling] == [3, 3, 3, 3, 3, 4]
    own = [case for case in scaling if case.frame.sequence == FRAMES[0].sequence]
    assert [case.label for case in own] == ["10 rows", "42.67 B/cycle"]
    swept = chosen_cases(FULL, FRAMES[:1], ("scaling",))
    assert [case.label for case in swept if case.series == "array"] == ["4 rows", "6 rows", "12 rows", "24 rows"]
    assert [frame.input for frame in chosen_frames("m3vit_small", None)] == ["128x256", "224x224", "480x640"]
    only = chosen_cases(ZCU104, chosen_frames("m3vit_small", "224x224"), ("frames", "ablation", "scaling"))
    assert [(case.part, case.frame.input) for case in only] == [("frames", "224x224")]


def run_of(task, before, cycles):
    return Run(task, before, cycles, cycles, 0, 0, 0, 0.0)


def test_cost_of_changing_the_task():
    alternating = [run_of("a", None, 100), run_of("b", "a", 207), run_of("a", "b", 95), run_of("b", "b", 200)]
    assert switch_cost(alternating) == {"task_changes": 2, "extra_cycles": 2, "largest": 7}
    assert switch_cost(alternating[:1]) is None


def events_of(*rows):
    """rows: (cycle, kind, unit, state, array cycles)."""
    events = np.zeros(len(rows), EVENT)
    for index, (cycle, kind, unit, state, array) in enumerate(rows):
        events[index] = (cycle, array, 0, 0, kind, unit, state, 0)
    return events


def test_account_of_made_up_events():
    """A load that the first product waits for, a softmax that the second waits for, one that overlaps; each cause once."""
    load, vector, matmul = Unit.LOAD, Unit.VECTOR, Unit.MATMUL
    from_load, from_vector = (1 << semaphore(unit, matmul) for unit in (load, vector))
    code = b"".join([
        pack("load", signal_mask=from_load), pack("matmul", wait_mask=from_load), pack("softmax", signal_mask=from_vector),
        pack("matmul", wait_mask=from_vector), pack("matmul", overlap=1), pack("matmul"), pack("end"),
    ])  # fmt: skip
    rows = [
        (4, Kind.ACCEPT, load, 0, 0), (5, Kind.ACCEPT, matmul, 0, 0), (6, Kind.TAKE, load, 0, 0), (6, Kind.ACCEPT, vector, 0, 0),
        (6, Kind.STATE, matmul, State.SEMAPHORES, 0), (7, Kind.ACCEPT, matmul, 0, 0), (8, Kind.STATE, load, State.SEMAPHORES, 0),
        (10, Kind.STATE, load, State.DRAM, 0), (15, Kind.ACCEPT, matmul, 0, 0), (20, Kind.DONE, load, 0, 0),
        (20, Kind.STATE, load, State.EMPTY, 0), (21, Kind.TAKE, matmul, 0, 0), (21, Kind.STATE, matmul, State.WORKING, 0),
        (25, Kind.STATE, matmul, State.OPERANDS, 0), (27, Kind.STATE, matmul, State.WORKING, 0),
        (29, Kind.ARRAY, matmul, 0, 0), (37, Kind.DONE, matmul, 0, 8),
        (37, Kind.STATE, matmul, State.SEMAPHORES, 8), (47, Kind.DONE, vector, 0, 8), (47, Kind.TAKE, matmul, 0, 8),
        (47, Kind.STATE, matmul, State.WORKING, 8), (50, Kind.TAKE, matmul, 0, 8),
        (50, Kind.ARRAY, matmul, 0, 8), (54, Kind.STATE, matmul, State.DRAIN, 12),
        (60, Kind.STATE, matmul, State.WORKING, 12), (64, Kind.DONE, matmul, 0, 16), (68, Kind.ARRAY, matmul, 0, 20),
        (70, Kind.DONE, matmul, 0, 20), (75, Kind.ACCEPT, matmul, 0, 20), (76, Kind.TAKE, matmul, 0, 20),
        (82, Kind.ARRAY, matmul, 0, 20), (84, Kind.ARRAY, matmul, 0, 22), (90, Kind.DONE, matmul, 0, 22),
        (99, Kind.END, 0, 0, 22),
    ]  # fmt: skip
    events = events_of(*rows)
    timeline = Timeline(events, code, ("a",))
    c = TINY
    # 8 steps of 2 tiles with half their rows; 8 and 4 steps that are full; 2 steps of which one column is used.
    products = [Product(2, 16, 16), Product(4, 8, 32), Product(4, 8, 16), Product(4, 1, 8)]
    assert [product.steps(c) for product in products] == [8, 8, 4, 2]
    macs = sum(p.rows * p.columns * p.depth for p in products) - 128
    account = array_account(timeline, events, products, c, macs, 99)
    assert sum(account.values()) == 99
    expected = {
        "rows": 4, "columns": 2, "depth": 1, "useful": 15, "load": 10, "dram": 10, "operands": 2, "vector": 10, "drain": 6,
        "fetch": 7, "start": 1 + 4 + 2 + 3 + 1 + 6, "output": 15,
    }  # fmt: skip
    assert {name: account[name] for name in expected} == expected
    with pytest.raises(ValueError, match="3 products but the program has 4"):
        array_account(timeline, events, products[:3], c, macs, 99)
    with pytest.raises(ValueError, match="the array multiplied in 22 cycles, the products take 20"):
        array_account(timeline, events, [*products[:3], Product(0, 1, 8)], c, macs, 99)


def command(*words):
    return main(["bench", *map(str, words)])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--recipe", "m3vit_huge"], "no benchmark of model 'm3vit_huge'; there are m3vit_tiny, m3vit_small"),
        (
            ["--recipe", "m3vit_tiny", "--size", "224x224"],
            "no benchmark of input '224x224' of m3vit_tiny; there are m3vit_tiny",
        ),
        (["--config", "zcu999"], "no hardware configuration at"),
        (["--dram", "ddr5"], "no DDR4 'ddr5': choose ddr4-2133, ddr4-2400"),
        (["--output", "/proc/bench"], "/proc/bench cannot be written"),
    ],
    ids=["model", "input", "configuration", "dram", "output"],
)
def test_wrong_arguments_are_one_line(capsys, words, message):
    assert command(*words) == EXIT_USER_ERROR
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_make_passes_its_variables_on():
    recipe = (Path(__file__).resolve().parents[4] / "Makefile").read_text()
    assert "--recipe $(RECIPE)" in recipe and "--size $(SIZE)" in recipe
