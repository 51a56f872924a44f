"""Weights that change: each method on the toy problem of its paper, or against what its equations say."""

import dataclasses

import numpy as np
import pytest
import torch

from moesaic.errors import UserError
from moesaic.model.input_pipeline.held_out import training_scenes
from moesaic.model.recipes.recipe import WEIGHTINGS, Recipe, TrainingConfiguration
from moesaic.model.training.distributed import Ranks
from moesaic.model.training.train import Run, train, training_step
from moesaic.model.training.weighting import (
    CAGrad,
    DynamicWeightAverage,
    GradNorm,
    NashMTL,
    PCGrad,
    Uncertainty,
    build_weighting,
    gradient_products,
)

TRAINING = TrainingConfiguration(steps=10, batch=1, learning_rate=0.1, warmup=0, weighting_period=2)


def gram_of(*gradients):
    gradients = np.array(gradients, float)
    return gradients @ gradients.T


def toy(theta):
    """The two losses of CAGrad's toy problem (Liu et al., NeurIPS 2021, appendix B), which Nash-MTL and FAMO show, too."""
    x, y = theta
    least = torch.tensor(5e-6)
    one = torch.log(torch.maximum((0.5 * (-x - 7) - torch.tanh(-y)).abs(), least)) + 6
    two = torch.log(torch.maximum((0.5 * (-x + 3) - torch.tanh(-y) + 2).abs(), least)) + 6
    three = ((-x + 7) ** 2 + 0.1 * (-y - 8) ** 2) / 10 - 20
    four = ((-x - 7) ** 2 + 0.1 * (-y - 8) ** 2) / 10 - 20
    above, below = torch.clamp(torch.tanh(0.5 * y), min=0), torch.clamp(torch.tanh(-0.5 * y), min=0)
    return [above * one + below * three, above * two + below * four]


def descend(method, start, steps, rate):
    """Where Adam ends on the toy problem with a method's weights, or with a plain sum."""
    weighting = build_weighting(dataclasses.replace(TRAINING, weighting=method), 2, 1)
    theta = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([theta], lr=rate)
    for step in range(steps):
        losses = toy(theta)
        weights = np.ones(2)
        if weighting:
            values = (
                np.array([loss.item() for loss in losses]) + 30
            )  # FAMO takes logarithms; its lower bound is -30 here
            products = gradient_products(losses, [theta]) if weighting.needs_products else np.zeros((2, 2))
            weights = weighting.weights(values, products, step)
        optimizer.zero_grad()
        sum(w * loss for w, loss in zip(weights, losses)).backward()
        optimizer.step()
        if weighting and weighting.needs_change:
            weighting.changed(values, np.array([loss.item() for loss in toy(theta)]) + 30)
    return theta.detach().numpy()


@pytest.mark.parametrize(("method", "steps"), [("cagrad", 700), ("famo", 700), ("nash-mtl", 1500)])
def test_the_toy_problem_ends_on_the_pareto_set(method, steps):
    """From where the papers' figures start it, too; the Pareto set is y = -8 and x from -7 to 7."""
    x, y = descend(method, (-8.5, 7.5), steps, 0.1)
    assert abs(y + 8) < 1.5 and abs(x) < 7


def test_pcgrad_by_hand():
    method = PCGrad(2, TRAINING)
    assert np.array_equal(method.weights(np.ones(2), gram_of((1, 0), (1, 1)), 0), [1, 1])  # no conflict
    one, two = np.array((1.0, 0.0)), np.array((-1.0, 1.0))
    found = method.weights(np.ones(2), gram_of(one, two), 0)
    direction = found @ np.array([one, two])
    expected = one - (one @ two) / (two @ two) * two + two - (one @ two) / (one @ one) * one
    assert np.allclose(direction, expected) and min(direction @ one, direction @ two) >= 0


@pytest.mark.parametrize("seed", range(3), ids=lambda s: f"seed{s}")
def test_nash_mtl_solves_its_equation(seed):
    gram = gram_of(*np.random.default_rng(seed).normal(size=(4, 9)) * [[1], [10], [0.1], [3]])
    found = NashMTL(4, TRAINING).weights(np.ones(4), gram, 0)
    assert (found > 0).all() and np.allclose(gram / np.linalg.norm(gram) @ found * found, 1, rtol=1e-3)


@pytest.mark.parametrize("seed", range(3), ids=lambda s: f"seed{s}")
def test_cagrad_stays_in_its_ball_and_improves_the_worst_task(seed):
    gradients = np.random.default_rng(seed).normal(size=(3, 8))
    found = CAGrad(3, TRAINING).weights(np.ones(3), gram_of(*gradients), 0) @ gradients * (1 + 0.4**2) / 3
    mean = gradients.mean(0)
    assert np.linalg.norm(found - mean) == pytest.approx(0.4 * np.linalg.norm(mean), rel=1e-3)
    assert (gradients @ found).min() >= (gradients @ mean).min() - 1e-9


