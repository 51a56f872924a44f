"""A training state in one safetensors file: weights and optimizer moments as tensors, step and recipe as metadata."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from moesaic.errors import UserError
from moesaic.files import refuse_lfs_pointer, replacing
from moesaic.model.network.finite import require_finite
from moesaic.model.network.vit import M3ViT
from moesaic.model.recipes.recipe import Recipe
from moesaic.model.training.selection import Selection

_FORMAT = "moesaic-checkpoint-2"


@dataclass
class Checkpoint:
    """All that training needs to continue bit for bit, since a step's random draws depend only on the seed and the step number.

    weights: float32, as in `M3ViT.state_dict`. optimizer: see `optimizer_tensors`. step: number of steps done. trained: if `weights` are
    a moving average (`ema_decay`), the weights that training goes on with; otherwise empty.
    """

    recipe: Recipe
    step: int
    weights: dict[str, torch.Tensor]
    optimizer: dict[str, torch.Tensor]
    scale: dict[str, float] = field(default_factory=dict)  # state of the loss scale for float16
    selection: Selection = field(default_factory=Selection)
    sampler: dict[str, torch.Tensor] = field(default_factory=dict)  # state of the budget sampler
    weighting: dict[str, torch.Tensor] = field(default_factory=dict)  # state of the losses' weights, float64
    trained: dict[str, torch.Tensor] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether this is the last checkpoint of its run, or the best one of a run that selects by validation."""
        best = self.selection.score is not None and self.step == self.selection.step
        return best or self.step == self.recipe.training.steps

    def build_model(self) -> M3ViT:
        """The model with these weights. UserError names the first weight that does not match the recipe's model."""
        model = M3ViT(self.recipe.model)
        load_weights(model, self.weights)
        return model


def load_weights(model: M3ViT, weights: dict[str, torch.Tensor]) -> None:
    """Load a checkpoint's weights, float32 and named as in `model.state_dict()`, into a model.

    UserError names the first weight whose presence, dtype or shape does not match.
    """
    expected = model.state_dict()
    for name in sorted(expected.keys() | weights.keys()):
        wanted, found = (_shape(tensors.get(name)) for tensors in (expected, weights))
        if wanted != found:
            raise UserError(f"the checkpoint's weight {name} is {found}, its recipe says {wanted}: train again")
    model.load_state_dict(weights)


def _shape(tensor: torch.Tensor | None) -> str:
    return "missing" if tensor is None else f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def optimizer_tensors(model: M3ViT, optimizers: list[torch.optim.Optimizer]) -> dict[str, torch.Tensor]:
    """Every float32 tensor of the optimizers' states by '<parameter>/<moment>', shaped like the parameter, or a scalar step count."""
    return {
        f"{name}/{key}": value
        for name, parameter in model.named_parameters()
        for optimizer in optimizers
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def restore_optimizers(model: M3ViT, optimizers: list[torch.optim.Optimizer], tensors: dict[str, torch.Tensor]) -> None:
    """Put back what `optimizer_tensors` returned. UserError names a tensor that belongs to no parameter."""
    parameters = dict(model.named_parameters())
    owner = {id(p): o for o in optimizers for group in o.param_groups for p in group["params"]}
    for name, value in tensors.items():
        path, _, key = name.rpartition("/")
        if path not in parameters or value.shape not in (parameters[path].shape, torch.Size()):
            raise UserError(f"the checkpoint's optimizer state {name} {tuple(value.shape)} fits no weight: train again")
        parameter = parameters[path]
        owner[id(parameter)].state[parameter][key] = value.to(parameter.device, copy=True)


def save(path: Path, state: Checkpoint) -> None:
    """Write a checkpoint; a failed or interrupted write leaves any old file in place and nothing else behind.

    UserError if the file cannot be written, or if a weight is not finite: an unusable checkpoint is not kept.
    """
    require_finite(
        state.weights, f"{path} is not written, training diverged", "lower the learning rate and resume from before"
    )
    tensors = {f"model/{name}": value.detach().contiguous() for name, value in state.weights.items()}
    tensors |= {f"optimizer/{name}": value.contiguous() for name, value in state.optimizer.items()}
    tensors |= {f"weighting/{name}": value.contiguous() for name, value in state.weighting.items()}
    tensors |= {f"trained/{name}": value.detach().contiguous() for name, value in state.trained.items()}
    tensors |= {f"sampler/{name}": value.contiguous() for name, value in state.sampler.items()}
    numbers = {"step": state.step, "scale": state.scale, "selection": asdict(state.selection)}
    # A single entry, because the library would write several in an order that varies from run to run.
    metadata = {_FORMAT: json.dumps(numbers | {"recipe": state.recipe.to_dict()}, sort_keys=True)}
    with replacing(path) as partial:
        try:
            save_file(tensors, partial, metadata)
        except SafetensorError as error:
            raise UserError(f"{path} cannot be written ({error}); name another place or make room") from None


def load(path: Path) -> Checkpoint:
    """Read a checkpoint. UserError if the file is missing, damaged or of another kind, or if a weight is not finite."""
    if not path.is_file():
        raise UserError(f"checkpoint {path} does not exist: train one with `moesaic train`")
    refuse_lfs_pointer(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (a file is no mapping)
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"checkpoint {path} is damaged or in another format ({error}): take another copy, or bring it in with `moesaic import`"
        ) from error
    if _FORMAT not in metadata:
        raise UserError(
            f"checkpoint {path} is no {_FORMAT}: name one of `moesaic train`, or make one of it with `moesaic import`"
        )
    parts: dict[str, dict[str, torch.Tensor]] = {
        part: {} for part in ("model", "optimizer", "sampler", "weighting", "trained")
    }
    try:
        state = json.loads(metadata[_FORMAT])
        recipe, step = Recipe.from_dict(state["recipe"]), state["step"]
        scale, selection = state["scale"], Selection(**state["selection"])
        if type(step) is not int or step < 0:
            raise ValueError(f"step {step!r}")
        for name, value in tensors.items():
            part, rest = name.split("/", 1)
            parts[part][rest] = value
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise UserError(f"checkpoint {path} is malformed ({error!r}): train again with `moesaic train`") from None
    require_finite(parts["model"], f"checkpoint {path}", "take an earlier one or train again")
    others = parts["sampler"], parts["weighting"], parts["trained"]
    return Checkpoint(recipe, step, parts["model"], parts["optimizer"], scale, selection, *others)
