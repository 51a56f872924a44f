"""Training of one model by several processes that torchrun starts, each on its part of every batch.

Every rank holds the whole network, and gradients are averaged (data parallelism). The experts can be divided among the ranks
instead, all of them or groups such as those of a machine; tokens then travel to the rank of their group that holds their expert and
back (expert parallelism, as in GShard, Lepikhin et al. 2020). Checkpoints hold the whole network in either case.
"""

import functools
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Protocol, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from moesaic.errors import UserError
from moesaic.model.network.moe import MoE
from moesaic.model.network.vit import M3ViT

SHARDED = ("up_weight", "up_bias", "down_weight", "down_bias")
"""Names of an MoE layer's parameters whose first dimension is the experts."""

T = TypeVar("T")

# Letters in shape comments: R = ranks, E = experts, N = tokens, D = width.


@dataclass(frozen=True)
class Ranks:
    """This process's number, 0 to `size` - 1, the number of processes, and the device that this one computes on."""

    rank: int = 0
    size: int = 1
    device: torch.device = torch.device("cpu")  # noqa: RUF009 (immutable)
    of_machine: int = 1
    """The number of processes on this machine."""

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and shows progress."""
        return self.rank == 0

    def wait(self) -> None:
        """Return once all ranks have called this."""
        if self.size > 1:
            dist.barrier()


def choose_device(name: str, local_rank: int = 0) -> torch.device:
    """A process's device for the name "cpu", "cuda" or "auto" (a GPU if there is one). UserError if it does not exist.

    local_rank: the process's number on this machine, which is also that of its GPU.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "cpu" or (name == "auto" and not count):
        return torch.device("cpu")
    if local_rank >= count:
        raise UserError(
            f"process {local_rank} of this machine has no GPU, there are {count}: start fewer or use --device cpu"
        )
    return torch.device("cuda", local_rank)


@contextmanager
def joined_ranks(device: str = "auto") -> Iterator[Ranks]:
    """Join the processes that torchrun started, until the context is left; a single process if torchrun was not used.

    device: see `choose_device`, which also raises UserError here.
    """
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        yield Ranks(device=choose_device(device))
        return
    place = choose_device(device, int(os.environ.get("LOCAL_RANK", "0")))
    if place.type == "cuda":
        torch.cuda.set_device(place)
    dist.init_process_group("nccl" if place.type == "cuda" else "gloo")
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size(), place, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    finally:
        dist.destroy_process_group()


@dataclass(frozen=True)
class ExpertGroup:
    """Ranks that hold every expert once, of which this one is number `place` of `size`: all ranks, or some that follow one another.

    group: these ranks; None if they are all. replicas: the ranks with the same place in every group; None if there is one group.
    """

    place: int = 0
    size: int = 1
    group: dist.ProcessGroup | None = None
    replicas: dist.ProcessGroup | None = None


def join_expert_group(ranks: Ranks, size: int = 0) -> ExpertGroup:
    """This rank's group of `size` ranks, 0 for all of them. All ranks must call it together.

    torchrun numbers the ranks of one machine after those of another, so that a group of as many as a machine has is one machine.
    UserError unless all ranks have the same size, which divides their number.
    """
    size = size or ranks.size
    sizes = [size] * ranks.size
    if ranks.size > 1 and dist.is_initialized():
        dist.all_gather_object(sizes, size)
    if ranks.size % size or len(set(sizes)) > 1:
        found = " and ".join(map(str, sorted(set(sizes))))
        raise UserError(
            f"{ranks.size} ranks cannot be divided into groups of {found} that share experts: choose another --expert-ranks"
        )
    if size == ranks.size:
        return ExpertGroup(ranks.rank, size)
    numbers = list(range(ranks.size))
    lists = (
        [numbers[first : first + size] for first in numbers[::size]],
        [numbers[place::size] for place in range(size)],
    )
    group, replicas = (cast("dist.ProcessGroup", dist.new_subgroups_by_enumeration(one)[0]) for one in lists)
    return ExpertGroup(ranks.rank % size, size, group, replicas)


class _ExchangeContext(Protocol):
    """What the forward pass of `_Exchange` saves for its backward pass: the group, and rows sent to and received from each rank."""

    splits: tuple[list[int], list[int]]
    group: dist.ProcessGroup | None


