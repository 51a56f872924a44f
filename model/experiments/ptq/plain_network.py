"""A network of ours as plain modules of PyTorch, which is what tools of others quantise: every matrix product is a layer of its own.

Nothing but PyTorch is imported, so that an environment without this project can read the file.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Letters in shape comments: B = images, T = tokens, D = width, E = experts.

FEATURES = "features"
"""The kind of a task that gives all tokens after the final norm."""


class Mlp(nn.Module):
    """Two layers with GELU between them: an MLP, or an expert."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.up, self.activation, self.down = nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] to [..., D]."""
        return self.down(self.activation(self.up(x)))


class Experts(nn.Module):
    """The `top_k` experts with the largest logits of the task's router, each weighed by its part of the softmax over all.

    every_token: each expert gets every token, those that are not its own as zeros, which its score of 0 removes; the graph does not
    depend on the picture then. Otherwise an expert gets its own tokens, and is not called if there are none.
    """

    def __init__(self, width: int, hidden: int, experts: int, top_k: int, tasks: list[str]) -> None:
        super().__init__()
        self.top_k, self.every_token = top_k, False
        self.routers = nn.ModuleDict({task: nn.Linear(width, experts) for task in tasks})
        self.experts = nn.ModuleList(Mlp(width, hidden) for _ in range(experts))

    def forward(self, x: Tensor, task: str) -> Tensor:
        """Tokens [B, T, D] to tokens [B, T, D]."""
        logits = self.routers[task](x)
        best = logits.topk(self.top_k, -1).indices
        chosen = torch.zeros_like(logits).scatter(-1, best, torch.ones_like(best, dtype=logits.dtype))  # [B, T, E]
        scores = torch.softmax(logits, -1) * chosen
        result = torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            own, score = chosen[..., number], scores[..., number, None]
            if self.every_token:
                result = result + score * expert(x * own[..., None])
            elif own.any():
                places = own.nonzero(as_tuple=True)
                result[places] = result[places] + score[places] * expert(x[places])
        return result


class Block(nn.Module):
    """Attention, then an MLP or experts, each behind a norm and beside the residual stream."""

    def __init__(self, sizes: dict[str, Any], index: int) -> None:
        super().__init__()
        width, tasks = sizes["width"], [task["name"] for task in sizes["tasks"] if task["last_block"] >= index]
        self.norm1 = nn.LayerNorm(width, eps=sizes["epsilon"])
        self.attention = nn.MultiheadAttention(width, sizes["heads"], batch_first=True)
        self.norm2 = nn.LayerNorm(width, eps=sizes["epsilon"])
        if index in sizes["moe_blocks"]:
            self.mlp = Experts(width, sizes["expert_hidden"], sizes["experts"], sizes["top_k"], tasks)
        else:
            self.mlp = Mlp(width, sizes["mlp_hidden"])

    def forward(self, x: Tensor, task: str) -> Tensor:
        """Tokens [B, T, D] to tokens [B, T, D]."""
        y = self.norm1(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        y = self.norm2(x)
        return x + (self.mlp(y, task) if isinstance(self.mlp, Experts) else self.mlp(y))


class PlainNetwork(nn.Module):
    """See the module. sizes: as `moesaic.model.experiments.ptq.plain_copy.plain_sizes` gives them.

    `position` [T, D] has the class token in its first row.
    """

    def __init__(self, sizes: dict[str, Any]) -> None:
        super().__init__()
        self.sizes = sizes
        width, patch = sizes["width"], sizes["patch"]
        self.embedding = nn.Linear(patch * patch * 3, width)
        self.position = nn.Parameter(torch.zeros(sizes["tokens"], width))
        self.blocks = nn.ModuleList(Block(sizes, index) for index in range(sizes["depth"]))
        self.norm = nn.LayerNorm(width, eps=sizes["epsilon"])
        dense = [task for task in sizes["tasks"] if task["kind"] != FEATURES]
        self.tasks = {task["name"]: task for task in sizes["tasks"]}
        self.heads = nn.ModuleDict(
            {task["name"]: nn.Linear(width, task["resolution"] ** 2 * task["channels"]) for task in dense}
        )

    @property
    def experts(self) -> list[Experts]:
        """The layers of experts, in the order of the blocks."""
        found = [cast("Block", block).mlp for block in self.blocks]
        return [mlp for mlp in found if isinstance(mlp, Experts)]

    def patches(self, images: Tensor) -> Tensor:
        """Images [B, 3, height, width] as what the embedding reads, [B, patches, patch * patch * 3] in the order [y][x][colour]."""
        patch, (rows, columns) = self.sizes["patch"], self.sizes["grid"]
        x = images.view(-1, 3, rows, patch, columns, patch).permute(0, 2, 4, 3, 5, 1)
        return x.reshape(-1, rows * columns, patch * patch * 3)

    def arranged(self, task: str, x: Tensor) -> Tensor:
        """A head's results [B, patches, resolution^2 * channels] as an image [B, channels, height, width]."""
        (rows, columns), resolution, channels = (
            self.sizes["grid"],
            self.tasks[task]["resolution"],
            self.tasks[task]["channels"],
        )
        x = x.view(-1, rows, columns, resolution, resolution, channels).permute(0, 5, 1, 3, 2, 4)
        return x.reshape(-1, channels, rows * resolution, columns * resolution)

    def forward(self, images: Tensor, task: str) -> Tensor:
        """The task's prediction, [B, C, h, w] or features [B, T, D], of normalised images float32 [B, 3, height, width]."""
        prefix = self.sizes["prefix_tokens"]
        x = F.pad(self.embedding(self.patches(images)), (0, 0, prefix, 0)) + self.position
        for block in self.blocks[: self.tasks[task]["last_block"] + 1]:
            x = block(x, task)
        x = self.norm(x)
        if self.tasks[task]["kind"] == FEATURES:
            return x
        return self.arranged(task, self.heads[task](x[:, prefix:]))
