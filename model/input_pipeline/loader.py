"""Choice of the samples in each training batch: a pure function of seed and step, so that a run can resume anywhere."""

from collections.abc import Callable, Iterator

import numpy as np

from moesaic.errors import UserError
from moesaic.model.data.samples import Batch, Dataset, Sample
from moesaic.model.input_pipeline.worker_processes import in_order

_ORDER, _CHANGES = 0, 1  # second part of the seed: the purpose of the random numbers


class Loader:
    """An endless sequence of batches: every epoch takes all samples of a data set once, in a new random order.

    batch: samples per step over all ranks; rank r of R gets the r-th of R equal parts. augmentation: changes each sample, with
    random numbers of its own; without it, all samples must have the same size.
    UserError if the batch is larger than the data set or not a multiple of the number of ranks.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch: int,
        seed: int,
        augmentation: Callable[[Sample, np.random.Generator], Sample] | None = None,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        if batch > len(dataset):
            remedy = "take a smaller batch or more samples"
            raise UserError(f"batch ({batch}) is larger than {dataset.name} ({len(dataset)} samples): {remedy}")
        if batch % ranks:
            raise UserError(f"batch ({batch}) is not a multiple of the number of processes ({ranks}): choose another")
        self.dataset, self.size, self.seed, self.augmentation = dataset, batch, seed, augmentation
        share = batch // ranks
        self.places = range(rank * share, (rank + 1) * share)
        """This rank's places in the batch of all ranks."""

    def indices(self, step: int) -> np.ndarray:
        """Indices of the samples in a step's batch for all ranks together, int64 [batch]."""
        positions = step * self.size + np.arange(self.size)
        epochs, places = np.divmod(positions, len(self.dataset))
        return np.concatenate(
            [self._order(epoch)[places[epochs == epoch]] for epoch in range(epochs[0], epochs[-1] + 1)]
        )

    def batch(self, step: int) -> Batch:
        """This rank's part of the step's batch."""
        indices = self.indices(step)
        return Batch.of([self._sample(step, place, int(indices[place])) for place in self.places])

    def batches(self, first: int, last: int, workers: int = 0) -> Iterator[Batch]:
        """This rank's part of the batches of steps `first` to `last - 1`, in order; `workers` processes read ahead, none if 0.

        The batches do not depend on the number of workers. UserError as in `in_order`.
        """
        return in_order(self.batch, range(first, last), workers)

    def _order(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self.seed, _ORDER, epoch]).permutation(len(self.dataset))

    def _sample(self, step: int, place: int, index: int) -> Sample:
        sample = self.dataset[index]
        if self.augmentation is None:
            return sample
        return self.augmentation(sample, np.random.default_rng([self.seed, _CHANGES, step, place]))
