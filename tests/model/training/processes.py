"""What several processes that form a group of ranks found, kept for tests."""

from pathlib import Path

import torch

from moesaic.model.training.distributed import Ranks


def save(directory: Path, name: str, ranks: Ranks, tensors: dict[str, torch.Tensor]) -> None:
    """Keep what a rank found, for the test to compare."""
    torch.save(tensors, directory / f"{name}-{ranks.rank}.pt")


def load(directory: Path, name: str, rank: int = 0) -> dict[str, torch.Tensor]:
    """What `save` kept."""
    return torch.load(directory / f"{name}-{rank}.pt", weights_only=True)
