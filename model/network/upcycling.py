"""Initial weights from another model: one of the same form, or a dense one whose MLPs become experts (upcycling).

Every expert starts from the dense MLP of its block (Komatsuzaki et al. 2023, "Sparse upcycling"). If experts are narrower than the
MLP, they share its hidden units: where the widths divide, the MLP has G whole parts and expert e gets part e mod G (as in He et al.
2024, "Upcycling large language models into mixture of experts"); otherwise each expert gets a seeded random choice of units.

Scores are a softmax over all E experts, at first near 1 / E each because routers start small. The experts' second layers are
therefore scaled by E / K, for K experts per token, and their weights also by the ratio of the MLP's hidden units to an expert's.
The mixture then approximates the dense MLP, and equals it when the scores are equal and the K chosen experts are K different parts
that make up the whole.

M3ViT's own code (github.com/VITA-Group/M3ViT, `load_pretrained` in `utils/helpers.py`) does without: of DeiT's weights its experts get
none, since no names agree. From the MoE network that it pre-trains on ImageNet with one gate per layer, every task's gate starts as a
copy of that gate, and the rows of a task-conditioned gate that read the task start at 0 (`cvt_state_dict` in `utils/common_config.py`).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from moesaic.errors import UserError
from moesaic.model.network.moe import MoE
from moesaic.model.network.vit import M3ViT

_LOGIT_STD = 0.1  # of the routers' initial logits: scores differ from 1 / E by about a tenth of it

_EXPERTS = ("up_weight", "up_bias", "down_weight", "down_bias")
_OF_TASKS = ("heads.", ".routers.")  # may be missing in the source, or belong to tasks that this model does not have


def initialise(
    model: M3ViT, weights: dict[str, Tensor], *, noise: float = 0.0, seed: int = 0, upcycle: bool = True
) -> list[str]:
    """Load `weights`, named as in `M3ViT.state_dict`, into a model; a dense MLP is upcycled where the model has experts.

    Heads and routers are loaded if the source has them in the same shape; otherwise they keep their values, except that upcycled layers
    get small random routers, and that a source's single router becomes every task's. upcycle: if false, experts and routers keep their
    values where the source has a dense MLP. The final norm keeps its values if the source has none (networks whose heads have norms of
    their own do not); then no head may be loaded, since its input would differ. A source's final norm is left out where this model has
    none. noise: standard deviation of the noise added to upcycled experts' weights, as a fraction of the weights' own. seed: of the
    noise, the routers and the choice of hidden units. Returns the names of the weights that kept their values. UserError names any other
    weight that is missing, unknown or of another shape, and a dense MLP that is narrower than an expert.
    """
    generator = torch.Generator().manual_seed(seed)
    weights, own = dict(weights), model.state_dict()
    weights |= _shared_routers(own, weights)
    unused = set()
    for path, module in model.named_modules():
        if isinstance(module, MoE) and f"{path}.up.weight" in weights:
            parts = [weights.pop(f"{path}.{name}") for name in ("up.weight", "up.bias", "down.weight", "down.bias")]
            if not upcycle:
                unused |= {f"{path}.{name}" for name in _EXPERTS}
                continue
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
        elif name in unused or _is_of_tasks(name) or (found is None and name.startswith("norm.")):
            kept.append(name)
        else:
            shape = "missing" if found is None else tuple(found.shape)
            raise UserError(
                f"weight {name} of the source is {shape}, this model has {tuple(value.shape)}: choose another"
            )
    for name in weights:
        if not _is_of_tasks(name) and not name.startswith("norm."):  # this model's heads may have norms of their own
            raise UserError(f"weight {name} of the source is unknown to this model: choose a recipe of the same form")
    heads = [name for name in own if name.startswith("heads.") and name not in kept]
    if heads and "norm.weight" in kept:
        raise UserError(
            f"weight norm.weight of the source is missing, which its weight {heads[0]} reads: choose a whole checkpoint"
        )
    model.load_state_dict(own)
    return kept


def _shared_routers(own: dict[str, Tensor], weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The linear maps of a source's single routers under the names of a model whose routers are others.

    own: the model's weights. A router that sees more than the token ignores the rest at first.
    """
    found = {}
    for name, value in own.items():
        path, is_router, router = name.partition(".routers.")
        task, _, linear = router.partition(".")
        source = weights.get(f"{path}.routers.all.{linear}")
        if not is_router or linear not in ("linear.weight", "noise_linear.weight") or source is None:
            continue
        wider = value.shape[1] - source.shape[1] if len(source) == len(value) else -1
        if (task != "all" and name not in weights and not wider) or (task == "all" and wider > 0):
            found[name] = F.pad(source, (0, wider))
    return found


def _is_of_tasks(name: str) -> bool:
    """Whether a weight belongs to particular tasks."""
    return any(part in name or name.startswith(part) for part in _OF_TASKS)


def _experts_of(
    moe: MoE, path: str, parts: list[Tensor], noise: float, generator: torch.Generator
) -> dict[str, Tensor]:
    """The experts' tensors by name, from those of a dense MLP with F hidden units.

    parts: weight [F, D] and bias [F] of its first layer, weight [D, F] and bias [D] of its second. path: the MLP's name, for messages.
    """
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
    """Indices of the dense MLP's hidden units that an expert gets, int64 [hidden], ascending; available: number of units."""
    if available % hidden:
        return torch.randperm(available, generator=generator)[:hidden].sort().values
    first = expert % (available // hidden) * hidden
    return torch.arange(first, first + hidden)
