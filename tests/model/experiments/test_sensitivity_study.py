"""Which layers lose most in integers, and the commands of quantisation."""

import argparse
import dataclasses
import math

import numpy as np
import pytest
import torch

from moesaic.errors import UserError
from moesaic.model.commands import train as commands
from moesaic.model.commands.qat import QatCommand, SensitivityCommand, scales_path
from moesaic.model.data.scenes import render
from moesaic.model.evaluation.evaluate import measure_integer
from moesaic.model.experiments.sensitivity_page import chart, markdown
from moesaic.model.experiments.sensitivity_study import layer_groups, measure_sensitivity
from moesaic.model.quantisation.calibration import calibrate
from moesaic.model.quantisation.fake_quantised import FakeQuantised
from moesaic.model.quantisation.post_training import integer_network
from moesaic.model.quantisation.scales import Scales, choose_scales
from moesaic.model.quantisation.settings import PtqSettings
from moesaic.model.recipes.recipe import Recipe, TrainingConfiguration
from moesaic.model.training import checkpoint
from moesaic.spec.bundle import load_bundle
from tests.model.quantisation.test_fake_quantised import CONFIGURATION, assert_the_same, random_model

SCENES = render(4, 32, 40, seed=5)
RECIPE = Recipe(CONFIGURATION, TrainingConfiguration(steps=1, batch=2, learning_rate=2e-3, warmup=0, pool=4))


def call(command, *words) -> int:
    parser = argparse.ArgumentParser()
    command.configure(parser)
    return command.run(parser.parse_args([str(word) for word in words]))


@pytest.fixture
def model():
    return random_model(0)


def scales_of(model, **settings):
    return choose_scales(calibrate(model, SCENES.images), CONFIGURATION, PtqSettings(**settings))


@pytest.mark.parametrize("level", ["block", "layer"])
def test_groups_have_every_layer_once(model, level):
    scales = scales_of(model)
    names = [name for group in layer_groups(CONFIGURATION, level).values() for name in group]
    layers = FakeQuantised(model, scales).derive()
    for name in [*layers.linear, *layers.norms, "position", "blocks.0.scores", "blocks.3.attention"]:
        found = [other for other in names if name == other or name.startswith(f"{other}.")]
        assert len(found) == 1, (name, found)


@pytest.mark.parametrize("mode", ["alone", "without"])
def test_a_broken_layer_stands_out(model, mode):
    """Values of one block in far too coarse units."""
    scales = scales_of(model)
    blocks = list(scales.blocks)
    blocks[2] = dataclasses.replace(blocks[2], value=60 * blocks[2].value)
    scales = dataclasses.replace(scales, blocks=tuple(blocks))
    found = measure_sensitivity(model, scales, SCENES, mode=mode)
    for task in ("segmentation", "depth"):
        losses = {group: loss.signal_to_noise[task] for group, loss in found.groups.items()}
        worst, others = losses.pop("blocks.2.attention"), losses.values()
        assert worst < min(others) - 6 if mode == "alone" else worst > max(others) + 6
    network = integer_network(model, SCENES.images, scales=scales)
    assert found.integers.metric == pytest.approx(measure_integer(network, CONFIGURATION, SCENES), rel=1e-9)
    signal, noise = (
        FakeQuantised(model, scales, selection).predict(SCENES.images, "depth") for selection in ((), ("",))
    )
    expected = 10 * math.log10(np.square(signal).sum() / np.square(noise - signal).sum())
    assert found.integers.signal_to_noise["depth"] == pytest.approx(expected)
    lines = markdown(found).splitlines()
    rows = [line for line in lines if line.startswith("| ")]
    assert len(rows) == 3 + len(found.groups) and rows[3].startswith("| blocks.2.attention |")
    picture = chart(found)
    assert picture.count("<title>") == 2 * (1 + len(found.groups))
    assert "blocks.2.attention, depth: " in picture


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
    assert (tmp_path / "out" / "sensitivity.svg").read_text().endswith("</svg>")


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
    words = ("--bundle", tmp_path / "four", "--scenes", 2, "--scales", scales_path(output))
    assert call(commands.export_command, "--checkpoint", output, *words) == 0
    bundle = load_bundle(tmp_path / "four")
    assert bundle.architecture.expert_weight_bits == 4
    assert bundle.report["quantisation"]["expert_bits"] == 4
    for name, value in network.tensors.items():
        assert np.array_equal(bundle.tensors[name], value), name
    with pytest.raises(UserError, match=r"--expert-bits is for choosing scales, --scales .* has them"):
        call(commands.export_command, "--checkpoint", output, *words, "--expert-bits", 8)


def test_flags_of_export_and_evaluate(checkpoint_path, tmp_path, without_onnx):
    words = ("--scenes", 2, "--calibration", "percentile", "--percentile", 99.5, "--clip-weights", "--expert-bits", 4)
    assert call(commands.export_command, "--checkpoint", checkpoint_path, "--bundle", tmp_path / "b", *words) == 0
    assert load_bundle(tmp_path / "b").report["quantisation"] == {
        "method": "percentile",
        "percentile": 99.5,
        "clip_weights": True,
        "expert_bits": 4,
    }
    assert call(commands.evaluate_command, "--checkpoint", checkpoint_path, *words) == 0
    with pytest.raises(UserError, match=r"--percentile 99 is of no use with the calibration by mse"):
        call(commands.evaluate_command, "--checkpoint", checkpoint_path, "--percentile", 99)
    with pytest.raises(UserError, match=r"--rate 2 is not above 0 and up to 1"):
        call(QatCommand, "--checkpoint", checkpoint_path, "--rate", 2)
