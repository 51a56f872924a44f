"""Which validation counts as the best."""

from model.configuration import Recipe
from model.training import checkpoint
from model.training.selection import Selection


def test_delta_m_from_a_network_that_scores_nothing_yet(recipe: Recipe) -> None:
    selection = Selection()
    assert selection.update(recipe, {"segmentation": 0.0, "depth": 2.0, "normals": 50.0}, 1)
    assert not selection.update(recipe, {"segmentation": 0.0, "depth": 2.1, "normals": 50.0}, 2)
    assert selection.update(recipe, {"segmentation": 0.2, "depth": 2.1, "normals": 50.0}, 3)
    assert selection.step == 3 and selection.reference["segmentation"] > 0


def test_weights_that_no_step_has_trained_are_not_finished(recipe: Recipe) -> None:
    """As an imported checkpoint has them."""
    assert not checkpoint.Checkpoint(recipe, 0, {}, {}).finished
