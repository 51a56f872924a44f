"""The bundle from the command line to the file, and ONNX against PyTorch."""

import argparse

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from model import commands
from model.export import integer_network
from model.onnx_export import export_onnx
from model.pathways.pathway import apply_pathway
from model.quantisation.integer import IntegerNetwork
from model.training import checkpoint
from model.training.sources import training_scenes
from spec.bundle import load_bundle
from spec.errors import UserError


def call(command, *words):
    parser = argparse.ArgumentParser()
    command.configure(parser)
    return command.run(parser.parse_args([str(word) for word in words]))


@pytest.fixture(scope="module")
def bundle_path(checkpoint_path, tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "odd"
    assert call(commands.export_command, "--checkpoint", checkpoint_path, "--bundle", path, "--scenes", 4) == 0
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


def test_train_command_takes_steps(tmp_path, recipe):
    path = tmp_path / "demo.safetensors"
    words = ("--steps", 2, "--pool", 8, "--checkpoint", path)
    assert call(commands.train_command, *words, "--stop-after", 1) == 0
    with pytest.raises(UserError, match="seen 1 of 2 steps"):
        call(commands.export_command, "--checkpoint", path, "--bundle", tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()
    assert call(commands.train_command, *words, "--resume") == 0
    assert checkpoint.load(path).step == 2
