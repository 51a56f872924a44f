"""What the linters of Python check, so that a run of the tests checks it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PROGRAMS = Path(sys.executable).parent


@pytest.mark.parametrize("command", [("ruff", "check", "."), ("lint-imports",)], ids=lambda command: command[0])
def test_linter(command: tuple[str, ...]) -> None:
    """ruff check: style. lint-imports: which package may import which, the contracts of pyproject.toml."""
    program, *arguments = command
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    result = subprocess.run(
        [str(PROGRAMS / program), *arguments],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
