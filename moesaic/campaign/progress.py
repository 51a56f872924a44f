"""What a running case says of itself, from wherever it runs to the display."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_INTERVAL = 0.5
"""Seconds between two looks at what is watched."""

_listener: ContextVar[Callable[[str], None] | None] = ContextVar("listener", default=None)


def say(text: str) -> None:
    """Tell the display what the running case does; outside of a campaign nobody hears it. text: a few words."""
    if listener := _listener.get():
        listener(text)


@contextmanager
def watched(text: Callable[[], str]) -> Iterator[None]:
    """Meanwhile `say` what `text` returns, whenever it has changed. text: called by another thread."""
    listener, ended = _listener.get(), threading.Event()
    if listener is None:
        yield
        return

    def look() -> None:
        last = ""
        while not ended.wait(_INTERVAL):
            if (now := text()) != last:
                listener(last := now)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def heard_by(listener: Callable[[str], None]) -> Iterator[None]:
    """Meanwhile `listener` gets what is said in this thread."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
