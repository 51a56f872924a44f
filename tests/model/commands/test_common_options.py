"""What several commands refuse alike."""

import pytest
import torch

from moesaic.errors import UserError
from moesaic.model.commands.export import ExportCommand
from moesaic.model.commands.pathways import PathwaysCommand
from moesaic.model.commands.qat import QatCommand
from moesaic.model.commands.sensitivity import SensitivityCommand
from tests.model.calling import call


@pytest.mark.parametrize("command", [SensitivityCommand, QatCommand, ExportCommand])
def test_what_needs_integers_refuses_a_head_without(pup_path, command, tmp_path):
    with pytest.raises(UserError, match=r"'setr-pup' has no integer form.*take `moesaic export --onnx-only`"):
        call(command, "--checkpoint", pup_path, "--output", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", [SensitivityCommand, QatCommand, PathwaysCommand, ExportCommand])
def test_a_gpu_that_is_not_there_is_refused(checkpoint_path, command, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"has no GPU, there are 0: .* use --device cpu"):
        call(command, "--checkpoint", checkpoint_path, "--output", tmp_path / "out", "--device", "cuda")
    assert not (tmp_path / "out").exists()
