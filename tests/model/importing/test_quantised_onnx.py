"""Quantised ONNX graphs, of onnxruntime's quantiser and in Brevitas's form: their integers and ranges are taken as they are."""

import argparse
import dataclasses
import json

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from moesaic.errors import UserError
from moesaic.model.commands.import_ import ImportCommand
from moesaic.model.experiments.onnxruntime_int8 import quantised
from moesaic.model.importing.onnx_graphs.checkpoint import read_onnx_checkpoint
from moesaic.model.importing.onnx_graphs.file_ranges import points_of, with_file_ranges
from moesaic.model.network.vit import normalise
from moesaic.model.pathways.pathway import whole_network
from moesaic.model.quantisation.integer import IntegerNetwork
from moesaic.model.quantisation.post_training import DEFAULT_PTQ, scales_for
from moesaic.model.quantisation.quantise import quantise
from moesaic.model.quantisation.scales import Scales
from moesaic.model.training import checkpoint
from tests.model.importing.test_onnx import EDGE, HandWritten, Outputs, export, features_of_file, imported
from tests.model.importing.test_transformers import DEPTH, dense, network, our_features

PIXELS = np.random.default_rng(3).integers(0, 256, (6, EDGE, EDGE, 3), np.uint8)
IMAGES = ((PIXELS / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)).transpose(0, 3, 1, 2).astype(np.float32)
LINEAR = ("MatMul", "Gemm", "Conv")
KINDS = {
    "per channel, uint8": {"per_channel": True, "activation_type": QuantType.QUInt8},
    "per channel, int8": {"per_channel": True, "activation_type": QuantType.QInt8, "op_types_to_quantize": LINEAR},
    "per tensor, uint8": {"per_channel": False, "activation_type": QuantType.QUInt8, "op_types_to_quantize": LINEAR},
    "symmetric, int16": {
        "per_channel": True,
        "activation_type": QuantType.QInt16,
        "extra_options": {"ActivationSymmetric": True, "UseQDQContribOps": False},
    },
    "brevitas": {"per_channel": True, "activation_type": QuantType.QInt8, "op_types_to_quantize": LINEAR},
}


class Pictures(CalibrationDataReader):
    def __init__(self):
        self.remaining = iter(IMAGES[:4])

    def get_next(self):
        image = next(self.remaining, None)
        return None if image is None else {"image": image[None]}


def as_brevitas(path):
    """The form that `brevitas.export.export_onnx_qcdq` writes: weights in floating point, QuantizeLinear, Clip, DequantizeLinear."""
    model = onnx.load(path)
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        stored = arrays.get(node.input[0]) if node.input else None
        if node.op_type == "DequantizeLinear" and stored is not None and stored.dtype == np.int8 and stored.ndim > 1:
            name, axis = node.input[0], next((entry.i for entry in node.attribute if entry.name == "axis"), 1)
            step = arrays[node.input[1]].reshape([-1 if i == axis else 1 for i in range(stored.ndim)])
            model.graph.initializer.extend(
                numpy_helper.from_array(array, f"{name}_{part}")
                for part, array in {"float": stored * step, "low": np.int8(-127), "high": np.int8(127)}.items()
            )
            nodes.append(
                onnx.helper.make_node("QuantizeLinear", [f"{name}_float", *node.input[1:]], [f"{name}_q"], axis=axis)
            )
            nodes.append(onnx.helper.make_node("Clip", [f"{name}_q", f"{name}_low", f"{name}_high"], [f"{name}_c"]))
            node.input[0] = f"{name}_c"
        nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, path)


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    """A quantised graph of each kind, by its name."""
    directory = tmp_path_factory.mktemp("graphs")
    source, found = export(HandWritten(), directory / "float.onnx", opset=21), {}
    for kind, options in KINDS.items():
        found[kind] = directory / f"{kind}.onnx"
        quantize_static(
            source,
            found[kind],
            Pictures(),
            quant_format=QuantFormat.QDQ,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            **options,
        )
    as_brevitas(found["brevitas"])
    return found


def without_rounded_activations(path, to):
    """The graph with its activations in floating point, and its weights as they are."""
    model = onnx.load(path)
    names, nodes, of_image = {}, [], {"image"}
    for node in model.graph.node:
        if of_image & set(node.input) and node.op_type != "Shape":
            of_image |= set(node.output)
        node.input[:] = [names.get(name, name) for name in node.input]
        if node.op_type == "QuantizeLinear" and node.output[0] in of_image:
            names[node.output[0]] = f"{node.output[0]} in float"
            nodes.append(onnx.helper.make_node("Identity", [node.input[0]], [names[node.output[0]]]))
        elif node.op_type == "DequantizeLinear" and node.input[0] in names.values():
            nodes.append(onnx.helper.make_node("Identity", [node.input[0]], [node.output[0]]))
        else:
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, to)
    return to


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_those_that_the_integers_stand_for(recipe, graphs, tmp_path, kind):
    model, name = imported(graphs[kind], dense(recipe))
    plain = without_rounded_activations(graphs[kind], tmp_path / "plain.onnx")
    expected = features_of_file(plain, name, IMAGES[:1])
    assert np.abs(our_features(model, normalise(PIXELS[:1], model.configuration.input)).numpy() - expected).max() < 1e-4


