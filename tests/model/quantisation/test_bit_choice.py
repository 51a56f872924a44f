"""`--expert-bits auto`: as many experts of 4 bits as a stated loss allows, the least sensitive first, and never more."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from moesaic.model.evaluation.evaluate import predict
from moesaic.model.evaluation.expert_bits import bytes_table, choice_table
from moesaic.model.network.vit import M3ViT
from moesaic.model.pathways.alternatives import PathwayPlan
from moesaic.model.pathways.pathway import moe_blocks, whole_network
from moesaic.model.quantisation import bit_choice
from moesaic.model.quantisation.bit_choice import judged_pictures
from moesaic.model.quantisation.fake_quantised import FakeQuantised
from moesaic.model.quantisation.integer import IntegerNetwork
from moesaic.model.quantisation.layers import linear_layers, set_linear
from moesaic.model.quantisation.post_training import calibrated, integer_network
from moesaic.model.quantisation.quantise import quantise_layer, real_linear
from moesaic.model.quantisation.scales import Scales
from moesaic.model.quantisation.settings import AUTO, FEEDBACK, NEAREST, PtqSettings
from moesaic.spec.bundle import Alternative
from tests.model.quantisation.test_fake_quantised import assert_the_same

EVERY = {1: (0, 1, 2, 3, 4), 3: (0, 1, 2, 3, 4)}


def auto(model: M3ViT, images: np.ndarray, loss: float, plan: PathwayPlan | None = None, **settings):
    return calibrated(model, images, PtqSettings(expert_bits=AUTO, expert_bits_loss=loss, **settings), plan)


def names_of(four: dict[int, tuple[int, ...]]) -> list[str]:
    return [f"blocks.{i}.experts.{e}" for i, experts in four.items() for e in experts]


def lost(model: M3ViT, network: IntegerNetwork, eight: IntegerNetwork, images: np.ndarray) -> float:
    """The loss by the network in numpy, which the choice does not use."""

    def noise(of: IntegerNetwork, task: str) -> float:
        return float(np.square(of.predict(images, task) - predict(model, images, task)).sum())

    return max(10 * math.log10(noise(network, task) / noise(eight, task)) for task in network.tasks)


@pytest.mark.parametrize(
    ("too_much", "expected"),
    [((), "abcdefgh"), ("h", "abcdefg"), ("a", "bcdefgh"), ("cf", "abdegh"), ("abcdefgh", ""), ("abcde", "")],
    ids=lambda value: "".join(value) or "none",
)
def test_the_longest_beginning_is_found_and_what_exceeds_the_loss_is_passed_over(too_much, expected):
    tried: list[str] = []

    def fits(experts) -> bool:
        tried.append("".join(experts))
        return not set(experts) & set(too_much)

    found = "".join(bit_choice._most_that_fit("abcdefgh", fits))
    assert found == expected and (not found or found in tried) and len(tried) <= 5 * 4


@pytest.mark.parametrize(("rounding", "losses"), [(FEEDBACK, (0.3, 1.0, 50.0)), (NEAREST, (0.5,))])
def test_the_stated_loss_is_kept_by_the_least_sensitive_experts(trained, calibration_images, rounding, losses):
    judged = judged_pictures(calibration_images, trained.configuration.tokens)
    eight = integer_network(trained, calibration_images, settings=PtqSettings(rounding=rounding))
    sizes = []
    for loss in losses:
        rounded, scales = auto(trained, calibration_images, loss, rounding=rounding)
        network = integer_network(rounded, calibration_images, scales=scales)
        assert network.architecture.four_bit_experts == scales.four_bit_experts
        measured, chosen = scales.measured_bits, names_of(scales.four_bit_experts)
        assert measured.stated == loss >= measured.lost
        assert measured.lost == pytest.approx(lost(trained, network, eight, judged), abs=1e-3)
        order = sorted(measured.alone, key=measured.alone.get)
        last = max((order.index(name) for name in chosen), default=-1)
        assert len(chosen) >= last + 1 - 4  # so many may be passed over
        sizes.append(len(chosen))
    assert sizes == sorted(set(sizes)) and (sizes[-1] == 10) == (losses[-1] == 50), sizes


def test_one_expert_more_would_lose_too_much(trained, calibration_images):
    judged = judged_pictures(calibration_images, trained.configuration.tokens)
    _, scales = auto(trained, calibration_images, 1.0, rounding=NEAREST)
    eight = integer_network(trained, calibration_images, settings=PtqSettings(rounding=NEAREST))
    alone, chosen = scales.measured_bits.alone, names_of(scales.four_bit_experts)
    assert 0 < len(chosen) < len(alone)
    more = {*chosen, min(alone.keys() - set(chosen), key=alone.get)}
    four = {i: tuple(e for e in experts if f"blocks.{i}.experts.{e}" in more) for i, experts in EVERY.items()}
    found = integer_network(trained, judged, scales=dataclasses.replace(scales, four_bit_experts=four))
    assert lost(trained, found, eight, judged) > 1.0


def test_an_experts_sensitivity_is_its_own_noise_in_the_network_in_float(trained, calibration_images):
    _, scales = auto(trained, calibration_images, 1.0, rounding=NEAREST)
    judged = judged_pictures(calibration_images, trained.configuration.tokens)
    eight = integer_network(trained, calibration_images, settings=PtqSettings(rounding=NEAREST))
    name, found = max(scales.measured_bits.alone.items(), key=lambda entry: entry[1])
    every, ratios = dataclasses.replace(scales, four_bit_experts=EVERY), []
    changed = calibrated(trained, judged, PtqSettings(rounding=FEEDBACK))[0]
    changed.load_state_dict(trained.state_dict())
    with torch.no_grad():
        for layer_name, layer in linear_layers(trained, every, whole_network(trained)):
            if layer_name.startswith(f"{name}."):
                set_linear(changed, layer_name, *real_linear(layer, quantise_layer(layer_name, layer, every)))
    for task in trained.configuration.task_names:
        exact = predict(trained, judged, task).astype(np.float64)
        added = np.square(predict(changed, judged, task) - exact).sum()
        ratios.append(1 + added / np.square(eight.predict(judged, task) - exact).sum())
    assert found == pytest.approx(10 * math.log10(max(ratios)), rel=1e-3)


def test_an_expert_that_no_token_goes_to_keeps_8_bits(trained, calibration_images):
    """The router's rows of experts 1 and 2 are alike, and a tie goes to the lower number."""
    tasks = trained.configuration.task_names
    for moe in moe_blocks(trained).values():
        with torch.no_grad():
            for task in tasks:
                weight = moe.router_of(task).linear.weight
                weight[2] = weight[1]
    plan = PathwayPlan(dict.fromkeys(tasks, Alternative(1, EVERY)))
    _, scales = auto(trained, calibration_images[:8], 99.0, plan)
    chosen = names_of(scales.four_bit_experts)
    assert chosen and sorted(chosen) == sorted(scales.measured_bits.alone)
    assert not any(name.endswith(".2") for name in chosen)


