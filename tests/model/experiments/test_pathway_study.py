"""The figures by budget, and the page."""

import json
import xml.etree.ElementTree

import numpy as np
import pytest

from moesaic.errors import UserError
from moesaic.model.evaluation.evaluate import measure_float
from moesaic.model.experiments.pathway_page import pathway_chart, pathway_page
from moesaic.model.experiments.pathway_study import grid, measure_budgets
from moesaic.model.input_pipeline.held_out import open_validation
from moesaic.model.pathways.alternatives import PathwayPlan, pathways_within
from moesaic.model.pathways.budgets import Budget
from moesaic.model.pathways.pathway import on_pathways, whole_network
from moesaic.model.pathways.usage import measure_usage
from moesaic.model.quantisation.post_training import integer_network
from moesaic.model.recipes.recipe import DataConfiguration, Recipe
from moesaic.spec.cost import dram_bytes, frame_macs, weight_bytes
from tests.model.routing import current_pathways

BUDGETS = [Budget(6, 1), Budget(3, 2), Budget(1, 1)]


def held_out(recipe: Recipe, count: int):
    return open_validation(Recipe(recipe.model, recipe.training, DataConfiguration(validation=count)), None)


@pytest.fixture
def report(model, small_recipe, pictures):
    usage = measure_usage(model, pictures)
    return measure_budgets(model, small_recipe, usage, pictures, held_out(small_recipe, 6), BUDGETS, integers=True)


def test_every_point_is_what_the_pruned_network_measures(report, model, small_recipe, pictures):
    usage, scenes = measure_usage(model, pictures), held_out(small_recipe, 6)
    assert current_pathways(model) == whole_network(model)
    assert [p.task for p in report.points] == [t for t in ("segmentation", "depth", "normals") for _ in range(4)]
    for n, budget in enumerate(BUDGETS, start=1):
        pathways = pathways_within(model, usage, budget)
        network = integer_network(model, pictures, PathwayPlan(pathways))  # a bundle with this pathway alone
        with on_pathways(model, pathways):
            measured = measure_float(model, scenes)
        for task, value in measured.items():
            point = [p for p in report.points if p.task == task][n]
            assert point.value == value and point.experts == pathways[task].pathway and point.top_k == budget.top_k
            assert point.kept == 2 * budget.experts and point.budget == str(budget)
            costs = [
                count(network.architecture, network.tasks[task]) for count in (weight_bytes, dram_bytes, frame_macs)
            ]
            assert [point.weight_bytes, point.dram_bytes, point.macs] == costs


def test_change_is_positive_when_worse(report):
    for task, (_, higher) in report.metrics.items():
        whole, *points = (p for p in report.points if p.task == task)
        assert whole.change == 0 and whole.kept == 12 and whole.top_k == 2
        for p in points:
            expected = 100 * (whole.value - p.value) / whole.value * (1 if higher else -1)
            assert p.change == pytest.approx(expected)
    assert any(p.change for p in report.points) and all(p.integer is not None for p in report.points)


def test_page_and_chart_show_every_point(report):
    chart = pathway_chart(report)
    panels = [xml.etree.ElementTree.fromstring(shape) for shape in chart.shapes]
    assert len(panels) == 3 * 4
    for panel in panels:
        circles = [e for e in panel if e.tag == "circle"]
        assert len(circles) == len(BUDGETS)
        for circle in circles:
            assert (
                0 < float(circle.attrib["cx"]) < chart.width / 4 and 0 < float(circle.attrib["cy"]) < chart.height / 3
            )
    document = pathway_page(report)
    assert chart.inline() in document and "<script" not in document
    for point in report.points:
        assert f">{point.weight_bytes:,}</td>" in document and f">{point.value:.4f}</td>" in document
    assert "6x1" in document and document.count("<h2>") == 5


def test_report_as_json_has_the_experts_kept(report):
    values = json.loads(json.dumps(report.to_dict()))
    assert len(values["points"]) == 12 and values["points"][3]["experts"].keys() == {"1", "3"}
    assert sum(values["usage"]["depth"]["1"]["counts"]) == 8 * 17 * 2


def test_fine_tuning_trains_a_copy_for_each_size(model, small_recipe, pictures):
    usage, scenes = measure_usage(model, pictures), held_out(small_recipe, 4)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    arguments = (model, small_recipe, usage, pictures, scenes, [Budget(3, 2), Budget(3, 1), Budget(2, 1)])
    steps = []
    tuned = measure_budgets(*arguments, fine_tune_steps=3, advance=lambda: steps.append(1))
    plain = measure_budgets(*arguments)
    assert len(steps) == 2 * 3 + 4
    assert all(np.array_equal(value, before[name]) for name, value in model.state_dict().items())
    assert [p.experts for p in tuned.points] == [p.experts for p in plain.points]
    assert tuned.points[0].value == plain.points[0].value
    changed = [a.value != b.value for a, b in zip(tuned.points, plain.points) if a.budget != "all"]
    assert all(changed) and len(changed) == 9


def test_grid_leaves_out_what_cannot_be():
    assert [str(b) for b in grid([4, 2, 1], [2, 1], "layer", 3)] == ["4x2", "4x1", "2x2", "2x1", "1x1"]
    assert [str(b) for b in grid([8, 4, 3], [2, 1], "task", 3)] == ["8x2", "8x1", "4x1", "3x1"]
    with pytest.raises(UserError, match=r"each of \[2, 1\] experts a block is too few for every top-k of \[3\]"):
        grid([2, 1], [3], "layer", 3)
