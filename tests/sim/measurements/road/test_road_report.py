"""The report, on random bundles: every figure against one worked out by hand, on machines whose faults are known."""

from __future__ import annotations

import base64
import dataclasses
import io
import itertools
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from moesaic.errors import UserError
from moesaic.hls.compiler.generate import generate
from moesaic.host.png import decode_png
from moesaic.model.quantisation.integer import IntegerNetwork
from moesaic.sim.machines.csim import CsimExecutor
from moesaic.sim.measurements.road.comparison import Subject, measure
from moesaic.sim.measurements.road.demo import show_report
from moesaic.sim.measurements.road.figures import disagreements, figures
from moesaic.sim.measurements.road.inputs import Sample, photographs, read_samples, rendered_scenes
from moesaic.sim.measurements.road.road_page import report_page
from moesaic.sim.measurements.road.road_report import write_report
from moesaic.spec.bundle import Bundle
from moesaic.spec.clock import CLOCK_HZ
from moesaic.spec.configuration import load_configuration
from moesaic.spec.executor import Counters, Memory, Program
from moesaic.spec.machine import ReferenceMachine
from moesaic.spec.registers import COUNTERS
from tests.hls.networks import SMALL, network, picture

TINY = load_configuration("tiny")
PICTURES = 2
TASKS = 3


class Clocked(ReferenceMachine):
    """A reference machine with a clock: base cycles per array cycle, and some more when the program is not the one before.

    flip: byte of the frame window that each run inverts, or None.
    """

    def __init__(self, switch_cycles: int = 0, flip: int | None = None) -> None:
        super().__init__(TINY)
        self.switch_cycles, self.flip, self.before = switch_cycles, flip, None

    def run(self, program: Program, memory: Memory, max_cycles: int) -> Counters:
        counted = super().run(program, memory, max_cycles)
        if self.flip is not None:
            memory.frame[self.flip] ^= 0xFF
        cycles = 2 * counted["matmul_array"] + (self.switch_cycles if self.before not in (None, program) else 0)
        self.before = program
        return {**dict.fromkeys((name for name, _ in COUNTERS), 3), **counted, "cycles": cycles}


@pytest.fixture(scope="module")
def subject() -> Subject:
    bundle = network(SMALL, 4)
    tasks = {
        name: dataclasses.replace(task, metrics={"metric": "made up", "float": 0.5, "integer": 0.25})
        for name, task in bundle.tasks.items()
    }
    bundle = Bundle("random", bundle.architecture, tasks, bundle.tensors, {}, report={"router_topk_agreement": 0.875})
    truth = {"depth": np.full((32, 32), 2.0, np.float32), "normals": np.full((32, 32, 3), 0.577, np.float32)}
    samples = [
        Sample("noise", "random", picture(SMALL, 0)),
        Sample("more noise", "random", picture(SMALL, 1), truth),
    ]

    def float_network(image: np.ndarray, task: str) -> np.ndarray:
        integers = IntegerNetwork(bundle.architecture, bundle.tasks, bundle.tensors).run(image[None], task)[0]
        return integers * bundle.tasks[task].output_scale

    return Subject(bundle, generate(bundle, TINY), samples, generate(bundle, TINY, observe=True), float_network)


def run(subject: Subject, **machine) -> tuple:
    measured = measure(subject, {"emulator": lambda: CsimExecutor(TINY), "rtl": lambda: Clocked(**machine)})
    return measured, figures(measured)


def test_figures_are_those_of_the_runs(subject: Subject) -> None:
    measured, report = run(subject)
    assert disagreements(report) == []
    assert report["fingerprint"] == TINY.fingerprint and report["router_topk_agreement"] == 0.875
    assert report["executors"]["rtl"]["frames"] == 2 * PICTURES * TASKS
    assert report["executors"]["emulator"]["compared_bytes"] == PICTURES * TASKS * subject.build.frame_bytes
    arrays = {
        name: [r.counters["matmul_array"] for r in measured.streams["reference"] if r.task == name]
        for name in report["tasks"]
    }
    assert report["executors"]["rtl"]["cycles"] == 4 * sum(map(sum, arrays.values()))
    for name, task in report["tasks"].items():
        cycles = round(2 * sum(arrays[name]) / PICTURES)
        assert (task["float"], task["integer"], task["metric"]) == (0.5, 0.25, "made up")
        assert task["rtl"]["cycles"] == cycles and task["rtl"]["busy_cycles"]["softmax"] == 3
        assert task["rtl"]["utilisation"] == subject.build.tasks[name].macs / (cycles * TINY.macs_per_cycle)
        assert task["rtl"]["milliseconds_at_assumed_clock"] == 1e3 * cycles / CLOCK_HZ
    assert report["integer_network"]["layers_compared"] == TASKS * (4 + 7 + 7 + 3)
    assert json.loads(json.dumps(report)) == report


