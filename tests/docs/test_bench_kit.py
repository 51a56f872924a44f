"""docs/bench_kit.md: the module and the test of the page, run as a reader would; and broken as the page says."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.markdown import REPOSITORY, blocks

PAGE = REPOSITORY / "docs" / "bench_kit.md"
SATURATION = "if (sum[Width] == sum[Width-1]) sum_o"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A reader's folder with the two files of the page."""
    (design,) = blocks(PAGE, "systemverilog")
    (test,) = blocks(PAGE, "python")
    (tmp_path / "saturating_adder.sv").write_text(design.text)
    (tmp_path / "test_saturating_adder.py").write_text(test.text)
    return tmp_path


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_saturating_adder.py", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_first_test_passes(folder):
    result = run(folder)
    assert result.returncode == 0, result.stdout
    assert "6 passed" in result.stdout


def test_it_fails_as_the_page_says_when_the_module_is_broken(folder):
    design = folder / "saturating_adder.sv"
    assert SATURATION in design.read_text()
    design.write_text(design.read_text().replace(SATURATION, "if (1'b1) sum_o"))
    result = run(folder, "-k", "seed0-8")
    assert result.returncode == 1
    (message,) = blocks(PAGE, "text")
    assert message.text.strip() in result.stdout
