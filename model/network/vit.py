"""M3ViT (Fan et al., NeurIPS 2022): a vision transformer in which every second MLP is a mixture of experts."""

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moesaic.errors import UserError
from moesaic.model.network.heads import build_head, final_norm
from moesaic.model.network.moe import MoE
from moesaic.model.recipes.recipe import ModelConfiguration
from moesaic.spec.heads import pools_first
from moesaic.spec.input_description import InputDescription

# Letters in shape comments: B = batch, T = tokens, D = width, H = heads, C = channels of a head.


def normalise(images: np.ndarray, description: InputDescription) -> Tensor:
    """Images uint8 [B, height, width, 3] as the input of a network with this description, float32 [B, 3, height, width]."""
    pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float()
    mean, deviation = (
        torch.tensor([255 * value for value in values], dtype=torch.float32)[:, None, None]
        for values in (description.mean, description.deviation)
    )
    if description.mean == description.deviation:
        return pixels / deviation - 1  # rounded as it was when this was the only choice
    return (pixels - mean) / deviation


class Attention(nn.Module):
    """Multi-head self-attention; the outputs of `qkv` are query, key and value in this order, each head by head."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens x [B, T, D] to tokens [B, T, D]."""
        batch, tokens, width = x.shape
        q, k, v = self.qkv(x).view(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)  # [B, H, T, D/H] each
        x = F.scaled_dot_product_attention(q, k, v)
        return self.projection(x.transpose(1, 2).reshape(batch, tokens, width))


class Mlp(nn.Module):
    """The dense two-layer perceptron. It is called like `MoE.forward` but uses only the tokens; its balance loss is 0."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, x: Tensor, tasks: tuple[str, ...], noise: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Tokens x [B, T, D] to tokens [B, T, D], and the balance loss 0."""
        return self.down(F.gelu(self.up(x))), x.new_zeros(())