def test_tasks_alternate_from_frame_to_frame(subject: Subject) -> None:
    measured, report = run(subject)
    for records in measured.streams.values():
        assert all(a.task != b.task for a, b in itertools.pairwise(records))
    order = [record.task for record in measured.consecutive]
    assert sum(a != b for a, b in itertools.pairwise(order)) == TASKS - 1
    assert report["task_switch"]["task_changes"] == PICTURES * TASKS - 1


@pytest.mark.parametrize("cost", [0, 7, 1000])
def test_what_a_change_of_task_costs_is_measured(subject: Subject, cost: int) -> None:
    _, report = run(subject, switch_cycles=cost)
    fewer = (PICTURES * TASKS - 1) - TASKS  # the second stream starts with a change too
    assert report["task_switch_extra_cycles"] == fewer * cost
    assert report["task_switch"]["largest_frame_difference"] == cost


@pytest.mark.parametrize("byte", [0, -1], ids=["image", "free memory"])
def test_one_wrong_byte_anywhere_is_found(subject: Subject, byte: int) -> None:
    measured, report = run(subject, flip=byte)
    assert report["executors"]["rtl"]["mismatched_bytes"] == 2 * PICTURES * TASKS
    assert disagreements(report) == [f"rtl: {2 * PICTURES * TASKS} bytes differ from the reference machine"]
    document = report_page(measured, report)
    assert 'class="bad"' in document and "bit for bit" not in document
    assert f"no: rtl: {2 * PICTURES * TASKS} bytes differ" in document


def test_an_integer_network_that_is_not_the_machines_is_found(subject: Subject) -> None:
    tensors = {**subject.bundle.tensors}
    tensors["blocks.1.experts.3.down.bias"] = tensors["blocks.1.experts.3.down.bias"] + 9000
    measured = measure(dataclasses.replace(subject, bundle=dataclasses.replace(subject.bundle, tensors=tensors)), {})
    report = figures(measured)
    assert report["integer_network"]["mismatched_outputs"] > 0
    layers = report["integer_network"]["mismatched_elements_per_layer"]["normals"]
    assert layers["blocks.1.output"] > 0 and layers["blocks.1.router"] == 0 and len(disagreements(report)) > 1


def test_expert_usage_counts_every_choice_of_every_token(subject: Subject) -> None:
    usage = run(subject)[1]["expert_usage"]
    kept = {"normals": (0, 1, 2, 3), "segmentation": (1, 3), "depth": (3,)}
    for task, blocks in usage.items():
        assert set(blocks) == {"1"}
        choices = PICTURES * SMALL.tokens * subject.bundle.tasks[task].top_k
        assert sum(blocks["1"]) == choices and max(blocks["1"]) <= PICTURES * SMALL.tokens
        assert all(count == 0 for expert, count in enumerate(blocks["1"]) if expert not in kept[task])


def test_without_rtl_nothing_about_cycles_is_claimed(subject: Subject) -> None:
    measured = measure(dataclasses.replace(subject, float_network=None, observed=None), {})
    report = figures(measured)
    assert report["task_switch_extra_cycles"] is None and all(task["rtl"] is None for task in report["tasks"].values())
    assert "Not measured: this run had no RTL simulation." in report_page(measured, report)


def test_the_terminal_has_the_figures_of_the_page(subject: Subject) -> None:
    measured, report = run(subject)
    console = Console(file=io.StringIO(), width=80)
    show_report(report, console)
    text, document = console.file.getvalue(), report_page(measured, report)
    for name, task in report["tasks"].items():
        assert name in text
        for figure in (f"{task['rtl']['cycles']:,}", f"{100 * task['rtl']['utilisation']:.1f} %"):
            assert figure in text and f">{figure}</td>" in document
    for values in report["executors"].values():
        assert f"{values.get('compared_bytes', 0):,}" in text or "compared_bytes" not in values
    assert "changes of task cost +0 cycles" in text


