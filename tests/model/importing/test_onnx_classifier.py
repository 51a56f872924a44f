"""Classifiers in ONNX graphs: the logits of the network that was exported, for every way of pooling and every exporter; refusals."""

import json

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static
from onnxruntime.transformers.float16 import convert_float_to_float16
from PIL import Image
from torch import nn

from moesaic.errors import UserError
from moesaic.model.commands.import_ import ImportCommand
from moesaic.model.network.vit import normalise
from moesaic.model.training import checkpoint
from tests.model.calling import call
from tests.model.importing.test_classifier import CLASSES, FAMILIES, PATCH, SIDE, network
from tests.model.importing.test_onnx import DYNAMO, TORCHSCRIPT, HandWritten, Outputs, export
from tests.model.importing.test_onnx import PATCH as PATCH_WRITTEN

EDGE, WRITTEN = SIDE * PATCH, SIDE * PATCH_WRITTEN  # pixels of networks of the library, and of those written by hand


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (3, EDGE, EDGE, 3), np.uint8)


def assert_same_logits(path, source, images, *words, tolerance=1e-4):
    """Through the command, without a recipe; returns the only task."""
    out = path.with_suffix(".safetensors")
    assert call(ImportCommand, path, "--checkpoint", out, *words) == 0
    state = checkpoint.load(out)
    model, (task,) = state.build_model().eval(), state.recipe.model.tasks
    pixels = normalise(images, state.recipe.model.input)
    with torch.no_grad():
        expected, found = source(pixels), model(pixels, "classification")
    assert state.finished and expected.std() > 0.1 and (found - expected).abs().max() < tolerance
    return task


