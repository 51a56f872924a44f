"""Lint of all RTL: Verilator -Wall and slang, which find different faults. `python -m sim.lint`; status 1 if not clean."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from hls.sources import rtl_parameters
from sim.rtl_sources import source_closure
from sim.verilator import lint
from spec.configuration import load_configuration

REPOSITORY = Path(__file__).resolve().parents[1]
DIRECTORIES = (REPOSITORY / "hls" / "rtl", REPOSITORY / "sim" / "rtl")
CONFIGURED_TOPS = ("accelerator", "testbench")


def modules() -> list[str]:
    """Return the names of all modules, leaf or not; packages are checked with the modules that use them."""
    return sorted(path.stem for directory in DIRECTORIES for path in directory.glob("*.sv") if path.stem[-4:] != "_pkg")


def slang(top: str, sources: list[Path], parameters: Mapping[str, int | str]) -> str:
    """Elaborate and analyse `top` with slang, which prints what it finds; return a summary, empty when clean."""
    from pyslang.driver import Driver

    driver = Driver()
    driver.addStandardArgs()
    driver.setTerminalColorsEnabled(False)
    overrides = " ".join(f'-G "{name}={value}"' for name, value in sorted(parameters.items()))
    files = " ".join(f'"{path}"' for path in sources)
    if not driver.parseCommandLine(f"slang --single-unit -Wextra -Wno-useless-cast --top {top} {overrides} {files}"):
        return f"slang cannot read the command line for {top}\n"
    if not (driver.processOptions() and driver.parseAllSources()):
        return f"slang cannot read the sources of {top}\n"
    compilation = driver.createCompilation()
    driver.reportCompilation(compilation, True)
    driver.runAnalysis(compilation)
    errors, warnings = driver.diagEngine.numErrors, driver.diagEngine.numWarnings
    return f"slang, on standard error: {errors} errors, {warnings} warnings\n" if errors or warnings else ""


def check(top: str, parameters: Mapping[str, int | str] | None = None) -> str:
    """Return the findings of both tools on `top` with these parameters; an empty string means clean."""
    sources = source_closure(top, DIRECTORIES)
    return lint(top, sources, parameters) + slang(top, sources, parameters or {})


def main() -> int:
    """Lint each module with its defaults, and the whole accelerator in every configuration."""
    findings = [(name, check(name)) for name in modules()]
    for path in sorted((REPOSITORY / "configs").glob("*.toml")):
        parameters = rtl_parameters(load_configuration(path))
        findings += [(f"{top} ({path.stem})", check(top, parameters)) for top in CONFIGURED_TOPS]
    dirty = [(name, text) for name, text in findings if text]
    for name, text in dirty:
        print(f"{name}:\n{text}")
    print(f"RTL lint: {len(findings)} checked, {len(dirty)} with findings")
    return 1 if dirty else 0


if __name__ == "__main__":
    sys.exit(main())
