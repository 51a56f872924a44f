"""What the command prints, and what it refuses."""

import pytest
import torch

from moesaic.errors import UserError
from moesaic.model.commands.evaluate import EvaluateCommand
from tests.model.calling import call


def test_evaluate_prints_float_and_integer(checkpoint_path, capsys):
    assert call(EvaluateCommand, "--checkpoint", checkpoint_path, "--samples", 4) == 0
    text = capsys.readouterr().out
    for word in ("segmentation", "depth", "normals", "mIoU", "float", "integer", "agreement"):
        assert word in text


def test_evaluate_in_float_alone(pup_path, checkpoint_path, capsys, monkeypatch):
    monkeypatch.setattr("moesaic.model.quantisation.post_training.integer_network", None)
    words = ("--samples", 2, "--float-only", "--device", "cpu")
    for path in (checkpoint_path, pup_path):
        assert call(EvaluateCommand, "--checkpoint", path, *words) == 0
        text = capsys.readouterr().out
        assert "mIoU" in text and "agreement" not in text
    with pytest.raises(UserError, match="--expert-bits is for integers: leave it or --float-only out"):
        call(EvaluateCommand, "--checkpoint", checkpoint_path, *words, "--expert-bits", 4)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="has no GPU, there are 0"):
        call(EvaluateCommand, "--checkpoint", checkpoint_path, "--device", "cuda")
