"""The function that hls4ml calls, through the entry-point group `hls4ml.backends`, in the middle of its own import."""

from __future__ import annotations

from collections.abc import Callable

from moesaic.hls.vendor.hls4ml_backend import NAME
from moesaic.hls.vendor.hls4ml_backend.backend import MoesaicBackend
from moesaic.hls.vendor.hls4ml_backend.writer import MoesaicWriter


def register(register_backend: Callable, register_writer: Callable) -> None:
    """Register the backend with hls4ml. A backend looks up its writer when it is constructed, so the writer comes first."""
    register_writer(NAME, MoesaicWriter)
    register_backend(NAME, MoesaicBackend)
