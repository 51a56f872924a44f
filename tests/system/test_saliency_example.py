"""The example of an encoder on the accelerator and a decoder in onnxruntime, on a small network of the same make."""

import importlib.util
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from torch import nn

from moesaic.hls.compiler.generate import generate
from moesaic.model.data.scenes import render
from moesaic.model.network.random_weights import random_model
from moesaic.model.quantisation.integer import IntegerNetwork
from moesaic.model.quantisation.post_training import integer_network
from moesaic.model.recipes.recipe import ModelConfiguration, TaskConfiguration
from moesaic.spec.bundle import Bundle
from moesaic.spec.configuration import load_configuration

EXAMPLE = Path(__file__).parents[2] / "examples" / "saliency_decoder.py"
SIDE = 32
CONFIGURATION = ModelConfiguration(SIDE, SIDE, 8, 32, 2, 4, 48, 0, 0, 0, (TaskConfiguration("features"),))


@pytest.fixture(scope="module")
def example():
    specification = importlib.util.spec_from_file_location("saliency_decoder", EXAMPLE)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


class Whole(nn.Module):
    """Encoder and decoder for images normalised as ImageNet's."""

    def __init__(self, encoder: nn.Module, mean: np.ndarray, deviation: np.ndarray) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, nn.ConvTranspose2d(32, 1, 8, 8)
        self.register_buffer("mean", torch.from_numpy(mean).view(3, 1, 1))
        self.register_buffer("deviation", torch.from_numpy(deviation).view(3, 1, 1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        tokens = self.encoder(2 * (image * self.deviation + self.mean) - 1, "features")
        return torch.sigmoid(self.decoder(tokens[:, 1:].transpose(1, 2).reshape(-1, 32, 4, 4)))


@pytest.fixture(scope="module")
def place(example, tmp_path_factory) -> tuple[Path, IntegerNetwork, str]:
    """A directory with network.onnx and a build of its encoder, the encoder in integers, and the name of the tokens."""
    directory = tmp_path_factory.mktemp("saliency")
    images = render(4, SIDE, SIDE, 0).images
    model = random_model(CONFIGURATION, 0, images[:1])
    torch.manual_seed(0)
    whole = Whole(model, example.MEAN, example.DEVIATION).eval()
    image, path = torch.zeros(1, 3, SIDE, SIDE), directory / "network.onnx"
    torch.onnx.export(whole, (image,), path, input_names=["image"], dynamo=True, verbose=False)
    nodes = onnx.load(directory / "network.onnx").graph.node
    tokens = [node.output[0] for node in nodes if node.op_type == "LayerNormalization"][-1]
    network = integer_network(model, images)
    bundle = Bundle("encoder", network.architecture, network.tasks, network.tensors, {})
    generate(bundle, load_configuration("tiny")).save(directory / "build")
    for n, image in enumerate(images):
        Image.fromarray(image).save(directory / f"{n}.png")
    return directory, network, tokens


def test_the_decoder_is_the_rest_of_the_network(example, place) -> None:
    directory, _, tokens = place
    image = np.asarray(Image.open(directory / "1.png"))
    graph = onnx.load(directory / "network.onnx")
    graph.graph.output.append(onnx.helper.make_tensor_value_info(tokens, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    expected, features = session.run(None, {"image": example.normalised(image)})
    decoder = example.Decoder(directory / "network.onnx", tokens)
    assert np.allclose(decoder(features[0], image), expected[0, 0], atol=1e-6) and expected.std() > 0.01


def test_the_maps_behind_the_accelerator_are_those_of_its_integers(example, place, capsys) -> None:
    directory, network, tokens = place
    words = [
        "run",
        directory / "build",
        directory / "network.onnx",
        directory / "1.png",
        directory / "2.png",
        "--tokens",
        tokens,
    ]
    example.main([*map(str, words), "--executor", "reference", "--output", str(directory / "out")])
    assert capsys.readouterr().out.count("intersection over union with float") == 2
    image = np.asarray(Image.open(directory / "2.png"))
    features = network.predict(image[None], "features")[0].astype(np.float32)
    expected = example.Decoder(directory / "network.onnx", tokens)(features, image)
    shown = np.asarray(Image.open(directory / "out" / "2.saliency.png"))
    assert shown.shape == (SIDE, 3 * SIDE, 3) and np.array_equal(shown[:, :SIDE], image)
    assert np.abs(shown[:, 2 * SIDE :, 0] - 255 * expected).max() <= 0.51
    assert np.abs(shown[:, SIDE : 2 * SIDE, 0].astype(int) - shown[:, 2 * SIDE :, 0]).max() < 40


def test_photographs_keep_their_proportions_between_black_bars(example, tmp_path) -> None:
    assert example.content(np.zeros((30, 60, 3)), 224) == (slice(56, 168), slice(0, 224))
    assert example.content(np.zeros((601, 400, 3)), 224) == (slice(0, 224), slice(37, 186))
    square = np.full((8, 8, 3), 7, np.uint8)
    paths = []
    for n in range(5):
        paths.append(str(tmp_path / f"{n}.png"))
        Image.fromarray(square).save(paths[-1])
    example.main(["prepare", str(tmp_path / "photographs"), *paths, "--side", "8"])
    found = sorted(path.relative_to(tmp_path / "photographs").as_posix() for path in tmp_path.glob("photographs/*/*"))
    assert found == ["train/0.png", "train/1.png", "train/2.png", "train/4.png", "val/3.png"]
