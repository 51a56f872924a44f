"""Multi-task mixture-of-experts vision transformers, from PyTorch training to a bit-exact FPGA accelerator.

The runtime's entry point is here: it opens a build and runs its tasks on the board, or on an emulator that gives the same integers.

>>> import moesaic
>>> with moesaic.open("build/demo/build") as accelerator:
...     depth = accelerator.run(image, "depth").decoded
"""

from typing import TYPE_CHECKING

from moesaic.errors import UserError
from moesaic.installation import checkout

if TYPE_CHECKING:
    from moesaic.host.image import Image
    from moesaic.host.runtime import Accelerator, Result
    from moesaic.host.runtime import open_build as open  # noqa: A004  read as moesaic.open

if (_root := checkout()) is not None:
    __path__.append(str(_root))  # the packages (spec, host, ...) lie beside this folder, not in it
__all__ = ["Accelerator", "Image", "Result", "UserError", "open"]


def __getattr__(name: str) -> object:
    """Import the runtime only when it is asked for: training and generating do not need it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from moesaic.host import image, runtime

    return {"open": runtime.open_build, "Image": image.Image}.get(name) or getattr(runtime, name)
