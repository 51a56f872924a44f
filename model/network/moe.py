"""The mixture-of-experts layer of M3ViT: routers as the gate has them, experts shared by the tasks."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.network.balance import balance_loss, expert_load
from model.network.routers import Router, TaskMasks, build_routers

# Letters in shape comments: N = tokens of the whole batch, D = width, E = experts, H = expert hidden, K = top-k.


def top_k_mask(logits: Tensor, top_k: int) -> Tensor:
    """Which experts each token goes to: bool [N, E], exactly `top_k` true per row, ties to the lowest index.

    Logits of -inf are never chosen; a row with fewer others has fewer true. Found one after the other with argmax, which
    takes the first of equal values; `torch.topk` leaves that open.
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

    gate: "multi", "single" or "task-conditioned" (see `model.network.routers`). `kept[task]`, bool [E], marks the experts of
    the task's pathway, at first all; the others get no weight in the softmax. `top_k_of[task]` is the task's number of
    experts per token. Both may be changed at any time.

    expert_dropout: the chance that a hidden unit of an expert is dropped in training (Fedus et al. 2022, section 2.2).

    `all_experts` selects the form in which every expert sees every token: more arithmetic, but nothing in it depends
    on the data, which graph exporters need. Both forms give the same result up to rounding.

    `remote_experts` is called in place of `run_experts` where the experts are divided among processes.
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
        learned_noise: bool = False,
        expert_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.routers = build_routers(gate, width, experts, tasks, task_embedding, learned_noise)
        self.kept = TaskMasks(tasks, experts)
        self.top_k_of = dict.fromkeys(tasks, top_k)
        self.expert_dropout = expert_dropout
        self.up_weight = nn.Parameter(torch.empty(experts, width, hidden))
        self.up_bias = nn.Parameter(torch.zeros(experts, hidden))
        self.down_weight = nn.Parameter(torch.empty(experts, hidden, width))
        self.down_bias = nn.Parameter(torch.zeros(experts, width))
        self.all_experts = False
        self.remote_experts: Callable[[MoE, Tensor, Tensor, torch.Generator | None], Tensor] | None = None
        for weight in (self.up_weight, self.down_weight):
            nn.init.uniform_(weight, -1 / math.sqrt(weight.shape[1]), 1 / math.sqrt(weight.shape[1]))

    def router_of(self, task: str) -> Router:
        """The router that serves a task."""
        return self.routers[task] if task in self.routers else self.routers["all"]

    def router_linear(self, task: str) -> tuple[Tensor, Tensor]:
        """Weight [E, D] and bias [E] of the linear layer that the task's router is at inference, whatever the gate."""
        router = self.router_of(task)
        return router.linear_of(router.linear.weight, task)

    def logits(self, task: str, x: Tensor) -> Tensor:
        """Router logits [N, E] of tokens [N, D], without noise."""
        return self.router_of(task).logits(task, x)

    def route(self, task: str, x: Tensor, noise: torch.Generator | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Route tokens x [N, D]. With a generator, the choice of experts is made under Gaussian noise (training).

        Returns scores [N, E] (0 for experts not chosen), the choice as bool [N, E] and the scalar balance loss, which is
        over the experts kept and 0 without noise.
        """
        logits, kept, top_k = self.logits(task, x), self.kept[task], self.top_k_of[task]
        if noise is None:
            logits = logits.masked_fill(~kept, -torch.inf)
            chosen = top_k_mask(logits, top_k)
            return torch.softmax(logits, -1) * chosen, chosen, logits.new_zeros(())
        router = self.router_of(task)
        std = router.noise_std(task, x)
        sample = torch.randn(logits.shape, generator=noise, device=noise.device).to(logits)
        noisy = (logits + std * sample).masked_fill(~kept, -torch.inf)
        chosen = top_k_mask(noisy, top_k)
        scores = torch.softmax(noisy, -1) * chosen
        # Importance is the sum of the gate's values: of Shazeer's sparse ones, or of the softmax of all (Riquelme).
        importance = (
            scores if router.noise_linear is not None else torch.softmax(logits.masked_fill(~kept, -torch.inf), -1)
        )
        std = std[:, kept] if isinstance(std, Tensor) else std
        load = expert_load(logits[:, kept], noisy[:, kept], std, top_k)
        return scores, chosen, balance_loss(importance[:, kept].sum(0), load)

    def forward(self, x: Tensor, tasks: tuple[str, ...], noise: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Tokens x [B, T, D] through the experts that the routers pick; returns [B, T, D] and the mean balance loss.

        The batch is one equal part per task, in the order of `tasks`, each routed by that task's router.
        """
        tokens = x.flatten(0, 1)
        parts = [self.route(task, part, noise) for task, part in zip(tasks, tokens.chunk(len(tasks)))]
        scores, chosen, balance = (torch.cat(p) if p[0].ndim else torch.stack(p).mean() for p in zip(*parts))
        mix = self._mix_all if self.all_experts else self._mix_chosen
        return mix(tokens, scores, chosen, noise).view_as(x), balance

    def _drop(self, hidden: Tensor, noise: torch.Generator | None) -> Tensor:
        if noise is None or not self.expert_dropout:
            return hidden
        keep = 1 - self.expert_dropout
        chance = torch.rand(hidden.shape, generator=noise, device=noise.device).to(hidden.device)
        return hidden * (chance < keep) / keep

    def run_experts(self, queues: Tensor, counts: Tensor, noise: torch.Generator | None) -> Tensor:
        """Tokens [N * K, D] in the order of the experts, counts [E] for each of those held here, through their experts."""
        sizes = counts.tolist()
        parts = queues.split(sizes)
        hidden = F.gelu(torch.cat([torch.addmm(self.up_bias[e], q, self.up_weight[e]) for e, q in enumerate(parts)]))
        parts = self._drop(hidden, noise).split(sizes)
        return torch.cat([torch.addmm(self.down_bias[e], q, self.down_weight[e]) for e, q in enumerate(parts)])

    def _mix_chosen(self, tokens: Tensor, scores: Tensor, chosen: Tensor, noise: torch.Generator | None) -> Tensor:
        expert, token = chosen.T.nonzero(as_tuple=True)  # in expert order: [N * K]
        run = MoE.run_experts if self.remote_experts is None else self.remote_experts
        out = run(self, tokens[token], chosen.sum(0), noise)
        return torch.zeros_like(tokens).index_add(0, token, out * scores[token, expert].unsqueeze(-1))

    def _mix_all(self, tokens: Tensor, scores: Tensor, chosen: Tensor, noise: torch.Generator | None) -> Tensor:
        every = tokens.expand(len(self.up_weight), *tokens.shape)  # [E, N, D]
        hidden = F.gelu(torch.baddbmm(self.up_bias.unsqueeze(1), every, self.up_weight))  # [E, N, H]
        out = torch.baddbmm(self.down_bias.unsqueeze(1), self._drop(hidden, noise), self.down_weight)
        return (out * scores.T.unsqueeze(-1)).sum(0)
