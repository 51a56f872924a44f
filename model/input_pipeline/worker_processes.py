"""Results in order from worker processes, which hand over their arrays in shared memory."""

import multiprocessing
import os
import pickle
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
import torch
from torch.utils.data import DataLoader

from moesaic.errors import UserError

T = TypeVar("T")

_MOST = 8
_AHEAD = 2  # results that a worker makes before they are asked for


def usual_workers() -> int:
    """As many worker processes as this process has cores to itself, 1 to 8: those of the machine, divided among torchrun's processes."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(_MOST, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))


def in_order(make: Callable[[int], T], numbers: range, workers: int) -> Iterator[T]:
    """make(n) for every n of `numbers`, in their order; made ahead by so many processes, or by this one when asked for if 0.

    The processes are started anew and not forked from this one, which has threads and perhaps a GPU, so `make` has to be picklable, as
    methods of ordinary objects are. Arrays in the results lie in shared memory (/dev/shm). UserError if `make` is not picklable, if it
    raises one, or if a process dies.
    """
    if not workers or not numbers:
        yield from map(make, numbers)
        return
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload([__name__])  # PyTorch is imported once, not by each worker
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of more workers than cores, and of what is raised below
            loader = DataLoader(
                _Packed(make),  # pyright: ignore[reportArgumentType] (it needs no length: the sampler has one)
                batch_size=None,
                sampler=numbers,
                num_workers=min(workers, len(numbers)),
                prefetch_factor=_AHEAD,
                multiprocessing_context=context,
            )
            made = iter(loader)
        for packed in made:
            yield _unpacked(packed)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        if "pickle" not in str(error):
            raise
        raise UserError(f"reading cannot be handed to other processes ({error}): take --workers 0") from None
    except RuntimeError as error:
        if "exited unexpectedly" not in str(error) and "is killed by signal" not in str(error):
            raise
        raise UserError(
            f"one of {workers} worker processes died ({error}): take fewer with --workers, or give more shared memory"
        ) from None


class _Packed:
    """The results by number, each as a pickle and the contents of its arrays, all of them tensors of bytes."""

    def __init__(self, make: Callable[[int], Any]) -> None:
        self._make = make

    def __getitem__(self, number: int) -> list[torch.Tensor]:
        try:
            value, failed = self._make(number), False
        except UserError as error:
            value, failed = error, True
        arrays: list[pickle.PickleBuffer] = []
        head = pickle.dumps((value, failed), protocol=5, buffer_callback=arrays.append)
        return [torch.from_numpy(_writable(part)) for part in (head, *(array.raw() for array in arrays))]


def _writable(content: bytes | memoryview) -> np.ndarray:
    values = np.frombuffer(content, np.uint8) if len(content) else np.empty(0, np.uint8)
    return values if values.flags.writeable else values.copy()


def _unpacked(parts: list[torch.Tensor]) -> Any:
    head, *arrays = (part.numpy().data for part in parts)
    value, failed = pickle.loads(head, buffers=arrays)
    if failed:
        raise value
    return value
