"""A bundle with its ONNX files, of a network that was never trained, and hls4ml with the backend."""

from __future__ import annotations

from pathlib import Path

import hls4ml
import numpy as np
import pytest
import torch
from hls4ml.backends import get_available_backends, register_backend
from hls4ml.writer import register_writer

from moesaic.hls.vendor.hls4ml_backend.registration import register
from moesaic.model.export.onnx_export import export_onnx
from moesaic.model.network.vit import M3ViT
from moesaic.model.pathways.alternatives import plan_pathways
from moesaic.model.pathways.budgets import Budget
from moesaic.model.pathways.usage import measure_usage
from moesaic.model.quantisation.golden_vectors import golden_vectors
from moesaic.model.quantisation.post_training import integer_network
from moesaic.model.recipes.recipe import ModelConfiguration, TaskConfiguration
from moesaic.spec.bundle import Bundle, load_bundle

HEIGHT, WIDTH = 32, 48


@pytest.fixture(scope="session", autouse=True)
def backend() -> None:
    """Where moesaic is installed, hls4ml has found its backend; in a checkout it is registered here."""
    if "moesaic" not in get_available_backends():
        register(register_backend=register_backend, register_writer=register_writer)


@pytest.fixture(scope="session")
def bundle_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    tasks = (TaskConfiguration("segmentation", 5), TaskConfiguration("depth", 1), TaskConfiguration("normals", 3))
    configuration = ModelConfiguration(
        image_height=HEIGHT,
        image_width=WIDTH,
        patch=8,
        width=32,
        depth=2,
        heads=2,
        mlp_hidden=48,
        experts=3,
        top_k=2,
        expert_hidden=16,
        tasks=tasks,
    )
    model = M3ViT(configuration).eval()
    images = np.random.default_rng(0).integers(0, 256, (4, HEIGHT, WIDTH, 3), dtype=np.uint8)
    plan = plan_pathways(model, measure_usage(model, images), None, {"small": Budget(2, 1)})
    network = integer_network(model, images, plan)
    files = {
        "model.onnx": export_onnx(model, configuration.task_names),
        "model.depth.onnx": export_onnx(model, ("depth",)),
    }
    path = tmp_path_factory.mktemp("exported") / "bundle"
    golden = golden_vectors(network, images[0])
    Bundle("untrained", network.architecture, network.tasks, network.tensors, golden, extra_files=files).save(path)
    return path


@pytest.fixture(scope="session")
def bundle(bundle_directory: Path) -> Bundle:
    return load_bundle(bundle_directory)


@pytest.fixture
def convert(bundle_directory: Path, tmp_path: Path):
    """A function: hls4ml's conversion of a file of the bundle, by default all tasks, with further options."""

    def call(name: str = "model.onnx", **options):
        options = {"output_dir": str(tmp_path / "project"), "backend": "moesaic", **options}
        return hls4ml.converters.convert_from_onnx_model(str(bundle_directory / name), **options)

    return call
