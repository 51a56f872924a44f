"""Layer by layer: what the machine computes against what the integer network computes."""

from __future__ import annotations

import numpy as np

from moesaic.model.quantisation.integer import IntegerNetwork
from moesaic.spec.build import Build
from moesaic.spec.executor import MAX_CYCLES, Executor


def check_layers(
    executor: Executor, observed: Build, network: IntegerNetwork, image: np.ndarray
) -> dict[str, dict[str, int]]:
    """Name of a pathway to layer to the number of elements in which executor and network differ, for one image.

    image: uint8 [height, width, 3]. observed: a build that was generated with observation. The task's output is the layer "output".
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
