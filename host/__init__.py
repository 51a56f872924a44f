"""The runtime: opens a build and runs its tasks on the board, or on an emulator that gives the same integers.

>>> import host
>>> with host.open("build/demo/build") as accelerator:
...     depth = accelerator.run(image, "depth").decoded
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from host.runtime import Accelerator, Result
    from host.runtime import open_build as open  # noqa: A004  read as host.open

__all__ = ["Accelerator", "Result", "open"]


def __getattr__(name: str) -> object:
    """The runtime is imported when it is asked for: commands of other parts are in this package too, and need none of it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from host import runtime

    return runtime.open_build if name == "open" else getattr(runtime, name)
