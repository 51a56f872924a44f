"""Figures as JSON: what was not measured is null, and delta_m stands where everything was."""

import dataclasses
import json
from pathlib import Path

import pytest

from moesaic.model.evaluation.figures_file import delta_figures, write_figures
from moesaic.model.recipes.recipe import Recipe

METRICS = {
    "segmentation": {"metric": "mIoU", "float": 0.6, "integer": float("nan"), "further": [{"metric": "IoU: bag", "float": float("nan")}]},
    "depth": {"metric": "rmse (m)", "float": 0.5, "integer": 0.5},
    "normals": {"metric": "mean angle (degrees)", "float": 20.0, "integer": 20.0},
}  # fmt: skip


def test_what_was_not_measured_is_null(recipe: Recipe, tmp_path: Path) -> None:
    reference = (("segmentation", 0.5), ("depth", 1.0), ("normals", 20.0))
    stated = dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, reference=reference))
    write_figures(tmp_path / "new" / "a.json", Path("m.safetensors"), 7, stated, 12, METRICS)
    found = json.loads((tmp_path / "new" / "a.json").read_text())
    segmentation = found["tasks"]["segmentation"]
    assert segmentation["integer"] is None and segmentation["further"] == [{"metric": "IoU: bag", "float": None}]
    assert found["delta_m"] == {"float": pytest.approx((20 + 50 + 0) / 3)}  # the integers lack a figure
    assert Recipe.from_dict(found["recipe"]) == stated and (found["step"], found["samples"]) == (7, 12)
    assert delta_figures(recipe, METRICS) == {}
    assert delta_figures(stated, {task: METRICS[task] for task in ("depth", "normals")}) == {}
