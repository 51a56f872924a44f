"""The network that others quantise is the network of ours."""

import numpy as np
import pytest
import torch

from moesaic.errors import UserError
from moesaic.model.evaluation.evaluate import predict
from moesaic.model.experiments.ptq.onnxruntime_peer import plain_onnx
from moesaic.model.experiments.ptq.plain_copy import plain_copy
from moesaic.model.experiments.real.saliency_package import session
from moesaic.model.network.vit import M3ViT, normalise
from moesaic.model.recipes.recipe import ModelConfiguration, TaskConfiguration
from tests.model.experiments.ptq.networks import EDGE, pictures, small_network


@pytest.mark.parametrize("every_token", [False, True], ids=["own-tokens", "every-token"])
@pytest.mark.parametrize("experts", [0, 5], ids=["dense", "experts"])
def test_a_copy_predicts_what_the_network_predicts(experts, every_token):
    model, images = small_network(experts, features=True), pictures(3, 1)
    copy = plain_copy(model)
    for one in copy.experts:
        one.every_token = every_token
    for task in model.configuration.task_names:
        with torch.no_grad():
            found = copy(normalise(images, model.configuration.input), task).numpy()
        np.testing.assert_allclose(found, predict(model, images, task), rtol=0, atol=1e-4)


def test_its_onnx_predicts_what_the_network_predicts_and_leaves_the_copy_as_it_was():
    model, images = small_network(5), pictures(1, 1)
    copy = plain_copy(model)
    graph = plain_onnx(copy, "depth")
    image = normalise(images, model.configuration.input).numpy()
    (found,) = session(graph, threads=1).run(["depth"], {"image": image})
    np.testing.assert_allclose(np.asarray(found), predict(model, images, "depth"), rtol=0, atol=1e-4)
    products = [node for node in graph.graph.node if node.op_type in ("MatMul", "Gemm")]
    embedding, attention, mlp, experts, router, head = 1, 2 * 6, 2, 5 * 2, 1, 1
    assert len(products) == embedding + attention + mlp + experts + router + head
    assert not any(one.every_token for one in copy.experts)


def test_a_classification_is_refused_with_its_name():
    tasks = (TaskConfiguration("species", 4, kind="classification"),)
    model = M3ViT(
        ModelConfiguration(
            image_height=EDGE, image_width=EDGE, patch=8, width=32, depth=1, heads=2, mlp_hidden=48, experts=0, top_k=0,
            expert_hidden=0, tasks=tasks,
        )
    )  # fmt: skip
    with pytest.raises(UserError, match="task species is a classification"):
        plain_copy(model)
