"""What others' tools read of the accelerator: file list, FuseSoC core, Bender manifest, SystemRDL and IP-XACT."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY
from moesaic.hls.hardware.source_manifests import RTL_IN_REPOSITORY, TOP
from moesaic.spec.registers import BY_NAME, REGISTER_FILE_BYTES, REGISTERS

ROOT = Path(__file__).resolve().parents[2]
DESCRIPTIONS = ROOT / "hls" / "hardware" / "registers"
MODULES = {path.name for path in RTL_DIRECTORY.glob("*.sv")}
# What Bender's manual (book/src/manifest.md and sources.md of pulp-platform/bender) knows in a manifest and a package; sources are strings.
BENDER_KEYS = {"package", "remotes", "dependencies", "dev_dependencies", "sources", "export_include_dirs", "frozen", "workspace", "plugins",
               "vendor_package"}  # fmt: skip
BENDER_PACKAGE_KEYS = {"name", "authors", "description"}
ACCESS = {"rw": ("rw", None), "ro": ("r", None), "w1c": ("rw", "woclr")}


def test_file_list_is_read_by_slang_from_another_folder(tmp_path, monkeypatch, capfd):
    from pyslang.driver import Driver

    monkeypatch.chdir(tmp_path)
    driver = Driver()
    driver.addStandardArgs()
    assert driver.parseCommandLine(f'slang --top {TOP} -F "{RTL_DIRECTORY / "moesaic_accelerator.f"}"')
    assert driver.processOptions() and driver.parseAllSources()
    compilation = driver.createCompilation()
    assert [top.name for top in compilation.getRoot().topInstances] == [TOP]
    driver.reportCompilation(compilation, True)
    assert driver.diagEngine.numErrors == 0, capfd.readouterr().err


def test_file_list_has_every_file_once_and_packages_first():
    names = [
        line for line in (RTL_DIRECTORY / "moesaic_accelerator.f").read_text().splitlines() if not line.startswith("//")
    ]
    assert len(names) == len(set(names)) and set(names) == MODULES
    packages = [name.endswith("_pkg.sv") for name in names]
    assert packages == sorted(packages, reverse=True) and sum(packages) == 3
    for package in names[:3]:
        text = (RTL_DIRECTORY / package).read_text()
        assert not any(other.removesuffix(".sv") in text for other in names[:3] if other != package)


@pytest.fixture
def library(tmp_path):
    """A folder as a user's FuseSoC library has it: the repository's core, its sources, and the example that depends on it."""
    shutil.copytree(RTL_DIRECTORY, tmp_path / "moesaic" / RTL_IN_REPOSITORY)
    shutil.copy(ROOT / "moesaic.core", tmp_path / "moesaic")
    shutil.copytree(ROOT / "examples" / "own_system", tmp_path / "own_system")
    return tmp_path


def fusesoc(library, *arguments):
    from moesaic.sim.machines.verilator import find_verilator

    environment = {
        **os.environ,
        **find_verilator().environment(),
        "XDG_CONFIG_HOME": str(library),
        "XDG_CACHE_HOME": str(library),
    }
    command = [
        sys.executable,
        "-m",
        "fusesoc.main",
        "--cores-root",
        str(library),
        "run",
        "--target",
        "lint",
        *arguments,
    ]
    process = subprocess.run(command, cwd=library, env=environment, capture_output=True, text=True, check=False)
    return process.returncode, process.stdout + process.stderr


def test_fusesoc_lints_a_design_that_depends_on_the_core(library):
    status, output = fusesoc(library, "moesaic:examples:own_system")
    assert status == 0, output
    ours = [line for line in output.splitlines() if "%Warning" in line and "/own_system/" in line]
    assert not ours, output


def test_fusesoc_passes_parameters_on_and_their_checks_are_seen(library):
    status, output = fusesoc(library, "moesaic:moesaic:accelerator", "--TileColumns", "12")
    assert status != 0
    assert "TileColumns is 12, it must be a power of two, at least 8" in output


def bender_problems(manifest: dict) -> list[str]:
    """What Bender would refuse, warn of or read otherwise than as one plain file, by its parser (src/config.rs of pulp-platform/bender)."""
    package, sources = manifest.get("package", {}), manifest.get("sources", [])
    problems = [f"unknown key {key}" for key in [*(set(manifest) - BENDER_KEYS), *(set(package) - BENDER_PACKAGE_KEYS)]]
    if not isinstance(package.get("name"), str) or package["name"] != package["name"].lower():
        problems.append("the name is no text in lower case, as Bender takes names")
    problems += [f"{key} is no text" for key in ("description",) if not isinstance(package.get(key, ""), str)]
    for source in sources:
        # A mapping is a group or a file of a stated type; $ starts a variable of the environment; * and ? make a pattern.
        if not isinstance(source, str) or set(source) & set("$*?") or Path(source).is_absolute():
            problems.append(f"{source} is no plain relative path")
        elif Path(source).suffix != ".sv" or not (ROOT / source).is_file():
            problems.append(f"{source} is no SystemVerilog file of the repository")
    return problems + [f"{source} stands twice" for source in {str(s) for s in sources} if sources.count(source) > 1]


def test_bender_manifest_has_what_its_parser_takes_and_every_file_in_the_order_of_the_file_list():
    manifest = yaml.safe_load((ROOT / "Bender.yml").read_text())
    assert bender_problems(manifest) == []
    assert manifest["package"]["name"] == "moesaic"
    listed = (RTL_DIRECTORY / "moesaic_accelerator.f").read_text().splitlines()
    assert [Path(source).name for source in manifest["sources"]] == [name for name in listed if name[:2] != "//"]
    # Without include_dirs and export_include_dirs nothing may have to be found beside the sources.
    assert not [name for name in MODULES if "`include" in (RTL_DIRECTORY / name).read_text()]


GOOD_SOURCE = f"{RTL_IN_REPOSITORY}/{TOP}.sv"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"licence": "x"}, "unknown key licence"),
        ({"package": {"name": "moesaic", "version": "1"}}, "unknown key version"),
        ({"package": {}}, "the name is no text"),
        ({"package": {"name": "Moesaic"}}, "the name is no text in lower case"),
        ({"package": {"name": "moesaic", "description": ["x"]}}, "description is no text"),
        ({"sources": [f"{RTL_IN_REPOSITORY}/*.sv"]}, "is no plain relative path"),
        ({"sources": ["$ROOT/a.sv"]}, "is no plain relative path"),
        ({"sources": [{"files": [GOOD_SOURCE]}]}, "is no plain relative path"),
        ({"sources": [str(ROOT / GOOD_SOURCE)]}, "is no plain relative path"),
        ({"sources": ["Makefile"]}, "is no SystemVerilog file"),
        ({"sources": [f"{RTL_IN_REPOSITORY}/absent.sv"]}, "is no SystemVerilog file"),
        ({"sources": [GOOD_SOURCE, GOOD_SOURCE]}, "stands twice"),
    ],
)
def test_what_bender_would_not_take_is_noticed(change, problem):
    good = {"package": {"name": "moesaic"}, "sources": [GOOD_SOURCE]}
    assert bender_problems(good) == []
    (found,) = bender_problems(good | change)
    assert problem in found


def elaborated(path):
    """Name to (address, {field: (low, high, access, effect of writing, reset)}) of each register, as PeakRDL's compiler sees it."""
    from peakrdl_ipxact import IPXACTImporter
    from systemrdl import RDLCompiler
    from systemrdl.node import RegNode

    compiler = RDLCompiler()
    if path.suffix == ".xml":
        IPXACTImporter(compiler).import_file(str(path))
    else:
        compiler.compile_file(str(path))
    found = {}
    for node in compiler.elaborate().descendants():
        if isinstance(node, RegNode):
            assert node.get_property("regwidth") == 32
            found[node.inst_name] = (node.absolute_address, {field.inst_name: _field(field) for field in node.fields()})
    return found


