"""The runtime: opens a build and runs its tasks on the board, or on an emulator that gives the same integers.

>>> import host
>>> with host.open("build/demo/build") as accelerator:
...     depth = accelerator.run(image, "depth").decoded
"""

from host.runtime import Accelerator, Result
from host.runtime import open_build as open  # noqa: A004  read as host.open

__all__ = ["Accelerator", "Result", "open"]