def test_alternatives_count_like_the_default_pathways(trained, calibration_images):
    tasks = trained.configuration.task_names
    fast = dict.fromkeys(tasks, Alternative(1, {1: (0, 3), 3: (1, 2)}))
    plan = PathwayPlan(dict.fromkeys(tasks, Alternative(2, {1: (0, 1, 2), 3: (1, 2, 4)})), {"fast": fast})
    rounded, scales = auto(trained, calibration_images, 99.0, plan)
    assert scales.four_bit_experts == {1: (0, 1, 2, 3), 3: (1, 2, 4)}
    assert set(scales.measured_bits.mixed) == {*tasks, *(f"{task}@fast" for task in tasks)}
    network = integer_network(rounded, calibration_images, plan, scales=scales)
    assert {name for name in network.tensors if "experts.3.up.weight" in name} == {"blocks.1.experts.3.up.weight"}
    for name, value in network.tensors.items():
        if network.architecture.weight_bits(name) == 4 and name.endswith(".weight"):
            assert np.abs(value).max() == 7, name


@pytest.mark.parametrize("rounding", [FEEDBACK, NEAREST])
def test_mixed_bits_are_the_same_integers_in_both_networks(trained, calibration_images, rounding):
    """Those of 8 bits as if all had 8, those of 4 bits as if all had 4."""
    rounded, scales = auto(trained, calibration_images, 1.0, rounding=rounding)
    network = integer_network(rounded, calibration_images, scales=scales)
    assert_the_same(FakeQuantised(rounded, scales), network, calibration_images[:2])
    eight, four = (
        integer_network(trained, calibration_images, settings=PtqSettings(expert_bits=bits, rounding=rounding)).tensors
        for bits in (8, 4)
    )
    assert 0 < len(names_of(scales.four_bit_experts)) < 10
    for name, value in network.tensors.items():
        expected = four if network.architecture.weight_bits(name) == 4 else eight
        assert np.array_equal(value, expected[name]), name


def test_a_network_without_experts_has_none_of_4_bits(trained, calibration_images):
    torch.manual_seed(0)
    dense = M3ViT(dataclasses.replace(trained.configuration, experts=0, top_k=0, expert_hidden=0)).eval()
    _, scales = auto(dense, calibration_images[:4], 1.0)
    measured = scales.measured_bits
    assert scales.four_bit_experts == measured.alone == {} and measured.lost == 0
    assert measured.mixed == measured.eight_bits


def test_what_was_measured_is_kept_with_the_scales(trained, calibration_images, tmp_path):
    _, scales = auto(trained, calibration_images[:4], 1.0)
    scales.save(tmp_path / "scales")
    found = Scales.load(tmp_path / "scales", trained.configuration)
    assert found.settings == scales.settings and found.four_bit_experts == scales.four_bit_experts
    assert found.measured_bits == scales.measured_bits


def test_the_tables_say_what_was_chosen_and_what_it_saves(trained, calibration_images):
    rounded, scales = auto(trained, calibration_images, 1.0)
    network, measured = integer_network(rounded, calibration_images, scales=scales), scales.measured_bits
    table = choice_table(network.architecture, measured)
    for block, four, decibels in table.rows:
        i, shown = int(block.split(".")[1]), decibels.split()
        assert four == f"{len(network.architecture.four_bit_experts.get(i, ()))} of 5"
        for e, one in enumerate(shown):
            assert one.endswith("*") == (e in network.architecture.four_bit_experts.get(i, ()))
            assert float(one.rstrip("*")) == pytest.approx(measured.alone[f"{block}.experts.{e}"], abs=0.006)
    assert f"{measured.lost:.2f} dB of the 1 dB that may be lost" in table.notes[0]
    saved = len(names_of(scales.four_bit_experts)) * 2 * 40 * 24 // 2
    assert saved and all(
        before - these == saved for _, before, these, _ in bytes_table(network.architecture, network.tasks).rows
    )