def _field(field):
    effect = field.get_property("onwrite")
    return field.low, field.high, field.get_property("sw").name, effect and effect.name, field.get_property("reset")


@pytest.mark.parametrize("name", ["moesaic_registers.rdl", "moesaic_registers.xml"])
def test_register_descriptions_say_what_the_table_says(name):
    found = elaborated(DESCRIPTIONS / name)
    assert {name: address for name, (address, _) in found.items()} == {r.name: r.offset for r in REGISTERS}
    for register in REGISTERS:
        fields = found[register.name][1]
        if register.bits:
            assert {n: low for n, (low, *_) in fields.items()} == {bit.name: bit.index for bit in register.bits}
        else:
            assert list(fields) == ["value"]
        covered = sum(((2 << high) - (1 << low)) for low, high, *_ in fields.values())
        for low, high, access, effect, reset in fields.values():
            starts = register.access == "rw" and not register.writable >> low & 1
            assert (access, effect) == (("w", None) if starts else ACCESS[register.access])
            assert (reset == 0) == (register.access == "rw"), register
            assert 0 <= low <= high < 32
        if register.access == "rw" and register.writable:
            assert covered == register.writable
    assert max(register.offset for register in REGISTERS) < REGISTER_FILE_BYTES


def test_a_register_that_moves_is_noticed(tmp_path):
    """The comparison reads the description, not the table."""
    path = tmp_path / "moved.rdl"
    path.write_text(
        (DESCRIPTIONS / "moesaic_registers.rdl").read_text().replace("FRAME_SIZE @ 0x048", "FRAME_SIZE @ 0x04c")
    )
    assert elaborated(path)["FRAME_SIZE"][0] != BY_NAME["FRAME_SIZE"].offset
