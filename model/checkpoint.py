"""A training state in one safetensors file: weights, optimizer moments, and step and recipe as metadata."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from model.configuration import Recipe
from model.vit import M3ViT
from spec.errors import UserError

_FORMAT = "moesaic-checkpoint-1"


@dataclass
class Checkpoint:
    """What training needs to go on bit for bit: every random draw of a step depends on seed and step number alone."""

    recipe: Recipe
    step: int
    weights: dict[str, torch.Tensor]
    optimizer: dict[str, torch.Tensor]

    def build_model(self) -> M3ViT:
        """The model with these weights."""
        model = M3ViT(self.recipe.model)
        model.load_state_dict(self.weights)
        return model


def optimizer_tensors(model: M3ViT, optimizers: list[torch.optim.Optimizer]) -> dict[str, torch.Tensor]:
    """Every tensor of the optimizers' states, as '<parameter>/<moment>'."""
    return {
        f"{name}/{key}": value
        for name, parameter in model.named_parameters()
        for optimizer in optimizers
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def restore_optimizers(model: M3ViT, optimizers: list[torch.optim.Optimizer], tensors: dict[str, torch.Tensor]) -> None:
    """Put back what `optimizer_tensors` took."""
    parameters = dict(model.named_parameters())
    owner = {id(p): o for o in optimizers for group in o.param_groups for p in group["params"]}
    for name, value in tensors.items():
        path, key = name.rsplit("/", 1)
        owner[id(parameters[path])].state[parameters[path]][key] = value.clone()


def save(path: Path, recipe: Recipe, step: int, model: M3ViT, optimizers: list[torch.optim.Optimizer]) -> None:
    """Write a checkpoint; an interrupted write leaves the old file in place."""
    tensors = {f"model/{name}": value.detach().contiguous() for name, value in model.state_dict().items()}
    tensors |= {f"optimizer/{name}": value for name, value in optimizer_tensors(model, optimizers).items()}
    # One entry, because the library writes several in an order that changes from run to run.
    metadata = {_FORMAT: json.dumps({"step": step, "recipe": recipe.to_dict()}, sort_keys=True)}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    save_file(tensors, partial, metadata)
    os.replace(partial, path)


def load(path: Path) -> Checkpoint:
    """Read a checkpoint. UserError when the file is missing, damaged or of another kind."""
    if not path.is_file():
        raise UserError(f"checkpoint {path} does not exist: train one with `moesaic train`")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (a file is no mapping)
    except SafetensorError as error:
        raise UserError(f"checkpoint {path} is damaged ({error}): train again or take another copy") from error
    if _FORMAT not in metadata:
        raise UserError(f"checkpoint {path} is no {_FORMAT}: train again with `moesaic train`")
    state = json.loads(metadata[_FORMAT])
    parts: dict[str, dict[str, torch.Tensor]] = {"model": {}, "optimizer": {}}
    for name, value in tensors.items():
        part, rest = name.split("/", 1)
        parts[part][rest] = value
    return Checkpoint(Recipe.from_dict(state["recipe"]), state["step"], parts["model"], parts["optimizer"])
