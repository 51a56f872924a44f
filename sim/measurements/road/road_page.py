"""The page of a report: one self-contained HTML file that explains what it shows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from moesaic.host.image_files import encode_png
from moesaic.model.evaluation.accuracy_table import accuracy_table
from moesaic.pages.bars import share_bars
from moesaic.pages.document import cards, heading, page, paragraph, picture, section, verdict
from moesaic.pages.heat_map import heat_map
from moesaic.pages.markup import Markup, element, join
from moesaic.pages.palette import SERIES
from moesaic.pages.tables import Column, Table
from moesaic.sim.measurements.road.figures import Measurements, disagreements
from moesaic.sim.measurements.road.inputs import Sample
from moesaic.sim.measurements.road.rendering import legend, render_row
from moesaic.sim.measurements.road.road_tables import (
    EXECUTORS,
    agreement_table,
    cycles_table,
    integer_network_table,
    proof_table,
)
from moesaic.spec.build import TaskProgram
from moesaic.spec.heads import CLASS, CLASSIFICATION
from moesaic.spec.predictions import decode, top_classes

_BUSY_COLOUR, _WAITING_COLOUR = SERIES[0], SERIES[1]


def report_page(measurements: Measurements, report: dict) -> str:
    """The whole HTML document. report: the figures of `measurements`, see moesaic.sim.measurements.road.figures.figures."""
    return page(
        report["name"],
        _header(measurements, report),
        _predictions(measurements),
        _accuracy(report),
        _experts(measurements),
        _cycles(report),
        _agreement(report),
        _proof(report),
        _configuration(report),
    )


def _header(m: Measurements, report: dict) -> Markup:
    problems = disagreements(report)
    compared = sum(values.get("compared_bytes", 0) for values in report["executors"].values())
    wrong = sum(values.get("mismatched_bytes", 0) for values in report["executors"].values())
    shown: list[tuple[Markup | str, str]] = [
        (verdict(not problems, f"{wrong:,}"), f"bytes differ between executors, {compared:,} compared")
    ]
    measured = [task["rtl"] for task in report["tasks"].values() if task["rtl"]]
    if measured:
        cycles = [task["cycles"] for task in measured]
        utilisation = sum(task["macs_per_frame"] for task in report["tasks"].values()) / (
            sum(cycles) * m.build.configuration.macs_per_cycle
        )
        shown += [
            (f"{sum(cycles) / len(cycles):,.0f}", "cycles per frame, mean over the tasks"),
            (f"{100 * utilisation:.1f} %", "of the array's multiplications used, whole frames"),
        ]
    if report["task_switch_extra_cycles"] is not None:
        changes = report["task_switch"]["task_changes"]
        shown.append((f"{report['task_switch_extra_cycles']:+,}", f"extra cycles for {changes} changes of task"))
    a = m.bundle.architecture
    about = (
        f"A vision transformer with {a.experts} experts (top {a.top_k}) in blocks {', '.join(map(str, a.moe_blocks))} of "
        f"{a.depth}, {a.image_height} x {a.image_width} pixels, {a.tokens} tokens of width {a.width}, running the tasks "
        f"{', '.join(m.build.tasks)} on one accelerator. Everything on this page was measured in one run."
    )
    return join(
        element("h1", report["name"]),
        paragraph(about, "soft"),
        element("p", "Fingerprint of the accelerator: ", element("code", report["fingerprint"])),
        *(paragraph(problem, "bad") for problem in problems),
        cards(shown),
    )


def _predictions(m: Measurements) -> Markup:
    machine = "rtl" if "rtl" in m.streams else list(m.streams)[-1]
    introduction = (
        "What each task makes of each picture: the trained network in floating point, the integer network that it was "
        f'quantised to, and the accelerator ({EXECUTORS.get(machine, machine)}); "Agreement" below says whether they are '
        "equal. The network has seen rendered scenes only: those have ground truth, photographs show what it makes of something "
        "unlike them. All pictures of a row share one colour scale."
    )
    blocks: list[Markup] = []
    for shown in m.samples:
        rows = [_prediction_row(m, shown, task, machine) for task in m.build.tasks]
        blocks += [
            heading(f"{shown.name}: {shown.origin}"),
            element("div", picture(encode_png(shown.image), "input"), element("table", *rows), kind="pictures scroll"),
        ]
    keys = [legend(name, task) for name, task in m.build.tasks.items()]
    return section("Predictions", introduction, *blocks, *keys)


def _prediction_row(m: Measurements, shown: Sample, task: str, machine: str) -> Markup:
    definition, key = m.build.tasks[task], (shown.name, task)
    decoded: dict[str, np.ndarray] = {}
    if definition.kind in shown.truth:
        decoded["ground truth"] = shown.truth[definition.kind]
    if key in m.floats:
        decoded["float"] = decode(definition.kind, m.floats[key], 1.0, CLASS, definition.output)
    if key in m.integers:
        decoded["integer"] = _decoded(definition, m.integers[key])
    decoded[machine] = _decoded(definition, m.output(machine, *key))
    images = render_row(definition, list(decoded.values()))
    captions = [_caption(definition, caption, values) for caption, values in decoded.items()]
    cells = [element("td", picture(encode_png(image), caption)) for caption, image in zip(captions, images)]
    return element("tr", element("th", task), *cells)


def _decoded(task: TaskProgram, raw: np.ndarray) -> np.ndarray:
    return decode(task.kind, raw, task.output_scale, task.pooling, task.output)


def _caption(task: TaskProgram, caption: str, values: np.ndarray) -> str:
    """The caption of a picture; that of a classification names the most probable class."""
    if task.kind != CLASSIFICATION:
        return caption
    (best,) = top_classes(values, task.class_names, 1)
    return f"{caption}: {best.label}, {100 * best.probability:.0f} %"


def _accuracy(report: dict) -> Markup | None:
    table = accuracy_table(report["tasks"])
    if not table.rows:
        return None
    agreement = report["router_topk_agreement"]
    note = (
        ""
        if agreement is None
        else f" Integer and float routers choose the same experts for {100 * agreement:.2f} % of the choices."
    )
    introduction = (
        "On rendered scenes that training never saw: the network in floating point against the same network in integers "
        "(8-bit weights and activations), which is what the accelerator computes." + note
    )
    return section("Accuracy", introduction, table.to_html())


def _experts(m: Measurements) -> Markup | None:
    if not m.bundle.architecture.moe_blocks:
        return None
    columns = [f"{expert}" for expert in range(m.bundle.architecture.experts)]
    parts: list[Markup] = []
    for task, blocks in m.usage.items():
        rows = {f"block {block}": (counts / max(counts.sum(), 1)).tolist() for block, counts in blocks.items()}
        parts += [heading(task), heat_map(rows, "expert", columns)]
    introduction = (
        "Share of the tokens' choices that each expert got, per task and mixture-of-experts layer, over the pictures "
        "above. Each task has a router of its own, so tasks that need different things use different experts; a dot marks "
        "an expert that no token chose or that the task's pathway leaves out."
    )
    return section("Expert usage", introduction, *parts)


def _cycles(report: dict) -> Markup:
    table = cycles_table(report)
    if table is None:
        return section("Cycles", "Not measured: this run had no RTL simulation.")
    parts = [table.to_html()]
    for name, task in report["tasks"].items():
        if task["rtl"]:
            cycles = task["rtl"]["cycles"]
            parts += [
                heading(f"{name}: cycles with an instruction of each class in execution"),
                share_bars(_in_words(task["rtl"]["busy_cycles"]), cycles, _BUSY_COLOUR),
                heading(f"{name}: cycles waiting"),
                share_bars(_in_words(task["rtl"]["stall_cycles"]), cycles, _WAITING_COLOUR),
            ]
    introduction = (
        "Counted by the accelerator's own registers, from start to done, image and weights in DRAM. Utilisation is the "
        "network's multiply-accumulates over cycles times the array's multipliers, so padding and waiting both lower it. "
        "Classes run side by side, so their shares add up to more than 100 %; a wait is not lost if another unit works."
    )
    return section("Cycles", introduction, *parts)


def _in_words(counters: Mapping[str, int]) -> dict[str, int]:
    return {name.replace("_", " "): cycles for name, cycles in counters.items()}


def _agreement(report: dict) -> Markup:
    introduction = (
        "The whole frame memory is compared, free bytes included, which are filled with a pattern beforehand: a stray write "
        "would show. Nothing has a tolerance."
    )
    return section(
        "Agreement", introduction, agreement_table(report).to_html(), integer_network_table(report).to_html()
    )


def _proof(report: dict) -> Markup:
    introduction = "What follows from this run, and what still needs the vendor's tools or a board."
    return section("What this proves, and what not", introduction, proof_table(report).to_html())


def _configuration(report: dict) -> Markup:
    parts = [Table((Column("parameter"), Column("value")), list(report["configuration"].items())).to_html()]
    if report["estimated_resources"]:
        columns = (Column("resource"), Column("estimate before place and route"))
        parts.append(Table(columns, list(report["estimated_resources"].items())).to_html())
    return section("Configuration", "The sizes that are fixed when the accelerator is synthesised.", *parts)
