"""The routers of a mixture-of-experts layer for every gate of M3ViT; for a given task, each is a linear map of the token.

`single` has one router for all tasks, `multi` one per task. `task-conditioned` has one for all tasks, which sees the token and an
embedding of the task; the embedding is the same for all tokens, so it contributes a constant bias per task. At inference every
gate is therefore one linear layer per task, whatever it was in training.

Two gates are controls for experiments, which no machine runs: `position` and `random` have a router per task as `multi` does, but a
token's experts do not depend on it; its logits only weigh them.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Letters in shape comments: N = tokens, D = width, E = experts, V = task embedding.

NOISE_FLOOR = 1e-2  # smallest standard deviation of learned noise: the load loss divides by it


class Router(nn.Module):
    """Router logits [N, E] = tokens [N, D] @ weight.T, and the standard deviation of the noise added to them in training.

    noise: how that standard deviation is found. "fixed": 1 / E (Riquelme et al. 2021). "learned": softplus of a second linear map
    of the token (Shazeer et al. 2017, equation 4), plus NOISE_FLOOR; the map starts at 0, so the softplus starts at ln 2. "none": 0.
    """

    def __init__(self, width: int, experts: int, noise: str = "fixed") -> None:
        super().__init__()
        self.width, self.noise = width, noise
        self.linear = nn.Linear(self._inputs(width), experts, bias=False)
        self.noise_linear = nn.Linear(self._inputs(width), experts, bias=False) if noise == "learned" else None
        if self.noise_linear is not None:
            nn.init.zeros_(self.noise_linear.weight)

    def _inputs(self, width: int) -> int:
        return width

    def linear_of(self, weight: Tensor, task: str) -> tuple[Tensor, Tensor]:
        """Weight [E, D] and bias [E] acting on the token alone that are equivalent, for this task, to a router weight [E, inputs]."""
        return weight, weight.new_zeros(len(weight))

    def logits(self, task: str, x: Tensor) -> Tensor:
        """Logits [N, E] of tokens [N, D], without noise."""
        return F.linear(x, *self.linear_of(self.linear.weight, task))

    def noise_std(self, task: str, x: Tensor) -> Tensor | float:
        """Standard deviation of the noise on the logits of tokens [N, D]: one number, or [N, E] if it is learned."""
        if self.noise_linear is None:
            return 0.0 if self.noise == "none" else 1 / self.linear.out_features
        return F.softplus(F.linear(x, *self.linear_of(self.noise_linear.weight, task))) + NOISE_FLOOR


class ControlRouter(Router):
    """A router per task whose logits weigh a token's experts but do not choose them. Subclasses say which experts come first."""

    def priority(self, tokens: int, noise: torch.Generator | None) -> Tensor:
        """The order of choice, float32 [N, E] for N = `tokens` tokens, largest first. noise: the generator of training, None outside."""
        raise NotImplementedError