def integers_of(path, name):
    """A weight's integers in the file, of the only tensor whose name has these words: [outputs, inputs]."""
    model = onnx.load(path)
    source = onnx.load(path.with_name("float.onnx"))
    floats = {t.name: numpy_helper.to_array(t) for t in source.graph.initializer}
    wanted = dict(HandWritten().named_parameters())[name].detach().numpy().T
    twin = next(key for key, value in floats.items() if value.shape == wanted.shape and np.array_equal(value, wanted))
    stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    return stored[f"{twin}_quantized"].T


@pytest.mark.parametrize("kind", ["per channel, uint8", "per channel, int8", "symmetric, int16", "brevitas"])
def test_integers_of_weights_are_the_files(recipe, graphs, kind):
    model, _ = imported(graphs[kind], dense(recipe))
    source = read_onnx_checkpoint(graphs[kind], (EDGE, EDGE), False)
    scales = with_file_ranges(scales_for(model, PIXELS, DEFAULT_PTQ), source.ranges)
    tensors, _ = _quantised(model, scales)
    for i in range(DEPTH):
        parts = [tensors[f"blocks.{i}.{part}.weight"] for part in ("query", "key", "value")]
        assert np.array_equal(np.concatenate(parts), integers_of(graphs[kind], f"blocks.{i}.attn.qkv.weight"))
        for ours, theirs in (("projection", "attn.proj"), ("mlp.up", "mlp.fc1"), ("mlp.down", "mlp.fc2")):
            found = tensors[f"blocks.{i}.{ours}.weight"]
            assert np.array_equal(found, integers_of(graphs[kind], f"blocks.{i}.{theirs}.weight")), (i, ours)


def _quantised(model, scales):
    tasks, tensors = quantise(model, scales, whole_network(model))
    return tensors, tasks


def stored_scale(path, reader):
    """Scale and zero point of the first operand of the node that reads a weight."""
    model = onnx.load(path)
    arrays = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    makers = {output: node for node in model.graph.node for output in node.output}
    dequantised = makers[reader.input[0]]
    return float(arrays[dequantised.input[1]]), float(arrays[dequantised.input[2]]), arrays[dequantised.input[2]].dtype


@pytest.mark.parametrize("kind", ["per channel, uint8", "per channel, int8", "brevitas"])
def test_ranges_are_the_files(recipe, graphs, kind):
    """Norms take the file's integers as they are; what is symmetric takes the larger side of its range."""
    model, _ = imported(graphs[kind], dense(recipe))
    ranges = read_onnx_checkpoint(graphs[kind], (EDGE, EDGE), False).ranges
    calibrated = scales_for(model, PIXELS, DEFAULT_PTQ)
    scales = with_file_ranges(calibrated, ranges)
    nodes = [node for node in onnx.load(graphs[kind]).graph.node if node.op_type == "MatMul"]
    step, zero, dtype = stored_scale(graphs[kind], nodes[0])  # the first block's qkv
    lowest = np.iinfo(dtype).min
    assert np.allclose(scales.blocks[0].norm1.scale, step, rtol=1e-6)
    assert np.allclose(scales.blocks[0].norm1.offset, (lowest + 128 - zero) * step, rtol=1e-6)
    assert {name for name in points_of(DEPTH) if name not in ranges} == (
        set() if "uint8" in kind else {f"blocks.{i}.up" for i in range(DEPTH)} | {"norm", "stream"}
    )
    for name in ("stream", "final_norms"):
        same = str(getattr(scales, name)) == str(getattr(calibrated, name))
        assert same == ("uint8" not in kind), name


def decibels(expected, found):
    return 10 * np.log10(np.square(expected).mean() / np.square(found - expected).mean())


@pytest.mark.parametrize("kind", KINDS)
def test_the_integer_network_is_near_the_files(recipe, graphs, kind):
    """Final norm of our integers with the file's ranges, against the file's float weights; onnxruntime's own is no nearer."""
    model, name = imported(graphs[kind], dense(recipe))
    ranges = read_onnx_checkpoint(graphs[kind], (EDGE, EDGE), False).ranges
    scales = with_file_ranges(scales_for(model, PIXELS[:4], DEFAULT_PTQ), ranges)
    tensors, tasks = _quantised(model, scales)
    record = {}
    network = IntegerNetwork(model.configuration.architecture, tasks, tensors)
    network.run(PIXELS[4:5], next(iter(tasks)), record)
    norm = scales.final_norms["norm"]
    found = record["norm"] * np.asarray(norm.scale) + norm.offset
    expected = our_features(model, normalise(PIXELS[4:5], model.configuration.input)).numpy()
    theirs = features_of_file(graphs[kind], name, IMAGES[4:5])
    assert decibels(expected, found) > min(15, decibels(expected, theirs) - 3)


