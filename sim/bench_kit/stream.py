"""Valid/ready streams: a source that drives one, a sink that takes one, both with pauses."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping

import cocotb
from cocotb.triggers import RisingEdge

from moesaic.sim.bench_kit.pauses import never_pause
from moesaic.sim.machines.dut import Dut

Payload = Mapping[str, int]


class StreamSource:
    """Drives one stream from a queue of payloads; valid never waits for ready, the payload is stable until taken.

    Args:
        dut: the module, with `clk_i`.
        valid: name of the port that says a payload is there.
        ready: name of the port that says it is taken.
        fields: names of the payload ports; a payload maps each to an unsigned integer.
        pauses: one bool per cycle, True for a gap.
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
        """Queue payloads; they go out in order."""
        self._queue.extend(payloads)

    @property
    def idle(self) -> bool:
        """Everything queued was taken."""
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
    """Takes one stream and hands every payload, {port name: unsigned integer}, to `observe`.

    It also fails the test when the design drops valid, or changes the payload, before the payload was taken.
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