def test_gradnorm_balances_regressions_of_different_scales():
    """Chen et al., section 4: tasks that differ in the scale of their targets alone; one scale is ten times the other's."""
    rng, scales = np.random.default_rng(0), torch.tensor([1.0, 10.0])
    inputs, hidden = torch.tensor(rng.normal(size=(64, 5))), torch.tensor(rng.normal(size=(5, 3)))
    own = [torch.tensor(rng.normal(size=(3, 4))) for _ in scales]
    shared = torch.tensor(rng.normal(size=(5, 3)) * 0.3, requires_grad=True)
    method = GradNorm(2, TRAINING)
    for step in range(300):
        losses = [
            (scale * (torch.tanh(inputs @ shared) @ w - torch.tanh(inputs @ hidden) @ w)).square().mean()
            for scale, w in zip(scales, own)
        ]
        products = gradient_products(losses, [shared])
        weights = method.weights(np.array([loss.item() for loss in losses]), products, step)
        (slope,) = torch.autograd.grad(sum(w * loss for w, loss in zip(weights, losses)), shared)
        with torch.no_grad():
            shared -= 1e-3 * slope
    assert weights.sum() == pytest.approx(2) and weights[0] > 10 * weights[1]


def test_uncertainty_ends_where_weighted_losses_are_equal():
    method, losses = Uncertainty(3, TRAINING), np.array([0.1, 1.0, 7.0])
    for step in range(3000):
        weights = method.weights(losses, np.zeros((3, 3)), step)
    assert np.allclose(weights, 1 / (2 * losses), rtol=1e-3)


def test_dwa_follows_its_equation_from_the_third_period_on():
    method, given = DynamicWeightAverage(2, TRAINING), []
    for step, losses in enumerate([(4, 1), (2, 1), (1, 1), (2, 0.5), (9, 9)]):
        given.append(method.weights(np.array(losses, float), np.zeros((2, 2)), step))
    ratios = np.exp(np.array([1.5 / 3, 0.75 / 1]) / 2)
    assert np.array_equal(given[:4], np.ones((4, 2))) and np.allclose(given[4], 2 * ratios / ratios.sum())


def small(recipe, **changes):
    return dataclasses.replace(
        recipe, training=dataclasses.replace(recipe.training, steps=4, warmup=1, pool=8, batch=2, **changes)
    )


@pytest.mark.parametrize("method", WEIGHTINGS)
def test_a_run_with_a_break_ends_in_the_same_bytes(recipe: Recipe, tmp_path, method):
    changed = small(recipe, weighting=method, weighting_period=1)
    train(changed, tmp_path / "whole")
    train(changed, tmp_path / "parts", stop_after=3)
    train(changed, tmp_path / "parts", resume=True)
    assert (tmp_path / "parts").read_bytes() == (tmp_path / "whole").read_bytes()


def test_what_is_minimised_has_the_methods_weights(recipe: Recipe, monkeypatch):
    changed = small(recipe, weighting="pcgrad", gradient_clip=0.0)
    run, minimised = Run.start(changed, Ranks()), []
    monkeypatch.setattr(run.precision, "backward", lambda loss: (minimised.append(loss.item()), loss.backward()))
    monkeypatch.setattr(run.weighting, "weights", lambda losses, products, step: np.array([2.0, 3.0, 5.0]))
    batch = training_scenes(changed, 0, 2)
    found = training_step(
        run.model, run.optimizers, changed, batch, 0, precision=run.precision, weighting=run.weighting
    )
    weighted = 2 * found["segmentation"] + 3 * found["depth"] + 5 * found["normals"]
    assert minimised == [pytest.approx(weighted + changed.training.balance_weight * found["balance"], rel=1e-5)]


@pytest.mark.parametrize(
    ("changes", "ranks", "words"),
    [
        ({"weighting": "pcgrad"}, 2, "weighting 'pcgrad' does not go with 2 processes"),
        ({"weighting": "famo", "accumulate": 2}, 1, "weighting 'famo' does not go with accumulate = 2"),
        ({"weighting": "nash-mtl", "precision": "float16"}, 1, "does not go with precision = 'float16'"),
    ],
    ids=["ranks", "parts", "float16"],
)
def test_what_does_not_go_together_is_named(changes, ranks, words):
    with pytest.raises(UserError, match=words):
        build_weighting(dataclasses.replace(TRAINING, batch=2, **changes), 2, ranks)
