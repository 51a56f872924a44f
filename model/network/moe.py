"""The mixture-of-experts layer of M3ViT: one router per task, experts shared by the tasks."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Letters in shape comments: N = tokens of the whole batch, D = width, E = experts, H = expert hidden, K = top-k.


def top_k_mask(logits: Tensor, top_k: int) -> Tensor:
    """Which experts each token goes to: bool [N, E], exactly `top_k` true per row, ties to the lowest index.

    Written with comparisons because `torch.topk` leaves the order of equal values open.
    """
    index = torch.arange(logits.shape[-1], device=logits.device)
    mine, other = logits.unsqueeze(-1), logits.unsqueeze(-2)
    beaten_by = (other > mine) | ((other == mine) & (index < index.unsqueeze(-1)))
    return beaten_by.sum(-1) < top_k


def _squared_variation(values: Tensor) -> Tensor:
    """Squared coefficient of variation, variance / mean^2."""
    return values.var(unbiased=False) / (values.mean().square() + 1e-10)


def balance_loss(logits: Tensor, noisy_logits: Tensor, noise_std: float, top_k: int) -> Tensor:
    """Mean of the importance and the load loss of one router on a batch, a scalar >= 0.

    Importance is each expert's summed softmax weight (Shazeer et al. 2017, equations 6 and 7). Load is each expert's
    smoothed token count, the chance that it stays among the top k when its own noise is drawn again (same paper,
    appendix A; constant noise as in Riquelme et al. 2021). Both are zero when every expert has the same share.
    """
    importance = _squared_variation(torch.softmax(logits, -1).sum(0))
    if top_k == logits.shape[-1]:
        return 0.5 * importance
    ranked = noisy_logits.topk(top_k + 1, dim=-1).values
    kept = noisy_logits >= ranked[:, top_k - 1 : top_k]
    threshold = torch.where(kept, ranked[:, top_k:], ranked[:, top_k - 1 : top_k])
    chance = torch.special.ndtr((logits - threshold) / noise_std)
    return 0.5 * (importance + _squared_variation(chance.sum(0)))


class Router(nn.Module):
    """Softmax over all experts, then the top k; the scores kept are not renormalised.

    `kept` marks the experts of the task's pathway; the others get no weight in the softmax. At first it is all of them.
    """

    kept: Tensor

    def __init__(self, width: int, experts: int, top_k: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, experts, bias=False)
        self.top_k = top_k
        self.noise_std = 1 / experts
        self.register_buffer("kept", torch.ones(experts, dtype=torch.bool), persistent=False)

    def forward(self, x: Tensor, noise: torch.Generator | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Route tokens x [N, D]. With a generator, the choice of experts is made under Gaussian noise (training).

        Returns scores [N, E] (0 for experts not chosen), the choice as bool [N, E] and the scalar balance loss.
        """
        logits = self.linear(x).masked_fill(~self.kept, -torch.inf)
        chosen_by = logits
        if noise is not None:
            sample = torch.randn(logits.shape, generator=noise, device=noise.device).to(logits)
            chosen_by = logits + self.noise_std * sample
        chosen = top_k_mask(chosen_by, self.top_k)
        balance = logits.new_zeros(())
        if noise is not None:
            balance = balance_loss(logits, chosen_by, self.noise_std, self.top_k)
        return torch.softmax(chosen_by, -1) * chosen, chosen, balance


class MoE(nn.Module):
    """Top-k mixture of two-layer GELU experts, with a router for each task.

    `all_experts` selects the form in which every expert sees every token: more arithmetic, but nothing in it depends
    on the data, which graph exporters need. Both forms give the same result up to rounding.
    """

    def __init__(self, width: int, hidden: int, experts: int, top_k: int, tasks: tuple[str, ...]) -> None:
        super().__init__()
        self.routers = nn.ModuleDict({task: Router(width, experts, top_k) for task in tasks})
        self.up_weight = nn.Parameter(torch.empty(experts, width, hidden))
        self.up_bias = nn.Parameter(torch.zeros(experts, hidden))
        self.down_weight = nn.Parameter(torch.empty(experts, hidden, width))
        self.down_bias = nn.Parameter(torch.zeros(experts, width))
        self.all_experts = False
        for weight in (self.up_weight, self.down_weight):
            nn.init.uniform_(weight, -1 / math.sqrt(weight.shape[1]), 1 / math.sqrt(weight.shape[1]))

    def forward(self, x: Tensor, tasks: tuple[str, ...], noise: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Tokens x [B, T, D] through the experts that the routers pick; returns [B, T, D] and the mean balance loss.

        The batch is one equal part per task, in the order of `tasks`, each routed by that task's router.
        """
        tokens = x.flatten(0, 1)
        parts = [self.routers[task](part, noise) for task, part in zip(tasks, tokens.chunk(len(tasks)))]
        scores, chosen, balance = (torch.cat(p) if p[0].ndim else torch.stack(p).mean() for p in zip(*parts))
        mix = self._mix_all if self.all_experts else self._mix_chosen
        return mix(tokens, scores, chosen).view_as(x), balance

    def _mix_chosen(self, tokens: Tensor, scores: Tensor, chosen: Tensor) -> Tensor:
        expert, token = chosen.T.nonzero(as_tuple=True)  # in expert order: [N * K]
        queues = tokens[token].split(chosen.sum(0).tolist())
        hidden = F.gelu(torch.cat([torch.addmm(self.up_bias[e], q, self.up_weight[e]) for e, q in enumerate(queues)]))
        queues = hidden.split([len(q) for q in queues])
        out = torch.cat([torch.addmm(self.down_bias[e], q, self.down_weight[e]) for e, q in enumerate(queues)])
        return torch.zeros_like(tokens).index_add(0, token, out * scores[token, expert].unsqueeze(-1))

    def _mix_all(self, tokens: Tensor, scores: Tensor, chosen: Tensor) -> Tensor:
        every = tokens.expand(len(self.up_weight), *tokens.shape)  # [E, N, D]
        hidden = F.gelu(torch.baddbmm(self.up_bias.unsqueeze(1), every, self.up_weight))  # [E, N, H]
        out = torch.baddbmm(self.down_bias.unsqueeze(1), hidden, self.down_weight)
        return (out * scores.T.unsqueeze(-1)).sum(0)
