"""What pip installs: everything under the one name moesaic, with its data, and at work in a folder whose files have our old names."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest

from moesaic.host.png import encode_png
from tests.hls.networks import SMALL, network

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("configs", "hls", "host", "model", "sim", "spec")
HOSTILE = ("configs.py", "hls.py", "host.py", "model.py", "sim.py", "spec/__init__.py")
NOT_SHIPPED = shutil.ignore_patterns(".*", "build", "dist", "__pycache__", "*.egg-info")
RECIPE = """
[model]
image_height = 16
image_width = 24
patch = 8
width = 16
depth = 2
heads = 2
mlp_hidden = 24
experts = 3
top_k = 1
expert_hidden = 16
tasks = [{ name = "depth", channels = 1 }]

[training]
steps = 6
batch = 4
learning_rate = 1e-3
warmup = 2
pool = 8
"""


def package_files() -> set[str]:
    """Of the checkout, by their place in an installation."""
    return {
        Path("moesaic", "" if room == "moesaic" else room, path.relative_to(ROOT / room)).as_posix()
        for room in ("moesaic", *ROOMS)
        for path in (ROOT / room).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def build(kind: str, source: Path, output: Path) -> Path:
    """Make a source distribution or a wheel as pip and build do, without isolation."""
    code = f"import sys; from setuptools import build_meta; print(build_meta.build_{kind}(sys.argv[1]))"
    command = [sys.executable, "-W", "ignore", "-c", code, str(output)]
    run = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return output / run.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def source_distribution(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("sdist")
    shutil.copytree(ROOT, root / "source", ignore=NOT_SHIPPED)
    return build("sdist", root / "source", root)


@pytest.fixture(scope="module")
def wheel(source_distribution, tmp_path_factory) -> Path:
    """Made from the source distribution, so from nothing that lies in the checkout besides."""
    root = tmp_path_factory.mktemp("wheel")
    with tarfile.open(source_distribution) as archive:
        archive.extractall(root, filter="data")
    (source,) = root.iterdir()
    return build("wheel", source, root)


@pytest.fixture(scope="module")
def site_packages(wheel, tmp_path_factory) -> Path:
    """Of a fresh environment with the wheel; its dependencies are those of the environment that runs the tests."""
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment)
    (site,) = environment.glob("lib/python*/site-packages")
    python = environment / "bin" / "python"
    command = ["pip", f"--python={python}", "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([sys.executable, "-m", *command], check=True)
    others = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (site / "dependencies.pth").write_text("\n".join(others))
    return site


@pytest.fixture
def folder(tmp_path) -> Path:
    """Of a user: nothing in it but a recipe, a picture and Python files that must not be imported."""
    for name in HOSTILE:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"raise RuntimeError('{name} was imported')\n")
    (tmp_path / "picture.png").write_bytes(encode_png(np.full((32, 48, 3), 90, np.uint8)))
    (tmp_path / "small.toml").write_text(RECIPE)
    return tmp_path


@pytest.fixture
def moesaic(site_packages, folder):
    """Run the installed program in the folder; returns what it printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    def run(*words: str, program: tuple[str, ...] = ("bin/moesaic",)) -> str:
        command = [str(site_packages.parents[2] / program[0]), *program[1:], *words]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_the_wheel_holds_every_file_of_the_rooms_and_no_other_top_level_name(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == package_files()
    for name in (
        "py.typed",
        "configs/zcu104.toml",
        "hls/hardware/rtl/moesaic_accelerator.sv",
        "hls/vendor/tcl/vivado.tcl",
    ):
        assert f"moesaic/{name}" in names


def test_the_source_distribution_holds_what_the_checkout_does(source_distribution):
    with tarfile.open(source_distribution) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"setup.py", "mirror.py", "pyproject.toml", "constraints.txt", "Makefile", "LICENSE", "README.md"} <= names
    assert {"configs/tiny.toml", "docs/isa.md", "tests/system/test_wheel.py", "examples/first_steps.ipynb"} <= names


def test_nothing_else_is_installed(site_packages):
    names = {path.name.partition("-")[0] for path in site_packages.iterdir()}
    assert names == {"moesaic", "dependencies.pth"}


@pytest.mark.parametrize("first_in_path", ["program", "folder", "checkout"])
def test_the_installed_package_is_used_wherever_it_is_asked_for(moesaic, site_packages, first_in_path, folder):
    """Also from the root of a checkout, whose own moesaic comes first, as that of the current folder does for any package."""
    if first_in_path == "checkout":
        for name in ("moesaic", *ROOMS):
            shutil.rmtree(folder / name, ignore_errors=True)
            (folder / f"{name}.py").unlink(missing_ok=True)
            shutil.copytree(ROOT / name, folder / name, ignore=NOT_SHIPPED)
    code = "import moesaic, moesaic.host.runtime as runtime; print(runtime.__file__, moesaic.open.__name__)"
    isolated = ("-I",) if first_in_path == "program" else ()
    found = moesaic(*isolated, "-c", code, program=("bin/python",))
    here = folder / "host" if first_in_path == "checkout" else site_packages / "moesaic" / "host"
    assert found.split() == [str(here / "runtime.py"), "open_build"]


def test_the_commands_work_beside_hostile_files(moesaic, folder):
    network(SMALL, 1).save(folder / "bundle")
    assert " bench " in moesaic("--help") and "not available" not in moesaic("--help")
    assert "make setup" not in moesaic("doctor")
    assert "fingerprint" in moesaic("generate", "bundle", "--config", "tiny", "--output", "b")
    assert "cycles" in moesaic("estimate", "demo", "--config", "tiny")
    assert "csynth" in moesaic("vitis", "bundle", "--config", "tiny", "--output", "project")
    assert "(emulator)" in moesaic("run", "b", "picture.png")
    assert "(emulator)" in moesaic("run", "b", "picture.png", program=("bin/python", "-m", "moesaic"))
    assert (folder / "predictions" / "picture.depth.png").is_file()


def test_the_whole_road_and_a_timeline_beside_hostile_files(moesaic, folder):
    assert "all memory images are equal" in moesaic("demo", "--recipe", "small.toml", "--output", "demo")
    assert (folder / "demo" / "report.html").is_file()
    moesaic("train", "--recipe", "small.toml", "--checkpoint", "model.safetensors")
    assert "instructions" in moesaic("timeline", "demo/build", "--task", "depth")
