"""The integer network: close to float, exact against a plain restatement, and complete in what it records."""

import numpy as np
import pytest
import torch

from moesaic.errors import UserError
from moesaic.model.data.rendered import RenderedScenes
from moesaic.model.evaluation.agreement import top_k_agreement
from moesaic.model.evaluation.evaluate import measure_float, measure_integer, predict
from moesaic.model.input_pipeline.held_out import validation_scenes
from moesaic.model.pathways.alternatives import plan_pathways
from moesaic.model.pathways.budgets import Budget
from moesaic.model.pathways.pathway import on_pathways
from moesaic.model.pathways.usage import measure_usage
from moesaic.model.quantisation.golden_vectors import golden_vectors
from moesaic.model.quantisation.post_training import integer_network
from moesaic.spec.arithmetic import layer_norm, requantise, route_token, saturate, weigh_by_score
from moesaic.spec.bundle import expected_tensors


@pytest.fixture(scope="module")
def scenes(recipe):
    return validation_scenes(recipe, 24)


def test_tensors_are_those_of_the_bundle_format(network):
    expected = expected_tensors(network.architecture, network.tasks)
    found = {name: (value.shape, str(value.dtype)) for name, value in network.tensors.items()}
    assert found == expected
    for name, value in network.tensors.items():
        if name.endswith(".weight"):
            assert value.min() >= -127, name
        if name.endswith(".multiplier"):
            assert value.min() >= 1 << 15, name


def test_predictions_are_close_to_float(trained, network, scenes):
    for task in network.tasks:
        exact, found = predict(trained, scenes.images, task), network.predict(scenes.images, task)
        assert found.shape == exact.shape
        error = np.sqrt(np.square(found - exact).mean()) / exact.std()
        assert error < 0.08, task


def test_metrics_and_routers_agree_with_float(recipe, trained, network, scenes):
    held_out = RenderedScenes(scenes)
    in_float, in_integers = measure_float(trained, held_out), measure_integer(network, recipe.model, held_out)
    assert in_integers["segmentation"] == pytest.approx(in_float["segmentation"], abs=0.02)
    assert in_integers["depth"] == pytest.approx(in_float["depth"], rel=0.03)
    assert in_integers["normals"] == pytest.approx(in_float["normals"], abs=1)
    assert top_k_agreement(trained, network, scenes.images) > 0.95


def test_agreement_notices_a_router_turned_round(trained, network, scenes):
    for name in network.tensors:
        if ".router." in name and name.endswith("weight"):
            network.tensors[name] = -network.tensors[name]
    assert top_k_agreement(trained, network, scenes.images) < 0.5


def test_a_batch_gives_what_single_images_give(network, scenes):
    together = network.run(scenes.images[:3], "normals")
    single = [network.run(scenes.images[i : i + 1], "normals") for i in range(3)]
    assert np.array_equal(together, np.concatenate(single))
    assert together.dtype == np.int16


@pytest.mark.parametrize("task", ["segmentation", "depth", "normals"])
def test_recorded_layers_follow_from_one_another(network, scenes, task):
    """Each tensor restated with loops or plain formulas from those recorded before it."""
    record: dict[str, np.ndarray] = {}
    network.tensors["blocks.2.attention_shift"] = np.uint8(2)  # whatever calibration chose, one that is not 0
    network.run(scenes.images[:1], task, record)
    r = {name: value[0].astype(np.int64) for name, value in record.items()}
    t = {name: value.astype(np.int64) for name, value in network.tensors.items()}

    def linear(name, x, bits):
        total = x @ t[f"{name}.weight"].T + t[f"{name}.bias"]
        return saturate(requantise(total, t[f"{name}.multiplier"], t[f"{name}.shift"]), bits)

    def norm(name, x):
        return layer_norm(x, t[f"{name}.gamma"], t[f"{name}.beta"], int(t[f"{name}.shift"]))

    image, p = scenes.images[0].astype(np.int64), network.architecture.patch
    patch = np.zeros((p, p, 4), np.int64)
    patch[..., :3] = image[3 * p : 4 * p, 5 * p : 6 * p] - 128
    token = 1 + 3 * 7 + 5
    assert np.array_equal(r["patch_embed"][0], t["position"][0])
    assert np.array_equal(
        r["patch_embed"][token], t["position"][token] + linear("patch_embed", patch.reshape(1, -1), 16)[0]
    )

    x = r["patch_embed"]
    for i in range(network.architecture.depth):
        b = f"blocks.{i}"
        assert np.array_equal(r[f"{b}.norm1"], norm(f"{b}.norm1", x))
        for part in ("query", "key", "value"):
            assert np.array_equal(r[f"{b}.{part}"], linear(f"{b}.{part}", r[f"{b}.norm1"], 8))
        for h in range(5):
            q, k, v = (r[f"{b}.{part}"][:, 8 * h : 8 * h + 8] for part in ("query", "key", "value"))
            scores = saturate(requantise(q @ k.T, t[f"{b}.scores.multiplier"], t[f"{b}.scores.shift"]), 16)
            assert np.array_equal(r[f"{b}.scores"][h], scores)
            exact = 127 * 2.0 ** ((scores - scores.max(1, keepdims=True)) / 256)
            rounded = np.floor(exact + (2 * (39 * np.arange(exact.shape[1]) % 64) + 1) / 128)
            assert np.abs(r[f"{b}.probabilities"][h] - rounded).max() <= 1
            assert (r[f"{b}.probabilities"][h] == rounded).mean() > 0.99
            weights = r[f"{b}.probabilities"][h]
            mean = weights @ v / weights.sum(1, keepdims=True) * 2.0 ** t[f"{b}.attention_shift"]
            assert np.abs(r[f"{b}.attention"][:, 8 * h : 8 * h + 8] - np.clip(mean, -128, 127)).max() < 0.52
        x = saturate(x + linear(f"{b}.projection", r[f"{b}.attention"], 16), 16)
        assert np.array_equal(r[f"{b}.projection"], x)
        assert np.array_equal(r[f"{b}.norm2"], norm(f"{b}.norm2", x))
        if i % 2 == 0:
            index = linear(f"{b}.mlp.up", r[f"{b}.norm2"], 10) + 512
            assert np.array_equal(r[f"{b}.hidden"], t[f"{b}.mlp.table"][index])
            x = saturate(x + linear(f"{b}.mlp.down", r[f"{b}.hidden"], 16), 16)
        else:
            assert np.array_equal(r[f"{b}.router"], linear(f"{b}.router.{task}", r[f"{b}.norm2"], 16))
            selected, scores = route_token(r[f"{b}.router"], 2)
            assert (selected.sum(1) == 2).all()
            for n, e in zip(*selected.nonzero()):  # token by token, experts ascending
                index = linear(f"{b}.experts.{e}.up", r[f"{b}.norm2"][n : n + 1], 10) + 512
                update = linear(f"{b}.experts.{e}.down", t[f"{b}.experts.table"][index], 16)[0]
                x[n] = saturate(x[n] + weigh_by_score(update, scores[n, e], int(t[f"{b}.score_shift"])), 16)
        assert np.array_equal(r[f"{b}.output"], x)
    assert np.array_equal(r["norm"], norm("norm", x))
    channels = network.tasks[task].channels
    of_token = linear(f"heads.{task}", r["norm"][token][None], 16).reshape(p, p, channels)
    assert np.array_equal(r["output"][3 * p : 4 * p, 5 * p : 6 * p], of_token)


