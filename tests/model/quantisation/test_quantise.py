"""Scales, ranges, and that integer layers do what the float layers do."""

import dataclasses

import numpy as np
import pytest
import torch

from moesaic.errors import UserError
from moesaic.model.quantisation.calibration import calibrate
from moesaic.model.quantisation.gelu import gelu, gelu_table
from moesaic.model.quantisation.layers import LinearLayer, NormLayer
from moesaic.model.quantisation.quantise import BIAS_MAX, quantise_linear, quantise_norm
from moesaic.model.quantisation.scales import ActivationScale, Scales, ScaleSearch, choose_scales
from moesaic.model.quantisation.settings import PtqSettings
from moesaic.spec.arithmetic import SHIFT_MAX, layer_norm, matmul_exact, requantise

BY_ERROR = ScaleSearch(PtqSettings())
BY_PERCENTILE = ScaleSearch(PtqSettings(method="percentile"))


def integers(weight, bias, source, output_scale, **options):
    layer = LinearLayer(torch.from_numpy(weight), torch.from_numpy(bias), source, output_scale)
    found = quantise_linear(layer, **options)
    return {name: getattr(found, name).numpy().astype(np.int64) for name in ("weight", "bias", "multiplier", "shift")}


@pytest.mark.parametrize("bits", [8, 4], ids=lambda b: f"{b}bits")
@pytest.mark.parametrize("seed", range(4), ids=lambda s: f"seed{s}")
def test_linear_layer_is_within_its_rounding(seed, bits):
    rng = np.random.default_rng(seed)
    rows, inputs, outputs = 30, 40, 17
    scale, offset = 10 ** rng.uniform(-3, -1, inputs), rng.normal(0, 1, inputs)
    x = rng.integers(-128, 128, (rows, inputs))
    weight, bias = rng.normal(0, 0.1, (outputs, inputs)), rng.normal(0, 1, outputs)
    weight[3] = 0
    bias[3] = 0 if seed % 2 else 1.5  # an idle row, without and with a bias
    exact = (x * scale + offset) @ weight.T + bias
    unit = np.abs(exact).max() / 30_000
    layer = integers(weight, bias, ActivationScale(scale, offset), unit, bits=bits)
    largest = 127 if bits == 8 else 7
    assert np.abs(layer["weight"]).max() == largest
    assert np.abs(layer["bias"]).max() <= BIAS_MAX
    assert layer["shift"].max() <= SHIFT_MAX
    total = matmul_exact(x, layer["weight"]) + layer["bias"]
    found = requantise(total, layer["multiplier"], layer["shift"]) * unit
    weight_step = np.abs(weight * scale).max(1) / largest
    bound = 0.5 * weight_step * np.abs(x).sum(1)[:, None] + np.abs(exact) * 1e-4 + unit + weight_step
    assert (np.abs(found - exact) <= bound).all()


@pytest.mark.parametrize("magnitude", [1e-3, 1.0, 300.0])
def test_norm_is_within_a_unit(magnitude):
    rng = np.random.default_rng(0)
    x = rng.integers(-3000, 3000, (20, 40))
    gamma, beta = magnitude * rng.normal(1, 0.3, 40), magnitude * rng.normal(0, 2, 40)
    y = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True) * gamma + beta
    result = BY_ERROR.per_channel(y)
    parts = quantise_norm(NormLayer(torch.from_numpy(gamma), torch.from_numpy(beta), result))
    found = layer_norm(x, parts.gamma.numpy().astype(int), parts.beta.numpy().astype(int), int(parts.shift))
    exact = np.clip((y - result.offset) / result.scale, -128, 127)
    assert np.abs(found - exact).max() <= 1


def test_bits_are_spent_on_the_bulk_not_on_outliers():
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, (200_000, 1)).astype(np.float32)
    values[0] = 12
    for search in (BY_ERROR, BY_PERCENTILE):
        assert search.per_tensor(values) < 0.7 * 12 / 127
        found = search.per_channel(values + 5)
        assert found.scale[0] < 0.7 * 12 / 127
        assert found.offset[0] == pytest.approx(5, abs=0.3)


