"""How often the integer routers choose the same experts as the float routers."""

import numpy as np

from moesaic.model.evaluation.evaluate import batch_size
from moesaic.model.network.vit import M3ViT
from moesaic.model.pathways.pathway import on_pathways, pathways_of
from moesaic.model.pathways.usage import chosen_experts
from moesaic.model.quantisation.integer import IntegerNetwork
from moesaic.spec.arithmetic import route_token

AGREEMENT_SCENES = 32
"""A sufficient number of images: each brings thousands of routing decisions."""


def top_k_agreement(model: M3ViT, network: IntegerNetwork, images: np.ndarray) -> float:
    """The fraction, 0..1, of the float routers' choices that the integer routers share, both on the network's default pathways.

    Counted over all images uint8 [N, height, width, 3], tasks, MoE blocks, tokens and chosen experts. Each network routes its own
    activations, so that earlier disagreements have the effect they would have in use. 1 for a model without experts.
    """
    agreed, total, size = 0, 0, batch_size(model.configuration)
    with on_pathways(model, pathways_of(network.tasks)):
        for task in model.configuration.task_names:
            for first in range(0, len(images), size):
                batch = images[first : first + size]
                record: dict[str, np.ndarray] = {}
                network.run(batch, task, record)
                for i, chosen in chosen_experts(model, batch, task).items():
                    logits = record[f"blocks.{i}.router"]
                    kept = network.tasks[task].pathway[i]
                    selected, _ = route_token(logits.reshape(-1, len(kept)), network.tasks[task].top_k)
                    agreed += int((chosen[:, list(kept)] & selected).sum())
                    total += int(selected.sum())
    return agreed / total if total else 1.0
