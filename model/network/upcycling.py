"""A model's first weights from another model's: of the same form, or a dense one whose MLPs become experts (upcycling).

Every expert starts from the dense MLP of its block (Komatsuzaki et al. 2023, "Sparse upcycling"). Where experts are narrower
than the MLP they share out its hidden units: expert e has part e mod G of the G whole parts (as in He et al. 2024,
"Upcycling large language models into mixture of experts"), or, where the widths do not divide, a seeded choice of units.

Scores are a softmax over all E experts, near 1 / E each at first. So the second layers are scaled by E / K, for K experts
per token, and by the part of the hidden units that an expert lacks; routers start small. Then the mixture is the dense MLP,
exactly when the scores are equal and the K experts chosen are K different parts that make up the whole.
"""

import math

import torch
from torch import Tensor

from moesaic.errors import UserError
from moesaic.model.network.moe import MoE
from moesaic.model.network.vit import M3ViT

_LOGIT_STD = 0.1  # of the routers' logits at first: scores within a tenth or so of 1 / E

_OF_TASKS = ("heads.", ".routers.")  # may be missing in the source, and may belong to tasks that this model has not


def initialise(model: M3ViT, weights: dict[str, Tensor], *, noise: float = 0.0, seed: int = 0) -> list[str]:
    """Put `weights`, named as `M3ViT.state_dict` names them, into a model; dense MLPs where it has experts are upcycled.

    Heads and routers are taken where the source has them in the same shape; the others keep their values, and upcycled
    layers get small routers. A final norm keeps its values where the source has none, as networks have whose heads bring norms of
    their own, unless a head of the source is taken, which would read something else then. noise: standard deviation of what is
    added to the experts' weights, in that of the weights.
    Returns the names that kept their values. UserError names any other weight that is missing, unknown or of another shape.
    """
    generator = torch.Generator().manual_seed(seed)
    weights, own = dict(weights), model.state_dict()
    for path, module in model.named_modules():
        if isinstance(module, MoE) and f"{path}.up.weight" in weights:
            parts = [weights.pop(f"{path}.{name}") for name in ("up.weight", "up.bias", "down.weight", "down.bias")]
            experts = _experts_of(module, path, parts, noise, generator)
            weights |= {f"{path}.{name}": value for name, value in experts.items()}
            for name, value in own.items():
                if name.startswith(f"{path}.routers.") and name.endswith("linear.weight"):
                    draw = torch.randn(value.shape, generator=generator) * _LOGIT_STD / math.sqrt(value.shape[1])
                    weights[name] = torch.zeros_like(value) if "noise_linear" in name else draw
    kept = []
    for name, value in own.items():
        found = weights.pop(name, None)
        if found is not None and found.shape == value.shape:
            own[name] = found.to(value)
        elif _is_of_tasks(name) or (found is None and name.startswith("norm.")):
            kept.append(name)
        else:
            shape = "missing" if found is None else tuple(found.shape)
            raise UserError(
                f"weight {name} of the source is {shape}, this model has {tuple(value.shape)}: choose another"
            )
    for name in weights:
        if not _is_of_tasks(name):
            raise UserError(f"weight {name} of the source is unknown to this model: choose a recipe of the same form")
    heads = [name for name in own if name.startswith("heads.") and name not in kept]
    if heads and "norm.weight" in kept:
        raise UserError(
            f"weight norm.weight of the source is missing, which its weight {heads[0]} reads: choose a whole checkpoint"
        )
    model.load_state_dict(own)
    return kept


def _is_of_tasks(name: str) -> bool:
    """Whether a weight belongs to some tasks alone."""
    return any(part in name or name.startswith(part) for part in _OF_TASKS)


def _experts_of(
    moe: MoE, path: str, parts: list[Tensor], noise: float, generator: torch.Generator
) -> dict[str, Tensor]:
    """The experts' tensors from a dense MLP's: weight [F, D] and bias [F] of the first layer, [D, F] and [D] of the second."""
    up_weight, up_bias, down_weight, down_bias = (part.float() for part in parts)
    experts, width, hidden = moe.up_weight.shape
    if up_weight.shape[1] != width or up_weight.shape[0] < hidden:
        sizes = f"{up_weight.shape[0]} units on width {up_weight.shape[1]}"
        raise UserError(f"the dense MLP {path} has {sizes}, an expert {hidden} on {width}: choose experts no wider")
    units = torch.stack([_units(e, hidden, up_weight.shape[0], generator) for e in range(experts)])  # [E, H]
    scale = experts / moe.top_k
    result = {
        "up_weight": up_weight[units].transpose(1, 2),  # [E, D, H]
        "up_bias": up_bias[units],
        "down_weight": down_weight.T[units] * (scale * up_weight.shape[0] / hidden),  # [E, H, D]
        "down_bias": down_bias.expand(experts, -1) * scale,
    }
    for name in ("up_weight", "down_weight") if noise else ():
        value = result[name]
        result[name] = value + noise * value.std() * torch.randn(value.shape, generator=generator)
    return {name: value.contiguous() for name, value in result.items()}


def _units(expert: int, hidden: int, available: int, generator: torch.Generator) -> Tensor:
    """Which of the dense MLP's hidden units an expert has, int64 [hidden], ascending."""
    if available % hidden:
        return torch.randperm(available, generator=generator)[:hidden].sort().values
    first = expert % (available // hidden) * hidden
    return torch.arange(first, first + hidden)