def test_a_percentile_is_the_magnitude_that_so_many_values_stay_below():
    values = np.linspace(-50, 100, 150_001)[:, None]
    search = ScaleSearch(PtqSettings(method="percentile", percentile=98))
    magnitudes = np.sort(np.abs(values[:, 0]))
    assert search.per_tensor(values) * 127 == pytest.approx(magnitudes[int(0.98 * len(magnitudes))], rel=1e-3)
    found = search.per_channel(values)
    low, high = (found.offset[0] + sign * 127 * found.scale[0] for sign in (-1, 1))
    assert ((values > low) & (values < high)).mean() == pytest.approx(0.98, abs=1e-3)
    assert search.of_gelu_index(values, 0.1) * 511 == pytest.approx(search.per_tensor(values) * 127)


@pytest.mark.parametrize("ratio", [0.9, 0.3, 0.1, 0.001])
def test_attention_gets_the_power_of_two_that_holds_it(ratio):
    values = np.random.default_rng(0).uniform(-ratio, ratio, (5000, 4))
    exact = [n for n in range(8) if 2.0**-n >= ratio * 0.999]
    assert BY_PERCENTILE.attention_shift(values, 1 / 127) == exact[-1]
    assert abs(BY_ERROR.attention_shift(values, 1 / 127) - exact[-1]) <= 1


@pytest.mark.parametrize("bits", [8, 4], ids=lambda b: f"{b}bits")
def test_clipped_weights_lose_less(bits):
    weight = np.random.default_rng(0).standard_t(4, (20, 64))
    weight[0] = 0

    def error(clip):
        layer = integers(weight, np.zeros(20), ActivationScale(1.0), 1.0, bits=bits, clip=clip)
        found = layer["weight"] * (layer["multiplier"] * 2.0 ** -layer["shift"])[:, None]
        return np.square(found - weight).mean(1)

    plain, clipped = error(False), error(True)
    assert (clipped <= plain * (1 + 1e-3)).all()
    assert bits == 8 or clipped.mean() < 0.9 * plain.mean()


def test_settings_that_make_no_sense_are_refused():
    for values, message in (
        ({"method": "entropy"}, "'entropy' is unknown: choose from mse, percentile"),
        ({"percentile": 50}, "percentile 50 is not above 50 and up to 100"),
        ({"expert_bits": 5}, "of 5 bits are not supported: choose 8 or 4"),
    ):
        with pytest.raises(UserError, match=message):
            PtqSettings(**values)


def test_scales_read_back_and_other_models_are_refused(trained, calibration_images, tmp_path):
    settings = PtqSettings(method="percentile", percentile=99.5, expert_bits=4)
    scales = choose_scales(calibrate(trained, calibration_images), trained.configuration, settings)
    path = tmp_path / "model.scales.safetensors"
    scales.save(path)
    found = Scales.load(path, trained.configuration)
    assert (found.settings, found.stream, found.outputs) == (scales.settings, scales.stream, scales.outputs)
    assert found.final_norms.keys() == {"norm"}
    for one, other in zip((*found.blocks, found.final_norms["norm"]), (*scales.blocks, scales.final_norms["norm"])):
        for name, value in dataclasses.asdict(one).items():
            assert np.array_equal(np.hstack(_numbers(value)), np.hstack(_numbers(dataclasses.asdict(other)[name]))), (
                name
            )
    shallow = dataclasses.replace(trained.configuration, depth=2)
    with pytest.raises(UserError, match="of 4 blocks of width 40, the model has 2 of 40"):
        Scales.load(path, shallow)
    deep = dataclasses.replace(trained.configuration, depth=6)
    with pytest.raises(UserError, match=r"malformed or of another model.*blocks\.4"):
        Scales.load(path, deep)
    path.write_bytes(b"no scales")
    with pytest.raises(UserError, match="malformed"):
        Scales.load(path, trained.configuration)
    with pytest.raises(UserError, match="cannot be read"):
        Scales.load(tmp_path / "missing", trained.configuration)


def _numbers(value):
    return list(value.values()) if isinstance(value, dict) else [value]


def test_gelu_table_is_right_to_half_a_unit():
    scale, unit = 0.013, 0.05
    exact = np.clip(gelu((np.arange(1024) - 512) * scale) / unit, -127, 127)
    assert np.abs(gelu_table(scale, unit, 1024) - exact).max() <= 0.5
    assert gelu(np.array([1.0])) == pytest.approx(0.8413447, abs=1e-6)


def test_gelu_index_scale_reaches_the_values():
    values = np.random.default_rng(0).normal(0, 2, (4000, 8))
    assert values.max() * 0.5 < 511 * BY_ERROR.of_gelu_index(values, 0.05) < values.max() * 1.01


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
