"""The bundle from the command line to the file, and ONNX against PyTorch."""

import argparse
import dataclasses

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from moesaic.errors import UserError
from moesaic.model.commands import train as commands
from moesaic.model.commands.pathways import PathwaysCommand
from moesaic.model.commands.qat import QatCommand, SensitivityCommand
from moesaic.model.export.onnx_export import export_onnx
from moesaic.model.input_pipeline.held_out import training_scenes
from moesaic.model.network.vit import M3ViT
from moesaic.model.pathways.pathway import apply_pathway
from moesaic.model.quantisation.integer import IntegerNetwork
from moesaic.model.quantisation.post_training import integer_network
from moesaic.model.recipes.recipe import Recipe
from moesaic.model.training import checkpoint
from moesaic.spec.bundle import load_bundle


def call(command, *words):
    parser = argparse.ArgumentParser()
    command.configure(parser)
    return command.run(parser.parse_args([str(word) for word in words]))


@pytest.fixture(scope="module")
def bundle_path(checkpoint_path, tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "odd"
    words = ("--scenes", 4, "--device", "cpu")
    assert call(commands.export_command, "--checkpoint", checkpoint_path, "--bundle", path, *words) == 0
    return path


def test_bundle_reads_back_and_gives_its_golden_results(bundle_path):
    bundle = load_bundle(bundle_path)
    assert bundle.name == "odd"
    assert set(bundle.extra_files) == {"model.onnx", *(f"model.{task}.onnx" for task in bundle.tasks)}
    network = IntegerNetwork(bundle.architecture, bundle.tasks, bundle.tensors)
    for task in bundle.tasks:
        record: dict[str, np.ndarray] = {}
        network.run(bundle.golden["image"][None], task, record)
        assert len(record) > 30
        for name, value in record.items():
            assert np.array_equal(bundle.golden[f"{task}/{name}"], value[0]), name
    assert 0.9 < bundle.report["router_topk_agreement"] <= 1
    metrics = bundle.tasks["segmentation"].metrics
    assert (
        metrics["metric"] == "mIoU" and 0 < metrics["integer"] < 1 and abs(metrics["integer"] - metrics["float"]) < 0.05
    )


def test_the_same_checkpoint_gives_the_same_integers_and_the_same_onnx(bundle_path, trained, recipe):
    bundle, network = load_bundle(bundle_path), integer_network(trained, training_scenes(recipe, 0, 64).images)
    assert set(network.tensors) == set(bundle.tensors)
    for name, value in network.tensors.items():
        assert np.array_equal(value, bundle.tensors[name]), name
    assert export_onnx(trained, ("depth",)) == bundle.extra_files["model.depth.onnx"]


def test_onnx_gives_what_pytorch_gives(bundle_path, trained):
    bundle = load_bundle(bundle_path)
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        image = torch.rand(1, 3, 40, 56, generator=generator) * 2 - 1
        session = onnxruntime.InferenceSession(bundle.extra_files["model.onnx"])
        all_tasks = session.run(list(bundle.tasks), {"image": image.numpy()})
        for task, prediction in zip(bundle.tasks, all_tasks):
            expected = trained(image, task).detach().numpy()
            session = onnxruntime.InferenceSession(bundle.extra_files[f"model.{task}.onnx"])
            (alone,) = session.run([task], {"image": image.numpy()})
            assert np.abs(prediction - expected).max() < 1e-4
            assert np.abs(alone - expected).max() < 1e-4


def test_one_tasks_onnx_holds_no_other_tasks_weights(bundle_path):
    files = load_bundle(bundle_path).extra_files
    names = {i.name for i in onnx.load_model_from_string(files["model.depth.onnx"]).graph.initializer}
    assert any(".routers.depth." in name for name in names)
    assert not any(task in name for name in names for task in ("segmentation", "normals"))


def test_onnx_of_a_pruned_pathway(trained):
    apply_pathway(trained, {"depth": {1: (0, 2, 4), 3: (1, 2)}})
    image = torch.rand(1, 3, 40, 56, generator=torch.Generator().manual_seed(1)) * 2 - 1
    session = onnxruntime.InferenceSession(export_onnx(trained, ("depth",)))
    assert (
        np.abs(session.run(None, {"image": image.numpy()})[0] - trained(image, "depth").detach().numpy()).max() < 1e-4
    )


def test_evaluate_prints_float_and_integer(checkpoint_path, capsys):
    assert call(commands.evaluate_command, "--checkpoint", checkpoint_path, "--scenes", 4) == 0
    text = capsys.readouterr().out
    for word in ("segmentation", "depth", "normals", "mIoU", "float", "integer", "agreement"):
        assert word in text


@pytest.fixture
def pup_path(recipe, tmp_path):
    model = dataclasses.replace(recipe.model, head="setr-pup", depth=2, tasks=recipe.model.tasks[:2])
    torch.manual_seed(0)
    weights = M3ViT(model).state_dict()
    for name, value in weights.items():
        if name.endswith("running_mean"):
            value.normal_()  # what a network that is not in evaluation mode would not use
    path = tmp_path / "pup.safetensors"
    checkpoint.save(path, checkpoint.Checkpoint(Recipe(model, recipe.training), recipe.training.steps, weights, {}))
    return path


def test_a_head_without_integers_is_exported_as_onnx(pup_path, tmp_path, capsys):
    assert call(commands.export_command, "--checkpoint", pup_path, "--onnx-only", tmp_path / "onnx") == 0
    model = checkpoint.load(pup_path).build_model().eval()
    names = model.configuration.task_names
    assert {path.name for path in (tmp_path / "onnx").iterdir()} == {"model.onnx", *(f"model.{n}.onnx" for n in names)}
    image = torch.rand(1, 3, 40, 56, generator=torch.Generator().manual_seed(2)) * 2 - 1
    session = onnxruntime.InferenceSession(tmp_path / "onnx" / "model.onnx")
    for task, found in zip(names, session.run(list(names), {"image": image.numpy()})):
        alone = onnxruntime.InferenceSession(tmp_path / "onnx" / f"model.{task}.onnx")
        for prediction in (found, *alone.run([task], {"image": image.numpy()})):
            assert np.abs(prediction - model(image, task).detach().numpy()).max() < 1e-4
    assert "model.depth.onnx" in "".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    "words",
    [
        ("--experts-kept", 2),
        ("--name", "x"),
        ("--expert-bits", 4),
        ("--scales", "s"),
        ("--device", "cpu"),
        ("--random-weights", 1),
    ],
    ids=lambda words: words[0],
)
def test_options_of_bundles_are_not_of_onnx(pup_path, tmp_path, words):
    source = () if words[0] == "--random-weights" else ("--checkpoint", pup_path)
    with pytest.raises(UserError, match=r"--.* is for exports with.*: leave one of them out"):
        call(commands.export_command, *source, "--onnx-only", tmp_path / "onnx", *words)
    assert not (tmp_path / "onnx").exists()


