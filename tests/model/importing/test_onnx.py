"""ONNX graphs of vision transformers: onnxruntime's features of the same file, for every exporter; what is refused, and why."""

import contextlib
import dataclasses
import io
import logging
import warnings

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from moesaic.errors import UserError
from moesaic.model.importing.onnx_graphs.checkpoint import as_checkpoint
from moesaic.model.importing.onnx_graphs.graph_file import read_graph
from moesaic.model.importing.onnx_graphs.vit_structure import find_vision_transformer
from moesaic.model.importing.plain_vit import convert_plain_vit, with_source_tokens
from moesaic.model.importing.source_input import source_input
from moesaic.model.network.upcycling import initialise
from moesaic.model.network.vit import M3ViT, normalise
from tests.model.importing.test_transformers import (
    DEPTH,
    HEADS,
    HIDDEN,
    PATCH,
    SIDE,
    WIDTH,
    dense,
    network,
    our_features,
)

EDGE = SIDE * PATCH
TORCHSCRIPT, DYNAMO = "torchscript", "dynamo"


class Outputs(nn.Module):
    """A network of transformers that gives tensors alone: its features, or its classes."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, image):
        result = self.network(image)
        return result.last_hidden_state if "last_hidden_state" in result else result.logits


def export(model, path, exporter=TORCHSCRIPT, opset=18, open_sizes=("batch",), image=(1, 3, EDGE, EDGE)):
    """Write a model as PyTorch exports it; open_sizes: names of the leading dimensions, None for one that is fixed."""
    options = {}
    axes = {i: name for i, name in zip((0, 2, 3), open_sizes) if name}
    if exporter == TORCHSCRIPT:
        options["dynamic_axes"] = {"image": axes}
    elif axes:
        options["dynamic_shapes"] = (dict.fromkeys(axes, torch.export.Dim.DYNAMIC),)
        image = (2, *image[1:])  # a batch of one would be taken for fixed
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            torch.no_grad(),
        ):
            warnings.simplefilter("ignore")
            torch.onnx.export(
                model.eval(),
                (torch.zeros(image),),
                path,
                input_names=["image"],
                opset_version=opset,
                dynamo=exporter == DYNAMO,
                external_data=False,
                **options,
            )
    finally:
        logging.disable(logging.NOTSET)
    return path


def features_of_file(path, name, image):
    """What onnxruntime computes for the tensor called `name` in the file, which need not be an output of it."""
    model = onnx.load(path)
    if name not in {output.name for output in model.graph.output}:
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run([name], {session.get_inputs()[0].name: image})[0]


def imported(path, c, backbone_only=False, heads=HEADS):
    """Our model of the file, and the name of its features in the file."""
    graph = read_graph(path, (c.image_height, c.image_width))
    found = find_vision_transformer(graph, backbone_only)
    source = as_checkpoint(graph, found, {})
    assert source.settings["num_attention_heads"] == heads
    c = dataclasses.replace(with_source_tokens(source, c), input=source_input(source, "onnx").description)
    model = M3ViT(c).eval()
    weights = convert_plain_vit(source, c, heads=heads, library="onnx", grid=found.patches.grid)
    assert all(name.startswith("heads.") for name in initialise(model, weights))
    return model, found.norm_name


def assert_same_features(path, c, backbone_only=False, seed=0, heads=HEADS):
    model, name = imported(path, c, backbone_only, heads)
    pixels = np.random.default_rng(seed).integers(0, 256, (1, c.image_height, c.image_width, 3), np.uint8)
    image = (pixels / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    expected = features_of_file(path, name, image.transpose(0, 3, 1, 2).astype(np.float32))
    found = our_features(model, normalise(pixels, model.configuration.input)).numpy()
    assert expected.std() > 0.3
    assert np.abs(found - expected.reshape(found.shape)).max() < 1e-4
    return model


FAMILIES = ("vit", "deit", "deit-distilled", "dinov2", "dinov2-registers", "vit-no-qkv-bias", "ijepa", "vit-classifier")
EXPORTS = ((TORCHSCRIPT, 14), (TORCHSCRIPT, 17), (TORCHSCRIPT, 20), (DYNAMO, 18), (DYNAMO, 20), (DYNAMO, 23))


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize(("exporter", "opset"), EXPORTS)
def test_every_export_of_a_family_is_read(recipe, tmp_path, exporter, opset, attention):
    """LayerNormalization as one operation or nine, GELU as one or four, attention as one, as products, or split over q and k."""
    source = network("dinov2", seed=opset)
    source.set_attn_implementation(attention)
    path = export(Outputs(source), tmp_path / "model.onnx", exporter, opset)
    assert_same_features(path, dense(recipe))


@pytest.mark.parametrize("exporter", [TORCHSCRIPT, DYNAMO])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_read(recipe, tmp_path, family, exporter):
    source = network(family)
    if family == "dinov2-registers" and exporter == TORCHSCRIPT:
        pytest.skip("PyTorch's older exporter has no antialiased interpolation")
    path = export(Outputs(source), tmp_path / "model.onnx", exporter, 18)
    model = assert_same_features(path, dense(recipe), backbone_only=True)
    prefix = {"deit": 2, "deit-distilled": 2, "dinov2-registers": 5, "ijepa": 0}.get(family, 1)
    assert model.configuration.prefix_tokens == prefix


class Attention(nn.Module):
    """Attention as timm writes it, with the extras that some networks have."""

    def __init__(self, width, heads, extra):
        super().__init__()
        self.heads, self.extra = heads, extra
        self.qkv, self.proj = nn.Linear(width, 3 * width, bias=extra != "no-bias"), nn.Linear(width, width)
        if extra == "qk-norm":
            self.q_norm, self.k_norm = nn.LayerNorm(width // heads), nn.LayerNorm(width // heads)
        if extra == "relative":
            self.table = nn.Parameter(torch.randn(1, heads, SIDE**2 + 1, SIDE**2 + 1))

    def forward(self, x):
        batch, tokens, width = x.shape
        if self.extra == "window":
            x = x.reshape(SIDE, tokens // SIDE, width)
        qkv = self.qkv(x).reshape(len(x), -1, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        if self.extra == "qk-norm":
            q, k = self.q_norm(q), self.k_norm(k)
        if self.extra == "rotary":
            angle = torch.arange(float(tokens))[:, None] * torch.arange(1.0, width // self.heads + 1)
            q, k = (
                t * angle.cos() + torch.cat([-t[..., t.shape[-1] // 2 :], t[..., : t.shape[-1] // 2]], -1) * angle.sin()
                for t in (q, k)
            )
        scores = (q * (width // self.heads) ** -0.5) @ k.transpose(-2, -1)
        if self.extra == "relative":
            scores = scores + self.table
        x = (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, tokens, width)
        return self.proj(x)


class Mlp(nn.Module):
    def __init__(self, width, hidden, extra):
        super().__init__()
        self.extra = extra
        self.fc1, self.fc2 = nn.Linear(width, hidden * (2 if extra == "swiglu" else 1)), nn.Linear(hidden, width)

    def forward(self, x):
        x = self.fc1(x)
        if self.extra == "swiglu":
            gate, x = x.chunk(2, -1)
            return self.fc2(F.silu(gate) * x)
        if self.extra == "relu":
            return self.fc2(F.relu(x))
        return self.fc2(F.gelu(x, approximate="tanh" if self.extra == "tanh" else "none"))


class RmsNorm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.weight


class Block(nn.Module):
    def __init__(self, width, heads, hidden, extra):
        super().__init__()
        self.extra = extra
        norm = RmsNorm if extra == "rms-norm" else nn.LayerNorm
        self.norm1, self.norm2 = norm(width, eps=1e-6), norm(width, eps=1e-5 if extra == "epsilons" else 1e-6)
        self.attn, self.mlp = Attention(width, heads, extra), Mlp(width, hidden, extra)

    def forward(self, x):
        if self.extra == "post-norm":
            x = self.norm1(x + self.attn(x))
            return self.norm2(x + self.mlp(x))
        if self.extra == "parallel":
            return x + self.attn(self.norm1(x)) + self.mlp(self.norm2(x))
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class HandWritten(nn.Module):
    """A vision transformer as timm writes it, of plain PyTorch; extra: what is not plain about it, in its block number `where`."""

    def __init__(self, extra="", classes=0, where=0, side=SIDE):
        super().__init__()
        self.extra = extra
        prefix = 0 if extra == "window" else 1
        self.patch_embed = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.cls_token = nn.Parameter(torch.randn(1, prefix, WIDTH))
        self.pos_embed = nn.Parameter(torch.randn(1, prefix + side**2, WIDTH))
        if extra == "norm-first":
            self.norm_pre = nn.LayerNorm(WIDTH)
        self.blocks = nn.Sequential(
            *(Block(WIDTH, HEADS, HIDDEN, extra if i == where or extra == "no-bias" else "") for i in range(DEPTH))
        )
        self.norm = nn.Identity() if extra == "no-final-norm" else nn.LayerNorm(WIDTH, eps=1e-6)
        self.head = nn.Linear(WIDTH, classes) if classes else None
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for name, value in self.named_parameters():
                noise = torch.randn(value.shape, generator=generator)
                value.copy_(1 + 0.3 * noise if "norm" in name and name.endswith("weight") else 0.2 * noise)

    def forward(self, image):
        if self.extra == "bytes":
            mean, deviation = (torch.tensor(n)[:, None, None] for n in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
            image = (image.permute(0, 3, 1, 2) / 255 - mean) / deviation
        x = self.patch_embed(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
        if self.extra == "norm-first":
            x = self.norm_pre(x)
        x = self.norm(self.blocks(x))
        return x if self.head is None else self.head(x[:, 0])


@pytest.mark.parametrize("exporter", [TORCHSCRIPT, DYNAMO])
@pytest.mark.parametrize("extra", ["", "no-bias"])
def test_a_network_as_timm_writes_it_is_read(recipe, tmp_path, extra, exporter):
    assert_same_features(export(HandWritten(extra), tmp_path / "model.onnx", exporter), dense(recipe))


def test_a_classifier_is_left_out_by_choice(recipe, tmp_path):
    path = export(HandWritten(classes=7), tmp_path / "model.onnx")
    assert_same_features(path, dense(recipe), backbone_only=True)
    graph = read_graph(path, (EDGE, EDGE))
    found, without = (find_vision_transformer(graph, backbone_only) for backbone_only in (False, True))
    assert found.classifier is not None and found.classifier.pooling == "class" and without.classifier is None


NOT_PLAIN = {
    "qk-norm": r"\(LayerNormalization\): .*qk-norm.*; expected the residual stream",
    "swiglu": r"\(Sigmoid\): a sigmoid, as in SiLU, SwiGLU",
    "relu": r"\(Relu\): ReLU; expected",
    "tanh": r"\(Mul\): .*GELU's tanh approximation",
    "rotary": r"\((Mul|Neg)\): .*rotary positions",
    "relative": r"\(Add\): .*a mask or relative positions",
    "window": r"\(MatMul\): .*(windowed)",
    "rms-norm": r"\(Pow\): .*RMS norm",
    "post-norm": r"\(Add\): it adds a layer norm and a linear layer; expected the residual stream",
    "parallel": r"expected a layer norm of the block's own residual stream",
    "norm-first": r"a norm before the first block",
    "no-final-norm": r"no layer norm of the last residual stream; expected one, the final norm",
    "epsilons": r"its layer norms have epsilons \[1e-06, 1e-05\]",
}


@pytest.mark.parametrize("where", [0, DEPTH - 1])
@pytest.mark.parametrize("extra", NOT_PLAIN)
def test_what_is_not_plain_is_named_with_its_node(recipe, tmp_path, extra, where):
    """In the first block or the last: a network is never read up to the block before."""
    path = export(HandWritten(extra, where=where), tmp_path / "model.onnx", opset=18)
    with pytest.raises(UserError, match=NOT_PLAIN[extra]):
        imported(path, dense(recipe), backbone_only=True)


def test_other_kinds_of_network_are_named(recipe, tmp_path):
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 3, "intermediate_size": 48}
    swin = transformers.SwinConfig(
        embed_dim=12, depths=[1], num_heads=[1], image_size=EDGE, patch_size=7, window_size=5
    )
    rotary = transformers.DINOv3ViTConfig(**sizes, patch_size=PATCH, image_size=EDGE)
    resnet = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1])
    siglip = transformers.SiglipVisionConfig(**sizes, patch_size=PATCH, image_size=EDGE)
    for model, exporter, words in (
        (transformers.SwinModel(swin), DYNAMO, r"(windowed or shifted attention|norm before the first block)"),
        (transformers.DINOv3ViTModel(rotary), DYNAMO, "rotary positions"),
        (
            transformers.ResNetModel(resnet),
            TORCHSCRIPT,
            "a convolution of the image with strides .*convolutional stem or network",
        ),
        (transformers.SiglipVisionModel(siglip), TORCHSCRIPT, "GELU's tanh approximation"),
    ):
        path = export(Outputs(model), tmp_path / "model.onnx", exporter)
        with pytest.raises(UserError, match=rf"node \S+ \(\w+\): .*{words}.*; expected") as error:
            imported(path, dense(recipe), backbone_only=True)
        assert "\n" not in str(error.value)


def test_a_network_for_text_has_no_image(recipe, tmp_path):
    class Text(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(9, WIDTH)

        def forward(self, words):
            return self.table(words.long()).mean(1)

    path = export(Text(), tmp_path / "model.onnx", image=(1, 7))
    with pytest.raises(
        UserError, match=r"its inputs are image \['batch', 7\]; expected one image \[1, 3, height, width\]"
    ):
        imported(path, dense(recipe))


def saved(model, path, **options):
    onnx.save(model, path, **options)
    return path


def test_damaged_files_are_named_in_one_line(recipe, tmp_path):
    good, path = export(HandWritten(), tmp_path / "good.onnx"), tmp_path / "bad.onnx"
    content = good.read_bytes()
    for damaged in (b"", b"no ONNX file", content[:-1000], content[: len(content) // 2], b"\x00" * 4096):
        path.write_bytes(damaged)
        with pytest.raises(
            UserError, match=r"bad.onnx (has 0 bytes|is no ONNX file)|bad.onnx: onnxruntime refuses"
        ) as error:
            imported(path, dense(recipe))
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"missing.onnx does not exist"):
        imported(tmp_path / "missing.onnx", dense(recipe))
    model = onnx.load(good)
    saved(model, path, save_as_external_data=True, location="bad.data", size_threshold=0)
    assert_same_features(path, dense(recipe))
    (tmp_path / "bad.data").unlink()
    with pytest.raises(
        UserError, match=r"bad.onnx: its external data cannot be read \(.*bad.data.*\): keep them beside"
    ):
        imported(path, dense(recipe))


def test_opsets_and_batches_that_cannot_be_read_are_named(recipe, tmp_path):
    good, path = export(HandWritten(), tmp_path / "good.onnx"), tmp_path / "bad.onnx"
    for opset in (7, onnx.defs.onnx_opset_version() + 1):
        model = onnx.load(good)
        model.opset_import[0].version = opset
        with pytest.raises(UserError, match=rf"bad.onnx: opset {opset} is none of 11 to \d+"):
            imported(saved(model, path), dense(recipe))
    export(HandWritten(), path, open_sizes=(None,), image=(4, 3, EDGE, EDGE))
    with pytest.raises(UserError, match="input image takes 4 images at once, expected 1"):
        imported(path, dense(recipe))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_no_number_is_named(recipe, tmp_path, value):
    model = HandWritten()
    with torch.no_grad():
        model.blocks[1].mlp.fc1.weight[2, 3] = value
    path = export(model, tmp_path / "model.onnx")
    with pytest.raises(UserError, match=r"has [1-9]\d* of \d+ values that are not finite"):
        imported(path, dense(recipe))


@pytest.mark.parametrize("grid", [(SIDE, SIDE), (4, 7)], ids=str)
def test_open_sizes_are_those_of_the_recipe(recipe, tmp_path, grid):
    """Positions are interpolated by the graph itself, as its library does."""

    class Interpolating(nn.Module):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def forward(self, image):
            return self.network(image, interpolate_pos_encoding=True).last_hidden_state

    source = Interpolating(network("vit"))
    path = export(source, tmp_path / "model.onnx", opset=18, open_sizes=("batch", "height", "width"))
    assert_same_features(path, dense(recipe, grid))


def test_a_graph_may_normalise_its_images_itself(recipe, tmp_path):
    path = export(HandWritten("bytes"), tmp_path / "model.onnx", image=(1, EDGE, EDGE, 3))
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8
    cast = onnx.helper.make_node("Cast", ["image"], ["as_float"], to=onnx.TensorProto.FLOAT)
    for node in model.graph.node:
        node.input[:] = ["as_float" if name == "image" else name for name in node.input]
    model.graph.node.insert(0, cast)
    found, name = imported(saved(model, path), dense(recipe))
    pixels = np.random.default_rng(0).integers(0, 256, (1, EDGE, EDGE, 3), np.uint8)
    expected = features_of_file(path, name, pixels)
    assert np.abs(our_features(found, normalise(pixels, found.configuration.input)).numpy() - expected).max() < 1e-4
