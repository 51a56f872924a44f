"""Times what brings a camera's image to a network's size, beside OpenCV's area resize: python -m tests.spec.time_resize

Needs opencv-python-headless, which is no requirement of anything else. Prints the least milliseconds of the processor, on one core if
OMP_NUM_THREADS=1.
"""

import time
from collections.abc import Callable

import cv2
import numpy as np

from moesaic.spec import resize
from moesaic.spec.compiled_resize import compiled_resize
from moesaic.spec.input_description import InputDescription

REPEATS = 100
SIZE = 224
IMAGE = np.random.default_rng(0).integers(0, 256, (720, 1280, 3)).astype(np.uint8)
CENTRE = IMAGE[:, 280:1000]


def milliseconds(call: Callable[[], object]) -> float:
    """The least of many."""
    found = []
    for _ in range(REPEATS):
        begin = time.thread_time()
        call()
        found.append(time.thread_time() - begin)
    return 1e3 * min(found)


def main() -> None:
    cv2.setNumThreads(1)
    for name, image in (("centre", CENTRE), ("whole", IMAGE)):
        spent = milliseconds(lambda: cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA))  # noqa: B023  called at once
        print(f"OpenCV INTER_AREA, {name}: {spent:.2f} ms")
    compiled = compiled_resize()
    for way, functions in (("compiled", compiled), ("numpy", None)):
        resize.compiled_resize = lambda: functions  # noqa: B023  called at once
        for name in ("auto", "stretch"):
            for interpolation in ("linear", "cubic"):
                description = InputDescription(resize=name, interpolation=interpolation)
                spent = milliseconds(lambda: resize.fit(IMAGE, description, SIZE, SIZE))  # noqa: B023  called at once
                print(f"moesaic {way}, {name}, {interpolation}: {spent:.2f} ms")


if __name__ == "__main__":
    main()
