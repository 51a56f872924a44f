"""What `make lint` checks of the Python, so that a run of the tests checks it."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
MIRROR = REPOSITORY / "build" / "mirror"
PROGRAMS = Path(sys.executable).parent
LINTERS = {
    "ruff check .": REPOSITORY,
    "ruff format --check .": REPOSITORY,
    f"lint-imports --config {REPOSITORY / 'pyproject.toml'}": MIRROR,
    f"basedpyright --project {REPOSITORY / 'pyproject.toml'}": REPOSITORY,
}
"""Command to the directory where it is started."""


@pytest.fixture(scope="module", autouse=True)
def mirror() -> None:
    runpy.run_path(str(REPOSITORY / "mirror.py"), run_name="__main__")


@pytest.mark.parametrize("command", LINTERS, ids=lambda command: "-".join(command.split()[:2]))
def test_linter(command: str) -> None:
    """ruff: style. lint-imports: which package may import which. basedpyright: types."""
    program, *arguments = command.split()
    run = subprocess.run(
        [str(PROGRAMS / program), *arguments], cwd=LINTERS[command], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
