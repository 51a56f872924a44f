"""Compare a machine with the integer network, layer by layer."""

from __future__ import annotations

import numpy as np

from moesaic.model.quantisation.integer import IntegerNetwork
from moesaic.spec.build import Build
from moesaic.spec.executor import MAX_CYCLES, Executor


def check_layers(
    executor: Executor, observed: Build, network: IntegerNetwork, image: np.ndarray
) -> dict[str, dict[str, int]]:
    """Return, for each pathway and layer, the number of elements in which executor and network differ on one image.

    The pathway's output counts as the layer "output". image: uint8 [height, width, 3], RGB, of the build's size. observed: a build
    generated with observation.
    """
    result = {}
    for name, task in observed.pathways.items():
        memory = observed.new_memory()
        observed.write_image(memory.frame, image)
        executor.run(task.program, memory, MAX_CYCLES)
        golden: dict[str, np.ndarray] = {}
        network.run(image[None], name, record=golden)
        found = {layer: place.read(memory.frame) for layer, place in task.observations.items()}
        found["output"] = observed.read_output(memory.frame, name)
        result[name] = {layer: int(np.count_nonzero(values != golden[layer][0])) for layer, values in found.items()}
    return result