class Block(nn.Module):
    """Pre-norm transformer block: attention, then a dense MLP or a mixture of experts.

    In training either branch is left out of a sample at a rate that grows linearly with the block's number to the configuration's
    `drop_path`, and multiplied by 1 / (1 - rate) otherwise (Huang et al., ECCV 2016; as in `DropPath` of M3ViT's
    `models/vision_transformer_moe.py`, which is timm's).
    """

    def __init__(self, configuration: ModelConfiguration, index: int) -> None:
        super().__init__()
        c = configuration
        self.drop_path = c.drop_path * index / max(1, c.depth - 1)
        self.norm1 = nn.LayerNorm(c.width, eps=c.norm_epsilon)
        self.attention = Attention(c.width, c.heads)
        self.norm2 = nn.LayerNorm(c.width, eps=c.norm_epsilon)
        self.mlp: MoE | Mlp
        if c.is_moe(index):
            self.mlp = MoE(
                c.width,
                c.expert_hidden,
                c.experts,
                c.top_k,
                c.tasks_through(index),
                gate=c.gate,
                task_embedding=c.task_embedding,
                positions=c.tokens,
                gate_noise=c.gate_noise,
                expert_dropout=c.expert_dropout,
            )
        else:
            self.mlp = Mlp(c.width, c.mlp_hidden)

    def forward(self, x: Tensor, tasks: tuple[str, ...], noise: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Tokens [B, T, D] after the block, and its balance loss, a scalar; arguments as for `MoE.forward`."""
        x = x + self._kept(self.attention(self.norm1(x)), noise)
        y, balance = self.mlp(self.norm2(x), tasks, noise)
        return x + self._kept(y, noise), balance

    def _kept(self, update: Tensor, noise: torch.Generator | None) -> Tensor:
        """What of a branch's result [B, T, D] is added: that of some samples, larger by as much."""
        if noise is None or not self.drop_path:
            return update
        kept = torch.rand(len(update), generator=noise, device=noise.device) >= self.drop_path
        return update * (kept / (1 - self.drop_path)).to(update)[:, None, None]


class M3ViT(nn.Module):
    """One backbone, routers in each MoE block, one head per task. A call runs one task's path only.

    The first rows of `position` [T, D] are those of the prefix tokens. The first prefix token is the class token: its input is
    `class_token` [D] plus its row of `position`. Without prefix tokens `class_token` is None.
    """

    def __init__(self, configuration: ModelConfiguration) -> None:
        super().__init__()
        c = self.configuration = configuration
        if taken := [name for name in c.task_names if hasattr(nn.ModuleDict, name)]:
            raise UserError(
                f"a task cannot be called {taken[0]}, a name that PyTorch has taken: rename it in the recipe"
            )
        self.patch_embedding = nn.Linear(c.patch * c.patch * 3, c.width)
        self.class_token = nn.Parameter(torch.empty(c.width)) if c.prefix_tokens else None
        self.position = nn.Parameter(torch.empty(c.tokens, c.width))
        self.blocks = cast("Sequence[Block]", nn.ModuleList(Block(c, index) for index in range(c.depth)))
        self.norm = final_norm(c)
        heads = {task.name: build_head(c, task) for task in c.tasks}
        self.heads = cast("Mapping[str, nn.Module]", nn.ModuleDict(heads))
        nn.init.trunc_normal_(self.position, std=0.02)
        if self.class_token is not None:
            nn.init.trunc_normal_(self.class_token, std=0.02)

    @property
    def device(self) -> torch.device:
        """The device of the parameters, on which images must be too."""
        return self.position.device

    def embed(self, images: Tensor) -> Tensor:
        """Images [B, 3, height, width], as returned by `normalise`, to tokens [B, T, D], prefix tokens first."""
        p, (rows, columns) = self.configuration.patch, self.configuration.grid
        patches = images.view(-1, 3, rows, p, columns, p).permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
        x = self.patch_embedding(patches)  # each patch in [y][x][c] order
        others = self.configuration.prefix_tokens - 1
        if self.class_token is None:
            return x + self.position
        if others:
            x = F.pad(x, (0, 0, others, 0))
        return torch.cat([self.class_token.expand(len(x), 1, -1), x], dim=1) + self.position

    def _predict(self, task: str, x: Tensor) -> Tensor:
        """The task's prediction from the tokens [B, T, D] of the last block that it runs."""
        first = pools_first(self.configuration.task(task))
        return self.heads[task](x if first else self.norm(x))

    def forward(self, images: Tensor, task: str) -> Tensor:
        """The task's prediction [B, C, height * r / patch, width * r / patch], with r output pixels per patch edge.

        A classification gives logits [B, classes]; features are normalised tokens [B, T, D], prefix tokens first.

        images: float32 [B, 3, height, width], as returned by `normalise`.
        """
        return self.training_forward(images, (task,))[0][task]

    def training_forward(
        self, images: Tensor, tasks: tuple[str, ...], noise: torch.Generator | None = None
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Predictions by task, as from `forward`, and the balance loss: a scalar, the mean over tasks and MoE blocks.

        images: [B, 3, height, width], as returned by `normalise`. noise: generator for routing noise and dropout; None outside
        training.
        """
        return self.forward_from(self.embed(images), 0, tasks, noise)

    def forward_from(
        self, x: Tensor, first: int, tasks: tuple[str, ...], noise: torch.Generator | None = None
    ) -> tuple[dict[str, Tensor], Tensor]:
        """`training_forward` from the input of block `first` on, tokens x [B, T, D], which is the same for all tasks.

        Everything before the first MoE block that routes the tasks differently is computed once for all of them; with a single
        router and the whole network in use, that is everything but the heads. Each task must end in block `first` or later.
        """
        losses: list[Tensor] = []
        running, shared, last = tasks, True, self.configuration.last_block
        predictions: dict[str, Tensor] = {}
        for i, block in enumerate(self.blocks):
            if i < first:
                continue
            if shared and isinstance(block.mlp, MoE) and not block.mlp.routes_alike(running):
                x, shared = x.repeat(len(running), 1, 1), False  # one part of the batch per task from here on
            x, balance = block(x, running[:1] if shared else running, noise)
            if isinstance(block.mlp, MoE):
                losses.append(balance)
            ending = {task for task in running if last(task) == i}
            if not ending:
                continue
            parts = dict(zip(running, [x] * len(running) if shared else x.chunk(len(running))))
            predictions |= {task: self._predict(task, parts[task]) for task in running if task in ending}
            running = tuple(task for task in running if task not in ending)
            if not running:
                break
            x = x if shared else torch.cat([parts[task] for task in running])
        predictions = {task: predictions[task] for task in tasks}
        return predictions, torch.stack(losses).mean() if losses else x.new_zeros(())
