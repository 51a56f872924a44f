"""The share of held-out data that one of several processes measures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch.distributed as dist

from moesaic.model.tasks.metrics import Meter


@dataclass(frozen=True)
class Share:
    """Process `rank` of `ranks`, from 0, which all measure together. One process measures everything."""

    rank: int = 0
    ranks: int = 1

    def of(self, batches: int) -> range:
        """The numbers of this process's batches; shares follow one another and differ by one batch at most."""
        return range(batches * self.rank // self.ranks, batches * (self.rank + 1) // self.ranks)

    def largest(self, batches: int) -> int:
        """The number of batches of the largest share."""
        return -(-batches // self.ranks)

    def merged(self, meters: Sequence[Meter]) -> list[Meter]:
        """Meters of all data from those of each share, on every process, which must call this together with the same kinds of meters."""
        if self.ranks == 1:
            return list(meters)
        shares = cast("list[list[Meter]]", [None] * self.ranks)
        dist.all_gather_object(shares, list(meters))
        for others in shares[1:]:
            for meter, other in zip(shares[0], others, strict=True):
                meter.merge(other)
        return shares[0]
