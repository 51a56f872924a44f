"""What fine-tuning in integers leaves is what is exported, and how integers are chosen is an option."""

import numpy as np
import pytest
import torch

from moesaic.errors import UserError
from moesaic.model.commands.evaluate import EvaluateCommand
from moesaic.model.commands.export import ExportCommand
from moesaic.model.commands.qat import QatCommand, scales_path
from moesaic.model.data.scenes import render
from moesaic.model.quantisation.fake_quantised import FakeQuantised
from moesaic.model.quantisation.integer import IntegerNetwork
from moesaic.model.quantisation.post_training import integer_network
from moesaic.model.quantisation.scales import Scales
from moesaic.model.recipes.recipe import Recipe, TrainingConfiguration
from moesaic.model.training import checkpoint
from moesaic.spec.bundle import load_bundle
from tests.model.calling import call
from tests.model.quantisation.test_fake_quantised import CONFIGURATION, assert_the_same, random_model

SCENES = render(4, 32, 40, seed=5)
RECIPE = Recipe(CONFIGURATION, TrainingConfiguration(steps=1, batch=2, learning_rate=2e-3, warmup=0, pool=4))


@pytest.fixture
def model():
    return random_model(0)


@pytest.fixture
def checkpoint_path(model, tmp_path):
    path = tmp_path / "model.safetensors"
    checkpoint.save(path, checkpoint.Checkpoint(RECIPE, 1, model.state_dict(), {}))
    return path


def test_what_qat_leaves_is_exported_to_the_bit(checkpoint_path, tmp_path, without_onnx):
    output = tmp_path / "tuned.safetensors"
    words = ("--steps", 2, "--expert-bits", 4, "--output", output, "--device", "cpu")
    assert call(QatCommand, "--checkpoint", checkpoint_path, *words) == 0
    model = checkpoint.load(output).build_model().eval()
    before = checkpoint.load(checkpoint_path).build_model()
    assert not torch.equal(model.patch_embedding.weight, before.patch_embedding.weight)
    scales = Scales.load(scales_path(output), CONFIGURATION)
    network = integer_network(model, SCENES.images, scales=scales)
    assert_the_same(FakeQuantised(model, scales), network, SCENES.images[:1])
    words = ("--output", tmp_path / "four", "--samples", 2, "--scales", scales_path(output))
    assert call(ExportCommand, "--checkpoint", output, *words) == 0
    bundle = load_bundle(tmp_path / "four")
    assert (
        bundle.architecture.four_bit_experts
        == bundle.architecture.all_experts
        == {1: (0, 1, 2, 3, 4), 3: (0, 1, 2, 3, 4)}
    )
    assert bundle.report["quantisation"]["expert_bits"] == 4
    for name, value in network.tensors.items():
        assert np.array_equal(bundle.tensors[name], value), name
    with pytest.raises(UserError, match=r"--expert-bits is for choosing scales, --scales .* has them"):
        call(ExportCommand, "--checkpoint", output, *words, "--expert-bits", 8)


def test_flags_of_export_and_evaluate(checkpoint_path, tmp_path, without_onnx):
    words = ("--samples", 2, "--calibration", "percentile", "--percentile", 99.5, "--clip-weights", "--expert-bits", 4)
    assert call(ExportCommand, "--checkpoint", checkpoint_path, "--output", tmp_path / "b", *words) == 0
    assert load_bundle(tmp_path / "b").report["quantisation"] == {
        "method": "percentile",
        "percentile": 99.5,
        "clip_weights": True,
        "expert_bits": 4,
        "expert_bits_loss": 1.0,
        "rounding": "feedback",
    }
    assert call(EvaluateCommand, "--checkpoint", checkpoint_path, *words) == 0
    with pytest.raises(UserError, match=r"--percentile 99 is of no use with the calibration by mse"):
        call(EvaluateCommand, "--checkpoint", checkpoint_path, "--percentile", 99)
    with pytest.raises(UserError, match=r"--rate 2 is not above 0 and up to 1"):
        call(QatCommand, "--checkpoint", checkpoint_path, "--rate", 2)
    for words in ((), ("--expert-bits", 4)):
        with pytest.raises(
            UserError, match=r"--expert-bits-loss 2 is of no use with a fixed number of bits: add --expert-bits auto"
        ):
            call(EvaluateCommand, "--checkpoint", checkpoint_path, "--expert-bits-loss", 2, *words)
    with pytest.raises(
        UserError, match=r"a loss of 0 dB for 4-bit experts is not above 0 and finite: choose one such as 1"
    ):
        call(EvaluateCommand, "--checkpoint", checkpoint_path, "--expert-bits", "auto", "--expert-bits-loss", 0)
    with pytest.raises(SystemExit):
        call(EvaluateCommand, "--checkpoint", checkpoint_path, "--expert-bits", "fewest")


def test_bits_by_sensitivity_from_the_command_line_to_the_bundle(checkpoint_path, tmp_path, without_onnx, capsys):
    words = ("--samples", 2, "--expert-bits", "auto", "--expert-bits-loss", 0.03, "--device", "cpu")
    assert call(ExportCommand, "--checkpoint", checkpoint_path, "--output", tmp_path / "b", *words) == 0
    bundle, exported = load_bundle(tmp_path / "b"), capsys.readouterr().out
    four, measured = bundle.architecture.four_bit_experts, bundle.report["expert_bits"]
    assert bundle.report["quantisation"]["expert_bits"] == "auto" and measured["stated"] == 0.03 >= measured["lost"]
    count = sum(map(len, four.values()))
    assert 0 < count < 10 and len(measured["alone"]) == 10
    assert call(EvaluateCommand, "--checkpoint", checkpoint_path, *words) == 0
    for text in (exported, capsys.readouterr().out):
        assert f"cost {measured['lost']:.2f} dB of the 0.03 dB that may be lost" in " ".join(text.split())
        assert text.count("*") == count + 1 and "bytes over DRAM a frame" in text
    output = tmp_path / "tuned.safetensors"
    words = ("--steps", 1, "--expert-bits", "auto", "--expert-bits-loss", 0.03, "--output", output, "--device", "cpu")
    assert call(QatCommand, "--checkpoint", checkpoint_path, *words) == 0
    scales = Scales.load(scales_path(output), CONFIGURATION)
    assert scales.four_bit_experts == four
    words = ("--output", tmp_path / "tuned", "--samples", 2, "--scales", scales_path(output))
    assert call(ExportCommand, "--checkpoint", output, *words) == 0
    tuned = load_bundle(tmp_path / "tuned")
    assert tuned.architecture.four_bit_experts == four and tuned.report["expert_bits"] == measured
    model = checkpoint.load(output).build_model().eval()
    assert_the_same(
        FakeQuantised(model, scales), IntegerNetwork(tuned.architecture, tuned.tasks, tuned.tensors), SCENES.images[:1]
    )