class Logits(nn.Module):
    """All outputs of a distilled network, as Hugging Face's exporter states them, the logits last."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, image):
        result = self.network(image)
        return result.cls_logits, result.distillation_logits, result.logits


@pytest.mark.parametrize(("exporter", "opset"), [(TORCHSCRIPT, 14), (TORCHSCRIPT, 18), (DYNAMO, 18)])
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_those_of_the_library(tmp_path, images, family, exporter, opset):
    if family == "registers" and exporter == TORCHSCRIPT:
        pytest.skip("PyTorch's older exporter has no antialiased interpolation")
    source = Outputs(network(family))
    path = export(source, tmp_path / "model.onnx", exporter, opset, image=(1, 3, EDGE, EDGE))
    task = assert_same_logits(path, source, images)
    assert (task.channels, task.pooling, task.class_names) == (CLASSES, FAMILIES[family][2], ())


def test_the_mean_of_two_heads_is_taken_with_both_beside_it(tmp_path, images):
    source = network("distilled")
    path = export(Logits(source), tmp_path / "model.onnx", image=(1, 3, EDGE, EDGE))
    assert assert_same_logits(path, Outputs(source), images).pooling == "class+distillation"


class Pooling(HandWritten):
    """timm's `VisionTransformer.forward_head` behind its blocks; pool: "token", "avg", or what the machine does not run."""

    def __init__(self, pool, fc_norm):
        super().__init__(classes=CLASSES, side=SIDE)
        self.pool, self.fc_norm = pool, self.norm if fc_norm else nn.Identity()
        if fc_norm:
            self.norm = nn.Identity()

    def forward(self, image):
        x = self.patch_embed(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
        x = self.norm(self.blocks(x))
        if self.pool == "token":
            pooled = x[:, 0]
        elif self.pool == "all":
            pooled = x.mean(1)
        elif self.pool == "max":
            pooled = x[:, 1:].amax(1)
        elif self.pool == "norms":
            pooled = self.blocks[0].norm1(x[:, 1:].mean(1))
        elif self.pool == "unit":
            pooled = F.normalize(x[:, 0])
        elif self.pool == "patch":
            pooled = x[:, 5]
        else:
            pooled = x[:, 1:].mean(1)
        result = self.head(self.fc_norm(pooled))
        return result.softmax(-1) if self.pool == "probabilities" else result


@pytest.mark.parametrize(("exporter", "opset"), [(TORCHSCRIPT, 14), (TORCHSCRIPT, 18), (DYNAMO, 18)])
@pytest.mark.parametrize(
    ("pool", "fc_norm", "pooling"),
    [("token", False, "class"), ("avg", False, "mean"), ("avg", True, "mean_before_norm")],
)
def test_logits_of_a_network_as_timm_writes_it(tmp_path, pool, fc_norm, pooling, exporter, opset):
    source = Pooling(pool, fc_norm)
    path = export(source, tmp_path / "model.onnx", exporter, opset, image=(1, 3, WRITTEN, WRITTEN))
    pixels = np.random.default_rng(0).integers(0, 256, (3, WRITTEN, WRITTEN, 3), np.uint8)
    assert assert_same_logits(path, source, pixels).pooling == pooling


def test_probabilities_are_those_of_the_logits(tmp_path):
    source = Pooling("probabilities", fc_norm=True)
    path = export(source, tmp_path / "model.onnx", image=(1, 3, WRITTEN, WRITTEN))
    source.pool = "avg"
    pixels = np.random.default_rng(0).integers(0, 256, (3, WRITTEN, WRITTEN, 3), np.uint8)
    assert assert_same_logits(path, source, pixels).pooling == "mean_before_norm"


def test_class_names_stand_beside_the_file_or_in_the_recipe(tmp_path, images):
    source, names = Outputs(network("vit")), ["tench", "goldfish", "shark", "ray", "cock"]
    path = export(source, tmp_path / "model.onnx", image=(1, 3, EDGE, EDGE))
    settings = {"id2label": {str(n): name for n, name in enumerate(names)}, "num_attention_heads": 12}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    assert list(assert_same_logits(path, source, images).class_names) == names


REFUSED = {
    "all": r"\(Gemm\): its classifier reads the mean of the tokens from 0 on; expected that of the patches, which begin at 1",
    "max": r"\(ReduceMax\): an operation that no plain vision transformer has; .* it and 2 more nodes follow the final norm",
    "norms": r"\(LayerNormalization\): it normalises a mean of tokens, scaled; .* follow the final norm",
    "patch": r"\(Gemm\): its classifier reads token 5, behind 1 prefix tokens; expected the class token",
    "unit": r"\(ReduceL2\): .* it and \d more nodes follow the final norm",
}


@pytest.mark.parametrize("pool", REFUSED)
def test_other_classifiers_are_refused_with_their_node(tmp_path, pool):
    path = export(Pooling(pool, fc_norm=False), tmp_path / "model.onnx", image=(1, 3, WRITTEN, WRITTEN))
    with pytest.raises(UserError, match=rf"node \S+ {REFUSED[pool]}.*leave it out with --backbone-only"):
        call(ImportCommand, path)
    out = tmp_path / "out.safetensors"
    assert call(ImportCommand, path, "--backbone-only", "--features", "--checkpoint", out) == 0


def test_open_sizes_have_to_be_stated(tmp_path):
    path = export(
        Outputs(network("vit")),
        tmp_path / "model.onnx",
        open_sizes=("batch", "height", "width"),
        image=(1, 3, EDGE, EDGE),
    )
    with pytest.raises(UserError, match="input image leaves the image's size open: state --size or a --recipe"):
        call(ImportCommand, path)


@pytest.mark.parametrize("keep_io_types", [True, False])
def test_weights_of_16_bits_are_widened(tmp_path, images, keep_io_types):
    source = Outputs(network("deit").half().float())
    path = export(source, tmp_path / "model.onnx", image=(1, 3, EDGE, EDGE))
    narrow = convert_float_to_float16(onnx.load(path), keep_io_types=keep_io_types)
    onnx.save(onnx.shape_inference.infer_shapes(narrow), path)  # states the type of every tensor
    assert (
        assert_same_logits(path, source, images, tolerance=5e-3).pooling == "class"
    )  # 1 / sqrt(channels) has 16 bits, too


class Noise(CalibrationDataReader):
    """Four images to calibrate on."""

    def __init__(self, edge):
        self.remaining = iter(np.random.default_rng(0).standard_normal((4, 1, 3, edge, edge)).astype(np.float32))

    def get_next(self):
        image = next(self.remaining, None)
        return None if image is None else {"image": image}


@pytest.mark.parametrize("operators", [None, ["MatMul", "Gemm", "Conv"]], ids=["all", "linear"])
@pytest.mark.parametrize("family", ["distilled", "dinov2", "fc_norm"])
def test_quantised_graphs_keep_their_classifier(tmp_path, family, operators):
    """Its weights are those that the integers stand for, so logits are near the float network's."""
    source, edge = (Pooling("avg", True), WRITTEN) if family == "fc_norm" else (Outputs(network(family)), EDGE)
    path = export(source, tmp_path / "float.onnx", opset=18, image=(1, 3, edge, edge))
    quantize_static(
        path, tmp_path / "int8.onnx", Noise(edge), quant_format=QuantFormat.QDQ, per_channel=True, op_types_to_quantize=operators
    )  # fmt: skip
    (tmp_path / "pictures").mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (edge, edge, 3), np.uint8)).save(
        tmp_path / "pictures/0.png"
    )
    out = tmp_path / "out.safetensors"
    words = ("--pictures", tmp_path / "pictures", "--checkpoint", out, "--size", f"{edge}x{edge}")
    assert call(ImportCommand, tmp_path / "int8.onnx", *words) == 0
    state, pixels = checkpoint.load(out), torch.randn(4, 3, edge, edge, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, found = source(pixels), state.build_model().eval()(pixels, "classification")
    assert 0 < (found - expected).abs().max() < 0.15 * expected.std()
