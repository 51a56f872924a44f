"""Valid/ready streams: a source that drives a stream and a sink that consumes one, both with pauses."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping

import cocotb
from cocotb.triggers import RisingEdge

from moesaic.sim.bench_kit.pauses import never_pause
from moesaic.sim.machines.dut import Dut

Payload = Mapping[str, int]


class StreamSource:
    """Drives one stream from a queue of payloads; valid never waits for ready, and a payload stays stable until it is taken.

    Args:
        dut: the module, with `clk_i`.
        valid: name of the port that offers a payload.
        ready: name of the port that accepts it.
        fields: names of the payload ports; a payload maps each to an unsigned integer.
        pauses: one bool for every cycle in which a payload could be offered, True for a gap; None for no gaps.

    Attributes:
        sent: number of payloads taken so far.
    """

    def __init__(
        self, dut: Dut, valid: str, ready: str, fields: Iterable[str], pauses: Iterator[bool] | None = None
    ) -> None:
        self._clock = dut.clk_i
        self._valid = getattr(dut, valid)
        self._ready = getattr(dut, ready)
        self._ports = {name: getattr(dut, name) for name in fields}
        self._pauses = pauses or never_pause()
        self._queue: deque[Payload] = deque()
        self.sent = 0
        self._valid.value = 0
        for port in self._ports.values():
            port.value = 0
        cocotb.start_soon(self._drive())

    def send(self, payloads: Iterable[Payload]) -> None:
        """Append payloads to the queue; they are sent in order."""
        self._queue.extend(payloads)

    @property
    def idle(self) -> bool:
        """Whether everything queued has been taken."""
        return not self._queue

    async def _drive(self) -> None:
        offered = False
        while True:
            await RisingEdge(self._clock)
            if offered and self._ready.value == 1:
                self._queue.popleft()
                self.sent += 1
                offered = False
            if not offered:
                if self._queue and not next(self._pauses):
                    for name, port in self._ports.items():
                        port.value = int(self._queue[0][name])
                    self._valid.value = 1
                    offered = True
                else:
                    self._valid.value = 0


class StreamSink:
    """Consumes one stream and passes every payload, {port name: unsigned integer}, to `observe`.

    It also fails the test if the design drops valid or changes the payload before the payload is taken. The arguments are
    those of StreamSource, except that `pauses` holds one bool per cycle, True to hold ready low. `taken` counts payloads.
    """

    def __init__(
        self,
        dut: Dut,
        valid: str,
        ready: str,
        fields: Iterable[str],
        observe: Callable[[dict[str, int]], None],
        pauses: Iterator[bool] | None = None,
    ) -> None:
        self._clock = dut.clk_i
        self._reset = dut.rst_ni
        self._name = valid
        self._valid = getattr(dut, valid)
        self._ready = getattr(dut, ready)
        self._ports = {name: getattr(dut, name) for name in fields}
        self._pauses = pauses or never_pause()
        self._observe = observe
        self.taken = 0
        self._ready.value = 0
        cocotb.start_soon(self._take())

    async def _take(self) -> None:
        ready = False
        waiting: dict[str, int] | None = None
        while True:
            await RisingEdge(self._clock)
            if self._reset.value == 1 and self._valid.value == 1:
                payload = {name: int(port.value) for name, port in self._ports.items()}
                assert waiting in (None, payload), f"{self._name}: payload changed before taken, {waiting} to {payload}"
                if ready:
                    self.taken += 1
                    self._observe(payload)
                waiting = None if ready else payload
            else:
                assert waiting is None, f"{self._name}: valid dropped before the payload was taken"
            ready = not next(self._pauses)
            self._ready.value = int(ready)
