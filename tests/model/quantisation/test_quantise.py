"""Scales, ranges, and that integer layers do what the float layers do."""

import dataclasses

import numpy as np
import pytest
import torch

from moesaic.errors import UserError
from moesaic.model.pathways.pathway import whole_network
from moesaic.model.quantisation.calibration import calibrate
from moesaic.model.quantisation.gelu import gelu, gelu_table
from moesaic.model.quantisation.layers import LinearLayer, NormLayer, linear_layers
from moesaic.model.quantisation.post_training import scales_for
from moesaic.model.quantisation.quantise import BIAS_MAX, per_channel, quantise_linear, quantise_norm, real_linear
from moesaic.model.quantisation.scales import ActivationScale, Scales
from moesaic.model.quantisation.settings import PtqSettings
from moesaic.spec.arithmetic import SHIFT_MAX, layer_norm, matmul_exact, requantise


def integers(weight, bias, source, output_scale, **options):
    layer = LinearLayer(torch.from_numpy(weight), torch.from_numpy(bias), source, ActivationScale(output_scale))
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
    layer = integers(weight, bias, ActivationScale(scale, offset, offset), unit, bits=bits)
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
    low, high = y.min(0), y.max(0)
    result = ActivationScale((high - low) / 254, (low + high) / 2)
    parts = quantise_norm(NormLayer(torch.from_numpy(gamma), torch.from_numpy(beta), result))
    found = layer_norm(x, parts.gamma.numpy().astype(int), parts.beta.numpy().astype(int), int(parts.shift))
    exact = np.clip((y - result.offset) / result.scale, -128, 127)
    assert np.abs(found - exact).max() <= 1


def test_rounding_of_weights_makes_no_error_at_the_centre():
    rng = np.random.default_rng(0)
    weight, bias, centre = rng.normal(0, 1, (6, 512)), rng.normal(0, 1, 6), rng.normal(0, 3, 512)
    scale, unit = 0.04, 1e-3
    exact = weight @ centre + bias
    for found_at, bound in ((centre, 4 * unit), (0.0, np.inf)):
        layer = integers(weight, bias, ActivationScale(scale, -1.0, found_at), unit)
        total = layer["weight"] @ ((centre + 1.0) / scale) + layer["bias"]
        error = np.abs(total * layer["multiplier"] / 2.0 ** layer["shift"] * unit - exact).max()
        assert error < bound
    assert error > 100 * unit, "without a centre the weights' rounding adds up"


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


@pytest.mark.parametrize("bits", [8, 4])
def test_what_integers_stand_for_is_near_the_layer(trained, calibration_images, bits):
    """Weights to half a unit, and results to half a unit of the bias where the input is the usual one."""
    scales = scales_for(trained, calibration_images[:8], PtqSettings())
    for name, layer in linear_layers(trained, scales, whole_network(trained)):
        if name == "patch_embed":  # its fourth byte of a pixel stands for nothing
            continue
        found = quantise_linear(layer, bits)
        weight, bias = real_linear(layer, found)
        step, centre = (per_channel(part, weight) for part in (layer.input_scale.scale, layer.input_scale.centre))
        unit = found.ratio * per_channel(layer.output_scale.scale, bias)
        assert ((weight - layer.weight).abs() * step <= 0.502 * unit[:, None]).all(), name
        result, exact = weight @ centre + bias, layer.weight @ centre + layer.bias
        assert ((result - exact).abs() <= 0.502 * unit + 1e-4 * exact.abs().max()).all(), name


def test_settings_that_make_no_sense_are_refused():
    for values, message in (
        ({"method": "entropy"}, "'entropy' is unknown: choose from mse, percentile"),
        ({"percentile": 50}, "percentile 50 is not above 50 and up to 100"),
        ({"expert_bits": 5}, "of 5 bits are not supported: choose from 8, 4, auto"),
        ({"expert_bits": "auto", "expert_bits_loss": -1}, "a loss of -1 dB for 4-bit experts is not above 0"),
        (
            {"expert_bits": "auto", "expert_bits_loss": float("nan")},
            "a loss of nan dB for 4-bit experts is not above 0",
        ),
    ):
        with pytest.raises(UserError, match=message):
            PtqSettings(**values)


def test_scales_read_back_and_other_models_are_refused(trained, calibration_images, tmp_path):
    settings = PtqSettings(method="percentile", percentile=99.5, expert_bits=4)
    scales = scales_for(trained, calibration_images, settings)
    path = tmp_path / "model.scales.safetensors"
    scales.save(path)
    found = Scales.load(path, trained.configuration)
    assert (found.settings, found.stream, found.outputs) == (scales.settings, scales.stream, scales.outputs)
    assert found.four_bit_experts == scales.four_bit_experts == {1: (0, 1, 2, 3, 4), 3: (0, 1, 2, 3, 4)}
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
    index, hidden = ActivationScale(0.013, 2.0), ActivationScale(0.05, 3.1)
    exact = np.clip((gelu((np.arange(1024) - 512) * 0.013 + 2) - 3.1) / 0.05, -127, 127)
    assert np.abs(gelu_table(index, hidden) - exact).max() <= 0.5
    assert gelu(np.array([1.0])) == pytest.approx(0.8413447, abs=1e-6)


def test_calibration_sees_every_point_and_leaves_no_hook(trained, calibration_images):
    seen = calibrate(trained, calibration_images)
    points = {"norm1", "query", "key", "value", "attention", "norm2", "up", "count", "stream1", "stream2"}
    of_experts = {"expert", "score", "update"}
    names = {f"blocks.{i}.{point}" for i in range(4) for point in points | (of_experts if i % 2 else set())}
    assert set(seen.samples) == {"norm", "stream"} | names
    assert all(len(rows) > 200 for rows in seen.samples.values())
    for i in (1, 3):
        rows = {len(seen.samples[f"blocks.{i}.{name}"]) for name in of_experts | {"up", "count"}}
        assert len(rows) == 1, "row by row beside each other"
        assert seen.samples[f"blocks.{i}.up"].max() == seen.ranges[f"blocks.{i}.up"].high.max(), "the largest is kept"
    for name, rows in seen.samples.items():
        if not name.endswith("count"):
            assert (rows >= seen.ranges[name].low).all() and (rows <= seen.ranges[name].high).all()
    assert set(seen.outputs) == {"segmentation", "depth", "normals"}
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in trained.modules())
