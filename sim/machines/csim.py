"""C simulation: the accelerator's C++ of this repository, under g++, as an executor."""

from __future__ import annotations

import tempfile
from pathlib import Path

from moesaic.emulator import Emulator
from moesaic.hls.hardware.accelerator_sources import accelerator_sources
from moesaic.spec.configuration import HardwareConfiguration


def write_sources(configuration: HardwareConfiguration, directory: Path) -> None:
    """Put the C++ sources of one configuration into an existing directory."""
    for name, content in accelerator_sources(configuration).items():
        if name.startswith("cpp/"):
            (directory / Path(name).name).write_bytes(content)


class CsimExecutor(Emulator):
    """The emulator of `configuration`, compiled from hls/hardware/cpp; see moesaic.emulator.Emulator for seed, flags and errors."""

    def __init__(self, configuration: HardwareConfiguration, *, seed: int = 0, flags: tuple[str, ...] = ()) -> None:
        with tempfile.TemporaryDirectory(prefix="csim-") as scratch:
            write_sources(configuration, Path(scratch))
            super().__init__(Path(scratch), configuration, seed=seed, flags=flags)
