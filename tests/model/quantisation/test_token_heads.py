"""Classifications and features: the float network, its integers, and the same integers with gradients and on the machine."""

import dataclasses
import io

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx.reference import ReferenceEvaluator

from moesaic.errors import UserError
from moesaic.hls.compiler.generate import generate
from moesaic.model.data.scenes import render
from moesaic.model.evaluation.agreement import top_k_agreement
from moesaic.model.evaluation.evaluate import compare, predict
from moesaic.model.export.onnx_export import export_onnx
from moesaic.model.network.random_weights import random_model
from moesaic.model.network.vit import M3ViT, normalise
from moesaic.model.pathways.alternatives import plan_pathways
from moesaic.model.pathways.budgets import Budget
from moesaic.model.pathways.usage import measure_usage
from moesaic.model.quantisation.fake_quantised import FakeQuantised
from moesaic.model.quantisation.golden_vectors import golden_vectors
from moesaic.model.quantisation.integer import IntegerNetwork
from moesaic.model.quantisation.post_training import integer_network, scales_for
from moesaic.model.quantisation.scales import Scales
from moesaic.model.quantisation.settings import PtqSettings
from moesaic.model.recipes.recipe import ModelConfiguration, TaskConfiguration
from moesaic.sim.measurements.road.layer_check import check_layers
from moesaic.spec.bundle import Bundle, check_tensors, load_bundle
from moesaic.spec.configuration import load_configuration
from moesaic.spec.heads import POOLINGS, logits
from moesaic.spec.machine import ReferenceMachine
from moesaic.spec.pathway_names import split_pathway_name

NAMES = tuple(f"label {n}" for n in range(7))
TASKS = (
    TaskConfiguration("depth", 1),
    *(
        TaskConfiguration(f"classes_{n}", 7, "classification", pooling, class_names=NAMES)
        for n, pooling in enumerate(POOLINGS)
    ),
    TaskConfiguration("features"),
    TaskConfiguration("features_0", kind="features", last_block=0),
    TaskConfiguration("features_1", kind="features", last_block=1),
)
CONFIGURATION = ModelConfiguration(32, 40, 8, 32, 4, 4, 48, 5, 2, 24, TASKS, prefix_tokens=2)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return render(6, 32, 40, seed=2).images


@pytest.fixture(scope="module")
def model(images: np.ndarray) -> M3ViT:
    return random_model(CONFIGURATION, 0, images[:1])


@pytest.fixture(scope="module")
def scales(model: M3ViT, images: np.ndarray) -> Scales:
    return scales_for(model, images, PtqSettings())


@pytest.fixture(scope="module")
def network(model: M3ViT, images: np.ndarray, scales: Scales) -> IntegerNetwork:
    return integer_network(model, images, scales=scales)


def test_several_tasks_at_once_predict_what_each_does_alone(model: M3ViT, images: np.ndarray) -> None:
    x, names = normalise(images, CONFIGURATION.input), CONFIGURATION.task_names
    with torch.inference_mode():
        together, _ = model.training_forward(x, names)
        assert list(together) == list(names)
        for name in names:
            assert torch.allclose(together[name], model(x, name), atol=1e-5), name
    assert together["classes_0"].shape == (6, 7) and together["features_0"].shape == (6, 22, 32)


@pytest.mark.parametrize("gate", ["single", "task-conditioned"])
def test_several_tasks_at_once_with_other_gates(gate: str, images: np.ndarray) -> None:
    torch.manual_seed(0)
    model, x = M3ViT(dataclasses.replace(CONFIGURATION, gate=gate)).eval(), normalise(images, CONFIGURATION.input)
    with torch.inference_mode():
        together, _ = model.training_forward(x, CONFIGURATION.task_names)
        for name in CONFIGURATION.task_names:
            assert torch.allclose(together[name], model(x, name), atol=1e-5), name


def test_heads_pool_as_they_say(model: M3ViT, images: np.ndarray) -> None:
    with torch.inference_mode():
        tokens = model(normalise(images, CONFIGURATION.input), "features")
        for n, pooling in enumerate(POOLINGS):
            if pooling == "mean_before_norm":
                continue
            head = model.heads[f"classes_{n}"]
            parts = {"class": tokens[:, 0], "mean": tokens[:, 2:].mean(1), "distillation": tokens[:, 1]}
            wanted = torch.stack([layer(parts[part]) for layer, part in zip(head.layers, pooling.split("+"))])
            wanted = wanted.mean(0) if pooling == "class+distillation" else wanted.sum(0)
            assert torch.allclose(head(tokens), wanted, atol=1e-5)
            assert np.allclose(logits(head.rows(tokens).numpy(), pooling), wanted, atol=1e-5)


