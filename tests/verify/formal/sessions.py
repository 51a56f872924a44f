"""End a program with everything that it started, also what put itself into another process group: sby does so with each of its engines."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

GRACE = 5.0
"""Seconds between the request to end and the end."""


def end_session(process: subprocess.Popen) -> None:
    """End `process`, which was started with start_new_session, and every process of its session: asked first, killed after GRACE."""
    _signal_all(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + GRACE
    while processes_of(process.pid):
        if time.monotonic() > deadline:
            _signal_all(process.pid, signal.SIGKILL)
        process.poll()  # what has ended stays in the session until it is waited for
        time.sleep(0.05)
    process.wait()


def processes_of(session: int) -> list[int]:
    """The processes of a session."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(place.name)) == session and _state(place) != "Z":
                found.append(int(place.name))
        except OSError:
            continue  # has ended meanwhile
    return found


def _state(place: Path) -> str:
    # The name before it is in parentheses and may hold anything.
    return (place / "stat").read_text().rsplit(")", 1)[1].split()[0]


def _signal_all(session: int, number: signal.Signals) -> None:
    for process in processes_of(session):
        try:
            os.kill(process, number)
        except ProcessLookupError:
            continue
