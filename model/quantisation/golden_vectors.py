"""Golden vectors, which are every layer's integers for one image, and what they say about a network: saturation and expert loads."""

import numpy as np

from moesaic.model.quantisation.integer import IntegerNetwork
from moesaic.spec.arithmetic import route_token
from moesaic.spec.bundle import Task

_SCORES_TOKENS = 256  # scores and probabilities grow with the square of the tokens: at 1,201 they are 50 MB a block


def golden_vectors(network: IntegerNetwork, image: np.ndarray) -> dict[str, np.ndarray]:
    """Every layer's integers of every pathway for one image, uint8 [height, width, 3], as moesaic.spec.bundle names them.

    Without scores and probabilities where there are more than 256 tokens.
    """
    golden = {"image": image}
    for task in network.pathways:
        record: dict[str, np.ndarray] = {}
        network.run(image[None], task, record)
        for name, value in record.items():
            if network.architecture.tokens <= _SCORES_TOKENS or not name.endswith((".scores", ".probabilities")):
                golden[f"{task}/{name}"] = value[0]
    return golden


def expert_loads(tasks: dict[str, Task], golden: dict[str, np.ndarray]) -> dict[str, dict[int, list[int]]]:
    """By task and MoE block: how many tokens of the golden image each expert of the pathway gets, in ascending order of experts.

    golden: by name, with shapes and dtypes as `golden_vectors` gives them.
    """
    return {
        name: {
            block: route_token(golden[f"{name}/blocks.{block}.router"], task.top_k)[0].sum(0).tolist()
            for block in task.pathway
        }
        for name, task in tasks.items()
    }


def saturated_shares(golden: dict[str, np.ndarray]) -> dict[str, float]:
    """By golden vector, but for images and probabilities: the share, 0..1, of elements at the ends of their type's range.

    golden: by name, with shapes and dtypes as `golden_vectors` gives them.
    """
    shares = {}
    for name, value in golden.items():
        if name != "image" and not name.endswith(".probabilities"):
            top = np.iinfo(value.dtype).max
            shares[name] = float(((value >= top) | (value <= -top)).mean())
    return shares
