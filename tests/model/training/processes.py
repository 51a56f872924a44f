"""A function in several processes that form a group of ranks, for tests."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import torch
import torch.multiprocessing

from moesaic.model.training.distributed import Ranks, joined_ranks


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _start(rank: int, function: Callable, ranks: int, port: int, arguments: tuple) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    with joined_ranks("cpu") as group:
        function(group, *arguments)


def run_ranks(function: Callable[..., None], ranks: int, *arguments: object) -> None:
    """Call function(Ranks, *arguments) on each of `ranks` processes; an exception in one fails the test."""
    torch.multiprocessing.spawn(_start, (function, ranks, _free_port(), arguments), nprocs=ranks)


def save(directory: Path, name: str, ranks: Ranks, tensors: dict[str, torch.Tensor]) -> None:
    """Keep what a rank found, for the test to compare."""
    torch.save(tensors, directory / f"{name}-{ranks.rank}.pt")


def load(directory: Path, name: str, rank: int = 0) -> dict[str, torch.Tensor]:
    """What `save` kept."""
    return torch.load(directory / f"{name}-{rank}.pt", weights_only=True)