class _Exchange(torch.autograd.Function):
    """Sends rows to all ranks of a group and receives theirs, both in rank order; gradients travel the other way."""

    @staticmethod
    def forward(
        context: _ExchangeContext,
        rows: Tensor,
        received: list[int],
        sent: list[int],
        group: dist.ProcessGroup | None,
    ) -> Tensor:
        context.splits, context.group = (sent, received), group
        result = rows.new_empty(sum(received), *rows.shape[1:])
        dist.all_to_all_single(result, rows.contiguous(), received, sent, group=group)
        return result

    @staticmethod
    def backward(context: _ExchangeContext, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        return _Exchange.apply(gradient, *context.splits, context.group), None, None, None


def mix_over_ranks(
    moe: MoE,
    tokens: Tensor,
    scores: Tensor,
    chosen: Tensor,
    noise: torch.Generator | None,
    *,
    group: dist.ProcessGroup | None = None,
) -> Tensor:
    """The result of `MoE.mix_chosen`, [N, D], when rank r of R holds only experts r * E / R to (r + 1) * E / R - 1.

    tokens [N, D] are this rank's; scores and chosen, [N, E], cover all experts. All ranks of the group must call it together, by
    default all there are. The host waits for the device once, for the numbers of rows that travel.
    """
    ranks, own = dist.get_world_size(group), len(moe.up_weight)
    sent = chosen.sum(0).view(ranks, own)
    received = torch.empty_like(sent)
    dist.all_to_all_single(received, sent, group=group)
    arriving, leaving = torch.stack([received.sum(1), sent.sum(1)]).tolist()
    expert, token = torch.nonzero_static(chosen.T, size=sum(leaving)).T  # in the order of experts, hence of ranks
    arrived = _Exchange.apply(tokens[token], arriving, leaving, group)
    every = torch.arange(own, device=tokens.device)
    wanted = every.repeat(ranks).repeat_interleave(received.flatten(), output_size=sum(arriving))
    choice = wanted.unsqueeze(1) == every
    result = moe.mix_chosen(arrived, choice.to(arrived.dtype), choice, noise, most=1)
    rows = _Exchange.apply(result, leaving, arriving, group) * scores[token, expert].unsqueeze(-1)
    return torch.zeros_like(tokens).index_add(0, token, rows.to(tokens.dtype))


def shard_experts(network: nn.Module, group: ExpertGroup) -> frozenset[str]:
    """Keep only this rank's experts in every MoE layer; returns the names of the parameters divided among the group's ranks.

    UserError if the network has no experts, or if their number is not a multiple of the number of ranks in the group.
    """
    names = []
    for path, module in network.named_modules():
        if not isinstance(module, MoE):
            continue
        experts = len(module.up_weight)
        if experts % group.size:
            sizes = f"{experts} experts cannot be divided among {group.size} ranks"
            raise UserError(
                f"{sizes}: start a number of processes that divides them, choose --expert-ranks, or set experts_sharded = false"
            )
        for name in SHARDED:
            parameter = getattr(module, name)
            parameter.data = _part(parameter.data, group).clone()
            names.append(f"{path}.{name}")
        module.remote_mix = functools.partial(mix_over_ranks, group=group.group)
    if not names:
        raise UserError("experts_sharded = true in a recipe without experts: set it to false")
    return frozenset(names)


def _part(values: Tensor, group: ExpertGroup) -> Tensor:
    """This rank's part of a tensor whose first dimension is the experts."""
    return values.chunk(group.size)[group.place]


class _TrainingForward(nn.Module):
    """`training_forward` under the name `forward`, which DistributedDataParallel wraps."""

    def __init__(self, model: M3ViT) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, images: Tensor, tasks: tuple[str, ...], noise: torch.Generator | None = None
    ) -> tuple[dict[str, Tensor], Tensor]:
        return self.model.training_forward(images, tasks, noise)


