"""A frame on the page: its pictures, figures and legends, and the archive that a browser saves."""

from __future__ import annotations

import io
import json
import threading
import zipfile
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from moesaic.host.png import encode_png
from moesaic.host.result import Result
from moesaic.host.viewer.legend import legend
from moesaic.spec.build import Build
from moesaic.spec.heads import CLASSIFICATION
from moesaic.spec.pathway_names import pathway_name
from moesaic.spec.resize import resize

INPUT = "input"
"""Name of the picture of the image itself."""
_COMPRESSION = 1
_LARGEST_SHOWN = 960


class ShownFrame:
    """A frame and its results. Pictures are drawn and encoded when first asked for, once for all browsers: unwatched frames cost nothing.

    results: at least one, all of the same frame, in the order of the panels. image: the frame as its source gave it, uint8 (height,
    width, 3), RGB. age: seconds from its source to its results.
    """

    def __init__(self, build: Build, results: Sequence[Result], image: np.ndarray, age: float) -> None:
        self.age = age
        self._build, self._results, self._image = build, tuple(results), image
        self._lock = threading.Lock()

    @property
    def bytes_held(self) -> int:
        """About how much memory the frame takes."""
        return self._image.nbytes + sum(r.image.nbytes + r.raw.nbytes + r.decoded.nbytes for r in self._results)

    @property
    def content(self) -> tuple[dict, dict[str, bytes]]:
        """What the page shows: figures as JSON values, and PNG files by name: INPUT, and each pathway's."""
        with self._lock:
            return self._content

    @cached_property
    def _content(self) -> tuple[dict, dict[str, bytes]]:
        first = self._results[0]
        height, width = self._image.shape[:2]
        shrinking = max(height, width, _LARGEST_SHOWN) / _LARGEST_SHOWN
        shown = resize(self._image, max(1, round(height / shrinking)), max(1, round(width / shrinking)))
        pictures = {INPUT: encode_png(shown, _COMPRESSION)}
        pictures |= {_name(result): encode_png(result.picture, _COMPRESSION) for result in self._results}
        top, left, rows, columns = first.placement.seen
        figures = {
            "age": self.age,
            "image": [height, width],
            "seen": [top / height, left / width, rows / height, columns / width],
            "panels": [self._panel(result) for result in self._results],
        }
        return figures, pictures

    def _panel(self, result: Result) -> dict:
        """Figures of a panel.

        "cycles", "milliseconds": of the run, which gave as many results as "shared" says. "filled": the part of the picture that shows
        the image, as shares of its height and width, or None if it has no place there.
        """
        filled = None
        if result.kind != CLASSIFICATION:
            placement = result.placement
            filled = [n / whole for n, whole in zip(placement.filled, placement.size * 2)]
        return {
            "name": _name(result),
            "kind": result.kind,
            "cycles": result.counters.get("cycles"),
            "milliseconds": 1e3 * result.seconds["compute"],
            "shared": result.shared,
            "legend": legend(result, self._build.task(result.task).class_names),
            "filled": filled,
            "smooth": result.decoding != "classes",
        }

    def archive(self, about: dict) -> bytes:
        """A ZIP file of the frame: original.png, input.png (what the network saw), frame.json (`about` and the figures), and for each
        pathway NAME.png and NAME.npy, its decoded prediction."""
        figures, pictures = self.content
        placement = self._results[0].placement
        figures = {**about, **figures, "seen": dict(zip(("top", "left", "height", "width"), placement.seen))}
        files = {
            "original.png": encode_png(self._image, _COMPRESSION),
            "input.png": encode_png(self._results[0].image, _COMPRESSION),
            "frame.json": json.dumps(figures, indent=1).encode() + b"\n",
        }
        for result in self._results:
            array = io.BytesIO()
            np.save(array, result.decoded, allow_pickle=False)
            files[f"{_name(result)}.png"], files[f"{_name(result)}.npy"] = pictures[_name(result)], array.getvalue()
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=_COMPRESSION) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return content.getvalue()


def _name(result: Result) -> str:
    return pathway_name(result.task, result.pathway)
