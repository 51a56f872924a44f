"""The mixture-of-experts layer of M3ViT: experts shared by the tasks, and the routers that the gate needs."""

import math
from collections.abc import Callable, Mapping
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moesaic.model.network.balance import balance_loss, expert_load
from moesaic.model.network.experts import expert_mixture
from moesaic.model.network.routers import ControlRouter, Router, TaskMasks, build_routers
from moesaic.model.network.static_experts import has_grouped_product, static_mixture

# Letters in shape comments: N = tokens of the whole batch, D = width, E = experts, H = expert hidden, K = top-k.


def top_k_mask(logits: Tensor, top_k: int) -> Tensor:
    """Which experts each token goes to, bool [N, E], from logits [N, E]: the `top_k` largest per row, ties to the lowest index.

    Logits of -inf are never chosen, so a row with too few others has fewer chosen experts. Repeated argmax takes the first of
    equal values; `torch.topk` leaves their order open.
    """
    mask = torch.zeros_like(logits, dtype=torch.bool)
    remaining = logits
    for _ in range(top_k):
        best = remaining.argmax(-1, keepdim=True)
        mask = mask.scatter(-1, best, True)
        remaining = remaining.scatter(-1, best, -torch.inf)
    return mask & (logits > -torch.inf)


class MoE(nn.Module):
    """Top-k mixture of two-layer GELU experts: softmax over all experts, then the top k; scores are not renormalised.

    V-MoE (Riquelme et al. 2021, equation 2) and upstream M3ViT's noisy_vmoe do the same, whatever the noise. Shazeer et al. 2017,
    equation 3, the source of the learned noise, take the top k first: their softmax is over the chosen experts and sums to 1.

    width, hidden: of tokens (D) and of each expert (H). gate: "multi", "single", "task-conditioned", or one of the controls "position"
    and "random" (see `moesaic.model.network.routers`). task_embedding: its width, for a task-conditioned gate. positions: tokens of
    an image, for the gate "position". gate_noise: see `Router`.
    expert_dropout: probability that a hidden unit of an expert is dropped in training (Fedus et al. 2022, section 2.2).

    `kept[task]`, bool [E], marks the experts that the task may use; the others get no weight in the softmax. `top_k_of[task]` is
    the task's number of experts per token. These are all experts and the model's top-k, except inside
    `moesaic.model.pathways.pathway.on_pathways`.

    `all_experts` selects the form in which every expert processes every token: more arithmetic, but a graph that does not depend
    on the data, which exporters need. Both forms give the same result up to rounding.

    `remote_mix`, if set, is called in place of `mix_chosen`; it serves experts that are divided among processes.
    """

    def __init__(
        self,
        width: int,
        hidden: int,
        experts: int,
        top_k: int,
        tasks: tuple[str, ...],
        *,
        gate: str = "multi",
        task_embedding: int = 64,
        positions: int = 1,
        gate_noise: str = "fixed",
        expert_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        routers = build_routers(gate, width, experts, tasks, task_embedding, gate_noise, positions)
        self.routers = cast("Mapping[str, Router]", routers)
        self.top_k = top_k
        self.kept = TaskMasks(tasks, experts)
        self.top_k_of = dict.fromkeys(tasks, top_k)
        self.expert_dropout = expert_dropout
        self.up_weight = nn.Parameter(torch.empty(experts, width, hidden))
        self.up_bias = nn.Parameter(torch.zeros(experts, hidden))
        self.down_weight = nn.Parameter(torch.empty(experts, hidden, width))
        self.down_bias = nn.Parameter(torch.zeros(experts, width))
        self.all_experts = False
        self.remote_mix: Callable[[MoE, Tensor, Tensor, Tensor, torch.Generator | None], Tensor] | None = None
        for weight in (self.up_weight, self.down_weight):
            nn.init.uniform_(weight, -1 / math.sqrt(weight.shape[1]), 1 / math.sqrt(weight.shape[1]))

    def router_of(self, task: str) -> Router:
        """The router that serves a task."""
        return self.routers[task] if task in self.routers else self.routers["all"]

    def router_linear(self, task: str) -> tuple[Tensor, Tensor]:
        """Weight [E, D] and bias [E] of the linear layer to which the task's router reduces at inference, whatever the gate."""
        router = self.router_of(task)
        return router.linear_of(router.linear.weight, task)

    def logits(self, task: str, x: Tensor) -> Tensor:
        """Router logits [N, E] of tokens [N, D], without noise."""
        return self.router_of(task).logits(task, x)

    def routes_alike(self, tasks: tuple[str, ...]) -> bool:
        """Whether all these tasks route a token alike: with the same router, blind to the task, and equal pathways and top-k.

        During graph export, where pathways are data, false for more than one task.
        """
        if torch.compiler.is_compiling() or any(type(self.router_of(task)) is not Router for task in tasks):
            return len(tasks) == 1
        first = tasks[0]
        return all(
            self.router_of(task) is self.router_of(first)
            and self.top_k_of[task] == self.top_k_of[first]
            and self.kept.chosen(task) == self.kept.chosen(first)
            for task in tasks[1:]
        )

    def route(self, task: str, x: Tensor, noise: torch.Generator | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Route tokens x [N, D]; given a generator (in training), experts are chosen from noisy logits.

        Returns float32 scores [N, E] (0 for experts not chosen), the choice as bool [N, E], and the balance loss, a scalar over
        the kept experts that is 0 without a generator.
        """
        # Always in single precision: scores and ties decide where tokens go (Fedus et al. 2022, section 2.4).
        with torch.autocast(x.device.type, enabled=False):
            return self._route(task, x.float(), noise)

    def _route(self, task: str, x: Tensor, noise: torch.Generator | None) -> tuple[Tensor, Tensor, Tensor]:
        router, kept = self.router_of(task), self.kept[task]

        def loss(importance: Tensor, load: Tensor) -> Tensor:
            places = self.kept.places(task)
            return balance_loss(importance.index_select(0, places), load.index_select(0, places))

        logits = router.logits(task, x)
        if isinstance(router, ControlRouter):
            # Their scores sum to 1, and their choice is even without a balance loss.
            chosen = top_k_mask(router.priority(len(x), noise).masked_fill(~kept, -torch.inf), self.top_k_of[task])
            return torch.softmax(logits.masked_fill(~chosen, -torch.inf), -1), chosen, logits.new_zeros(())
        masked = logits.masked_fill(~kept, -torch.inf)
        if noise is None:
            chosen = top_k_mask(masked, self.top_k_of[task])
            return torch.softmax(masked, -1) * chosen, chosen, logits.new_zeros(())
        if router.noise == "none":
            # As upstream: the load is a plain count, so only the importance has a gradient.
            chosen = top_k_mask(masked, self.top_k_of[task])
            scores = torch.softmax(masked, -1) * chosen
            return scores, chosen, loss(scores.sum(0), chosen.sum(0).to(scores))
        std = router.noise_std(task, x)
        noisy = masked + std * torch.randn(logits.shape, generator=noise, device=noise.device).to(logits)
        chosen = top_k_mask(noisy, self.top_k_of[task])
        scores = torch.softmax(noisy, -1) * chosen
        # Importance sums the gate's values: the sparse ones (Shazeer) or the softmax over all experts (Riquelme).
        importance = scores if isinstance(std, Tensor) else torch.softmax(masked, -1)
        load = expert_load(logits, noisy, std, chosen)
        return scores, chosen, loss(importance.sum(0), load)

    def forward(self, x: Tensor, tasks: tuple[str, ...], noise: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Pass tokens x [B, T, D] through the experts that the routers choose; returns [B, T, D] and the mean balance loss, a scalar.

        The batch consists of equal parts, one per task in the order of `tasks`, each routed by that task's router.
        """
        tokens = x.flatten(0, 1)
        parts = [self.route(task, part, noise) for task, part in zip(tasks, tokens.chunk(len(tasks)))]
        scores, chosen, balance = (torch.cat(p) if p[0].ndim else torch.stack(p).mean() for p in zip(*parts))
        mix = MoE._mix_all if self.all_experts else self.remote_mix or MoE.mix_chosen
        return mix(self, tokens, scores, chosen, noise).view_as(x), balance

    def _dropout(self, shape: tuple[int, ...], noise: torch.Generator | None, like: Tensor) -> Tensor | None:
        """The dropout factors of hidden units, each 0 or 1 / (1 - rate); None if there is no dropout."""
        if noise is None or not self.expert_dropout:
            return None
        chance = torch.rand(shape, generator=noise, device=noise.device).to(like)
        return (chance >= self.expert_dropout) / (1 - self.expert_dropout)

    def mix_chosen(
        self,
        tokens: Tensor,
        scores: Tensor,
        chosen: Tensor,
        noise: torch.Generator | None,
        most: int | None = None,
    ) -> Tensor:
        """The tokens' outputs, [N, D], from the experts held here: for each token, the sum of its experts' outputs times its scores.

        tokens [N, D], scores [N, E], chosen bool [N, E]; noise: the generator for dropout, None outside training. most: the largest
        number of experts that any token chose, by default the largest top-k of a task. On a CPU each expert's queue is processed by
        itself; elsewhere shapes do not depend on the choice, and the host waits for nothing.
        """
        experts = (self.up_weight, self.up_bias, self.down_weight, self.down_bias)
        if torch.is_autocast_enabled(tokens.device.type):
            dtype = torch.get_autocast_dtype(tokens.device.type)
            tokens, scores = tokens.to(dtype), scores.to(dtype)
            experts = tuple(part.to(dtype) for part in experts)
        up_weight, up_bias, down_weight, down_bias = experts
        if tokens.device.type != "cpu":
            most = max(self.top_k_of.values()) if most is None else most
            grouped = has_grouped_product(tokens, up_weight.shape[2])
            experts = (up_weight, up_bias, down_weight, down_bias)
            return static_mixture(
                tokens, scores, chosen, most, experts, lambda shape: self._dropout(shape, noise, tokens), grouped
            )
        expert, token = chosen.T.nonzero(as_tuple=True)  # in order of experts
        weights = scores[token, expert]
        mask = self._dropout((len(token), self.up_weight.shape[2]), noise, tokens)
        lengths = chosen.sum(0).tolist()
        return expert_mixture(tokens, weights, token, lengths, up_weight, up_bias, down_weight, down_bias, mask)

    def _mix_all(self, tokens: Tensor, scores: Tensor, chosen: Tensor, noise: torch.Generator | None) -> Tensor:
        every = tokens.expand(len(self.up_weight), *tokens.shape)  # [E, N, D]
        hidden = F.gelu(torch.baddbmm(self.up_bias.unsqueeze(1), every, self.up_weight))  # [E, N, H]
        mask = self._dropout(hidden.shape, noise, tokens)
        hidden = hidden if mask is None else hidden * mask
        out = torch.baddbmm(self.down_bias.unsqueeze(1), hidden, self.down_weight)
        return (out * scores.T.unsqueeze(-1)).sum(0)
