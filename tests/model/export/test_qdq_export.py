"""Quantised ONNX of the integer network: onnxruntime's outputs and stored integers of it, against the network itself."""

import dataclasses

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

from moesaic.errors import UserError
from moesaic.model.commands.export import ExportCommand
from moesaic.model.export.qdq_export import qdq_decibels, qdq_files, qdq_onnx
from moesaic.model.network.vit import M3ViT
from moesaic.model.quantisation.post_training import integer_network
from moesaic.model.quantisation.settings import AUTO, PtqSettings
from moesaic.model.recipes.recipe import TaskConfiguration
from moesaic.spec.bundle import load_bundle
from tests.model.calling import call


def run(content, image, *names):
    """Tensors of these names, as onnxruntime computes them without optimisation."""
    model = onnx.load_from_string(content)
    known = {output.name for output in model.graph.output}
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names if name not in known)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(list(names), {"image": image[None]})


@pytest.mark.parametrize("bits", [8, AUTO])
def test_outputs_are_near_the_integers(trained, calibration_images, bits):
    """Dense tasks of a network with experts. Equal bytes each time; weights and table are the bundle's."""
    network = integer_network(trained, calibration_images, settings=PtqSettings(expert_bits=bits))
    four = [f"blocks.{i}.experts.{e}.up" for i, of in network.architecture.four_bit_experts.items() for e in of]
    assert bool(four) == (bits == AUTO)
    files = qdq_files(network)
    assert sorted(files) == [f"model.{task}.qdq.onnx" for task in sorted(network.tasks)]
    assert files == qdq_files(network)
    found = qdq_decibels(network, files, calibration_images[:4])
    assert found.keys() == network.tasks.keys()
    assert all(value is None or value > 25 for value in found.values()), found
    for name in network.tasks:
        model = onnx.load_from_string(files[f"model.{name}.qdq.onnx"])
        stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        for layer in ("blocks.0.query", "blocks.0.mlp.down", "blocks.1.experts.0.up", f"heads.{name}", *four):
            assert np.array_equal(stored[f"{layer}.weight"].T, network.tensors[f"{layer}.weight"])
            assert np.array_equal(stored[f"{layer}.bias"], network.tensors[f"{layer}.bias"])
        assert np.array_equal(stored["blocks.1.experts.table"], network.tensors["blocks.1.experts.table"])


def test_stored_integers_are_the_machines(network, calibration_images):
    """Layer by layer in the first block: at most one unit from the machine's, and mostly the same."""
    task, image, record = next(iter(network.tasks)), calibration_images[0], {}
    network.run(image[None], task, record)
    names = ("embedded.stored", "blocks.0.norm1", "blocks.0.query", "blocks.0.key", "blocks.0.value", "blocks.0.norm2")
    golden = ("patch_embed", *names[1:])
    order = {"blocks.0.query": (1, 0, 2), "blocks.0.key": (2, 0, 1), "blocks.0.value": (1, 0, 2)}
    for name, layer, tensor in zip(names, golden, run(qdq_onnx(network, task), image, *names)):
        found = tensor.transpose(order[name]) if name in order else tensor
        difference = np.abs(found.reshape(len(found), -1) - record[layer][0])
        assert difference.max() <= 1 or name == "blocks.0.norm2", name
        assert (difference == 0).mean() > (0.5 if name == "blocks.0.norm2" else 0.9), name


@pytest.mark.parametrize("pooling", ["class", "mean", "class+mean", "mean_before_norm"])
def test_classifications_and_features_are_exported(recipe, calibration_images, pooling):
    tasks = (
        TaskConfiguration("classification", 7, pooling=pooling),
        TaskConfiguration("features", recipe.model.width),
    )
    torch.manual_seed(0)
    model = M3ViT(dataclasses.replace(recipe.model, tasks=tasks)).eval()
    network = integer_network(model, calibration_images[:8])
    found = qdq_decibels(network, qdq_files(network), calibration_images[:2])
    assert all(value is None or value > 20 for value in found.values()), found


def test_the_command_adds_the_files_and_says_how_near_they_are(checkpoint_path, tmp_path, capsys):
    words = ("--samples", 2, "--device", "cpu", "--qdq", "--output", tmp_path / "bundle")
    assert call(ExportCommand, "--checkpoint", checkpoint_path, *words) == 0
    printed = " ".join(capsys.readouterr().out.split())
    bundle = load_bundle(tmp_path / "bundle")
    for task in bundle.tasks:
        near = bundle.report["qdq_decibels"][task]
        assert f"model.{task}.qdq.onnx: onnxruntime's outputs are {near:.1f} dB from the integers'" in printed
        assert onnx.load_from_string(bundle.extra_files[f"model.{task}.qdq.onnx"]).producer_name == "moesaic"
    with pytest.raises(UserError, match="--qdq is for exports without --random-weights"):
        call(ExportCommand, "--random-weights", 0, "--qdq")
