"""The bundle from the command line to the file, of a checkpoint or of random weights; ONNX files alone."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from moesaic.errors import UserError
from moesaic.model.commands.export import ExportCommand
from moesaic.model.export.onnx_export import export_onnx
from moesaic.model.input_pipeline.held_out import training_scenes
from moesaic.model.quantisation.integer import IntegerNetwork
from moesaic.model.quantisation.post_training import integer_network
from moesaic.model.training import checkpoint
from moesaic.spec.bundle import load_bundle
from tests.model.calling import call


@pytest.fixture(scope="module")
def bundle_path(checkpoint_path, tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "odd"
    words = ("--samples", 4, "--device", "cpu")
    assert call(ExportCommand, "--checkpoint", checkpoint_path, "--output", path, *words) == 0
    return path


def test_bundle_reads_back_and_gives_its_golden_results(bundle_path):
    bundle = load_bundle(bundle_path)
    assert bundle.name == "odd"
    assert set(bundle.extra_files) == {"model.onnx", *(f"model.{task}.onnx" for task in bundle.tasks)}
    network = IntegerNetwork(bundle.architecture, bundle.tasks, bundle.tensors)
    for task in bundle.tasks:
        record: dict[str, np.ndarray] = {}
        network.run(bundle.golden["image"][None], task, record)
        assert len(record) > 30
        for name, value in record.items():
            assert np.array_equal(bundle.golden[f"{task}/{name}"], value[0]), name
    assert 0.9 < bundle.report["router_topk_agreement"] <= 1
    metrics = bundle.tasks["segmentation"].metrics
    assert (
        metrics["metric"] == "mIoU" and 0 < metrics["integer"] < 1 and abs(metrics["integer"] - metrics["float"]) < 0.05
    )


def test_the_same_checkpoint_gives_the_same_integers_and_the_same_onnx(bundle_path, trained, recipe):
    bundle, network = load_bundle(bundle_path), integer_network(trained, training_scenes(recipe, 0, 64).images)
    assert set(network.tensors) == set(bundle.tensors)
    for name, value in network.tensors.items():
        assert np.array_equal(value, bundle.tensors[name]), name
    assert export_onnx(trained, ("depth",)) == bundle.extra_files["model.depth.onnx"]


def test_onnx_gives_what_pytorch_gives(bundle_path, trained):
    bundle = load_bundle(bundle_path)
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        image = torch.rand(1, 3, 40, 56, generator=generator) * 2 - 1
        session = onnxruntime.InferenceSession(bundle.extra_files["model.onnx"])
        all_tasks = session.run(list(bundle.tasks), {"image": image.numpy()})
        for task, prediction in zip(bundle.tasks, all_tasks):
            expected = trained(image, task).detach().numpy()
            session = onnxruntime.InferenceSession(bundle.extra_files[f"model.{task}.onnx"])
            (alone,) = session.run([task], {"image": image.numpy()})
            assert np.abs(prediction - expected).max() < 1e-4
            assert np.abs(alone - expected).max() < 1e-4


def test_one_tasks_onnx_holds_no_other_tasks_weights(bundle_path):
    files = load_bundle(bundle_path).extra_files
    names = {i.name for i in onnx.load_model_from_string(files["model.depth.onnx"]).graph.initializer}
    assert any(".routers.depth." in name for name in names)
    assert not any(task in name for name in names for task in ("segmentation", "normals"))


def test_a_head_without_integers_is_exported_as_onnx(pup_path, tmp_path, capsys):
    assert call(ExportCommand, "--checkpoint", pup_path, "--onnx-only", tmp_path / "onnx") == 0
    model = checkpoint.load(pup_path).build_model().eval()
    names = model.configuration.task_names
    assert {path.name for path in (tmp_path / "onnx").iterdir()} == {"model.onnx", *(f"model.{n}.onnx" for n in names)}
    image = torch.rand(1, 3, 40, 56, generator=torch.Generator().manual_seed(2)) * 2 - 1
    session = onnxruntime.InferenceSession(tmp_path / "onnx" / "model.onnx")
    for task, found in zip(names, session.run(list(names), {"image": image.numpy()})):
        alone = onnxruntime.InferenceSession(tmp_path / "onnx" / f"model.{task}.onnx")
        for prediction in (found, *alone.run([task], {"image": image.numpy()})):
            assert np.abs(prediction - model(image, task).detach().numpy()).max() < 1e-4
    assert "model.depth.onnx" in "".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    "words",
    [
        ("--experts-kept", 2),
        ("--name", "x"),
        ("--expert-bits", 4),
        ("--scales", "s"),
        ("--device", "cpu"),
        ("--random-weights", 1),
    ],
    ids=lambda words: words[0],
)
def test_options_of_bundles_are_not_of_onnx(pup_path, tmp_path, words):
    source = () if words[0] == "--random-weights" else ("--checkpoint", pup_path)
    with pytest.raises(UserError, match=r"--.* is for exports with.*: leave one of them out"):
        call(ExportCommand, *source, "--onnx-only", tmp_path / "onnx", *words)
    assert not (tmp_path / "onnx").exists()


def export(*words):
    return call(ExportCommand, *words)


def test_command_writes_a_bundle_of_that_size_and_those_tasks(tmp_path, capsys):
    path = tmp_path / "untrained"
    words = ("--recipe", "demo", "--size", "48x32", "--tasks", "depth,segmentation", "--output", path)
    assert export("--random-weights", 5, *words) == 0
    printed = capsys.readouterr().out
    assert "not trained" in printed and "tokens per" in printed
    bundle = load_bundle(path)
    assert bundle.name == "untrained" and list(bundle.tasks) == ["depth", "segmentation"]
    assert (bundle.architecture.image_height, bundle.architecture.image_width) == (48, 32)
    assert bundle.report["random_weights"] == 5
    assert not bundle.extra_files and not any(task.metrics for task in bundle.tasks.values())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--size", "48x32"), "--size is for exports with --random-weights"),
        (("--recipe", "demo"), "--recipe is for exports with --random-weights"),
        (("--random-weights", 0, "--experts-kept", 2), "--experts-kept is for exports without --random-weights"),
        (("--random-weights", 0, "--device", "cpu"), "--device is for exports without --random-weights"),
        (("--random-weights", 0, "--rounding", "feedback"), "--rounding is for exports without --random-weights"),
        (("--random-weights", 0, "--checkpoint", "a"), "--checkpoint is for exports without --random-weights"),
        (("--random-weights", 0, "--size", "48x33"), r"image width \(33\) is not a positive multiple of 8"),
        (("--random-weights", 0, "--tasks", "depth,edges"), "segmentation, depth, normals"),
        (("--random-weights", 0, "--recipe", "nothing"), "demo, m3vit_small, m3vit_tiny"),
    ],
)
def test_options_that_do_not_go_together_are_named(tmp_path, words, message):
    with pytest.raises(UserError, match=message):
        export(*words, "--output", tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("size", ["48", "48x", "0x32", "48x32x3", "axb"])
def test_sizes_that_are_none_are_refused(size, capsys):
    with pytest.raises(SystemExit):
        export("--random-weights", 0, "--size", size)
    assert "--size" in capsys.readouterr().err
