"""What runs on the machine that has AMD's tools needs numpy and nothing else that pip brings."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.hls.networks import SMALL, network

ROOT = Path(__file__).parents[2]
ROOMS = ("spec", "hls", "configs")
COMMAND = "import sys; from moesaic.hls.commands.{0} import {1} as c; from argparse import ArgumentParser as P; \
p = P(); c.configure(p); sys.exit(c.run(p.parse_args()))"


@pytest.fixture(scope="module")
def packages(tmp_path_factory) -> Path:
    """A folder of packages: moesaic without its other rooms, and numpy."""
    folder = tmp_path_factory.mktemp("packages")
    (folder / "moesaic").mkdir()
    for path in (*(ROOT / "moesaic").iterdir(), *(ROOT / room for room in ROOMS)):
        (folder / "moesaic" / path.name).symlink_to(path)
    site = Path(np.__file__).parents[1]
    for name in ("numpy", "numpy.libs"):
        if (site / name).exists():
            (folder / name).symlink_to(site / name)
    return folder


def run(packages: Path, name: str, arguments: list, directory: Path) -> subprocess.CompletedProcess:
    """A command in a Python that sees `packages` and its own library."""
    code = COMMAND.format(name, f"{name.capitalize()}Command")
    environment = {"PYTHONPATH": str(packages), "PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-S", "-c", code, *map(str, arguments)],
        cwd=directory, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("bundle") / "bundle"
    network(SMALL, 0).save(directory)
    return directory


@pytest.mark.parametrize("name", ["generate", "vitis"])
def test_a_build_and_a_project_are_made(packages, bundle, tmp_path, name) -> None:
    done = run(packages, name, [bundle, "--output", tmp_path / name], tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / name).is_dir() and "fingerprint" in done.stdout


def test_a_bitstream_wants_vivado_and_no_package(packages, tmp_path) -> None:
    done = run(packages, "bitstream", [], tmp_path)
    assert done.returncode == 1 and "UserError: a bitstream with engine rtl needs vivado" in done.stderr


def test_other_packages_are_not_to_be_seen(packages, tmp_path) -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-c", "import torch"],
        env={"PYTHONPATH": str(packages)}, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "ModuleNotFoundError: No module named 'torch'" in done.stderr