class Page(HTMLParser):
    """Checks nesting; collects pictures by caption and text by section title."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.images: list[np.ndarray] = []
        self.captions: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "link", "iframe")
        if tag == "img":
            kind, data = dict(attrs)["src"].split(",", 1)
            assert kind == "data:image/png;base64"
            self.images.append(decode_png(base64.b64decode(data)))
            self.captions.append(dict(attrs)["alt"])
        elif tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_page_is_self_contained_and_shows_every_prediction(subject: Subject, tmp_path: Path) -> None:
    measured, _ = run(subject)
    report = write_report(measured, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["report.html", "report.json"]
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report
    html = (tmp_path / "out" / "report.html").read_text()
    assert not re.search(r"https?://|url\(|@import", html)
    parsed = Page()
    parsed.feed(html)
    assert parsed.open == []
    assert parsed.captions.count("input") == PICTURES
    assert parsed.captions.count("ground truth") == 2
    for column in ("float", "integer", "rtl"):
        assert parsed.captions.count(column) == PICTURES * TASKS
    by_caption = [
        [i for i, c in zip(parsed.images, parsed.captions) if c == name] for name in ("float", "integer", "rtl")
    ]
    for in_float, integer, rtl in zip(*by_caption):
        assert np.array_equal(integer, rtl) and np.array_equal(in_float, rtl)
    for words in ("assumed", "place and route", "power", TINY.fingerprint, "noise: random", "block 1"):
        assert words in parsed.text


def test_names_are_escaped(subject: Subject) -> None:
    hostile = dataclasses.replace(subject.build, name="<script>alert(1)</script>")
    measured = measure(dataclasses.replace(subject, build=hostile), {})
    parsed = Page()
    parsed.feed(report_page(measured, figures(measured)))
    assert "<script>alert(1)</script>" in parsed.text


def test_the_page_of_a_network_without_truth_metrics_or_experts(tmp_path: Path) -> None:
    from tests.hls.networks import DENSE

    bundle = network(DENSE, 0)
    bare = Subject(bundle, generate(bundle, TINY), [Sample("noise", "random", picture(DENSE, 0))])
    report = write_report(measure(bare, {"rtl": Clocked}), tmp_path)
    assert disagreements(report) == [] and report["router_topk_agreement"] is None
    assert "Expert usage" not in (tmp_path / "report.html").read_text()


def test_a_build_of_another_bundle_is_refused_with_both_named(subject: Subject) -> None:
    other = dataclasses.replace(subject.build, tasks={"edges": subject.build.tasks["depth"]}, name="other-tiny")
    with pytest.raises(
        UserError, match=r"build other-tiny \(tasks edges, 32 x 32\) was not made from bundle random \(tasks depth"
    ):
        measure(dataclasses.replace(subject, build=other), {})


def test_a_machine_of_another_configuration_is_refused_with_both_fingerprints(subject: Subject) -> None:
    other = dataclasses.replace(TINY, name="other", tile_rows=8)
    with pytest.raises(UserError, match=f"{TINY.fingerprint}, the emulator executor has {other.fingerprint}"):
        measure(subject, {"emulator": lambda: ReferenceMachine(other)})


def test_photographs_are_real_and_fill_the_picture() -> None:
    found = photographs(64, 96)
    assert len(found) >= 2
    for shown in found:
        assert (
            shown.image.shape == (64, 96, 3)
            and shown.image.dtype == np.uint8
            and shown.image.std() > 20
            and not shown.truth
        )


def test_rendered_scenes_bring_their_ground_truth() -> None:
    (scene,) = rendered_scenes(1, 32, 48)
    assert {name: truth.shape for name, truth in scene.truth.items()} == {
        "segmentation": (32, 48), "depth": (32, 48), "normals": (32, 48, 3),
        "edges": (32, 48), "parts": (32, 48), "saliency": (32, 48),
    }  # fmt: skip


def test_pictures_from_files_of_equal_names_stay_apart(tmp_path: Path) -> None:
    from moesaic.host.image_files import write_picture

    paths = [tmp_path / "a" / "x.png", tmp_path / "b" / "x.png", tmp_path / "y.png"]
    for path in paths:
        write_picture(path, picture(SMALL, 0))
    shown = read_samples(paths, 32, 32)
    assert [one.name for one in shown] == ["x (1)", "x (2)", "y"]
    assert [one.origin for one in shown] == ["x.png", "x.png", "y.png"]  # a report tells nobody's directories