def command(*words):
    parser = argparse.ArgumentParser()
    ImportCommand.configure(parser)
    return ImportCommand.run(parser.parse_args([str(word) for word in words]))


def test_the_command_writes_scales_and_says_what_it_calibrated(recipe, graphs, tmp_path, capsys):
    c = dense(recipe)
    lines = [f"{name} = {json.dumps(value)}" for name, value in dataclasses.asdict(c).items() if name in SIZES]
    lines += ['tasks = [{ name = "depth", channels = 1 }]', "[training]", "steps = 9", "batch = 1"]
    own, out = tmp_path / "own.toml", tmp_path / "out.safetensors"
    own.write_text("\n".join(["[model]", *lines, "learning_rate = 1e-3", "warmup = 1", "pool = 1"]))
    assert command(graphs["brevitas"], "--recipe", own, "--checkpoint", out) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert f"{8 * DEPTH + 2 - DEPTH - 2} of {8 * DEPTH + 2} from the graph's ranges" in printed
    assert "blocks.0.up, blocks.1.up, blocks.2.up, norm, stream" in printed
    scales = Scales.load(tmp_path / "out.scales.safetensors", checkpoint.load(out).recipe.model)
    assert len(scales.blocks) == DEPTH


SIZES = (
    *("image_height", "image_width", "patch", "width", "depth", "heads", "mlp_hidden"),
    *("experts", "top_k", "expert_hidden"),
)


def test_integers_that_are_read_otherwise_than_written_are_refused(recipe, graphs, tmp_path):
    model = onnx.load(graphs["per channel, int8"])
    node = next(n for n in model.graph.node if n.op_type == "DequantizeLinear" and "norm1" in n.input[0])
    model.graph.initializer.append(numpy_helper.from_array(np.float32(0.5), "another"))
    node.input[1] = "another"
    path = tmp_path / "altered.onnx"
    onnx.save(model, path)
    with pytest.raises(UserError, match=r"\(DequantizeLinear\): it dequantises with another scale"):
        imported(path, dense(recipe))


@pytest.fixture(scope="module")
def dinov2(tmp_path_factory):
    """A DINOv2 of the library, quantised as `make real` quantises the published one; keys have a bias far larger than they are."""
    directory, source = tmp_path_factory.mktemp("dinov2"), network("dinov2")
    with torch.no_grad():
        for name, value in source.named_parameters():
            if name.endswith(("key.bias", "k_proj.bias")):
                value.mul_(600)
    path = export(Outputs(source), directory / "float.onnx", opset=17)
    quantised_path = directory / "int8.onnx"
    onnx.save(quantised(onnx.load(path), IMAGES[:4], "MinMax"), quantised_path)
    return quantised_path


def test_a_dinov2_keeps_its_integers_and_ranges(recipe, dinov2):
    """LayerScale may turn the sign of a row; keys have the file's step and whole numbers of it as offsets, so scores fit."""
    model, name = imported(dinov2, dense(recipe))
    ranges = read_onnx_checkpoint(dinov2, (EDGE, EDGE), True).ranges
    scales = with_file_ranges(scales_for(model, PIXELS[:4], DEFAULT_PTQ), ranges)
    tensors, tasks = _quantised(model, scales)
    stored = [
        numpy_helper.to_array(t).T for t in onnx.load(dinov2).graph.initializer if t.data_type == TensorProto.INT8
    ]
    for layer in [
        key.removesuffix(".weight") for key in tensors if key.startswith("blocks.") and key.endswith(".weight")
    ]:
        found = tensors[f"{layer}.weight"]
        assert any(other.shape == found.shape and np.array_equal(abs(other), abs(found)) for other in stored), layer
    for i, block in enumerate(scales.blocks):
        key = ranges[f"blocks.{i}.key"]
        assert np.allclose(block.key.scale, key.step, rtol=1e-6) and np.abs(block.key.offset).max() > 20 * key.step[0]
        assert np.allclose(block.key.offset / key.step[0], np.round(block.key.offset / key.step[0]))
    record = {}
    run = IntegerNetwork(model.configuration.architecture, tasks, tensors)
    run.run(PIXELS[4:5], next(iter(tasks)), record)
    assert max(abs(record[f"blocks.{i}.scores"].astype(int)).max() for i in range(DEPTH)) < 32767
    norm = scales.final_norms["norm"]
    found = record["norm"] * np.asarray(norm.scale) + norm.offset
    expected = our_features(model, normalise(PIXELS[4:5], model.configuration.input)).numpy()
    theirs = features_of_file(dinov2, name, IMAGES[4:5])
    assert decibels(expected, found) > decibels(expected, theirs) - 1
