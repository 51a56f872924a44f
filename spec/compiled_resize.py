"""The filters of moesaic.spec.resize as compiled C++, for where there is a compiler; numpy gives the same integers without one."""

from __future__ import annotations

import ctypes
import logging
from functools import cache
from pathlib import Path

import numpy as np

from moesaic.caches import cache_directory
from moesaic.compiled_library import compile_library
from moesaic.errors import InternalError, UserError
from moesaic.spec.filter_taps import Taps

_LOG = logging.getLogger("moesaic")
_SOURCE = Path(__file__).parent / "resize.cpp"
_FLAGS = ("-std=c++14", "-O3")


class _Taps(ctypes.Structure):
    """`struct Taps` of resize.cpp."""

    _fields_ = (
        ("first", ctypes.c_void_p),
        ("count", ctypes.c_void_p),
        ("weights", ctypes.c_void_p),
        ("longest", ctypes.c_int64),
        ("size", ctypes.c_int64),
    )


def _pointers(taps: Taps) -> _Taps:
    return _Taps(taps.first.ctypes.data, taps.count.ctypes.data, taps.weights.ctypes.data, *taps.weights.shape[::-1])


class CompiledResize:
    """The library's functions. Images are uint8 (rows, columns, 3); the pixels of a row are contiguous, rows may be apart."""

    def __init__(self, library: Path) -> None:
        loaded = ctypes.CDLL(str(library))
        pointer, number = ctypes.c_void_p, ctypes.c_int64
        self._linear, self._rows, self._columns = (
            loaded.moesaic_resize_linear,
            loaded.moesaic_resize_rows_cubic,
            loaded.moesaic_resize_columns_cubic,
        )
        self._linear.argtypes = (pointer, number, number, pointer, pointer, number, pointer)
        self._rows.argtypes = self._columns.argtypes = (pointer, number, number, pointer, pointer)
        self._linear.restype = self._rows.restype = self._columns.restype = None

    def linear(self, image: np.ndarray, vertical: Taps, horizontal: Taps, wide: bool) -> np.ndarray:
        """The mean weighted along both axes. wide: sums along columns need more than 24 bits; those along both may need 53."""
        out = np.empty((len(vertical), len(horizontal), 3), np.uint8)
        down, across = _pointers(vertical), _pointers(horizontal)
        self._linear(
            image.ctypes.data, image.strides[0], image.shape[1], ctypes.byref(down), ctypes.byref(across), wide, out.ctypes.data
        )  # fmt: skip
        return out

    def cubic_rows(self, image: np.ndarray, taps: Taps) -> np.ndarray:
        """The cubic filter along the rows, rounded to 8 bits."""
        out = np.empty((len(image), len(taps), 3), np.uint8)
        self._rows(image.ctypes.data, image.strides[0], len(image), ctypes.byref(_pointers(taps)), out.ctypes.data)
        return out

    def cubic_columns(self, image: np.ndarray, taps: Taps) -> np.ndarray:
        """The cubic filter along the columns, rounded to 8 bits."""
        out = np.empty((len(taps), image.shape[1], 3), np.uint8)
        self._columns(
            image.ctypes.data, image.strides[0], image.shape[1], ctypes.byref(_pointers(taps)), out.ctypes.data
        )
        return out


@cache
def compiled_resize() -> CompiledResize | None:
    """The functions, compiled when they are first needed; None where that cannot be done, as without g++, which the log tells."""
    try:
        return CompiledResize(compile_library("resize", _SOURCE, (), _FLAGS, cache_directory("resize")))
    except (UserError, InternalError, OSError) as error:
        _LOG.info("numpy resizes images, which takes longer: %s", error)
        return None
