"""A function in several processes of this machine that form a group of ranks, as torchrun would start them."""

import os
import socket
from collections.abc import Callable

import torch
from torch.multiprocessing.spawn import spawn

from moesaic.model.training.distributed import joined_ranks


def run_on_ranks(function: Callable[..., None], ranks: int, *arguments: object, device: str = "cpu") -> None:
    """Call function(Ranks, *arguments) in each of `ranks` new processes, with one thread each; returns when all are done.

    function and arguments have to be picklable. device: see `choose_device`. An exception in one ends all, and is raised here as
    torch.multiprocessing.ProcessRaisedException.
    """
    spawn(_start, (function, ranks, free_port(), device, arguments), nprocs=ranks)


def free_port() -> int:
    """A port of this machine that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _start(rank: int, function: Callable, ranks: int, port: int, device: str, arguments: tuple) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    os.environ |= {"WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    with joined_ranks(device) as group:
        function(group, *arguments)
