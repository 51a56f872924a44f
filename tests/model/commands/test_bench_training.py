"""The tables of `moesaic bench-training` have a row for every case, with figures that can be."""

import numpy as np
import pytest
from rich.console import Console

from moesaic.command_line import main
from moesaic.model.data.registry import open_dataset
from moesaic.model.experiments.training_speed import (
    expert_figures,
    reading_figures,
    scaling_figures,
    write_folder,
)
from moesaic.model.recipes.recipe import load_recipe


@pytest.fixture
def recipe(own_recipe):
    return load_recipe(str(own_recipe))


def numbers(figures, first):
    assert [row[0] for row in figures.rows] == first
    values = np.array([row[1:] for row in figures.rows])
    assert values.shape[1] == len(figures.columns) - 1 and (values > 0).all() and np.isfinite(values).all()
    return values


@pytest.mark.slow
def test_a_row_for_every_number_of_workers_and_processes(recipe):
    console = Console(quiet=True)
    assert numbers(reading_figures(recipe, None, [0, 1], 2, console), ["0", "1"])[0, 1] == 1
    experts = numbers(expert_figures(recipe, 2, 1, console), ["queue by queue", "blocks", "grouped product"])
    assert experts[0, 1] == 1
    scaling = numbers(scaling_figures(recipe, None, [1, 2], 1, "cpu", console), ["1", "2"])
    assert scaling[0, 1] == scaling[0, 4] == 1


def test_what_is_written_to_be_read_is_the_scenes(recipe, tmp_path):
    write_folder(recipe, tmp_path / "train", 3)
    written = open_dataset("folder", tmp_path, "train", 16, 16, tasks={"segmentation": 6, "depth": 1})
    scenes = open_dataset("scenes", None, "train", 16, 16, count=3, seed=recipe.training.seed)
    assert len(written) == 3
    for found, expected in zip(written, scenes):
        assert np.array_equal(found.targets["segmentation"], expected.targets["segmentation"])
        assert np.array_equal(found.targets["depth"], expected.targets["depth"])
        assert np.abs(found.image.astype(int) - expected.image).mean() < 20


def test_the_command_prints_what_was_asked_for(own_recipe, capsys):
    words = ["bench-training", "--recipe", str(own_recipe), "--repeats", "1"]
    assert main([*words, "--parts", "experts"]) == 0
    assert "grouped product" in capsys.readouterr().out
    assert main([*words, "--parts", "speed"]) == 2
    assert "there is no part 'speed': choose reading, experts, scaling" in capsys.readouterr().err
