"""Programs that fault, each wrong in one way only."""

from __future__ import annotations

from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.isa import Fault, Space, Unit, pack, semaphore

RUN = {"count_1": 1, "count_2": 1, "count_3": 1}
"""The counts of a transfer of one run of bytes."""
HUGE = 0xFFFF_FFF0
"""An address beyond every memory."""


def matmul(**fields: int) -> bytes:
    return pack("matmul", **{"tag": 7, "rows": 1, "columns": 1, "depth": 8, **fields})


def faults(c: HardwareConfiguration) -> dict[str, tuple[bytes, Fault, str, int]]:
    """Name to code, cause, unit and tag."""
    end = pack("end")
    load = {"tag": 7, "bytes": 16, **RUN}
    store = {"tag": 7, "bytes": 16, "space": int(Space.FRAME), **RUN}
    vector = {"tag": 7, "rows": 2, "columns": 8}
    last = c.row_entries - 2
    address, bad = Fault.ADDRESS, Fault.BAD_INSTRUCTION
    return {
        "unknown opcode": (b"\x63" + bytes(63) + end, bad, "fetch", 0),
        "program without end": (pack("load", **load), address, "fetch", 0),
        "wait for a foreign semaphore": (pack("load", wait_mask=1 << 3, **load) + end, bad, "fetch", 0),
        "signal of a foreign semaphore": (pack("load", signal_mask=1 << 5, **load) + end, bad, "fetch", 0),
        "wait that never ends": (
            matmul(wait_mask=1 << semaphore(Unit.LOAD, Unit.MATMUL)) + end, Fault.TIMEOUT, "fetch", 0,
        ),
        "queue full of waiting instructions": (
            pack("load", wait_mask=1 << semaphore(Unit.MATMUL, Unit.LOAD), **load) * (c.instruction_queue + 8) + end,
            Fault.TIMEOUT, "fetch", 0,
        ),
        "semaphore overflow": (
            pack("load", signal_mask=1 << semaphore(Unit.LOAD, Unit.MATMUL), **load) * 256 + end,
            Fault.SEMAPHORE_OVERFLOW, "load", 7,
        ),
        "load beyond the window": (pack("load", dram_offset=HUGE, **load) + end, address, "load", 7),
        "load beyond act": (pack("load", local_address=c.act_bytes, **load) + end, address, "load", 7),
        "load beyond weight": (
            pack("load", destination=1, local_address=c.weight_window_bytes, **load) + end, address, "load", 7,
        ),
        "unpacked load beyond weight": (
            pack("load", destination=1, unpack=1, **{**load, "bytes": 32}, local_address=c.weight_window_bytes - 32) + end,
            address, "load", 7,
        ),
        "load beyond the tables": (pack("load", destination=2, local_address=c.table_bytes, **load) + end, address, "load", 7),
        "load whose stride leaves the window": (
            pack("load", **{**load, "count_3": 3, "dram_stride_3": 0x8000_0000}) + end, address, "load", 7,
        ),
        "store beyond the frame": (pack("store", dram_offset=HUGE, **store) + end, address, "store", 7),
        "store beyond act": (pack("store", local_address=c.act_bytes, **store) + end, address, "store", 7),
        "matmul a beyond act": (matmul(a_address=c.act_bytes) + end, address, "matmul", 7),
        "matmul a pitch beyond act": (matmul(rows=9, a_pitch=1 << 30) + end, address, "matmul", 7),
        "matmul b beyond weight": (matmul(b_address=c.weight_window_bytes) + end, address, "matmul", 7),
        "matmul parameters beyond weight": (matmul(param_address=c.weight_window_bytes) + end, address, "matmul", 7),
        "matmul result beyond act": (matmul(d_address=c.act_bytes) + end, address, "matmul", 7),
        "matmul residual beyond act": (matmul(destination=2, d_address=c.act_bytes) + end, address, "matmul", 7),
        "matmul keys beyond weight": (matmul(destination=3, d_address=c.weight_window_bytes) + end, address, "matmul", 7),
        "matmul values beyond weight": (matmul(destination=4, d_address=c.weight_window_bytes) + end, address, "matmul", 7),
        "matmul maxima beyond the entries": (
            matmul(rows=3, destination=1, track_max=1, row_base=last) + end, address, "matmul", 7,
        ),
        "matmul scales beyond the entries": (matmul(rows=3, row_scale=1, row_base=last) + end, address, "matmul", 7),
        "layer norm source": (pack("layer_norm", source_pitch=c.act_bytes, **vector) + end, address, "vector", 7),
        "layer norm result": (
            pack("layer_norm", destination_address=c.act_bytes, **vector) + end, address, "vector", 7,
        ),
        "layer norm parameters": (pack("layer_norm", param_address=c.act_bytes, **vector) + end, address, "vector", 7),
        "softmax source": (pack("softmax", source_address=c.act_bytes, **vector) + end, address, "vector", 7),
        "softmax result": (pack("softmax", destination_pitch=c.act_bytes, **vector) + end, address, "vector", 7),
        "softmax entries": (pack("softmax", row_base=last, **{**vector, "rows": 3}) + end, address, "vector", 7),
        "route appends a token again": (
            b"".join(
                pack("route", tag=tag, rows=1, columns=2, top_k=1, first=first, append=append)
                for tag, first, append in ((1, 0, 0), (2, 1, 1), (7, 1, 1))
            ) + end, address, "route", 7,
        ),
        "layer norm parameters of no rows": (
            pack("layer_norm", param_address=c.act_bytes, **{**vector, "rows": 0}) + end, address, "vector", 7,
        ),
        "softmax entries of no rows": (
            pack("softmax", row_base=c.row_entries + 1, **{**vector, "rows": 0}) + end, address, "vector", 7,
        ),
        "route source": (pack("route", tag=7, rows=1, columns=2, top_k=1, source_address=c.act_bytes) + end, address, "route", 7),
    }  # fmt: skip
