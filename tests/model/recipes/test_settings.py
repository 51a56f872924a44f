"""Entries of recipes set on the command line: typed as in a recipe, and every mistake named."""

import re

import pytest

from moesaic.errors import UserError
from moesaic.model.recipes.recipe import Recipe, load_recipe
from moesaic.model.recipes.settings import changed_recipe, load_recipe_with


def test_entries_of_every_section_and_type_are_set():
    changed = load_recipe_with(
        "nyud/m3vit-small-four-tasks",
        [
            "training.batch=4",
            "training.learning_rate = 1e-3",
            "training.optimizer=adamw",
            'training.schedule="cosine"',
            "training.experts_sharded=true",
            "training.reference={segmentation = 0.4, depth = 0.6, normals = 20, edges = 0.7}",
            "training.reference.edges=0.75",
            "model.input.resize=pad",
            "model.tasks.edges.metric.tolerance=0.011",
            "model.tasks.depth.output.encoding=linear",
            "data.augment=false",
        ],
    )
    training, model = changed.training, changed.model
    assert (training.batch, training.learning_rate, training.optimizer, training.schedule) == (
        4,
        1e-3,
        "adamw",
        "cosine",
    )
    assert training.experts_sharded is True and changed.data.augment is False
    assert dict(training.reference) == {"segmentation": 0.4, "depth": 0.6, "normals": 20, "edges": 0.75}
    assert model.input.resize == "pad" and model.task("depth").output.encoding == "linear"
    assert model.task("edges").definition().metric_name == "odsF (tolerance 0.011)"
    untouched = load_recipe("nyud/m3vit-small-four-tasks")
    assert model.task("segmentation") == untouched.model.task("segmentation")
    assert Recipe.from_dict(changed.to_dict()) == changed  # as a checkpoint keeps it


def test_a_backbone_is_set_before_its_sizes_are_taken():
    changed = load_recipe_with("nyud/m3vit-small", ["model.backbone=tiny", "model.width=96"])
    assert (changed.model.heads, changed.model.top_k, changed.model.width) == (3, 2, 96)


def test_a_checkpoints_recipe_is_changed_alike():
    recipe = load_recipe("demo")
    assert changed_recipe(recipe, []) is recipe
    assert changed_recipe(recipe, ["data.validation=7"]).data.validation == 7


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("training.batch", "state SECTION.ENTRY=VALUE, such as training.batch=4"),
        ("batch=4", "state SECTION.ENTRY=VALUE"),
        ("traning.batch=4", "a recipe has no section 'traning': choose model, training, data"),
        ("training.bach=4", "there is no entry 'bach': choose accumulate, balance_weight, batch, "),
        ("training.batch=four", "batch ('four') is not an integer from 1"),
        ("training.batch=4.0", "batch (4.0) is not an integer from 1"),
        ("training.optimizer=adam", "optimizer ('adam') is unknown: choose muon, adamw, sgd"),
        ("training.batch.size=4", "training.batch is no table: leave .size out"),
        ("model.tasks.pose.channels=4", "state model.tasks.NAME.ENTRY=VALUE with NAME one of "),
        ("model.tasks.depth.colour=4", "there is no entry 'colour': choose channels, class_names, kind"),
        ("model.tasks.depth.channels.first=4", "channels of a task is no table: leave .first out"),
        ("model.backbones=tiny", "there is no entry 'backbones': choose backbone, depth, "),
    ],
)
def test_a_mistake_is_named(setting, words):
    with pytest.raises(UserError, match=re.escape(words)):
        load_recipe_with("demo", [setting])
