"""The published backbone as a dense model of ours, and the multi-task network that is made of it."""

import dataclasses
from pathlib import Path

import torch

from moesaic.model.experiments.real.fidelity import FEATURES_TASK
from moesaic.model.importing.onnx_graphs.checkpoint import read_onnx_checkpoint
from moesaic.model.importing.plain_vit import convert_plain_vit
from moesaic.model.network.upcycling import initialise
from moesaic.model.network.vit import M3ViT
from moesaic.model.recipes.recipe import ModelConfiguration, Recipe, TaskConfiguration, load_recipe

_RECIPE = Path(__file__).parent / "recipe.toml"


def real_recipe() -> Recipe:
    """The network of `make real` and its training, which is on no data set: see `training_set`."""
    return load_recipe(str(_RECIPE))


def import_backbone(path: Path, configuration: ModelConfiguration, seed: int) -> M3ViT:
    """The backbone in an ONNX file, in evaluation mode; its one task is FEATURES_TASK, the tokens after the final norm.

    configuration: the network that is to be made of it, with the input that the ONNX file takes; its experts and tasks are left out.
    UserError if the two do not fit.
    """
    features = (TaskConfiguration(FEATURES_TASK),)
    c = dataclasses.replace(configuration, experts=0, top_k=0, expert_hidden=0, moe_blocks=(), tasks=features)
    source = read_onnx_checkpoint(path, (c.image_height, c.image_width), True)
    weights = convert_plain_vit(source, c, heads=c.heads, library="onnx")
    torch.manual_seed(seed)
    model = M3ViT(c)
    initialise(model, weights, seed=seed)
    return model.eval()


def with_experts(backbone: M3ViT, configuration: ModelConfiguration, seed: int) -> M3ViT:
    """The network of a configuration whose MLPs, upcycled to experts where it has them, are the backbone's.

    Its heads start at 0, so that the pixels of a patch differ only in what is learned.
    """
    torch.manual_seed(seed)
    model = M3ViT(configuration)
    initialise(model, backbone.state_dict(), seed=seed)
    with torch.no_grad():
        for head in model.heads.values():
            for parameter in head.parameters():
                parameter.zero_()
    return model.eval()
