"""The Vitis project of a tiny network: its test bench compiled and run here by g++, with the vendor's types and sanitizers."""

from __future__ import annotations

import argparse
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from moesaic.errors import UserError
from moesaic.files import write_directory
from moesaic.hls.commands.vitis import VitisCommand
from moesaic.hls.compiler.generate import generate
from moesaic.hls.vendor.vitis.project import MANIFEST, manifest, project_files
from moesaic.hls.vendor.vitis.testbench_data import golden_run, random_picture
from moesaic.spec.build import Build
from moesaic.spec.configuration import load_configuration
from tests.hls.networks import SMALL, network

TINY = load_configuration("tiny")
AP_TYPES = Path(find_spec("hls4ml").submodule_search_locations[0]) / "templates" / "vivado" / "ap_types"
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Werror", "-Wno-unknown-pragmas", "-Wno-unused-label")
OF_THE_VENDORS_TYPES = ("-Wno-uninitialized", "-Wno-maybe-uninitialized", "-fno-sanitize=shift")
"""What the vendor's headers themselves do wherever our code uses them: read what is about to be masked, shift negative values."""
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g")


@pytest.fixture(scope="module")
def build() -> Build:
    return generate(network(SMALL, 0), TINY)


@pytest.fixture(scope="module")
def project(build: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("vitis") / "project"
    image = random_picture(build, 0)
    runs = [golden_run(build, task, image) for task in build.tasks]
    write_directory(directory, MANIFEST, manifest(build, runs), project_files(build, runs))
    return directory


def compile_bench(project: Path, program: Path, *flags: str, compiler: str = "g++") -> Path:
    sources = (project / "src" / "kernel.cpp", project / "tb" / "testbench.cpp")
    command = [compiler, "-std=c++14", "-I", project / "src", "-I", project / "tb", *flags, *sources, "-o", program]
    subprocess.run(command, check=True)
    return program


def run_bench(program: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False)


def test_every_task_is_equal_under_the_sanitizers_and_strict_warnings(
    project: Path, build: Build, tmp_path: Path
) -> None:
    program = compile_bench(project, tmp_path / "bench", "-O1", *WARNINGS, *SANITIZERS)
    result = run_bench(program, project / "vectors")
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.endswith(f"{len(build.tasks)} of {len(build.tasks)} runs equal\n")
    assert result.stderr == ""


@pytest.mark.skipif(shutil.which("clang++") is None, reason="clang++ is not installed (Debian: apt-get install clang)")
def test_clang_has_no_warning_and_the_same_results(project: Path, tmp_path: Path) -> None:
    program = compile_bench(project, tmp_path / "bench", "-O1", *WARNINGS, compiler="clang++")
    assert run_bench(program, project / "vectors").returncode == 0


SYNTHESIS = ("-O1", "-DMOESAIC_AP_TYPES", "-fno-strict-aliasing", "-isystem", str(AP_TYPES), *WARNINGS, *SANITIZERS)


def test_every_task_with_the_types_of_synthesis(project: Path, build: Build, tmp_path: Path) -> None:
    """The branch that Vitis HLS takes, under the warnings and sanitizers of the other."""
    program = compile_bench(project, tmp_path / "bench", *SYNTHESIS, *OF_THE_VENDORS_TYPES)
    result = run_bench(program, project / "vectors")
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.endswith(f"{len(build.tasks)} of {len(build.tasks)} runs equal\n")
    assert result.stderr == ""


def test_a_narrowing_in_the_branch_of_synthesis_is_noticed(project: Path, tmp_path: Path) -> None:
    changed = shutil.copytree(project, tmp_path / "project")
    header = changed / "src" / "dram.hpp"
    cast = "return uint8_t(beat.range(8 * index + 7, 8 * index).to_uint());"
    assert cast in header.read_text()
    header.write_text(header.read_text().replace(cast, "return beat.range(8 * index + 7, 8 * index).to_uint();"))
    with pytest.raises(subprocess.CalledProcessError):
        compile_bench(changed, tmp_path / "bench", *SYNTHESIS, *OF_THE_VENDORS_TYPES, "-fsyntax-only")


@pytest.mark.parametrize("file", ["constants.bin", "normals.before.bin", "normals.after.bin"])
def test_a_wrong_byte_is_noticed(project: Path, tmp_path: Path, file: str, build: Build) -> None:
    program = compile_bench(project, tmp_path / "bench", "-O1", "-Wno-unknown-pragmas")
    vectors = tmp_path / "vectors"
    vectors.mkdir()
    for path in (project / "vectors").iterdir():
        content = bytearray(path.read_bytes())
        if path.name == file:
            task = build.tasks["normals"]
            offset = {"constants.bin": task.program.offset, "normals.before.bin": build.image_offset}
            content[offset.get(file, task.output_offset)] ^= 0x40
        (vectors / path.name).write_bytes(content)
    result = run_bench(program, vectors)
    assert result.returncode == 1, result.stdout
    assert "DIFFERENT" in result.stdout


def test_a_missing_or_short_vector_is_no_success(project: Path, tmp_path: Path) -> None:
    program = compile_bench(project, tmp_path / "bench", "-Wno-unknown-pragmas")
    assert run_bench(program, tmp_path).returncode == 2
    (tmp_path / "constants.bin").write_bytes(b"short")
    assert "it must have exactly" in run_bench(program, tmp_path).stdout
    assert run_bench(program, project / "vectors", 99).returncode == 2


def test_the_same_build_gives_the_same_project(build: Build) -> None:
    def files() -> dict[str, bytes]:
        return project_files(build, [golden_run(build, "depth", random_picture(build, 3))])

    assert files() == files()


def test_memory_ports_are_as_deep_as_the_test_bench(project: Path, build: Build) -> None:
    depth = (project / "src" / "memory_depth.hpp").read_text()
    pages = 4096 + build.constants.size + build.frame_bytes
    assert f"MEMORY_BEATS = {pages // 16};" in depth


def run_command(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    VitisCommand.configure(parser)
    return VitisCommand.run(parser.parse_args([str(argument) for argument in arguments]))


def test_the_command_writes_a_project_of_the_tasks_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network(SMALL, 0).save(tmp_path / "bundle")
    project = tmp_path / "project"
    assert run_command(tmp_path / "bundle", "--output", project, "--tasks", "depth,depth") == 0
    printed = capsys.readouterr().out
    assert "golden vectors for depth\n" in printed
    for step in ("csim", "csynth", "cosim", "export"):
        script = f"{project}/{step}.tcl"
        commands = (
            f"vitis-run --mode hls --tcl {script} (2023.2 and later), or vitis_hls -f {script} (2023.1 to 2024.2)"
        )
        assert f"\n{step}: {commands}\n" in printed
    assert "about eight times the cycles" in printed
    names = {str(path.relative_to(project)) for path in project.rglob("*") if path.is_file()}
    assert names >= {
        "csim.tcl",
        "cosim.tcl",
        "settings.tcl",
        "src/kernel.cpp",
        "tb/cases.hpp",
        "vectors/depth.after.bin",
    }
    assert not any("normals" in name for name in names)
    assert run_command(tmp_path / "bundle", "--output", project) == 0  # again, with every task
    assert (project / "vectors" / "normals.after.bin").is_file()


def test_the_command_leaves_nothing_for_an_unknown_task(tmp_path: Path) -> None:
    network(SMALL, 0).save(tmp_path / "bundle")
    with pytest.raises(UserError, match=r"unknown task 'flow'.*depth, normals, segmentation"):
        run_command(tmp_path / "bundle", "--output", tmp_path / "project", "--tasks", "flow")
    assert not (tmp_path / "project").exists()


@pytest.mark.parametrize("name", ["a project", "a$HOME", "a[b]", 'a"b'])
def test_the_command_refuses_a_directory_that_vitis_would_take_apart(tmp_path: Path, name: str) -> None:
    network(SMALL, 0).save(tmp_path / "bundle")
    with pytest.raises(UserError, match="AMD's tools cannot work in") as caught:
        run_command(tmp_path / "bundle", "--output", tmp_path / name)
    assert str(tmp_path / name) in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / name).exists()