def test_a_norm_of_the_mean_takes_tokens_that_are_not_normalised(model: M3ViT, images: np.ndarray) -> None:
    x = normalise(images, CONFIGURATION.input)
    with torch.inference_mode():
        tokens = model.embed(x)
        for block in model.blocks:
            tokens, _ = block(tokens, ("classes_4",))
        head = model.heads["classes_4"]
        wanted = head.layers[0](F.layer_norm(tokens[:, 2:].mean(1), (32,), head.norm.weight, head.norm.bias, 1e-6))
        assert torch.allclose(model(x, "classes_4"), wanted, atol=1e-5)
        assert not torch.allclose(model(x, "classes_4"), head(model.norm(tokens)), atol=1e-1)


def test_features_of_a_block_are_its_normalised_tokens(model: M3ViT, images: np.ndarray) -> None:
    x = normalise(images, CONFIGURATION.input)
    with torch.inference_mode():
        tokens = model.embed(x)
        for i, block in enumerate(model.blocks[:2]):
            tokens, _ = block(tokens, (f"features-{i}",) if i == 0 else ("features_1",))
        assert torch.allclose(model(x, "features_1"), model.norm(tokens), atol=1e-5)
    assert not [name for name, _ in model.named_parameters() if name.startswith("heads.features")]
    assert set(model.blocks[3].mlp.routers) == set(CONFIGURATION.task_names) - {"features_0", "features_1"}


def test_every_recorded_integer_is_the_same_with_gradients(
    model: M3ViT, scales: Scales, network: IntegerNetwork, images
) -> None:
    fake = FakeQuantised(model, scales)
    parameters = fake.derive()
    for task in CONFIGURATION.task_names:
        exact: dict[str, np.ndarray] = {}
        network.run(images[:2], task, exact)
        found: dict[str, torch.Tensor] = {}
        prediction = fake(torch.from_numpy(images[:2]), task, parameters, found.__setitem__)
        assert found.keys() == exact.keys()
        for name, value in exact.items():
            assert np.array_equal(found[name].detach().numpy(), value), (task, name)
        assert np.array_equal(prediction.detach().numpy(), network.predict(images[:2], task)), task
    prediction.sum().backward()
    assert model.norm.weight.grad.abs().sum() > 0
    model.zero_grad(set_to_none=True)


def test_integers_are_close_to_the_float_network(model: M3ViT, network: IntegerNetwork, images: np.ndarray) -> None:
    for task in CONFIGURATION.task_names:
        real, integer = predict(model, images, task), network.predict(images, task)
        assert real.shape == integer.shape
        assert 10 * np.log10(np.square(real).sum() / np.square(integer - real).sum()) > 15, task


def test_the_machine_computes_every_layer(model: M3ViT, network: IntegerNetwork, images: np.ndarray, tmp_path) -> None:
    bundle = Bundle("tokens", network.architecture, network.tasks, network.tensors, golden_vectors(network, images[0]))
    check_tensors(bundle)
    bundle.save(tmp_path / "bundle")
    loaded = load_bundle(tmp_path / "bundle")
    assert loaded.tasks == bundle.tasks and loaded.sha256 == bundle.sha256
    observed = generate(loaded, load_configuration("tiny"), observe=True)
    checks = check_layers(ReferenceMachine(observed.configuration), observed, network, images[0])
    assert all(layers == dict.fromkeys(layers, 0) for layers in checks.values())
    memory = observed.new_memory()
    for name, task in observed.tasks.items():
        observed.write_image(memory.frame, images[0])
        ReferenceMachine(observed.configuration).run(task.program, memory, 0)
        for layer, place in task.observations.items():
            assert np.array_equal(place.read(memory.frame), bundle.golden[f"{name}/{layer}"]), (name, layer)
        assert np.array_equal(observed.read_output(memory.frame, name), bundle.golden[f"{name}/output"])


def test_pathways_leave_out_blocks_that_are_not_run(model: M3ViT, images: np.ndarray) -> None:
    usage = measure_usage(model, images)
    assert set(usage["features_0"]) == set() and set(usage["features_1"]) == {1} and set(usage["features"]) == {1, 3}
    plan = plan_pathways(model, usage, Budget(4, 2), {"fast": Budget(2, 1)})
    network = integer_network(model, images, plan)
    assert network.tasks["features_1"].alternatives["fast"].pathway.keys() == {1}
    bundle = Bundle("tokens", network.architecture, network.tasks, network.tensors, {})
    check_tensors(bundle)
    checks = check_layers(
        ReferenceMachine(load_configuration("tiny")),
        generate(bundle, load_configuration("tiny"), observe=True),
        network,
        images[0],
    )
    assert {split_pathway_name(name)[1] for name in checks} == {None, "fast"}
    assert all(layers == dict.fromkeys(layers, 0) for layers in checks.values())
    assert 0.7 < top_k_agreement(model, network, images) <= 1


