"""What comes before and after the machine gives the integers that the quantised network gives where it is trained and measured."""

import numpy as np
import pytest

import moesaic
from moesaic.model.quantisation.integer import IntegerNetwork
from moesaic.spec.bundle import pathways
from moesaic.spec.input_description import MINUS_ONE_TO_ONE
from moesaic.spec.pathway_names import split_pathway_name
from moesaic.spec.predictions import decode
from moesaic.spec.resize import fit
from tests.hls.networks import SMALL, picture


@pytest.mark.parametrize("size", [(32, 32), (45, 61), (200, 90), (7, 300)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_runtime_and_integer_network_agree(saved_build, bundle, size):
    """An image of the network's size is taken as it is; of any other, `fit` is all that is done to it."""
    integer = IntegerNetwork(SMALL, bundle.tasks, bundle.tensors)
    image = np.random.default_rng(sum(size)).integers(0, 256, (*size, 3)).astype(np.uint8)
    seen = image if size == (32, 32) else fit(image, MINUS_ONE_TO_ONE, 32, 32)[0]
    with moesaic.open(saved_build, "emulator") as accelerator:
        for name, task in pathways(bundle.tasks).items():
            result = accelerator.run(image, *split_pathway_name(name))
            expected = integer.run(seen[None], name)[0]
            assert np.array_equal(result.raw, expected)
            assert np.array_equal(result.decoded, decode(task.kind, expected, task.output_scale))
            assert np.array_equal(result.image, seen)


def test_black_and_white_corners(saved_build, bundle):
    """The ends of the range, 0 and 255, become -128 and 127."""
    integer = IntegerNetwork(SMALL, bundle.tasks, bundle.tensors)
    image = picture(SMALL, 3)
    assert {0, 255} <= set(np.unique(image))
    with moesaic.open(saved_build, "emulator") as accelerator:
        for task in bundle.tasks:
            assert np.array_equal(accelerator.run(image, task).raw, integer.run(image[None], task)[0])