class PositionRouter(ControlRouter):
    """Experts by the token's position in its image, drawn when the network is made and never changed: the fixed routing of Roller
    et al. 2021, "Hash layers", with the position in the place of a word.

    positions: tokens of an image, T; the tokens of a call are whole images.
    """

    order: Tensor

    def __init__(self, width: int, experts: int, noise: str, positions: int) -> None:
        super().__init__(width, experts, noise)
        with torch.random.fork_rng(devices=[]):  # all other weights are those that the seed gives another gate
            self.register_buffer("order", torch.rand(positions, experts))

    def priority(self, tokens: int, noise: torch.Generator | None) -> Tensor:
        """Every image's tokens in the same order, whatever `noise`."""
        return self.order.repeat(tokens // len(self.order), 1)


class RandomRouter(ControlRouter):
    """Experts drawn anew for every token at every call, as in Zuo et al. 2022, "Taming sparsely activated transformer with stochastic
    experts". Outside training, from the same seed at every call, so that measurements repeat."""

    def priority(self, tokens: int, noise: torch.Generator | None) -> Tensor:
        """Uniform over the experts and independent between tokens."""
        source = noise or torch.Generator().manual_seed(0)
        shape = (tokens, self.linear.out_features)
        return torch.rand(shape, generator=source, device=source.device).to(self.linear.weight)


class TaskConditionedRouter(Router):
    """A router whose input is the token concatenated with the task's embedding, [N, D + V] (Fan et al. 2022, section 3.2).

    A two-layer perceptron followed by a layer norm computes the embedding from the task's one-hot vector. embedding: its width, V.
    """

    def __init__(self, width: int, experts: int, tasks: tuple[str, ...], embedding: int, noise: str = "fixed") -> None:
        self.embedding = embedding
        super().__init__(width, experts, noise)
        self.tasks = tasks
        self.up = nn.Linear(len(tasks), embedding)
        self.down = nn.Linear(embedding, embedding)
        self.norm = nn.LayerNorm(embedding, eps=1e-6)

    def _inputs(self, width: int) -> int:
        return width + self.embedding

    def embed(self, task: str) -> Tensor:
        """The embedding [V] of a task."""
        one_hot = self.up.weight.new_zeros(len(self.tasks))
        one_hot[self.tasks.index(task)] = 1
        return self.norm(self.down(F.gelu(self.up(one_hot))))

    def linear_of(self, weight: Tensor, task: str) -> tuple[Tensor, Tensor]:
        """Weight [E, D] and bias [E] for the task: the embedding's contribution to the product becomes the bias."""
        return weight[:, : self.width], weight[:, self.width :] @ self.embed(task)


def build_routers(
    gate: str, width: int, experts: int, tasks: tuple[str, ...], embedding: int, noise: str, positions: int = 1
) -> nn.ModuleDict:
    """A layer's routers by task, or a single router under "all" that serves every task. ValueError for an unknown gate.

    positions: tokens of an image, for the gate that chooses by them.
    """
    if gate == "multi":
        return nn.ModuleDict({task: Router(width, experts, noise) for task in tasks})
    if gate == "position":
        return nn.ModuleDict({task: PositionRouter(width, experts, noise, positions) for task in tasks})
    if gate == "random":
        return nn.ModuleDict({task: RandomRouter(width, experts, noise) for task in tasks})
    if gate == "single":
        return nn.ModuleDict({"all": Router(width, experts, noise)})
    if gate == "task-conditioned":
        return nn.ModuleDict({"all": TaskConditionedRouter(width, experts, tasks, embedding, noise)})
    raise ValueError(f"unknown gate {gate!r}")


class TaskMasks(nn.Module):
    """One boolean buffer [E] per task, read and set like a dictionary's entries; initially all true, not in the state dictionary.

    What is true is also known to the host, so that asking does not wait for an accelerator.
    """

    def __init__(self, tasks: tuple[str, ...], experts: int) -> None:
        super().__init__()
        # Mangled names, since buffers have those of tasks. The masks as they were set, and what has been found out about them.
        self.__set = {task: torch.ones(experts, dtype=torch.bool) for task in tasks}
        self.__chosen: dict[str, tuple[int, ...]] = {}
        self.__places: dict[str, Tensor] = {}
        for task in tasks:
            self.register_buffer(task, torch.ones(experts, dtype=torch.bool), persistent=False)

    def __getitem__(self, task: str) -> Tensor:
        return self.get_buffer(task)

    def __setitem__(self, task: str, mask: Tensor) -> None:
        self._buffers[task] = mask.to(self[task])
        self.__set[task] = mask
        self.__chosen.pop(task, None)
        self.__places.pop(task, None)

    def chosen(self, task: str) -> tuple[int, ...]:
        """The numbers of the experts whose mask is true, ascending."""
        if task not in self.__chosen:
            self.__chosen[task] = tuple(self.__set[task].nonzero().flatten().tolist())
        return self.__chosen[task]

    def places(self, task: str) -> Tensor:
        """The same, int64 [number of true ones], on the device of the mask."""
        device = self[task].device
        if task not in self.__places or self.__places[task].device != device:
            self.__places[task] = torch.tensor(self.chosen(task), device=device)
        return self.__places[task]
