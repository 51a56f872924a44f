"""The table and the chart that the command writes."""

import pytest

from moesaic.model.commands.sensitivity import SensitivityCommand
from moesaic.model.recipes.recipe import Recipe, TrainingConfiguration
from moesaic.model.training import checkpoint
from tests.model.calling import call
from tests.model.quantisation.test_fake_quantised import CONFIGURATION, random_model

RECIPE = Recipe(CONFIGURATION, TrainingConfiguration(steps=1, batch=2, learning_rate=2e-3, warmup=0, pool=4))


@pytest.fixture
def model():
    return random_model(0)


@pytest.fixture
def checkpoint_path(model, tmp_path):
    path = tmp_path / "model.safetensors"
    checkpoint.save(path, checkpoint.Checkpoint(RECIPE, 1, model.state_dict(), {}))
    return path


def test_sensitivity_command_writes_a_table_and_a_chart(checkpoint_path, tmp_path):
    words = ("--samples", 2, "--level", "layer", "--calibration", "percentile", "--output", tmp_path / "out")
    assert call(SensitivityCommand, "--checkpoint", checkpoint_path, *words, "--device", "cpu") == 0
    text = (tmp_path / "out" / "sensitivity.md").read_text()
    assert "| blocks.1.experts.up |" in text and "depth SQNR dB" in text
    assert (tmp_path / "out" / "sensitivity.svg").read_text().endswith("</svg>\n")
