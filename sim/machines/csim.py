"""C simulation: an executor made from this repository's C++ sources of the accelerator, compiled with g++."""

from __future__ import annotations

import tempfile
from pathlib import Path

from moesaic.emulator import Emulator
from moesaic.hls.hardware.accelerator_sources import accelerator_sources
from moesaic.spec.configuration import HardwareConfiguration


def write_sources(configuration: HardwareConfiguration, directory: Path) -> None:
    """Write the C++ sources for one configuration into an existing directory."""
    for name, content in accelerator_sources(configuration).items():
        if name.startswith("cpp/"):
            (directory / Path(name).name).write_bytes(content)


class CsimExecutor(Emulator):
    """The emulator for `configuration`, compiled from hls/hardware/cpp; moesaic.emulator.Emulator documents seed, flags and errors."""

    def __init__(self, configuration: HardwareConfiguration, *, seed: int = 0, flags: tuple[str, ...] = ()) -> None:
        with tempfile.TemporaryDirectory(prefix="csim-") as scratch:
            write_sources(configuration, Path(scratch))
            super().__init__(Path(scratch), configuration, seed=seed, flags=flags)
