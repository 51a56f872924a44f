"""What stands between this project and Brevitas: an interpreter that has it, and files."""

import sys
from pathlib import Path

import pytest

from moesaic.errors import UserError
from moesaic.model.experiments.ptq.brevitas_peer import Setting, brevitas_predictions, brevitas_version
from moesaic.model.experiments.ptq.subjects import Subject
from moesaic.model.experiments.real.fidelity import decibels
from tests.model.experiments.ptq.networks import pictures, small_network

PYTHON = Path(__file__).parents[4] / "build" / "brevitas" / "bin" / "python"


@pytest.mark.parametrize(
    ("python", "message"),
    [
        (Path("/nowhere/python"), "cannot be run.*make build/brevitas/.installed"),
        (Path(sys.executable), "has no Brevitas: make build/brevitas/.installed"),
    ],
)
def test_an_environment_without_brevitas_is_named_with_its_remedy(python, message):
    with pytest.raises(UserError, match=message):
        brevitas_version(python)


def test_a_script_that_fails_is_quoted():
    subject = Subject("one", small_network(0), pictures(2, 1), pictures(2, 2), {}, lambda predictions: {})
    with pytest.raises(UserError, match=r"Brevitas failed with exit code 1: .*brevitas_examples"):
        brevitas_predictions(subject, Setting(), Path(sys.executable))


@pytest.mark.skipif(not PYTHON.exists(), reason="needs Brevitas: make build/brevitas/.installed")
@pytest.mark.parametrize("gptq", [False, True], ids=["nearest", "gptq"])
@pytest.mark.parametrize("experts", [0, 5], ids=["dense", "experts"])
def test_a_network_in_its_integers_is_near_floating_point(experts, gptq):
    subject = Subject("one", small_network(experts), pictures(8, 1), pictures(4, 2), {}, lambda predictions: {})
    found = brevitas_predictions(subject, Setting(gptq=gptq), PYTHON)
    for task, real in subject.real.items():
        assert 18 < decibels(real, found[task]) < 60, task
