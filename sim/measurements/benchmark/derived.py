"""Figures derived from measurements and sizes; they are recomputed whenever a result is used, so they are never stale."""

from __future__ import annotations

from moesaic.hls.hardware.resource_estimate import estimate_resources, estimate_resources_of_two_units
from moesaic.sim.measurements.benchmark.cases import ALL_OFF, UNIFIED, Case
from moesaic.sim.measurements.benchmark.limits import cycle_limit, encoder_macs, encoder_weight_bytes
from moesaic.spec.board import clock_mhz
from moesaic.spec.bundle import Bundle


def derived_figures(case: Case, bundle: Bundle, run: str, cycles: int) -> dict:
    """Limit, utilisation and resources of a case, as bench.json has them. cycles: measured for the encoder in the run."""
    c, results = case.configuration, case.frame.results(run)
    clock_hz = 1e6 * clock_mhz(c)
    macs = encoder_macs(bundle.architecture, bundle.tasks, results)
    weight_bytes = encoder_weight_bytes(bundle.architecture, bundle.tasks, results)
    limit = cycle_limit(macs, weight_bytes, c, case.bytes_per_cycle)
    resources = (estimate_resources_of_two_units if case.label in (UNIFIED, ALL_OFF) else estimate_resources)(c)
    return {
        "limit": round(limit),
        "ratio": cycles / limit,
        "asked": case.frame.asked.get(case.configuration.name),
        "macs": macs,
        "weight_bytes": weight_bytes,
        "mac_utilisation": macs / (cycles * c.macs_per_cycle),
        "gops_per_dsp": 2 * macs / (cycles / clock_hz) / 1e9 / resources.dsp,
        "milliseconds_at_assumed_clock": 1e3 * cycles / clock_hz,
        "assumed_clock_hz": clock_hz,
        "macs_per_cycle": c.macs_per_cycle,
        "bytes_per_cycle": case.bytes_per_cycle,
        "estimated_resources": resources.to_dict(),
    }


def joint_figures(case: Case, bundle: Bundle, run: str, figures: dict) -> dict:
    """What bench.json says of a case of the joint part. figures: its other ones; cycles, limit and DRAM bytes are of the whole run.

    Here cycles_per_picture, limit and dram_bytes are per image.
    """
    tasks, pictures = list(dict.fromkeys(name for name, _ in case.frame.results(run))), case.frame.pictures
    return {
        "config": case.configuration.name,
        "tasks": tasks,
        "batch": pictures,
        "expert_bits": case.frame.expert_bits,
        "experts_kept": max(len(experts) for task in tasks for experts in bundle.tasks[task].pathway.values()),
        "cycles_per_picture": round(figures["cycles"] / pictures),
        "limit": round(figures["limit"] / pictures),
        "dram_bytes": round(figures["dram_bytes"] / pictures),
    }


def wrong_bytes(entry: dict) -> int:
    """Number of bytes in which RTL or C++ differs from the reference machine, plus outputs in which that differs from the integer network.

    entry: of bench.json, or as measured.
    """
    return entry["mismatched_bytes"] + (entry["emulator_mismatched_bytes"] or 0) + entry["integer_network_mismatches"]
