"""Golden vectors (every layer's integers for one image) and what they tell about a network: expert loads and saturation."""

import numpy as np

from moesaic.model.quantisation.integer import IntegerNetwork
from moesaic.spec.arithmetic import route_token
from moesaic.spec.bundle import Task

_SCORES_TOKENS = 256  # scores and probabilities grow with its square: with 1,201 tokens they take 50 MB per block


def golden_vectors(network: IntegerNetwork, image: np.ndarray) -> dict[str, np.ndarray]:
    """Every layer's integers on every pathway, for one image uint8 [height, width, 3]; names, shapes and dtypes: moesaic.spec.bundle.

    Scores and probabilities are left out if there are more than 256 tokens.
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
    """By task and MoE block: the number of the golden image's tokens that each expert of the pathway gets, in ascending order.

    golden: as returned by `golden_vectors`.
    """
    return {
        name: {
            block: route_token(golden[f"{name}/blocks.{block}.router"], task.top_k)[0].sum(0).tolist()
            for block in task.pathway
        }
        for name, task in tasks.items()
    }


def saturated_shares(golden: dict[str, np.ndarray]) -> dict[str, float]:
    """For each golden vector, except image and probabilities: the fraction, 0..1, of elements at the ends of their dtype's range.

    golden: as returned by `golden_vectors`. Hidden units count at the upper end alone: the lower one is GELU's minimum.
    """
    shares = {}
    for name, value in golden.items():
        if name != "image" and not name.endswith(".probabilities"):
            shares[name] = saturated_count(name, value) / value.size
    return shares


def saturated_count(name: str, value: np.ndarray) -> int:
    """The number of elements of a recorded tensor of that name that are at the ends of its dtype's range, see `saturated_shares`."""
    top = np.iinfo(value.dtype).max
    low = not name.endswith(".hidden")
    return int(np.count_nonzero((value >= top) | (low & (value <= -top))))
