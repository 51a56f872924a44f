"""Who runs the cases of a campaign: this process, processes of this machine, or the workers of a Dask cluster.

Dask (https://distributed.dask.org) brings scheduler, transport and the repetition of what a lost worker was doing.
"""

from __future__ import annotations

import hashlib
import logging
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from moesaic.campaign.case import Case
from moesaic.campaign.progress import heard_by
from moesaic.errors import InternalError, UserError
from moesaic.installation import how_to_install

if TYPE_CHECKING:
    from distributed import Client, Future

_ROOMS = ("spec", "model", "hls", "sim", "host", "configs")
_TOPIC = "moesaic"
_WAIT = 10.0
"""Seconds in which a cluster has to answer, and to have a worker."""
_LOST = 3
"""Workers that a case may lose before it counts as what ends them."""

Listener = Callable[[Case, str], None]
"""Gets what a running case says; the empty text when it starts. It may be called by another thread."""
Ended = tuple[Case, Any, Exception | None]
"""A case, and either what its function returned or what it raised."""


class Workers(Protocol):
    """Runs cases in any order.

    room: how many more cases should be handed over now, so that no worker waits. start: hands over a case. next: waits until one of those
    handed over has ended. An error of moesaic's own is the case's; any other is raised.
    """

    def room(self) -> int: ...
    def start(self, case: Case) -> None: ...
    def next(self) -> Ended: ...


OpenWorkers = Callable[[Listener], AbstractContextManager[Workers]]
"""Opens workers; closing them ends what they still run."""


def in_this_process() -> OpenWorkers:
    """One case after the other, here."""

    @contextmanager
    def opened(listener: Listener) -> Iterator[Workers]:
        yield _Here(listener)

    return opened


def local_processes(count: int) -> OpenWorkers:
    """So many processes of this machine, one case each at a time. UserError if Dask is missing."""

    @contextmanager
    def opened(listener: Listener) -> Iterator[Workers]:
        dask, distributed = _packages()
        with (
            dask.config.set({"distributed.scheduler.allowed-failures": _LOST}),
            distributed.LocalCluster(
                n_workers=count, threads_per_worker=1, memory_limit=0, dashboard_address=None, silence_logs=logging.CRITICAL
            ) as cluster,
            distributed.Client(cluster) as client,
        ):  # fmt: skip
            yield _Cluster(client, listener)

    return opened


def cluster(address: str) -> OpenWorkers:
    """The workers of a Dask cluster, which may come and go. address: of its scheduler, such as tcp://10.0.0.2:8786.

    UserError if Dask is missing, nobody answers there, or no worker comes.
    """

    @contextmanager
    def opened(listener: Listener) -> Iterator[Workers]:
        _, distributed = _packages()
        try:
            client = distributed.Client(address, timeout=_WAIT)
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0] if str(error) else "no answer"
            raise UserError(
                f"no Dask scheduler at {address!r} ({reason}); start one with: dask scheduler --host ADDRESS --port 8786"
            ) from None
        with client:
            try:
                client.wait_for_workers(1, timeout=_WAIT)
            except TimeoutError:
                raise UserError(
                    f"the scheduler at {address} has 0 workers, 1 is needed; start some with: dask worker {address} --nthreads 1"
                ) from None
            yield _Cluster(client, listener)

    return opened


def _packages() -> tuple[Any, Any]:
    try:
        import dask
        import distributed
    except ImportError:
        raise UserError(
            f"the package distributed is missing, which runs cases in other processes; get it with: {how_to_install('distributed')}"
        ) from None
    return dask, distributed


class _Here:
    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._waiting: deque[Case] = deque()

    def room(self) -> int:
        return 1 - len(self._waiting)

    def start(self, case: Case) -> None:
        self._waiting.append(case)

    def next(self) -> Ended:
        case = self._waiting.popleft()
        self._listener(case, "")
        with heard_by(lambda text: self._listener(case, text)):
            try:
                return case, case.function(*case.arguments), None
            except Exception as error:
                return case, None, _own(error)


class _Cluster:
    def __init__(self, client: Client, listener: Listener) -> None:
        from distributed import as_completed

        self._client = client
        self._cases: dict[str, Case] = {}
        self._ended = as_completed()
        client.subscribe_topic(_TOPIC, lambda event: self._hear(listener, *event[1]))

    def _hear(self, listener: Listener, name: str, text: str) -> None:
        if case := self._cases.get(name):
            listener(case, text)

    def room(self) -> int:
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        return 1 + sum(worker["nthreads"] for worker in workers) - len(self._cases)

    def start(self, case: Case) -> None:
        name = f"{case.key}-{id(case):x}"
        self._cases[name] = case
        future: Future = self._client.submit(
            _execute, sources(), name, case.function, case.arguments, key=name, pure=False
        )
        self._ended.add(future)

    def next(self) -> Ended:
        from distributed.scheduler import KilledWorker

        future = next(self._ended)
        case = self._cases.pop(future.key)
        try:
            return case, future.result(), None
        except KilledWorker:
            return case, None, InternalError(f"{case.title}: its worker died, {_LOST + 1} times")
        except Exception as error:
            return case, None, _own(error)


def _own(error: Exception) -> Exception:
    """The error, if it is one that moesaic raises on purpose; otherwise it is raised."""
    if type(error).__module__.partition(".")[0] == __name__.partition(".")[0]:
        return error
    raise error


def _execute(client_sources: str, name: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Run by the worker."""
    from distributed import get_worker

    worker = get_worker()
    if client_sources != sources():
        raise UserError(
            f"worker {worker.address} has other sources of moesaic ({sources()}) than this process ({client_sources});"
            " install the same ones there and start it again"
        )
    worker.log_event(_TOPIC, (name, ""))
    with heard_by(lambda text: worker.log_event(_TOPIC, (name, text))):
        return function(*arguments)


@cache
def sources() -> str:
    """Twelve hexadecimal digits of the Python files that this process would load: only equal ones may share a campaign."""
    digest = hashlib.sha256()
    for package in ("moesaic", *(f"moesaic.{room}" for room in _ROOMS)):
        root = Path(str(resources.files(package)))
        for path in sorted(root.rglob("*.py")):
            digest.update(
                f"{package}/{path.relative_to(root).as_posix()}\0".encode() + hashlib.sha256(path.read_bytes()).digest()
            )
    return digest.hexdigest()[:12]
