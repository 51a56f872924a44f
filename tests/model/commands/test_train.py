"""A run from the command line, stopped and resumed."""

import pytest

from moesaic.errors import UserError
from moesaic.model.commands.export import ExportCommand
from moesaic.model.commands.train import TrainCommand
from moesaic.model.training import checkpoint
from tests.model.calling import call


def test_train_command_takes_steps(tmp_path, recipe):
    path = tmp_path / "demo.safetensors"
    words = ("--steps", 2, "--pool", 8, "--checkpoint", path)
    assert call(TrainCommand, *words, "--stop-after", 1) == 0
    with pytest.raises(UserError, match="seen 1 of 2 steps"):
        call(ExportCommand, "--checkpoint", path, "--bundle", tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()
    assert call(TrainCommand, *words, "--resume") == 0
    assert checkpoint.load(path).step == 2