def test_scales_are_kept_in_files(scales: Scales, tmp_path) -> None:
    scales.save(tmp_path / "scales")
    found = Scales.load(tmp_path / "scales", CONFIGURATION)
    assert list(found.final_norms) == [
        "norm",
        "heads.classes_4.norm",
        "heads.features.norm",
        "heads.features_0.norm",
        "heads.features_1.norm",
    ]
    for name, scale in scales.final_norms.items():
        assert np.array_equal(found.final_norms[name].scale, scale.scale)
    assert found.outputs == scales.outputs


def test_onnx_gives_logits_and_tokens(model: M3ViT, images: np.ndarray) -> None:
    x = normalise(images[:1], CONFIGURATION.input)
    for task in ("classes_2", "classes_4", "features_1"):
        file = onnx.load(io.BytesIO(export_onnx(model, (task,))))
        (found,) = ReferenceEvaluator(file).run([task], {"image": x.numpy()})
        assert np.abs(found - predict(model, images[:1], task)).max() < 1e-4
        assert [value.name for value in file.graph.output] == [task]


class _Pictures:
    name, class_names = "pictures", {}

    def __init__(self, images: np.ndarray) -> None:
        from moesaic.model.data.samples import Sample

        self.tasks = {"classification": 7, "depth": 1}
        depth = np.full(images.shape[1:3], 2, np.float32)
        self._samples = [
            Sample(image, {"classification": np.array(n % 7, np.int32), "depth": depth})
            for n, image in enumerate(images)
        ]

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int):
        return self._samples[index]


def test_accuracy_and_noise_are_measured(model: M3ViT, network: IntegerNetwork, images: np.ndarray) -> None:
    data = _Pictures(images)
    found = compare(model, network, data)
    assert set(found) == set(CONFIGURATION.task_names)
    one = found["classes_1"]
    order = np.argsort(-predict(model, images, "classes_1"), axis=1, kind="stable")
    assert one["metric"] == "top-1" and one["float"] == np.mean(order[:, 0] == np.arange(6))
    (five,) = one["further"]
    assert five["metric"] == "top-5" and five["float"] == np.mean((order[:, :5] == np.arange(6)[:, None]).any(1))
    assert five["integer"] >= one["integer"]
    features = found["features"]
    assert "float" not in features and features["metric"] == "to float (dB)" and 15 < features["integer"] < 60
    assert "features" not in compare(model, None, data)


def test_features_alone_need_no_light_head(images: np.ndarray) -> None:
    c = dataclasses.replace(CONFIGURATION, head="setr-pup", tasks=(TaskConfiguration("depth", kind="features"),))
    model = random_model(c, 0, images[:1])
    assert "heads.depth.norm.weight" in model.state_dict() and "norm.weight" not in model.state_dict()
    network = integer_network(model, images)
    assert "norm.gamma" not in network.tensors and "heads.depth.norm.gamma" in network.tensors
    bundle = Bundle("m3vit", network.architecture, network.tasks, network.tensors, {})
    check_tensors(bundle)
    tiny = load_configuration("tiny")
    checks = check_layers(ReferenceMachine(tiny), generate(bundle, tiny, observe=True), network, images[0])
    assert checks["depth"] == dict.fromkeys(checks["depth"], 0)


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([TaskConfiguration("pose", 3)], "unknown task 'pose': choose classification"),
        ([TaskConfiguration("classification", 7, pooling="max")], "pooling 'max' is none of class, mean"),
        ([TaskConfiguration("classification", 7, class_names=("a", "b"))], "has 2 class names, but 7 channels"),
        ([TaskConfiguration("a.b", 7, "classification")], r"task 'a\.b' is not named by letters"),
        ([TaskConfiguration("features", last_block=4)], "last_block is 4, not an integer from 0 to 3"),
        (
            [TaskConfiguration("features", last_block=1)],
            "no task runs the blocks after the first 2 of 4: set depth = 2",
        ),
        ([TaskConfiguration("features", 16)], "it has 16 channels, features have the network's width, 32"),
        ([TaskConfiguration("depth", 1, last_block=1)], "last_block 1 is for features"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(tasks: list, message: str) -> None:
    with pytest.raises(UserError, match=message):
        dataclasses.replace(CONFIGURATION, tasks=tuple(tasks))


def test_a_classification_needs_the_light_head() -> None:
    with pytest.raises(UserError, match="task classification is a classification, which the head 'setr-pup' is not"):
        dataclasses.replace(CONFIGURATION, tasks=(TaskConfiguration("classification", 7),), head="setr-pup")
