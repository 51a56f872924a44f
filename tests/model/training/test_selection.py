"""Which validation counts as the best."""

import dataclasses

import pytest

from moesaic.model.recipes.recipe import Recipe
from moesaic.model.training import checkpoint
from moesaic.model.training.selection import Selection


def test_delta_m_from_a_network_that_scores_nothing_yet(recipe: Recipe) -> None:
    selection = Selection()
    assert selection.update(recipe, {"segmentation": 0.0, "depth": 2.0, "normals": 50.0}, 1)
    assert not selection.update(recipe, {"segmentation": 0.0, "depth": 2.1, "normals": 50.0}, 2)
    assert selection.update(recipe, {"segmentation": 0.2, "depth": 2.1, "normals": 50.0}, 3)
    assert selection.step == 3 and selection.reference["segmentation"] > 0


def test_what_is_not_a_number_is_never_the_best(recipe: Recipe) -> None:
    nan, selection = float("nan"), Selection()
    assert not selection.update(recipe, dict.fromkeys(("segmentation", "depth", "normals"), nan), 1)
    assert selection.update(recipe, {"segmentation": 0.2, "depth": 2.0, "normals": nan}, 2)
    assert selection.reference == {"segmentation": 0.2, "depth": 2.0}
    assert not selection.update(recipe, {"segmentation": 0.9, "depth": nan, "normals": 10.0}, 3)
    assert selection.update(recipe, {"segmentation": 0.4, "depth": 2.0, "normals": nan}, 4)
    assert (selection.step, selection.score) == (4, 50)
    by_task = dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, select="depth"))
    selection = Selection()
    metrics = [{"segmentation": 0.2, "depth": depth, "normals": nan} for depth in (nan, 2.0, nan, 3.0, 1.0)]
    assert [selection.update(by_task, one, 0) for one in metrics] == [False, True, False, False, True]


def test_delta_m_relates_to_the_recipes_figures(recipe: Recipe) -> None:
    figures = {"segmentation": 0.5, "depth": 0.5, "normals": 20.0}
    stated = dataclasses.replace(
        recipe, training=dataclasses.replace(recipe.training, reference=tuple(figures.items()))
    )
    assert Recipe.from_dict(stated.to_dict()) == stated and stated.to_dict()["training"]["reference"] == figures
    assert "reference" not in recipe.to_dict()["training"]
    first = {
        "segmentation": 0.1,
        "depth": 0.5,
        "normals": 20.0,
    }  # 80 % below; against itself, a gain there would outweigh all else
    own, selection = Selection(), Selection()
    for metrics in (first, {**first, "segmentation": 0.15, "depth": 0.6}):
        own.update(recipe, metrics, 0), selection.update(stated, metrics, 0)
    assert own.score == pytest.approx((50 - 20) / 3) and own.reference == first
    assert selection.score == pytest.approx(-80 / 3) and selection.reference == figures


def test_weights_that_no_step_has_trained_are_not_finished(recipe: Recipe) -> None:
    """As an imported checkpoint has them."""
    assert not checkpoint.Checkpoint(recipe, 0, {}, {}).finished
