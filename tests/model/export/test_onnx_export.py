"""ONNX against PyTorch."""

import dataclasses
import json

import numpy as np
import onnxruntime
import torch

from moesaic.model.export.onnx_export import export_onnx
from moesaic.model.network.vit import M3ViT, normalise
from moesaic.model.pathways.pathway import on_pathways
from moesaic.spec.bundle import Alternative
from moesaic.spec.input_description import InputDescription
from moesaic.spec.output_description import OutputDescription


def test_onnx_of_a_pruned_pathway(trained):
    image = torch.rand(1, 3, 40, 56, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with on_pathways(trained, {"depth": Alternative(2, {1: (0, 2, 4), 3: (1, 2)})}):
        session = onnxruntime.InferenceSession(export_onnx(trained, ("depth",)))
        expected = trained(image, "depth").detach().numpy()
    assert np.abs(session.run(None, {"image": image.numpy()})[0] - expected).max() < 1e-4
    assert np.abs(trained(image, "depth").detach().numpy() - expected).max() > 1e-4  # the whole network differs


def test_onnx_says_what_its_input_and_outputs_are(trained):
    imagenet = InputDescription((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), resize="stretch")
    c = trained.configuration
    tasks = tuple(
        dataclasses.replace(task, output=OutputDescription("linear")) if task.kind == "depth" else task
        for task in c.tasks
    )
    model = M3ViT(dataclasses.replace(c, input=imagenet, tasks=tasks)).eval()
    model.load_state_dict(trained.state_dict())
    session = onnxruntime.InferenceSession(export_onnx(model, ("depth",)))
    stated = {name: json.loads(values) for name, values in session.get_modelmeta().custom_metadata_map.items()}
    assert InputDescription.from_dict(stated["input"]) == imagenet
    assert stated["output.depth"] == {"encoding": "linear"} and stated.keys() == {"input", "output.depth"}
    pixels = np.random.default_rng(0).integers(0, 256, (1, c.image_height, c.image_width, 3)).astype(np.uint8)
    image = imagenet.normalised(pixels).transpose(0, 3, 1, 2)
    expected = model(normalise(pixels, imagenet), "depth").detach().numpy()
    assert np.abs(session.run(None, {"image": image})[0] - expected).max() < 1e-4 * np.abs(expected).max()
    usual = onnxruntime.InferenceSession(export_onnx(trained, ("depth",)))
    assert not usual.get_modelmeta().custom_metadata_map
