"""Functions that the tests of campaigns have other processes run."""

import os
import signal
from pathlib import Path

from moesaic.campaign.progress import say
from moesaic.errors import UserError
from moesaic.spec.executor import MachineFault
from moesaic.spec.isa import Fault


def square(number: int) -> dict:
    """A result."""
    say(f"squaring {number}")
    return {"square": number**2, "process": os.getpid()}


def refuse(number: int) -> dict:
    """An error that moesaic raises on purpose."""
    raise UserError(f"{number} is too small")


def fault() -> dict:
    """An error with more than a text."""
    raise MachineFault(Fault.ADDRESS, "load", 7, "detail")


def break_down() -> dict:
    """An error of the program's."""
    raise ZeroDivisionError("by nothing")


def die_once(marker: Path) -> dict:
    """End the process that runs this, as if its machine had been lost, but not a second time."""
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"survived": True}


def die() -> dict:
    """End every process that runs this."""
    os.kill(os.getpid(), signal.SIGKILL)
    return {}
