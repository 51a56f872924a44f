"""The resources that a technique takes: those of the modules that would not exist without it, as open synthesis counted them."""

from __future__ import annotations

import json
from pathlib import Path

from moesaic.sim.measurements.benchmark.cases import ALL_OFF, ALL_ON, UNIFIED
from moesaic.sim.measurements.synthesis.synthesised_sources import synthesised_hash
from moesaic.spec.configuration import HardwareConfiguration

_MODULES = {
    "patch reordering": ("moesaic_expert_queue",),
    "single-pass softmax": ("moesaic_row_maximum", "moesaic_row_statistics"),
    "table GELU in the drain": ("moesaic_gelu_table",),
}


def synthesised_modules(configuration: HardwareConfiguration, synthesis: Path) -> dict[str, dict[str, float]] | None:
    """The resources of each module by kind (dsp, bram36, lut, ...), summed over its instances, without the modules below it.

    synthesis: the resources.json written by `moesaic resources`. None if that file is missing or unreadable, or was made for another
    configuration or from other RTL.
    """
    try:
        document = json.loads(synthesis.read_text(encoding="utf-8"))
        if (document["fingerprint"], document["sources"]) != (configuration.fingerprint, synthesised_hash()):
            return None
        return {row["module"]: row["own"] for row in document["modules"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def technique_cost(entry: dict, base: dict, modules: dict[str, dict[str, float]] | None) -> str:
    """The resources, in words, of the technique that an entry of the ablation switches off.

    base: the entry with all techniques on. modules: as synthesised_modules returns them.
    """
    label = entry["label"]
    if label in (ALL_ON, ALL_OFF):
        return ""
    if label == UNIFIED:
        two, one = entry["estimated_resources"], base["estimated_resources"]
        saved = (f"{one[kind] - two[kind]:+,} {kind.upper()}" for kind in ("dsp", "bram36", "lut"))
        return f"{', '.join(saved)} against two units (estimated)"
    names = _MODULES.get(label)
    if names is None:
        return "nothing: an order of instructions"
    if modules is None:
        return f"{' and '.join(names)}: not counted, run moesaic resources"
    total = {kind: sum(modules[name][kind] for name in names) for kind in ("dsp", "bram36", "uram", "lut", "ff")}
    amounts = (f"{amount:,g} {kind.upper()}" for kind, amount in total.items() if amount)
    return f"{', '.join(amounts)} ({' and '.join(names)})"