class DistributedModel:
    """A model whose gradients are averaged over all ranks' parts of the batch.

    All ranks must create it together, with the same weights. With `experts_sharded` the model keeps only this rank's experts;
    `gathered` reassembles them; expert_ranks: among how many ranks they are divided, 0 for all. UserError as in `shard_experts` and
    `join_expert_group`.
    """

    def __init__(
        self, model: M3ViT, ranks: Ranks = Ranks(), experts_sharded: bool = False, expert_ranks: int = 0
    ) -> None:
        self.model, self.ranks = model, ranks
        self.experts = join_expert_group(ranks, expert_ranks) if experts_sharded and ranks.size > 1 else ExpertGroup()
        self.sharded = shard_experts(model, self.experts) if self.experts.size > 1 else frozenset()
        if ranks.size > 1 and ranks.device.type == "cuda":  # on CPUs a batch norm sees only its own rank's images
            nn.SyncBatchNorm.convert_sync_batchnorm(model)
        self._forward: _TrainingForward | nn.parallel.DistributedDataParallel = _TrainingForward(model)
        if ranks.size > 1:
            wrap = nn.parallel.DistributedDataParallel
            own = [f"model.{name}" for name in self.sharded]
            wrap._set_params_and_buffers_to_ignore_for_model(self._forward, own)
            self._forward = wrap(self._forward)

    def forward(
        self, images: Tensor, tasks: tuple[str, ...], noise: torch.Generator | None = None
    ) -> tuple[dict[str, Tensor], Tensor]:
        """`M3ViT.training_forward` for this rank's part of a batch, images [B, 3, height, width]."""
        return self._forward(images, tasks, noise)

    def accumulating(self) -> AbstractContextManager:
        """A context in which gradients accumulate on this rank without being exchanged."""
        if isinstance(self._forward, nn.parallel.DistributedDataParallel):
            return self._forward.no_sync()
        return nullcontext()

    def average_experts(self) -> None:
        """After the backward pass, turn a sharded expert's gradient, summed over its group's tokens, into that of the mean loss."""
        for name, parameter in self.model.named_parameters():
            if name in self.sharded and parameter.grad is not None:
                if self.experts.replicas is not None:
                    dist.all_reduce(parameter.grad, group=self.experts.replicas)
                parameter.grad /= self.ranks.size

    def share_overflow(self) -> None:
        """If a sharded parameter's gradient is not finite on one rank, make it infinite on all, so that all skip the same step."""
        own = [parameter for name, parameter in self.model.named_parameters() if name in self.sharded]
        if not own:
            return
        finite = [p.grad is None or bool(p.grad.isfinite().all()) for p in own]
        overflowed = torch.tensor([not one for one in finite], dtype=torch.float32, device=self.ranks.device)
        dist.all_reduce(overflowed, dist.ReduceOp.MAX)
        for parameter, flag in zip(own, overflowed.tolist()):
            if flag and parameter.grad is not None:
                parameter.grad.fill_(torch.inf)

    def clip_gradients(self, limit: float) -> None:
        """Scale the gradients down, if necessary, so that their norm over the whole network is at most `limit`."""
        if not self.sharded:
            nn.utils.clip_grad_norm_(self.model.parameters(), limit)
            return
        gradients = {name: p.grad for name, p in self.model.named_parameters() if p.grad is not None}
        parts = [[g for name, g in gradients.items() if (name in self.sharded) == own] for own in (True, False)]
        own, common = (torch.stack([g.square().sum() for g in part]).sum() for part in parts)
        dist.all_reduce(own, group=self.experts.group)
        factor = (limit / ((own + common).sqrt() + 1e-6)).clamp(max=1.0)
        for gradient in gradients.values():
            gradient.mul_(factor)

    def share_buffers(self) -> None:
        """Give every rank the first one's running means and variances of batch norms, those that a checkpoint holds."""
        if self.ranks.size == 1:
            return
        for buffer in self.model.buffers():
            if buffer.dtype != torch.bool:  # pathways
                dist.broadcast(buffer, 0)

    def mean(self, values: dict[str, float]) -> dict[str, float]:
        """The mean of each value over all ranks; all ranks must pass the same names."""
        if self.ranks.size == 1:
            return values
        total = torch.tensor(list(values.values()), dtype=torch.float64, device="cpu").to(self.ranks.device)
        dist.all_reduce(total)
        return dict(zip(values, (total / self.ranks.size).tolist()))

    def from_first(self, value: T) -> T:
        """The first rank's value, on every rank."""
        if self.ranks.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, device=self.ranks.device)
        return values[0]

    def gathered(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """The tensors with all ranks' experts in them. Names are those of parameters, or "<parameter>/<moment>"."""
        return {
            name: self._gather(value) if self._is_sharded(name, value) else value for name, value in tensors.items()
        }

    def scattered(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """The inverse of `gathered`: this rank's part of each tensor."""
        return {
            name: _part(value, self.experts) if self._is_sharded(name, value) else value
            for name, value in tensors.items()
        }

    def _is_sharded(self, name: str, value: Tensor) -> bool:
        """Whether a parameter or an optimizer tensor "<parameter>/<moment>" is sharded; an optimizer's step count is not."""
        return value.ndim > 0 and (name in self.sharded or name.rpartition("/")[0] in self.sharded)

    def _gather(self, value: Tensor) -> Tensor:
        parts = [torch.empty_like(value) for _ in range(self.experts.size)]
        dist.all_gather(parts, value.contiguous(), group=self.experts.group)
        return torch.cat(parts)
