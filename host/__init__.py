"""The runtime: opens a build and runs its tasks on the board, or on an emulator that gives the same integers.

>>> import host
>>> with host.open("build/demo-tiny") as accelerator:
...     depth = accelerator.run(image, "depth").decoded
"""

from host.runtime import Accelerator, Result, open_build

open = open_build  # noqa: A001  read as host.open

__all__ = ["Accelerator", "Result", "open", "open_build"]
