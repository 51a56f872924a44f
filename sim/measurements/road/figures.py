"""The figures of a report, as stored in report.json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from moesaic.sim.measurements.road.inputs import Sample
from moesaic.sim.measurements.road.queue_usage import ExpertUsage
from moesaic.sim.measurements.road.streams import FrameRecord, mismatched_bytes, switch_cost
from moesaic.spec.board import clock_mhz
from moesaic.spec.build import Build
from moesaic.spec.bundle import Bundle
from moesaic.spec.dram_timing import BEAT_BYTES
from moesaic.spec.isa import UNIT_NAMES
from moesaic.spec.registers import BUSY_NAMES

_STALLS = (
    *(f"{unit}_semaphore_stall" for unit in UNIT_NAMES),
    "load_dram_stall",
    "store_dram_stall",
    "matmul_drain_stall",
)

Predictions = dict[tuple[str, str], np.ndarray]
"""(sample, task) to a network's output, (height, width, channels): real values in float32, or output units in int16."""


@dataclass(frozen=True)
class Measurements:
    """The results of all runs.

    streams: executor name to its frames, run with the tasks alternating; "reference" is always present. usage: see ExpertUsage.
    consecutive: the same frames on the RTL without alternation. floats, integers: predictions of the float and the integer network;
    empty if there was no such network. layer_checks: task to layer to the number of elements in which machine and integer network
    differ. router_topk_agreement: share, 0 to 1, of the choices in which integer and float routers agree; None if unknown.
    """

    bundle: Bundle
    build: Build
    samples: Sequence[Sample]
    streams: dict[str, list[FrameRecord]]
    usage: ExpertUsage
    consecutive: list[FrameRecord] = field(default_factory=list)
    floats: Predictions = field(default_factory=dict)
    integers: Predictions = field(default_factory=dict)
    layer_checks: dict[str, dict[str, int]] = field(default_factory=dict)
    router_topk_agreement: float | None = None

    def output(self, executor: str, sample: str, task: str) -> np.ndarray:
        """The output of an executor for a sample and task, int16 (height, width, channels), in output units."""
        record = next(r for r in self.streams[executor] if (r.sample, r.task) == (sample, task))
        return self.build.read_output(record.frame, task)


def figures(measurements: Measurements) -> dict:
    """The content of report.json, with None for what was not measured. Cycles are integers, ratios lie in 0..1."""
    m = measurements
    switch = switch_cost(m.streams["rtl"], m.consecutive) if m.consecutive else None
    return {
        "name": m.build.name,
        "fingerprint": m.build.fingerprint,
        "configuration": m.build.configuration.to_dict(),
        "assumed_clock_hz": 1e6 * clock_mhz(m.build.configuration),
        "pictures": [{"name": sample.name, "origin": sample.origin} for sample in m.samples],
        "tasks": {name: _task_figures(m, name) for name in m.build.tasks},
        "executors": {name: _executor_figures(m, name) for name in m.streams},
        "integer_network": _integer_network_figures(m),
        "router_topk_agreement": m.router_topk_agreement,
        "task_switch_extra_cycles": switch and switch["extra_cycles"],
        "task_switch": switch,
        "expert_usage": {
            task: {str(block): counts.tolist() for block, counts in blocks.items()} for task, blocks in m.usage.items()
        },
        "estimated_resources": m.build.report.get("resources", {}),
    }


def disagreements(report: dict) -> list[str]:
    """One line for each figure of a report that shows a difference where there must be none; empty if everything agrees."""
    found = [
        f"{name}: {values['mismatched_bytes']} bytes differ from the reference machine"
        for name, values in report["executors"].items()
        if values.get("mismatched_bytes")
    ]
    integer = report["integer_network"]
    if integer["mismatched_outputs"]:
        found.append(f"integer network: {integer['mismatched_outputs']} outputs differ from the reference machine")
    found += [
        f"{task}: {layer} differs from the integer network in {count} elements"
        for task, layers in integer["mismatched_elements_per_layer"].items()
        for layer, count in layers.items()
        if count
    ]
    return found


def _task_figures(m: Measurements, name: str) -> dict:
    task, metrics = m.build.tasks[name], m.bundle.tasks[name].metrics
    result = {
        "float": metrics.get("float"),
        "integer": metrics.get("integer"),
        "metric": metrics.get("metric"),
        "kind": task.kind,
        "macs_per_frame": task.macs,
        "rtl": None,
    }
    records = [record.counters for record in m.streams.get("rtl", ()) if record.task == name]
    if records:
        result["rtl"] = _frame_figures(m.build, records, task.macs)
    return result


def _frame_figures(build: Build, records: list[dict[str, int]], macs: int) -> dict:
    """Means over the frames of a task, from the RTL's counters."""

    def mean(counter: str) -> int:
        return round(sum(record[counter] for record in records) / len(records))

    cycles = mean("cycles")
    return {
        "cycles": cycles,
        "milliseconds_at_assumed_clock": cycles / (1e3 * clock_mhz(build.configuration)),
        "utilisation": macs / (cycles * build.configuration.macs_per_cycle),
        "array_busy": mean("matmul_array") / cycles,
        "instructions": mean("instructions"),
        "busy_cycles": {name: mean(f"{name}_busy") for name in BUSY_NAMES},
        "stall_cycles": {name: mean(name) for name in _STALLS},
        "read_bytes": BEAT_BYTES * mean("read_beats"),
        "write_bytes": BEAT_BYTES * mean("write_beats"),
    }


def _executor_figures(m: Measurements, name: str) -> dict:
    records = m.streams[name] + (m.consecutive if name == "rtl" else [])
    result: dict = {"frames": len(records), "simulation_seconds": sum(record.seconds for record in records)}
    if name != "reference":
        result["mismatched_bytes"] = mismatched_bytes(records, m.streams["reference"])
        result["compared_bytes"] = len(records) * m.build.frame_bytes
    if name == "rtl":
        result["cycles"] = sum(record.counters["cycles"] for record in records)
    return result


def _integer_network_figures(m: Measurements) -> dict:
    wrong = [
        int(np.count_nonzero(values != m.output("reference", sample, task)))
        for (sample, task), values in m.integers.items()
    ]
    return {
        "outputs_compared": sum(values.size for values in m.integers.values()),
        "mismatched_outputs": sum(wrong),
        "layers_compared": sum(len(layers) for layers in m.layer_checks.values()),
        "mismatched_elements_per_layer": m.layer_checks,
    }
