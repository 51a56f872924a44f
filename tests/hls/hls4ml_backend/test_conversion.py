"""What a conversion refuses, and how hls4ml finds the backend."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import hls4ml
import onnx
import pytest
import tomllib
from onnx import TensorProto, helper

from moesaic.errors import UserError

REPOSITORY = Path(__file__).resolve().parents[3]


def convert(path: object, backend: str = "moesaic", **options):
    return hls4ml.converters.convert_from_onnx_model(path, backend=backend, **options)


def one_line(error: pytest.ExceptionInfo[UserError], *words: str) -> None:
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_file_outside_a_bundle(bundle_directory, tmp_path):
    shutil.copy(bundle_directory / "model.depth.onnx", tmp_path)
    with pytest.raises(UserError) as error:
        convert(str(tmp_path / "model.depth.onnx"))
    one_line(error, str(tmp_path / "model.depth.onnx"), "bundle.json is missing", "moesaic export")


def test_file_that_the_bundle_does_not_list(bundle_directory, tmp_path):
    directory = shutil.copytree(bundle_directory, tmp_path / "bundle")
    shutil.copy(directory / "model.depth.onnx", directory / "mine.onnx")
    with pytest.raises(UserError) as error:
        convert(str(directory / "mine.onnx"))
    one_line(error, "mine.onnx", "not listed")


def test_altered_file_is_named_with_both_hashes(bundle_directory, tmp_path):
    directory = shutil.copytree(bundle_directory, tmp_path / "bundle")
    path = directory / "model.depth.onnx"
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    network = onnx.load(path)
    network.producer_name = "another"
    path.write_bytes(network.SerializeToString())
    with pytest.raises(UserError) as error:
        convert(str(path))
    one_line(error, str(path), before, hashlib.sha256(path.read_bytes()).hexdigest())


def test_network_in_memory(bundle_directory):
    with pytest.raises(UserError) as error:
        convert(onnx.load(bundle_directory / "model.depth.onnx"))
    one_line(error, "ModelProto", "path of model.onnx")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"task": "edges"}, ("edges", "segmentation, depth, normals")),
        ({"task": ["depth@large"]}, ("depth@large", "small")),
        ({"configuration": "huge"}, ("huge", "tiny")),
        ({"part": "xcvu13p-flga2577-2-e"}, ("xcvu13p-flga2577-2-e", "xczu7ev-ffvc1156-2-e")),
        ({"board": "pynq-z2"}, ("pynq-z2", "zcu104")),
        ({"clock_period": 0}, ("clock_period is 0", "positive")),
        ({"io_type": "io_stream"}, ("io_type io_stream", "no streams", "io_parallel")),
        ({"reuse": 4}, ("reuse", "configuration, task, part, board, clock_period, io_type")),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_options_that_are_refused(bundle_directory, options, words):
    with pytest.raises(UserError) as error:
        convert(str(bundle_directory / "model.onnx"), **options)
    one_line(error, *words)


def test_the_options_of_a_plain_script(bundle_directory, tmp_path):
    """hls4ml's own defaults, written out as its tutorials do."""
    given = {"io_type": "io_parallel", "clock_period": 5, "part": "xczu7ev-ffvc1156-2-e", "hls_config": {}}
    model = convert(
        str(bundle_directory / "model.depth.onnx"), output_dir=str(tmp_path), project_name="myproject", **given
    )
    assert model.outputs == ["depth"]


@pytest.mark.parametrize(
    ("operation", "inputs", "refusal"),
    [("Erf", ["x"], "Unsupported operation type: Erf"), ("Concat", ["x"] * 3, "Merging more than two tensors")],
)
def test_other_backends_refuse_what_they_do_not_know(bundle_directory, operation, inputs, refusal):
    """What this backend makes hls4ml read stays unsupported in hls4ml's own backends, with hls4ml's own words."""
    convert(str(bundle_directory / "model.depth.onnx"))
    shapes = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node(operation, inputs, ["y"], name="n")], "g", shapes[:1], shapes[1:])
    with pytest.raises(Exception, match=refusal):
        convert(helper.make_model(graph), backend="Vitis")


@pytest.mark.parametrize("way", ["entry point", "environment"])
def test_hls4ml_finds_the_backend_by_itself(tmp_path, way):
    """entry point: as pyproject.toml declares it, in the metadata of an installed distribution."""
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{REPOSITORY}"}
    metadata = tmp_path / "moesaic-0.1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: moesaic\nVersion: 0.1.0\n")
    if way == "entry point":
        declared = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["entry-points"]
        lines = [f"{name} = {place}\n" for name, place in declared["hls4ml.backends"].items()]
        (metadata / "entry_points.txt").write_text("[hls4ml.backends]\n" + "".join(lines))
    else:
        environment["HLS4ML_BACKEND_PLUGINS"] = "moesaic.hls.vendor.hls4ml_backend.registration"
    code = "from hls4ml.backends import get_backend; print(type(get_backend('moesaic')).__module__)"
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert result.stdout.split() == ["moesaic.hls.vendor.hls4ml_backend.backend"], result.stdout + result.stderr
