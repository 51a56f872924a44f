"""Classifications and features as the runtime, the command line and the viewer show them."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

import moesaic
from moesaic.errors import UserError
from moesaic.files import sealed
from moesaic.hls.compiler.generate import generate
from moesaic.host.commands.run import RunCommand
from moesaic.host.png import encode_png
from moesaic.host.prediction_pictures import class_colour
from moesaic.host.viewer import Viewer
from moesaic.host.viewer.stream_control import StreamControl
from moesaic.model.quantisation.integer import IntegerNetwork
from moesaic.spec.build import load_build
from moesaic.spec.configuration import load_configuration
from moesaic.spec.predictions import class_probabilities, decode
from tests.hls.networks import REGISTERS, picture, token_tasks_of
from tests.hls.random_bundle import random_bundle
from tests.model.calling import call

LABELS = tuple(f"label {n}" for n in range(11))


@pytest.fixture(scope="module")
def bundle():
    tasks = token_tasks_of(REGISTERS)
    tasks["classes_0"] = dataclasses.replace(tasks["classes_0"], class_names=LABELS)
    return random_bundle(REGISTERS, tasks, 3)


@pytest.fixture(scope="module")
def directory(bundle, tmp_path_factory):
    path = tmp_path_factory.mktemp("tokens") / "build"
    generate(bundle, load_configuration("tiny")).save(path)
    return path


@pytest.fixture(scope="module")
def results(directory):
    with moesaic.open(directory, "reference") as accelerator:
        return {name: accelerator.run(picture(REGISTERS, 1), name) for name in accelerator.tasks}


def test_results_are_those_of_the_integer_network(bundle, results) -> None:
    network = IntegerNetwork(REGISTERS, bundle.tasks, bundle.tensors)
    for name, task in bundle.tasks.items():
        found, image = results[name], picture(REGISTERS, 1)
        raw = network.run(image[None], name)[0]
        assert np.array_equal(found.raw, raw)
        assert np.array_equal(found.decoded, decode(task.kind, raw, task.output_scale, task.pooling))
        if task.kind == "classification":
            assert np.array_equal(found.decoded, class_probabilities(network.predict(image[None], name)[0]))
            assert found.decoded.shape == (task.channels,) and found.decoded.sum() == pytest.approx(1)
        else:
            assert np.array_equal(found.decoded, network.predict(image[None], name)[0].astype(np.float32))
            assert found.decoded.shape == (REGISTERS.tokens, REGISTERS.width) and found.grid == REGISTERS.grid


def test_the_most_probable_classes_come_with_their_labels(results) -> None:
    top = results["classes_0"].top()
    order = np.argsort(-results["classes_0"].decoded, kind="stable")[:5].tolist()
    assert [one.index for one in top] == order and [one.label for one in top] == [LABELS[n] for n in order]
    assert results["classes_1"].top(1)[0].label.startswith("class ")
    with pytest.raises(UserError, match="task features is of kind features: only a classification"):
        results["features"].top()
    for result in results.values():
        assert result._repr_png_() == encode_png(result.picture)


def test_run_prints_classes_and_writes_tokens(directory, results, tmp_path, capsys) -> None:
    (tmp_path / "photo.png").write_bytes(encode_png(picture(REGISTERS, 1)))
    words = (directory, tmp_path / "photo.png", "--executor", "reference", "--output", tmp_path / "out")
    assert call(RunCommand, *words) == 0
    lines = capsys.readouterr().out.splitlines()
    at = next(n for n, line in enumerate(lines) if "classes_0:" in line)
    best = results["classes_0"].top()
    assert lines[at + 1 : at + 6] == [f"  {100 * one.probability:5.1f} %  {one.label}" for one in best]
    for name in ("features", "features_0"):
        assert np.array_equal(np.load(tmp_path / "out" / f"photo.{name}.npy"), results[name].decoded)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {f"photo.{name}.png" for name in results} | {"photo.features.npy", "photo.features_0.npy"}


def test_the_viewer_names_classes_and_components(directory, results) -> None:
    build = load_build(directory)
    with Viewer(build, "reference", StreamControl(build, list(results)), "127.0.0.1", 0) as viewer:
        viewer.show(list(results.values()), picture(REGISTERS, 1), 0.5)
        panels = {panel["name"]: panel["legend"] for panel in viewer.state()["panels"]}
        assert viewer.picture(0, "features") == encode_png(results["features"].picture, 1)
    best = results["classes_0"].top()
    colours = ["#" + bytes(class_colour(one.index).tolist()).hex() for one in best]
    entries = panels["classes_0"]["entries"]
    assert [entry["colour"] for entry in entries] == colours
    assert (entries[0]["text"], entries[0]["share"]) == (best[0].label, best[0].probability)
    assert panels["features"] == {"entries": [{"text": "first three principal components of 2 × 4 patches"}]}


@pytest.mark.parametrize(
    ("task", "change"),
    [
        ("classes_0", {"pooling": "max"}),
        ("classes_0", {"pooling": "class+mean"}),
        ("classes_0", {"kind": "depth"}),
        ("features", {"grid": [9, 9]}),
        ("features", {"grid": [0, 0]}),
        ("classes_1", {"grid": [2, 4]}),
    ],
)
def test_a_build_with_fields_that_do_not_suit_its_kinds_is_malformed(directory, tmp_path, task, change) -> None:
    shutil.copytree(directory, tmp_path / "build")
    path = tmp_path / "build" / "build.json"
    manifest = json.loads(path.read_text())
    manifest["tasks"][task].update(change)
    files = {name: (tmp_path / "build" / name).read_bytes() for name in manifest["files"]}
    path.write_text(json.dumps(sealed({k: v for k, v in manifest.items() if k not in ("files", "sha256")}, files)))
    with pytest.raises(UserError, match=f"malformed: task {task}: "):
        load_build(tmp_path / "build")
