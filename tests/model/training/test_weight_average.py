"""The moving average of the weights: its values, that it is what is measured and kept, and that training resumes bit for bit."""

import dataclasses

import pytest
import torch

from moesaic.errors import UserError
from moesaic.model.network.vit import M3ViT
from moesaic.model.recipes.recipe import DataConfiguration, Recipe
from moesaic.model.training import checkpoint
from moesaic.model.training import train as training_module
from moesaic.model.training.train import best_path, train
from moesaic.model.training.weight_average import WeightAverage


def short(recipe: Recipe, **changes) -> Recipe:
    training = dataclasses.replace(recipe.training, ema_decay=0.7, **changes)
    return Recipe(dataclasses.replace(recipe.model, head="setr-pup"), training, DataConfiguration(validation=4))


def test_it_is_the_average_that_its_decays_say(small_recipe):
    model = M3ViT(short(small_recipe).model)
    average, expected = WeightAverage(model, 0.7), model.position.detach().double().clone()
    for step in range(40):
        with torch.no_grad():
            model.position.add_(step)
        average.update(step)
        decay = min(0.7, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * model.position.detach().double()
        torch.testing.assert_close(average.weights["position"].double(), expected, rtol=1e-5, atol=1e-4)
    own = model.position.detach().clone()
    with average.in_place():
        assert torch.equal(model.position, average.weights["position"])
    assert torch.equal(model.position, own)


def test_resumed_training_with_an_average_is_bit_identical(small_recipe, tmp_path):
    recipe = short(small_recipe)
    model = train(recipe, tmp_path / "whole")
    train(recipe, tmp_path / "parts", stop_after=3)
    train(recipe, tmp_path / "parts", resume=True)
    assert (tmp_path / "parts").read_bytes() == (tmp_path / "whole").read_bytes()
    state = checkpoint.load(tmp_path / "whole")
    assert state.trained.keys() == state.weights.keys()
    for name, value in state.build_model().state_dict().items():
        assert torch.equal(value, model.state_dict()[name])
    differ = [name for name, value in state.weights.items() if not torch.equal(value, state.trained[name])]
    assert "position" in differ and any("running_mean" in name for name in differ)


def test_the_weights_themselves_are_those_of_training_without_it(small_recipe, tmp_path):
    recipe = short(small_recipe)
    train(recipe, tmp_path / "with")
    train(
        dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, ema_decay=0.0)), tmp_path / "without"
    )
    trained, plain = checkpoint.load(tmp_path / "with").trained, checkpoint.load(tmp_path / "without")
    assert not plain.trained
    assert all(torch.equal(value, trained[name]) for name, value in plain.weights.items())


def test_the_average_is_validated_and_kept_as_the_best(small_recipe, tmp_path, monkeypatch):
    measured = []
    own = training_module.measure_float

    def recording(model, *rest, **options):
        measured.append({name: value.clone() for name, value in model.state_dict().items()})
        return own(model, *rest, **options)

    monkeypatch.setattr(training_module, "measure_float", recording)
    recipe = short(small_recipe, validate_every=6, select="depth")
    train(recipe, tmp_path / "model.safetensors")
    best = checkpoint.load(best_path(tmp_path / "model.safetensors"))
    assert len(measured) == 1 and best.finished
    assert all(torch.equal(value, measured[0][name]) for name, value in best.weights.items())


def test_another_decay_is_another_recipe(small_recipe, tmp_path):
    recipe = short(small_recipe)
    train(recipe, tmp_path / "model", stop_after=1)
    other = dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, ema_decay=0.5))
    with pytest.raises(UserError, match=r"was trained with training.ema_decay = 0.7, the recipe has 0.5"):
        train(other, tmp_path / "model", resume=True)