def test_positions_are_stream_units_and_the_first_includes_the_class_token(trained, calibration_images):
    with torch.no_grad():
        trained.class_token += torch.linspace(-1, 1, len(trained.class_token))
    exact = trained.position.detach().double().numpy()
    exact[0] += trained.class_token.detach().numpy()
    exact -= exact.mean(1, keepdims=True)
    found = integer_network(trained, calibration_images).tensors["position"].astype(np.float64)
    unit = (exact * found).sum() / (found * found).sum()
    assert np.abs(exact - found * unit).max() < 0.6 * unit


def test_ties_and_one_expert_for_all(network, scenes):
    for task in network.tasks:
        for part in ("weight", "bias"):
            network.tensors[f"blocks.1.router.{task}.{part}"][...] = 0
    record: dict[str, np.ndarray] = {}
    output = network.run(scenes.images[:1], "depth", record)
    selected, scores = route_token(record["blocks.1.router"][0], 2)
    assert np.array_equal(np.flatnonzero(selected.any(0)), [0, 1])
    assert np.unique(scores).tolist() == [round(65536 / 5)]
    assert output.std() > 0


def test_pathways_are_pruned_to_the_most_used(trained, calibration_images, scenes):
    usage = measure_usage(trained, calibration_images)
    plan = plan_pathways(trained, usage, Budget(3), {})
    network = integer_network(trained, calibration_images, plan)
    assert network.tasks["depth"].pathway == plan.default["depth"].pathway
    assert {n: (v.shape, str(v.dtype)) for n, v in network.tensors.items()} == expected_tensors(
        network.architecture, network.tasks
    )
    assert top_k_agreement(trained, network, scenes.images) > 0.95
    for task in network.tasks:
        with on_pathways(trained, plan.default):
            exact = predict(trained, scenes.images, task)
        found = network.predict(scenes.images, task)
        assert np.sqrt(np.square(found - exact).mean()) / exact.std() < 0.1


def test_golden_vectors_of_one_image(network, scenes):
    golden = golden_vectors(network, scenes.images[0])
    assert np.array_equal(golden["image"], scenes.images[0])
    assert golden["depth/blocks.2.scores"].shape == (5, 36, 36)
    assert golden["depth/blocks.3.router"].shape == (36, 5)
    assert "depth/blocks.3.hidden" not in golden
    assert golden["segmentation/output"].shape == (40, 56, 6)
    assert np.array_equal(golden["depth/blocks.0.output"], golden["normals/blocks.0.output"])  # before any router
    assert not np.array_equal(golden["depth/blocks.1.output"], golden["normals/blocks.1.output"])


def test_bad_images_and_tasks_are_named(network, scenes):
    with pytest.raises(UserError, match=r"\(1, 40, 56\).*40, 56, 3"):
        network.run(scenes.images[:1, :, :, 0], "depth")
    with pytest.raises(UserError, match="segmentation, depth, normals"):
        network.run(scenes.images[:1], "edges")
