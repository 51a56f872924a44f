"""Scales, ranges, and that integer layers do what the float layers do."""

import numpy as np
import pytest
import torch

from model.quantisation.calibration import (
    calibrate,
    gelu,
    gelu_table,
    scale_of_gelu_index,
    scale_per_channel,
    scale_per_tensor,
)
from model.quantisation.quantise import BIAS_MAX, ActivationScale, quantise_linear, quantise_norm
from spec.arithmetic import SHIFT_MAX, layer_norm, matmul_exact, requantise


@pytest.mark.parametrize("seed", range(4), ids=lambda s: f"seed{s}")
def test_linear_layer_is_within_its_rounding(seed):
    rng = np.random.default_rng(seed)
    rows, inputs, outputs = 30, 40, 17
    scale, offset = 10 ** rng.uniform(-3, -1, inputs), rng.normal(0, 1, inputs)
    x = rng.integers(-128, 128, (rows, inputs))
    weight, bias = rng.normal(0, 0.1, (outputs, inputs)), rng.normal(0, 1, outputs)
    weight[3] = 0
    bias[3] = 0 if seed % 2 else 1.5  # an idle row, without and with a bias
    exact = (x * scale + offset) @ weight.T + bias
    unit = np.abs(exact).max() / 30_000
    layer = quantise_linear(weight, bias, ActivationScale(scale, offset), unit)
    assert np.abs(layer["weight"].astype(int)).max() == 127
    assert np.abs(layer["bias"].astype(int)).max() <= BIAS_MAX
    assert layer["shift"].max() <= SHIFT_MAX
    total = matmul_exact(x, layer["weight"]) + layer["bias"]
    found = requantise(total, layer["multiplier"], layer["shift"]) * unit
    weight_step = np.abs(weight * scale).max(1) / 127
    bound = 0.5 * weight_step * np.abs(x).sum(1)[:, None] + np.abs(exact) * 1e-4 + unit + weight_step
    assert (np.abs(found - exact) <= bound).all()


@pytest.mark.parametrize("magnitude", [1e-3, 1.0, 300.0])
def test_norm_is_within_a_unit(magnitude):
    rng = np.random.default_rng(0)
    x = rng.integers(-3000, 3000, (20, 40))
    gamma, beta = magnitude * rng.normal(1, 0.3, 40), magnitude * rng.normal(0, 2, 40)
    y = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True) * gamma + beta
    result = ActivationScale(*scale_per_channel(y))
    parts = quantise_norm(gamma, beta, result)
    found = layer_norm(x, parts["gamma"], parts["beta"], int(parts["shift"]))
    exact = np.clip((y - result.offset) / result.scale, -128, 127)
    assert np.abs(found - exact).max() <= 1


def test_bits_are_spent_on_the_bulk_not_on_outliers():
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, (200_000, 1)).astype(np.float32)
    values[0] = 12
    assert scale_per_tensor(values) < 0.7 * 12 / 127
    scale, offset = scale_per_channel(values + 5)
    assert scale[0] < 0.7 * 12 / 127
    assert offset[0] == pytest.approx(5, abs=0.3)


def test_gelu_table_is_right_to_half_a_unit():
    scale, unit = 0.013, 0.05
    exact = np.clip(gelu((np.arange(1024) - 512) * scale) / unit, -127, 127)
    assert np.abs(gelu_table(scale, unit, 1024) - exact).max() <= 0.5
    assert gelu(np.array([1.0])) == pytest.approx(0.8413447, abs=1e-6)


def test_gelu_index_scale_reaches_the_values():
    values = np.random.default_rng(0).normal(0, 2, (4000, 8))
    assert values.max() * 0.5 < 511 * scale_of_gelu_index(values, 0.05, 1024) < values.max() * 1.01


def test_calibration_sees_every_point_and_leaves_no_hook(trained, calibration_images):
    seen = calibrate(trained, calibration_images)
    points = ("norm1", "query", "key", "value", "attention", "norm2", "up", "hidden")
    assert set(seen.samples) == {"norm"} | {f"blocks.{i}.{point}" for i in range(4) for point in points}
    assert all(len(rows) > 500 for rows in seen.samples.values())
    assert np.allclose(gelu(seen.samples["blocks.1.up"]), seen.samples["blocks.1.hidden"], atol=1e-5)
    assert set(seen.outputs) == {"segmentation", "depth", "normals"}
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in trained.modules())
    x = torch.cat([trained.embed(torch.zeros(1, 3, 40, 56))]).abs().max().item()
    assert seen.residual > 0.2 * x
