"""Alternative pathways from the command line to the application."""

import dataclasses

import numpy as np
import pytest

import moesaic
from moesaic.errors import UserError
from moesaic.hls.compiler.generate import generate
from moesaic.model.commands.export import ExportCommand
from moesaic.model.recipes.recipe import DataConfiguration, Recipe
from moesaic.model.training.train import train
from moesaic.spec.build import load_build
from moesaic.spec.bundle import load_bundle
from moesaic.spec.configuration import load_configuration
from tests.model.calling import call


def test_the_application_takes_any_pathway_for_any_frame(small_recipe, tmp_path, without_onnx):
    recipe = Recipe(small_recipe.model, small_recipe.training, DataConfiguration(validation=4))
    train(recipe, tmp_path / "model.safetensors")
    words = ["--checkpoint", tmp_path / "model.safetensors", "--output", tmp_path / "bundle", "--samples", 2]
    words += ["--experts-kept", "4", "--alternative", "fast=2x1", "--alternative", "best=6", "--fine-tune", 3]
    assert call(ExportCommand, *words) == 0
    bundle = load_bundle(tmp_path / "bundle")
    generate(bundle, load_configuration("tiny")).save(tmp_path / "build")
    image = bundle.golden["image"]
    with moesaic.open(tmp_path / "build", "reference") as accelerator:
        for task, program in accelerator.tasks.items():
            assert sorted(program.alternatives) == ["best", "fast"]
            assert program.alternatives["fast"].macs < program.macs < program.alternatives["best"].macs
            assert set(program.alternatives["fast"].metrics) == {"metric", "higher_is_better", "float", "integer"}
            for pathway in ("fast", None, "best", "fast"):
                name = task if pathway is None else f"{task}@{pathway}"
                result = accelerator.run(image, task, pathway)
                assert np.array_equal(result.raw, bundle.golden[f"{name}/output"])
                assert (result.task, result.pathway) == (task, pathway)
        with pytest.raises(UserError, match=r"unknown pathway 'slow' of task depth: .* the alternatives best, fast"):
            accelerator.run(image, "depth", pathway="slow")
    assert list(load_build(tmp_path / "build").tasks) == sorted(recipe.model.task_names)
    assert dataclasses.replace(bundle.tasks["depth"], alternatives={}).top_k == 2
