"""A run from the command line, stopped and resumed."""

from moesaic.model.commands.export import ExportCommand
from moesaic.model.commands.train import TrainCommand
from moesaic.model.training import checkpoint
from tests.model.calling import call


def test_train_command_takes_steps(tmp_path, recipe, capsys):
    path = tmp_path / "demo.safetensors"
    words = ("--steps", 2, "--pool", 8, "--checkpoint", path)
    assert call(TrainCommand, *words, "--stop-after", 1) == 0
    assert call(ExportCommand, "--checkpoint", path, "--onnx-only", tmp_path / "onnx") == 0
    assert "has seen 1 of 2 steps of its recipe: exported as it is" in " ".join(capsys.readouterr().out.split())
    assert (tmp_path / "onnx" / "model.onnx").exists()
    assert call(TrainCommand, *words, "--resume") == 0
    assert checkpoint.load(path).step == 2
