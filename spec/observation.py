"""Where an observed program stores the results of its layers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Observation:
    """A layer's result that an observed program stores in the frame window.

    offset: bytes from the start of the frame window. pitch: bytes from row to row. shape: (rows, columns) or (heads, rows,
    columns), the rows of all heads one after the other. dtype: "int8" or "int16". group, group_pitch: if not 0, the columns form
    groups of `group` elements (attention heads), each padded to `group_pitch`; read() drops the padding, and, if there are any in
    `kept`, all columns but these.
    """

    offset: int
    pitch: int
    shape: tuple[int, ...]
    dtype: str
    group: int = 0
    group_pitch: int = 0
    kept: tuple[int, ...] = ()

    def read(self, frame: np.ndarray) -> np.ndarray:
        """The layer's result, of this shape and dtype, from a frame window, uint8 (frame_bytes,), after a run."""
        rows = int(np.prod(self.shape[:-1]))
        data = frame[self.offset : self.offset + rows * self.pitch].reshape(rows, self.pitch)
        size = np.dtype(self.dtype).itemsize
        result = np.ascontiguousarray(data[:, : self.shape[-1] * size]).view(self.dtype).reshape(self.shape)
        if self.kept:
            result = result[..., self.kept]
        if self.group:
            result = result.reshape(*self.shape[:-1], -1, self.group_pitch)[..., : self.group].reshape(
                *self.shape[:-1], -1
            )
        return result
