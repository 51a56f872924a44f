"""C simulation: the accelerator's C++ of this repository, under g++, as an executor."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hls.tables import cpp_configuration
from spec.configuration import HardwareConfiguration
from spec.emulator import Emulator

REPOSITORY = Path(__file__).resolve().parents[1]
SOURCES = REPOSITORY / "hls" / "cpp"
CACHE = REPOSITORY / "build" / "csim"


def write_sources(configuration: HardwareConfiguration, directory: Path) -> None:
    """Put the C++ sources of one configuration into an existing directory."""
    for path in (*SOURCES.glob("*.hpp"), *SOURCES.glob("*.cpp")):
        shutil.copyfile(path, directory / path.name)
    (directory / "configuration.hpp").write_text(cpp_configuration(configuration))


class CsimExecutor(Emulator):
    """The emulator of `configuration`, compiled from hls/cpp; see spec.emulator.Emulator for seed, flags and errors."""

    def __init__(self, configuration: HardwareConfiguration, *, seed: int = 0, flags: tuple[str, ...] = ()) -> None:
        with tempfile.TemporaryDirectory(prefix="csim-") as scratch:
            write_sources(configuration, Path(scratch))
            super().__init__(Path(scratch), configuration, seed=seed, cache=CACHE, flags=flags)
