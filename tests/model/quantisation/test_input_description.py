"""The integer patch embedding follows the description of the input: pixels stay bytes, whatever their normalisation."""

import dataclasses

import numpy as np
import pytest

from moesaic.model.evaluation.evaluate import predict
from moesaic.model.network.adaptation import adapted
from moesaic.model.network.upcycling import initialise
from moesaic.model.network.vit import M3ViT
from moesaic.model.quantisation.post_training import integer_network
from moesaic.spec.input_description import InputDescription

INPUTS = {
    "imagenet": InputDescription((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "none": InputDescription((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "uneven": InputDescription((0.1, 0.5, 0.9), (0.2, 1.0, 0.4)),
}


@pytest.mark.parametrize("name", INPUTS)
def test_integers_do_not_depend_on_how_the_same_function_is_written_down(trained, network, calibration_images, name):
    c = trained.configuration
    model = M3ViT(dataclasses.replace(c, input=INPUTS[name])).eval()
    initialise(model, adapted(trained.state_dict(), c, model.configuration))
    other, images = integer_network(model, calibration_images), calibration_images[:4]
    for task in c.task_names:
        expected = predict(trained, images, task)
        assert np.abs(predict(model, images, task) - expected).max() < 1e-3 * np.abs(expected).max()
        usual, found = network.predict(images, task), other.predict(images, task)
        assert np.abs(found - expected).mean() < 0.2 * np.abs(expected - expected.mean()).mean()
        # Not equal: the weights differ by rounding, which tips the choice between two scales here and there. But as exact, and
        # closer to each other than two independent roundings (1.4 errors) would be.
        error = np.abs(usual - expected).mean() + 1e-6
        assert np.abs(found - expected).mean() < 1.25 * error
        assert np.abs(found - usual).mean() < error
