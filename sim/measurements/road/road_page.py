"""The page of a report: one self-contained HTML file that explains what it shows."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

import numpy as np

from moesaic.sim.measurements.road.figures import Measurements, disagreements
from moesaic.sim.measurements.road.markup import Markup, bars, element, heat_map, picture, table, text
from moesaic.sim.measurements.road.rendering import legend, render_row
from moesaic.sim.measurements.road.streams import Picture
from moesaic.spec.predictions import decode

_EXECUTORS = {
    "reference": "reference machine: what every instruction means, in numpy",
    "csim": "C simulation: the accelerator's C++ under g++",
    "rtl": "RTL simulation: the accelerator's SystemVerilog under Verilator, with a DRAM model",
}


def page(measurements: Measurements, report: dict) -> str:
    """The whole HTML document for measurements and their figures."""
    sections = [
        _header(measurements, report),
        _predictions(measurements),
        _accuracy(report),
        _experts(measurements),
        _cycles(report),
        _agreement(report),
        _proof(report),
        _configuration(report),
    ]
    style = resources.files("moesaic.sim.measurements.road").joinpath("style.css").read_text()
    head = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{text(report["name"])} · moesaic</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>\n{style}</style></head>\n'
    )
    return head + "<body><main>\n" + "\n".join(section for section in sections if section) + "\n</main></body></html>\n"


def _section(title: str, introduction: str, *content: Markup) -> Markup:
    return element("section", element("h2", title), element("p", introduction, kind="soft"), *content)


def _header(m: Measurements, report: dict) -> Markup:
    problems = disagreements(report)
    compared = sum(values.get("compared_bytes", 0) for values in report["executors"].values())
    wrong = sum(values.get("mismatched_bytes", 0) for values in report["executors"].values())
    cards = [
        _card(
            "good" if not problems else "bad", f"{wrong:,}", f"bytes differ between executors, {compared:,} compared"
        ),
    ]
    measured = [task["rtl"] for task in report["tasks"].values() if task["rtl"]]
    if measured:
        cycles = [task["cycles"] for task in measured]
        utilisation = sum(task["macs_per_frame"] for task in report["tasks"].values()) / (
            sum(cycles) * m.build.configuration.macs_per_cycle
        )
        cards += [
            _card("", f"{sum(cycles) / len(cycles):,.0f}", "cycles per frame, mean over the tasks"),
            _card("", f"{100 * utilisation:.1f} %", "of the array's multiplications used, whole frames"),
        ]
    if report["task_switch_extra_cycles"] is not None:
        changes = report["task_switch"]["task_changes"]
        cards.append(
            _card("", f"{report['task_switch_extra_cycles']:+,}", f"extra cycles for {changes} changes of task")
        )
    a = m.bundle.architecture
    about = (
        f"A vision transformer with {a.experts} experts (top {a.top_k}) in blocks {', '.join(map(str, a.moe_blocks))} of "
        f"{a.depth}, {a.image_height} x {a.image_width} pixels, {a.tokens} tokens of width {a.width}, running the tasks "
        f"{', '.join(m.build.tasks)} on one accelerator. Everything on this page was measured in one run."
    )
    notes = [element("p", problem, kind="bad") for problem in problems]
    return Markup(
        element("h1", report["name"])
        + element("p", about, kind="soft")
        + element("p", "Fingerprint of the accelerator: ", element("code", report["fingerprint"]))
        + "".join(notes)
        + element("div", *cards, kind="cards")
    )


def _card(kind: str, value: str, caption: str) -> Markup:
    return element("div", element("b", value, kind=kind), element("span", caption, kind="soft"), kind="card")


def _predictions(m: Measurements) -> Markup:
    machine = "rtl" if "rtl" in m.streams else list(m.streams)[-1]
    introduction = (
        "What each task makes of each picture: the trained network in floating point, the integer network that it was "
        f'quantised to, and the accelerator ({_EXECUTORS.get(machine, machine)}); "Agreement" below says whether they are '
        "equal. The network has seen rendered scenes only: those have ground truth, photographs show what it makes of something "
        "unlike them. All pictures of a row share one colour scale."
    )
    blocks: list[Markup] = []
    for shown in m.pictures:
        rows = [_prediction_row(m, shown, task, machine) for task in m.build.tasks]
        blocks += [
            element("h3", f"{shown.name}: {shown.origin}"),
            element("div", picture(shown.image, "input"), element("table", *rows), kind="pictures scroll"),
        ]
    keys = [legend(name, task) for name, task in m.build.tasks.items()]
    return _section("Predictions", introduction, *blocks, *keys)


def _prediction_row(m: Measurements, shown: Picture, task: str, machine: str) -> Markup:
    definition, key = m.build.tasks[task], (shown.name, task)
    decoded: dict[str, np.ndarray] = {}
    if task in shown.truth:
        decoded["ground truth"] = shown.truth[task]
    if key in m.floats:
        decoded["float"] = decode(definition.kind, m.floats[key], 1.0)
    if key in m.integers:
        decoded["integer"] = decode(definition.kind, m.integers[key], definition.output_scale)
    decoded[machine] = decode(definition.kind, m.output(machine, *key), definition.output_scale)
    images = render_row(definition, list(decoded.values()))
    cells = [element("td", picture(image, caption)) for caption, image in zip(decoded, images)]
    return element("tr", element("th", task), *cells)


def _accuracy(report: dict) -> Markup | None:
    rows = [
        (
            name,
            task["metric"],
            f"{task['float']:.4f}",
            f"{task['integer']:.4f}",
            f"{task['integer'] - task['float']:+.4f}",
        )
        for name, task in report["tasks"].items()
        if task["float"] is not None
    ]
    if not rows:
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
    return _section("Accuracy", introduction, table(("task", "metric", "float", "integer", "difference"), rows))


def _experts(m: Measurements) -> Markup | None:
    if not m.bundle.architecture.moe_blocks:
        return None
    columns = [f"{expert}" for expert in range(m.bundle.architecture.experts)]
    parts: list[Markup] = []
    for task, blocks in m.usage.items():
        rows = {f"block {block}": counts for block, counts in blocks.items()}
        parts += [element("h3", task), heat_map(rows, "expert", columns)]
    introduction = (
        "Share of the tokens' choices that each expert got, per task and mixture-of-experts layer, over the pictures "
        "above. Each task has a router of its own, so tasks that need different things use different experts; a dot marks "
        "an expert that no token chose or that the task's pathway leaves out."
    )
    return _section("Expert usage", introduction, *parts)


def _cycles(report: dict) -> Markup:
    tasks = {name: task for name, task in report["tasks"].items() if task["rtl"]}
    if not tasks:
        return _section("Cycles", "Not measured: this run had no RTL simulation.")
    rows = [
        (
            name, task["rtl"]["cycles"], f"{task['rtl']['milliseconds_at_assumed_clock']:.3f}", task["macs_per_frame"],
            f"{100 * task['rtl']['utilisation']:.1f} %", f"{100 * task['rtl']['array_busy']:.1f} %",
            task["rtl"]["read_bytes"], task["rtl"]["write_bytes"],
        )
        for name, task in tasks.items()
    ]  # fmt: skip
    header = (
        "task", "cycles per frame", f"ms at {report['assumed_clock_hz'] / 1e6:.0f} MHz (assumed)", "MACs per frame", "utilisation",
        "array multiplying", "DRAM bytes read", "DRAM bytes written",
    )  # fmt: skip
    parts = [table(header, rows)]
    for name, task in tasks.items():
        parts += [
            element("h3", f"{name}: cycles with an instruction of each class in execution"),
            bars(task["rtl"]["busy_cycles"], task["rtl"]["cycles"]),
            element("h3", f"{name}: cycles waiting"),
            bars(task["rtl"]["stall_cycles"], task["rtl"]["cycles"], "stall"),
        ]
    introduction = (
        "Counted by the accelerator's own registers, from start to done, image and weights in DRAM. Utilisation is the "
        "network's multiply-accumulates over cycles times the array's multipliers, so padding and waiting both lower it. "
        "Classes run side by side, so their shares add up to more than 100 %; a wait is not lost if another unit works."
    )
    return _section("Cycles", introduction, *parts)


def _agreement(report: dict) -> Markup:
    rows = [
        (
            name, _EXECUTORS.get(name, ""), values["frames"], values.get("compared_bytes"),
            _verdict(values.get("mismatched_bytes")),
            f"{values['simulation_seconds']:.1f} s",
        )
        for name, values in report["executors"].items()
    ]  # fmt: skip
    header = ("executor", "what it is", "frames", "bytes compared", "bytes that differ", "time to simulate")
    integer = report["integer_network"]
    checks = [
        (
            "integer network against reference machine, task outputs",
            integer["outputs_compared"],
            _verdict(integer["mismatched_outputs"]),
        )
    ]
    layers = integer["mismatched_elements_per_layer"]
    if layers:
        wrong = sum(sum(task.values()) for task in layers.values())
        checks.append(("the same, layers of every task", integer["layers_compared"], _verdict(wrong)))
    introduction = (
        "The whole frame memory is compared, free bytes included, which are filled with a pattern beforehand: a stray write "
        "would show. Nothing has a tolerance."
    )
    return _section(
        "Agreement", introduction, table(header, rows), element("p"), table(("chain", "compared", "differ"), checks)
    )


def _verdict(count: int | None) -> Markup:
    if count is None:
        return text("the others are compared with this")
    return element("b", count, kind="bad" if count else "good")


def _proof(report: dict) -> Markup:
    simulated = "rtl" in report["executors"]
    exact = "yes, bit for bit" if simulated else "on the executors above, not on RTL"
    differences = disagreements(report)
    rows = [
        (
            "the integers of every task",
            f"no: {'; '.join(differences)}" if differences else exact,
            "equality of memory",
        ),
        (
            "cycles, utilisation, DRAM traffic",
            "measured in RTL simulation" if simulated else "no",
            "with a DRAM model, not a board's DRAM",
        ),
        ("accuracy in integers", "measured", "on rendered scenes; photographs here have no ground truth"),
        ("clock frequency", "no", "an assumption until place and route has met timing"),
        ("fit in the device", "no", "the resource figures are an estimate before place and route"),
        ("power", "no", "needs a board"),
    ]
    introduction = "What follows from this run, and what still needs the vendor's tools or a board."
    return _section("What this proves, and what not", introduction, table(("statement", "shown here", "remark"), rows))


def _configuration(report: dict) -> Markup:
    sizes = table(("parameter", "value"), list(report["configuration"].items()))
    parts: Sequence[Markup] = [sizes]
    if report["estimated_resources"]:
        resources_table = table(
            ("resource", "estimate before place and route"), list(report["estimated_resources"].items())
        )
        parts = [sizes, element("p"), resources_table]
    return _section("Configuration", "The sizes that are fixed when the accelerator is synthesised.", *parts)
