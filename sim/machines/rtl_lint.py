"""Lint all RTL with Verilator -Wall and slang, which find different faults, and with Yosys, which must be able to read it.

What all of them accept and one synthesis tool has misread is refused, too (`refused_casts`).
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from moesaic.hls.hardware.accelerator_sources import rtl_parameters
from moesaic.sim.machines.refused_casts import refused_casts
from moesaic.sim.machines.rtl_directories import RTL_DIRECTORIES, SYSTEM_DIRECTORY
from moesaic.sim.machines.source_closure import source_closure
from moesaic.sim.machines.verilator import lint
from moesaic.spec.configuration import load_configuration, shipped_configurations

CONFIGURED_TOPS = ("moesaic_accelerator", "testbench")
SYNTHESISED_TOP = "moesaic_accelerator"
WAIVERS = SYSTEM_DIRECTORY / "waivers.vlt"
_YOSYS_TAIL_LINES = 5


def modules() -> list[str]:
    """Return the sorted names of all modules; packages are checked along with the modules that use them."""
    return sorted(
        path.stem for directory in RTL_DIRECTORIES for path in directory.glob("*.sv") if path.stem[-4:] != "_pkg"
    )


def slang(top: str, sources: list[Path], parameters: Mapping[str, int | str]) -> str:
    """Elaborate and analyse `top` with slang, which prints its findings; return a summary, empty if there are none."""
    from pyslang.driver import Driver  # pyright: ignore[reportMissingModuleSource]

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


def yosys(top: str, sources: list[Path], parameters: Mapping[str, int | str]) -> str:
    """Read and elaborate `top` with Yosys, once as open synthesis does and once with the assertions, as formal tools do.

    Return Yosys's warnings and the tail of its log; an empty string means clean.
    """
    overrides = "".join(f" -chparam {name} {value}" for name, value in sorted(parameters.items()))
    files = " ".join(f'"{path}"' for path in sources)
    script = []
    for mode in ("", "-formal "):
        script += ["design -reset", f"read_verilog -sv {mode}{files}", f"hierarchy -check -top {top}{overrides}"]
    # Yosys ends the process that it runs in when it finds an error.
    program = "import sys\nfrom pyosys import libyosys\ndesign = libyosys.Design()\n" + "".join(
        f"libyosys.run_pass({command!r}, design)\n" for command in script
    )
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    lines = (process.stdout + process.stderr).splitlines()
    warnings = [line for line in lines if "Warning:" in line]
    if process.returncode == 0 and not warnings:
        return ""
    tail = "\n".join([*warnings, *lines[-_YOSYS_TAIL_LINES:]])
    return f"yosys: exit status {process.returncode}\n{tail}\n"


def check(top: str, parameters: Mapping[str, int | str] | None = None) -> str:
    """Return what Verilator and slang find in `top` with these parameters; an empty string means clean.

    Raises UserError if `top` or Verilator is missing.
    """
    sources = source_closure(top, RTL_DIRECTORIES)
    return lint(top, [WAIVERS, *sources], parameters) + slang(top, sources, parameters or {})


def check_all() -> dict[str, str]:
    """Lint each module with its defaults, the whole accelerator in every shipped configuration, and the casts of every file.

    Return a description of each check with its findings; an empty string means clean.
    """
    findings = {name: check(name) for name in modules()}
    for path in shipped_configurations():
        parameters = rtl_parameters(load_configuration(path))
        findings |= {f"{top} ({path.stem})": check(top, parameters) for top in CONFIGURED_TOPS}
        sources = source_closure(SYNTHESISED_TOP, RTL_DIRECTORIES)
        findings[f"{SYNTHESISED_TOP} ({path.stem}), Yosys"] = yosys(SYNTHESISED_TOP, sources, parameters)
    for directory in RTL_DIRECTORIES:
        findings |= {f"{path.name}, casts": "\n".join(refused_casts(path)) for path in sorted(directory.glob("*.sv"))}
    return findings
