"""ONNX against PyTorch."""

import numpy as np
import onnxruntime
import torch

from moesaic.model.export.onnx_export import export_onnx
from moesaic.model.pathways.pathway import on_pathways
from moesaic.spec.bundle import Alternative


def test_onnx_of_a_pruned_pathway(trained):
    image = torch.rand(1, 3, 40, 56, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with on_pathways(trained, {"depth": Alternative(2, {1: (0, 2, 4), 3: (1, 2)})}):
        session = onnxruntime.InferenceSession(export_onnx(trained, ("depth",)))
        expected = trained(image, "depth").detach().numpy()
    assert np.abs(session.run(None, {"image": image.numpy()})[0] - expected).max() < 1e-4
    assert np.abs(trained(image, "depth").detach().numpy() - expected).max() > 1e-4  # the whole network differs
