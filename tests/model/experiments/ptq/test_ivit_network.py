"""A network in I-ViT's integers is near the float network, and says what it was not calibrated for."""

import pytest
import torch

from moesaic.errors import UserError
from moesaic.model.evaluation.evaluate import predict
from moesaic.model.experiments.ptq.ivit_network import IvitNetwork, Range
from moesaic.model.experiments.ptq.plain_copy import plain_copy
from moesaic.model.experiments.real.fidelity import decibels
from moesaic.model.network.vit import normalise
from tests.model.experiments.ptq.networks import pictures, small_network


@pytest.mark.parametrize("experts", [0, 5], ids=["dense", "experts"])
def test_integers_are_near_floating_point(experts):
    model, seen, images = small_network(experts, features=True), pictures(8, 1), pictures(4, 2)
    network = IvitNetwork(plain_copy(model))
    network.calibrate(iter(normalise(seen, model.configuration.input).split(3)))
    for task in model.configuration.task_names:
        found = network.predict(normalise(images, model.configuration.input), task).numpy()
        assert 15 < decibels(predict(model, images, task), found) < 60, task


def test_ranges_are_those_of_the_calibration_pictures_alone():
    model, one = small_network(0), normalise(pictures(2, 1), small_network(0).configuration.input)
    networks = [IvitNetwork(plain_copy(model)) for _ in range(2)]
    for network in networks:
        network.calibrate(iter([one]))
    networks[0].predict(4 * one, "depth")
    assert torch.equal(networks[0].predict(one, "depth"), networks[1].predict(one, "depth"))


def test_an_expert_that_no_token_reaches_is_named():
    model = small_network(5)
    copy = plain_copy(model)
    with torch.no_grad():
        for router in copy.experts[0].routers.values():
            router.bias[3] = -1e3
    network = IvitNetwork(copy)
    with pytest.raises(UserError, match=r"block 1, expert 3.*had no value.*more pictures"):
        network.calibrate(iter([normalise(pictures(2, 1), model.configuration.input)]))


def test_values_of_nothing_but_zero_are_named():
    with pytest.raises(UserError, match="pixels had no value but 0"):
        Range("pixels").of_real(torch.zeros(3))
