"""The emulator with address and undefined-behaviour sanitizers, and all of its state in sight.

The address sanitizer must be the first library of a process: start it with the environment that `sanitizer_environment` gives.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from moesaic.emulator import ENTRY_POINT, Emulator
from moesaic.sim.machines.csim import write_sources
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.machine import ReferenceMachine

SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1")
SANITIZER_EXIT = 77


def sanitizer_environment() -> dict[str, str]:
    """The environment of this process with what a process needs that loads a library with sanitizers."""
    command = ["g++", "-print-file-name=libasan.so"]
    library = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    options = f"detect_leaks=0:malloc_context_size=0:quarantine_size_mb=1:exitcode={SANITIZER_EXIT}"
    return {**os.environ, "LD_PRELOAD": library, "ASAN_OPTIONS": options, "UBSAN_OPTIONS": "print_stacktrace=1"}


def state_type(c: HardwareConfiguration) -> np.dtype:
    """Of the struct State in machine_state.cpp."""
    queue = np.dtype(
        [
            ("next_token", "<u4"), ("count", "<u4", c.experts), ("token", "<u2", (c.experts, c.queue_tokens)),
            ("score", "<u2", (c.experts, c.queue_tokens)),
        ], align=True,
    )  # fmt: skip
    rows = np.dtype(
        [(n, t, c.row_entries) for n, t in (("maximum", "<i2"), ("multiplier", "<u2"), ("shift", "u1"))], align=True
    )
    memories = [("act", "u1", c.act_bytes), ("weight", "u1", c.weight_bytes), ("table", "u1", c.table_bytes)]
    return np.dtype([*memories, ("rows", rows), ("queue", queue)], align=True)


def random_state(c: HardwareConfiguration, rng: np.random.Generator) -> np.ndarray:
    """What a program may find at its start: memories of any contents, queues of ascending tokens. A record of state_type."""
    state = np.zeros((), state_type(c))
    for name in ("act", "weight", "table"):
        state[name] = rng.integers(0, 256, state[name].shape, np.uint8)
    rows, queue = state["rows"], state["queue"]
    rows["maximum"] = rng.integers(-(1 << 15), 1 << 15, c.row_entries)
    rows["multiplier"] = rng.integers(0, 1 << 16, c.row_entries)
    rows["shift"] = rng.integers(15, 48, c.row_entries)
    queue["score"] = rng.choice([0, 1, 30_000, 65_535], queue["score"].shape)
    for e in range(c.experts):
        count = int(rng.integers(c.queue_tokens // 2))
        queue["count"][e] = count
        queue["token"][e, :count] = np.sort(rng.permutation(c.queue_tokens // 2)[:count])
    queue["next_token"] = c.queue_tokens // 2
    return state


def set_reference(machine: ReferenceMachine, state: np.ndarray) -> None:
    """Put a record of state_type into a reference machine."""
    c = machine.configuration
    machine.act[:], machine.weight[: c.weight_bytes], machine.table[:] = state["act"], state["weight"], state["table"]
    rows, queue = state["rows"], state["queue"]
    machine.row_max[:], machine.row_multiplier[:], machine.row_shift[:] = (
        rows["maximum"],
        rows["multiplier"],
        rows["shift"],
    )
    machine.queue_count[:], machine.queue_token[:], machine.queue_score[:] = (
        queue["count"],
        queue["token"],
        queue["score"],
    )
    machine.next_token = int(queue["next_token"])


def reference_state(machine: ReferenceMachine) -> np.ndarray:
    """The record of state_type of a reference machine."""
    c = machine.configuration
    state = np.zeros((), state_type(c))
    state["act"], state["weight"], state["table"] = machine.act, machine.weight[: c.weight_bytes], machine.table
    rows, queue = state["rows"], state["queue"]
    rows["maximum"], rows["multiplier"], rows["shift"] = machine.row_max, machine.row_multiplier, machine.row_shift
    queue["count"], queue["token"], queue["score"] = machine.queue_count, machine.queue_token, machine.queue_score
    queue["next_token"] = machine.next_token
    return state


class ObservedEmulator(Emulator):
    """The emulator of a configuration. sanitized: with sanitizers, see the module."""

    def __init__(self, configuration: HardwareConfiguration, *, sanitized: bool) -> None:
        with tempfile.TemporaryDirectory(prefix="csim-") as name:
            scratch = Path(name)
            write_sources(configuration, scratch)
            entry = scratch / ENTRY_POINT
            entry.write_text(entry.read_text() + Path(__file__).with_name("machine_state.cpp").read_text())
            super().__init__(scratch, configuration, flags=SANITIZERS if sanitized else ())
        pointer = (ctypes.c_void_p, ctypes.c_void_p)
        self._library.moesaic_read_state.argtypes = self._library.moesaic_write_state.argtypes = pointer
        self._library.moesaic_read_state.restype = self._library.moesaic_write_state.restype = None
        self._type = state_type(configuration)
        self._library.moesaic_state_bytes.restype = ctypes.c_uint64
        assert self._library.moesaic_state_bytes() == self._type.itemsize, "state_type is not the struct State"

    def set_state(self, state: np.ndarray) -> None:
        """Put a record of state_type into the machine."""
        self._library.moesaic_write_state(self._machine, state.ctypes.data)

    def state(self) -> np.ndarray:
        """The record of state_type of the machine."""
        state = np.zeros((), self._type)
        self._library.moesaic_read_state(self._machine, state.ctypes.data)
        return state
