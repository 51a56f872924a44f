"""Instructions around a random program, for machines whose memories cannot be set or read: some fill them, others store them.

Row statistics and queues are filled too; they show only through what the program does with them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.isa import PARAMETER_ENTRY, Destination, LoadDestination, Space
from moesaic.spec.legality import Fields

_IDENTITY = 32
_ONE_RUN = {"count_1": 1, "count_2": 1, "count_3": 1}


class Framing:
    """For one configuration. first_constant, first_frame: the bytes of the windows that the program itself uses.

    Attributes: constants: uint8, what lies behind them in the constant window. frame_bytes: of the whole frame window.
    """

    def __init__(self, c: HardwareConfiguration, first_constant: int, first_frame: int) -> None:
        self._c, self._first_frame = c, first_frame
        rng = np.random.default_rng(c.act_bytes)
        one = np.zeros(c.tile_columns, PARAMETER_ENTRY)
        one["multiplier"] = 1
        self._tool_bytes = 2 * _IDENTITY * _IDENTITY
        tools = np.zeros(self._tool_bytes, np.uint8)
        tools[: one.nbytes] = one.view(np.uint8)
        tools[self._tool_bytes // 2 :] = np.eye(_IDENTITY, dtype=np.uint8).reshape(-1)
        parts = [rng.integers(0, 256, size, np.uint8) for size in (c.act_bytes, c.weight_bytes, c.table_bytes)]
        self._starts = first_constant + np.cumsum([0, *(part.size for part in parts)])
        self.constants = np.concatenate([*parts, tools])
        self.frame_bytes = first_frame + c.act_bytes + c.weight_bytes
        assert one.nbytes <= min(c.shared_bytes, self._tool_bytes // 2), "no room for parameters in the shared part"
        assert self._tool_bytes + c.weight_bytes <= c.act_bytes, "no room for the weights"

    def before(self) -> Iterator[tuple[str, Fields]]:
        """Instructions that write every memory, row statistic and queue."""
        c = self._c
        sizes = (c.act_bytes, c.weight_bytes, c.table_bytes)
        for destination, size, start in zip(LoadDestination, sizes, self._starts):
            yield "load", {"destination": int(destination), "dram_offset": int(start), "bytes": size, **_ONE_RUN}
        word = c.act_word_bytes
        product = {"rows": c.row_entries, "columns": c.tile_columns, "depth": c.tile_depth, "a_pitch": word}
        scores = c.act_bytes // 2
        yield "matmul", {
            **product, "destination": int(Destination.INT16), "track_max": 1, "d_address": scores, "d_pitch": word,
            "b_stride": c.weight_word_bytes,
        }  # fmt: skip
        places = {
            "source_address": scores,
            "source_pitch": word,
            "destination_address": scores,
            "destination_pitch": word,
        }
        yield "softmax", {"rows": c.row_entries, "columns": c.tile_columns, **places}
        yield "route", {
            "rows": c.queue_tokens // 2, "columns": c.experts, "top_k": 2, "source_address": 0, "source_pitch": word,
        }  # fmt: skip

    def after(self) -> Iterator[tuple[str, Fields]]:
        """Instructions that store the activation memory and then, multiplied by one, the weight memory."""
        c, frame = self._c, {"space": int(Space.FRAME)}
        yield "store", {**frame, "dram_offset": self._first_frame, "bytes": c.act_bytes, **_ONE_RUN}
        yield "load", {"dram_offset": int(self._starts[-1]), "bytes": self._tool_bytes, **_ONE_RUN}
        columns = c.weight_bytes // _IDENTITY
        yield "matmul", {
            "rows": _IDENTITY, "columns": columns, "depth": _IDENTITY, "a_address": self._tool_bytes // 2, "a_pitch": _IDENTITY,
            "b_stride": _IDENTITY * c.tile_columns, "param_address": c.weight_bytes, "destination": int(Destination.INT8),
            "d_address": c.act_bytes - c.weight_bytes, "d_pitch": columns,
        }  # fmt: skip
        yield "store", {
            **frame, "dram_offset": self._first_frame + c.act_bytes, "local_address": c.act_bytes - c.weight_bytes,
            "bytes": c.weight_bytes, **_ONE_RUN,
        }  # fmt: skip
