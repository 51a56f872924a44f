"""Training on in integers: the loss falls where integers are coarse, and what it leaves is what an export writes."""

import copy
import dataclasses

import numpy as np
import pytest

from moesaic.errors import UserError
from moesaic.model.data.scenes import render
from moesaic.model.evaluation.evaluate import predict
from moesaic.model.finetuning.integer_training import distil_in_integers, fine_tune_in_integers
from moesaic.model.quantisation.fake_quantised import FakeQuantised
from moesaic.model.quantisation.post_training import integer_network, scales_for
from moesaic.model.quantisation.settings import PtqSettings
from moesaic.model.recipes.recipe import Recipe, TrainingConfiguration
from tests.model.quantisation.test_fake_quantised import CONFIGURATION, assert_the_same, random_model, times

RECIPE = Recipe(CONFIGURATION, TrainingConfiguration(steps=7, batch=4, learning_rate=2e-3, warmup=0, pool=4))
IMAGES = render(4, 32, 40, seed=3).images


def coarse_scales(model):
    """Expert weights of 4 bits, and queries, keys and hidden layers of about 4."""
    scales = scales_for(model, IMAGES, PtqSettings(expert_bits=4))
    blocks = tuple(
        dataclasses.replace(b, query=b.query * 16, key=times(b.key, 16), hidden=times(b.hidden, 16))
        for b in scales.blocks
    )
    return dataclasses.replace(scales, blocks=blocks)


@pytest.mark.parametrize("seed", range(2), ids=lambda s: f"seed{s}")
def test_loss_falls_and_the_integers_stay_exact(seed):
    model = random_model(seed)
    scales, before = coarse_scales(model), {name: value.clone() for name, value in model.state_dict().items()}
    seen: list[float] = []
    losses = fine_tune_in_integers(model, scales, RECIPE, 24, rate=0.5, advance=seen.append)
    assert losses == seen and len(losses) == 24
    assert np.mean(losses[-4:]) < 0.9 * np.mean(losses[:4])
    assert not model.training
    trained = [name for name, value in model.named_parameters() if not value.equal(before[name])]
    assert len(trained) == len(before)
    network = integer_network(model, IMAGES, scales=scales)
    assert network.architecture.four_bit_experts == scales.four_bit_experts == {1: (0, 1, 2, 3, 4), 3: (0, 1, 2, 3, 4)}
    assert_the_same(FakeQuantised(model, scales), network, IMAGES[:2])


def test_gradients_are_shrunk_to_a_limit_and_not_without_one():
    training = dataclasses.replace(RECIPE.training, optimizer="sgd", learning_rate=1e-3, momentum=0.0, weight_decay=0.0)
    moved = {}
    for limit in (0, 1e-3, 1e9):
        model = random_model(0)
        before = model.position.detach().clone()
        recipe = dataclasses.replace(RECIPE, training=dataclasses.replace(training, gradient_clip=limit))
        fine_tune_in_integers(model, coarse_scales(model), recipe, 1, rate=1)
        moved[limit] = float((model.position.detach() - before).norm())
    assert moved[0] == moved[1e9] > 10 * moved[1e-3] > 0


def test_divergence_is_an_error_that_names_the_step():
    model = random_model(0)
    with pytest.raises(UserError, match=r"diverged at step \d of 5: lower the rate \(1e\+30\)"):
        fine_tune_in_integers(model, coarse_scales(model), RECIPE, 5, rate=1e30)


def test_distillation_brings_the_integers_nearer_to_the_float_network():
    """Without labels: the network in integers learns what the same network gives in float."""
    model = random_model(0)
    teacher, scales = copy.deepcopy(model).eval(), coarse_scales(model)

    def distance():
        network = integer_network(model, IMAGES, scales=scales)
        return sum(
            float(np.square(network.predict(IMAGES, task) - predict(teacher, IMAGES, task)).mean())
            for task in CONFIGURATION.task_names
        )

    before = distance()
    losses = distil_in_integers(model, scales, IMAGES, RECIPE, 30, rate=0.01)
    assert len(losses) == 30 and np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.1
    assert distance() < 0.9 * before
    assert_the_same(FakeQuantised(model, scales), integer_network(model, IMAGES, scales=scales), IMAGES[:1])


def test_a_teacher_that_is_the_model_itself_stays_as_it_was():
    """As with `moesaic qat --distil --rounding nearest`, where no weight is rounded before training."""
    losses = []
    for named in (False, True):
        model = random_model(0)
        teacher = model if named else None
        scales = coarse_scales(model)
        losses.append(distil_in_integers(model, scales, IMAGES, RECIPE, 4, teacher=teacher, rate=0.01))
    assert losses[0] == losses[1]
