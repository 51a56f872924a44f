"""Every register has a reset, or stands in registers_without_reset.toml with the reason why it needs none."""

from __future__ import annotations

import shutil
from pathlib import Path

import tomllib

from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY, rtl_parameters
from moesaic.sim.machines.source_closure import source_closure
from moesaic.sim.measurements.synthesis.reset import registers_without_reset
from moesaic.spec.configuration import load_configuration
from tests.verify.mutation.resets import load_resets

TABLE = tomllib.loads(Path(__file__).with_name("registers_without_reset.toml").read_text())
TOP = "moesaic_accelerator"


def found(directory: Path, configuration: str) -> dict[str, frozenset[str]]:
    return registers_without_reset(
        TOP, source_closure(TOP, [directory]), rtl_parameters(load_configuration(configuration))
    )


def listed() -> dict[str, list[str]]:
    return {
        module: sorted({name for names in by.values() for name in names}) for module, by in TABLE["modules"].items()
    }


def test_each_register_without_a_reset_is_listed_and_nothing_else_is() -> None:
    assert {module: sorted(names) for module, names in found(RTL_DIRECTORY, "tiny").items()} == listed()


def test_every_reason_is_defined_and_used() -> None:
    used = {reason for by in TABLE["modules"].values() for reason in by}
    assert used == set(TABLE["reasons"])


def test_every_reset_taken_away_is_seen(tmp_path: Path) -> None:
    shutil.copytree(RTL_DIRECTORY, tmp_path / "rtl")
    resets = load_resets()
    assert len({reset.name for reset in resets}) == len(resets) >= 17
    for reset in resets:
        reset.apply(tmp_path / "rtl")
    now = found(tmp_path / "rtl", "tiny")
    assert [reset.name for reset in resets if reset.register not in now[reset.module]] == []
