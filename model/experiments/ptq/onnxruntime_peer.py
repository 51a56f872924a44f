"""onnxruntime's static quantisation of a network of ours, one graph for each task."""

import contextlib
import copy
import io
import tempfile
import warnings
from pathlib import Path
from typing import cast

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from moesaic.model.experiments.onnxruntime_int8 import quantised
from moesaic.model.experiments.ptq.plain_copy import plain_copy
from moesaic.model.experiments.ptq.plain_network import Block, PlainNetwork
from moesaic.model.experiments.ptq.subjects import Predictions, Subject
from moesaic.model.experiments.real.saliency_package import session
from moesaic.model.network.vit import normalise

_OPSET = 18


class _Attention(nn.Module):
    """Attention whose query, key and value are products of their own, each with a range of its own then."""

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        self.heads, width = attention.num_heads, attention.embed_dim
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(3))
        weights, biases = attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3)
        for layer, weight, bias in zip(self.layers, weights, biases):
            layer.weight, layer.bias = nn.Parameter(weight.clone()), nn.Parameter(bias.clone())
        self.out_proj = attention.out_proj

    def forward(self, x: Tensor, *_: Tensor, need_weights: bool = False) -> tuple[Tensor, None]:
        batch, tokens, width = x.shape
        q, k, v = (layer(x).view(batch, tokens, self.heads, -1).transpose(1, 2) for layer in self.layers)
        weights = torch.softmax((q * (width // self.heads) ** -0.5) @ k.transpose(-2, -1), -1)
        return self.out_proj((weights @ v).transpose(1, 2).reshape(batch, tokens, width)), None


class _OneTask(nn.Module):
    """A copy of the network that exports well."""

    def __init__(self, network: PlainNetwork, task: str) -> None:
        super().__init__()
        self.network, self.task = copy.deepcopy(network), task
        for experts in self.network.experts:
            experts.every_token = True
        for block in self.network.blocks:
            block.attention = _Attention(cast("Block", block).attention)

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images, self.task)


def plain_onnx(network: PlainNetwork, task: str) -> onnx.ModelProto:
    """The network with one task as ONNX, in which every layer, also of an expert, is a matrix product of its own.

    Input `image`, float32 [1, 3, h, w], normalised; output named after the task. Every expert processes every token, those that are
    not its own as zeros: so the ranges of its activations are those of its own tokens.
    """
    rows, columns = network.sizes["grid"]
    image = torch.zeros(1, 3, rows * network.sizes["patch"], columns * network.sizes["patch"])
    with (
        tempfile.TemporaryDirectory(prefix="moesaic-onnx-") as scratch,
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        file = Path(scratch) / "float.onnx"
        # By tracing, which takes a tenth of the time of the newer exporter and gives the same products.
        torch.onnx.export(
            _OneTask(network, task).eval(), (image,), file, input_names=["image"], output_names=[task],
            opset_version=_OPSET, dynamo=False,
        )  # fmt: skip
        return onnx.load(file)


def onnxruntime_predictions(subject: Subject, method: str) -> Predictions:
    """What the network predicts in onnxruntime's int8. method: of `moesaic.model.experiments.onnxruntime_int8.METHODS`."""
    network, found = plain_copy(subject.model), {}
    calibration, measured = (
        normalise(images, subject.configuration.input).numpy() for images in (subject.calibration, subject.measured)
    )
    for task in subject.configuration.task_names:
        run = session(quantised(plain_onnx(network, task), calibration, method), threads=torch.get_num_threads())
        found[task] = np.concatenate([np.asarray(run.run(None, {"image": one[None]})[0]) for one in measured])
    return found
