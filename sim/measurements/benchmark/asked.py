"""The targets set for the benchmark, each with what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

ESTIMATE_TOLERANCE = 0.03
GOPS_PER_DSP, GOPS_FRAME = 0.9, ("m3vit_small", "224x224")
FRAME_SECONDS, SECONDS_MODEL, BUILD_SECONDS = 180, "m3vit_tiny", 600


def estimate_error(entry: dict) -> float:
    """Relative error of the estimated cycles, signed, for the encoder or the whole frame, whichever is larger.

    entry: of bench.json.
    """
    pairs = ("estimated_cycles", "cycles"), ("estimated_total_cycles", "total_cycles")
    return max((entry[guess] / entry[cycles] - 1 for guess, cycles in pairs), key=abs)


def asked_figures(parts: Mapping[str, Sequence[dict]]) -> list[dict]:
    """Every target for the entries, as {"figure", "of", "asked", "measured", "met"}; "asked" and "measured" are in words.

    parts: the parts of bench.json, name to entries; "frames" must be among them.
    """
    figures = [figure for entry in parts["frames"] for figure in _of_frame(entry)]
    figures += [figure for entry in parts.get("joint", ()) for figure in _of_joint(entry)]
    for entry in (entry for entries in parts.values() for entry in entries):
        of = ", ".join(
            part for part in (f"{entry['model']} {entry['input']}", entry["label"], entry.get("config")) if part
        )
        error = estimate_error(entry)
        figures.append(_figure(
            "estimate against measured cycles", of, f"within {100 * ESTIMATE_TOLERANCE:.0f} %", f"{100 * error:+.2f} %",
            abs(error) <= ESTIMATE_TOLERANCE,
        ))  # fmt: skip
    return figures


def missed(figures: Iterable[dict]) -> list[str]:
    """One line for each target that was missed."""
    return [f"{f['figure']}, {f['of']}: {f['measured']}, asked {f['asked']}" for f in figures if not f["met"]]


def _figure(figure: str, of: str, asked: str, measured: str, met: bool) -> dict:
    return {"figure": figure, "of": of, "asked": asked, "measured": measured, "met": met}


def _of_joint(entry: dict) -> Iterable[dict]:
    if entry["asked"] is not None:
        of = f"{entry['model']} {entry['input']}, {entry['label']}, {entry['config']}"
        cycles, asked = entry["cycles_per_picture"], entry["asked"]
        yield _figure("cycles of the encoder per picture", of, f"at most {asked:,}", f"{cycles:,}", cycles <= asked)


def _of_frame(entry: dict) -> Iterable[dict]:
    of = f"{entry['model']} {entry['input']}"
    if entry["asked"] is not None:
        met = entry["cycles"] <= entry["asked"]
        yield _figure("cycles of the encoder", of, f"at most {entry['asked']:,}", f"{entry['cycles']:,}", met)
    if (entry["model"], entry["input"]) == GOPS_FRAME:
        met = entry["gops_per_dsp"] >= GOPS_PER_DSP
        yield _figure("GOPS per DSP", of, f"at least {GOPS_PER_DSP}", f"{entry['gops_per_dsp']:.3f}", met)
    switch = entry["task_switch"]
    if switch is not None:
        met = switch["largest"] == 0
        yield _figure("extra cycles for a change of task", of, "0", f"{switch['largest']:,} at most", met)
    if entry["model"] == SECONDS_MODEL:
        seconds = entry["simulated_seconds"] / len(entry["runs"])
        yield _figure(
            "simulation of a frame", of, f"at most {FRAME_SECONDS} s", f"{seconds:.0f} s", seconds <= FRAME_SECONDS
        )
    emulator, pytorch = entry["emulator_seconds"], entry["pytorch_seconds"]
    yield _figure(
        "emulator", of, f"at most PyTorch's {1e3 * pytorch:.1f} ms", f"{1e3 * emulator:.1f} ms", emulator <= pytorch
    )
    build = entry["build_seconds"]
    if build is not None:
        yield _figure("Verilator build", of, f"at most {BUILD_SECONDS} s", f"{build:.0f} s", build <= BUILD_SECONDS)
