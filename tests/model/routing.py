"""What a model's routers may choose at the moment."""

from moesaic.model.network.vit import M3ViT
from moesaic.model.pathways.pathway import moe_blocks
from moesaic.spec.bundle import Alternative


def current_pathways(model: M3ViT) -> dict[str, Alternative]:
    """The experts that each task's routers keep, and its top-k, which all blocks must share."""
    found = {}
    for task in model.configuration.task_names:
        layers = moe_blocks(model)
        (top_k,) = {moe.top_k_of[task] for moe in layers.values()}
        kept = {i: tuple(moe.kept[task].nonzero().flatten().tolist()) for i, moe in layers.items()}
        found[task] = Alternative(top_k, kept)
    return found