@pytest.mark.parametrize("command", [SensitivityCommand, QatCommand, commands.export_command])
def test_what_needs_integers_refuses_a_head_without(pup_path, command, tmp_path):
    output = "--bundle" if command is commands.export_command else "--output"
    with pytest.raises(UserError, match=r"'setr-pup' has no integer form.*take `moesaic export --onnx-only`"):
        call(command, "--checkpoint", pup_path, output, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", [SensitivityCommand, QatCommand, PathwaysCommand, commands.export_command])
def test_a_gpu_that_is_not_there_is_refused(checkpoint_path, command, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    output = "--bundle" if command is commands.export_command else "--output"
    with pytest.raises(UserError, match=r"has no GPU, there are 0: .* use --device cpu"):
        call(command, "--checkpoint", checkpoint_path, output, tmp_path / "out", "--device", "cuda")
    assert not (tmp_path / "out").exists()


def test_evaluate_in_float_alone(pup_path, checkpoint_path, capsys, monkeypatch):
    monkeypatch.setattr("moesaic.model.export.integer_network", None)
    words = ("--scenes", 2, "--float-only", "--device", "cpu")
    for path in (checkpoint_path, pup_path):
        assert call(commands.evaluate_command, "--checkpoint", path, *words) == 0
        text = capsys.readouterr().out
        assert "mIoU" in text and "agreement" not in text
    with pytest.raises(UserError, match="--expert-bits is for integers: leave it or --float-only out"):
        call(commands.evaluate_command, "--checkpoint", checkpoint_path, *words, "--expert-bits", 4)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="has no GPU, there are 0"):
        call(commands.evaluate_command, "--checkpoint", checkpoint_path, "--device", "cuda")


def test_train_command_takes_steps(tmp_path, recipe):
    path = tmp_path / "demo.safetensors"
    words = ("--steps", 2, "--pool", 8, "--checkpoint", path)
    assert call(commands.train_command, *words, "--stop-after", 1) == 0
    with pytest.raises(UserError, match="seen 1 of 2 steps"):
        call(commands.export_command, "--checkpoint", path, "--bundle", tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()
    assert call(commands.train_command, *words, "--resume") == 0
    assert checkpoint.load(path).step == 2
