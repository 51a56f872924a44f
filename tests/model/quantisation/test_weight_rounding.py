"""Rounding of weights with error feedback: less error than rounding to nearest, the same scales, integers that the export finds again."""

import numpy as np
import pytest
import torch

from moesaic.model.evaluation.evaluate import predict
from moesaic.model.pathways.pathway import whole_network
from moesaic.model.quantisation.calibration import Moments, calibrate
from moesaic.model.quantisation.integer import IntegerNetwork
from moesaic.model.quantisation.layers import linear_layers
from moesaic.model.quantisation.post_training import calibrated, integer_network
from moesaic.model.quantisation.quantise import quantise_linear, weight_options
from moesaic.model.quantisation.settings import FEEDBACK, NEAREST, PtqSettings
from moesaic.model.quantisation.weight_rounding import round_with_feedback


def correlated(seed: int, channels: int = 48, rows: int = 2000) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    few = torch.randn(rows, 6, generator=generator, dtype=torch.float64)
    mixed = few @ torch.randn(6, channels, generator=generator, dtype=torch.float64)
    return mixed + 0.1 * torch.randn(rows, channels, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("largest", [127, 7])
@pytest.mark.parametrize("seed", range(3), ids=lambda s: f"seed{s}")
def test_feedback_halves_the_error_on_inputs_that_move_together(seed, largest):
    rows = correlated(seed)
    weights = torch.randn(20, rows.shape[1], generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    units = weights / weights.abs().amax(1, keepdim=True) * largest
    covariance = rows.T @ rows / len(rows) + 1e-3 * torch.eye(rows.shape[1], dtype=torch.float64)
    integers, before = round_with_feedback(units, covariance, largest)

    def error(found: torch.Tensor) -> float:
        return float((rows @ (found - units).T).square().mean())

    assert error(integers) < error(units.round()) / 2
    assert torch.equal(integers, integers.round())
    assert (integers.abs().amax(1) == largest).all()
    inside = integers.abs() < largest
    assert ((before - integers).abs() <= 0.5)[inside].all()


@pytest.mark.parametrize("parts", [1, 3])
def test_moments_of_parts_are_those_of_all_rows_however_large_their_mean(parts):
    rows = correlated(0, channels=6).float()
    rows[:, 2], rows[:, 4] = 5.1, rows[:, 4] + 3000
    first, *others = (Moments.of(part) for part in rows.chunk(parts))
    found = sum(others, first)
    expected = torch.cov(rows.double().T, correction=0)
    assert found.rows == len(rows)
    assert torch.allclose(found.mean, rows.double().mean(0), rtol=1e-12)
    assert torch.allclose(found.covariance, expected, rtol=1e-4, atol=1e-6)
    assert found.covariance[2, 2] < 1e-20


def test_without_correlation_every_weight_is_rounded_to_the_nearest():
    units = torch.tensor([[127.0, 3.4, -0.6, 12.51]], dtype=torch.float64)
    integers, before = round_with_feedback(
        units, torch.diag(torch.tensor([1.0, 5.0, 0.2, 3.0], dtype=torch.float64)), 127
    )
    assert torch.equal(integers, units.round())
    assert torch.equal(before, units)


@pytest.mark.parametrize(
    "settings", [PtqSettings(), PtqSettings(expert_bits=4), PtqSettings(clip_weights=True)], ids=str
)
def test_the_export_finds_integers_of_less_error_in_rows_of_the_same_scale(trained, calibration_images, settings):
    rounded, scales = calibrated(trained, calibration_images, settings)
    pathways, points = whole_network(trained), {"query": "norm1", "projection": "attention", "up": "norm2"}
    moments = calibrate(trained, calibration_images, moments=True).moments
    found = dict(linear_layers(rounded, scales, pathways))
    for name, layer in linear_layers(trained, scales, pathways):
        options = weight_options(name, scales)
        nearest, feedback = (quantise_linear(one, **options) for one in (layer, found[name]))
        assert torch.allclose(nearest.ratio, feedback.ratio, rtol=1e-4), name
        block, part = name.split(".")[:2], name.split(".")[-1]
        if point := points.get(part):
            step = torch.from_numpy(np.broadcast_to(layer.input_scale.scale, layer.weight.shape[1:]).copy())
            covariance = moments[".".join([*block, point])].covariance / step[:, None] / step
            exact = quantise_linear(layer, **options, integer=False).weight
            errors = [((w - exact) @ covariance @ (w - exact).T).trace() for w in (nearest.weight, feedback.weight)]
            assert errors[1] < 0.9 * errors[0], name
        if name.split(".")[-1] not in ("query", "key", "value", "projection", "up", "down"):
            assert torch.equal(nearest.weight, feedback.weight), name
            assert torch.equal(nearest.bias, feedback.bias), name


def test_experts_of_four_bits_lose_less(trained, calibration_images):
    task = trained.configuration.task_names[0]
    exact = predict(trained, calibration_images, task)

    def noise(network: IntegerNetwork) -> float:
        return float(np.square(network.predict(calibration_images, task) - exact).sum())

    feedback, nearest = (
        integer_network(trained, calibration_images, settings=PtqSettings(expert_bits=4, rounding=rounding))
        for rounding in (FEEDBACK, NEAREST)
    )
    assert noise(feedback) < 0.9 * noise(nearest)


def test_integer_network_rounds_as_its_settings_say(trained, calibration_images):
    rounded, scales = calibrated(trained, calibration_images, PtqSettings(rounding=FEEDBACK))
    with_feedback = integer_network(trained, calibration_images)
    again = integer_network(rounded, calibration_images, scales=scales)
    assert all(np.array_equal(with_feedback.tensors[name], again.tensors[name]) for name in again.tensors)
    same, _ = calibrated(trained, calibration_images, PtqSettings(rounding=NEAREST))
    assert same is trained
