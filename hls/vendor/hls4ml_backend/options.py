"""Checks this backend's options of `convert_from_onnx_model` and makes hls4ml's configuration from them."""

from __future__ import annotations

import math

from moesaic.errors import UserError
from moesaic.spec.board import Board, board_of
from moesaic.spec.clock import CLOCK_MHZ
from moesaic.spec.configuration import HardwareConfiguration, load_configuration

OPTIONS = ("configuration", "task", "part", "board", "clock_period", "io_type")
_IO_TYPE = "io_parallel"


def initial_config(options: dict) -> dict:
    """hls4ml's configuration with this backend's entries: Configuration, Task, Part, ClockPeriod (ns).

    options: by name, see OPTIONS and `MoesaicBackend.create_initial_config`; None means not given.

    Raises UserError for an unknown option, a part or board that is not the hardware configuration's, an io_type other than
    io_parallel, or a clock_period that is not positive.
    """
    for name in options:
        if name not in OPTIONS:
            raise UserError(f"backend moesaic has no option {name!r}; it takes {', '.join(OPTIONS)}")
    given = {name: value for name, value in options.items() if value is not None}
    configuration = load_configuration(given.get("configuration", "tiny"))
    board = board_of(configuration)
    _check_part(configuration, board, given.get("part"))
    _check_board(configuration, board, given.get("board"))
    _check_io_type(given.get("io_type", _IO_TYPE))
    return {
        "Configuration": str(given.get("configuration", "tiny")),
        "Task": _names(given.get("task", ())),
        "Part": board.part,
        "ClockPeriod": _clock_period(given.get("clock_period", 1000 / CLOCK_MHZ)),
        "HLSConfig": {},
    }


def _check_part(configuration: HardwareConfiguration, its: Board, part: str | None) -> None:
    known = (its.part, its.device_name)
    if part is not None and part.lower() not in (name.lower() for name in known):
        raise UserError(
            f"part {part}: configuration {configuration.name} is for {known[0]}; leave part out, or name a configuration for it"
        )


def _check_board(configuration: HardwareConfiguration, its: Board, board: str | None) -> None:
    if board is not None and board.lower() not in (its.board_part, its.name):
        raise UserError(
            f"board {board}: configuration {configuration.name} is for {its.name}; leave board out, or name a"
            " configuration for it"
        )


def _check_io_type(io_type: str) -> None:
    """io_parallel, hls4ml's default, has no effect here; a user who asks for streams expects a different interface."""
    if io_type != _IO_TYPE:
        raise UserError(
            f"io_type {io_type}: the accelerator takes whole images from DRAM and has no streams; leave io_type out, or give {_IO_TYPE}"
        )


def _names(task: str | list[str] | tuple[str, ...]) -> list[str]:
    return [task] if isinstance(task, str) else list(task)


def _clock_period(period: object) -> float:
    if not isinstance(period, int | float) or not 0 < period < math.inf:
        raise UserError(f"clock_period is {period!r}, it must be a positive number of nanoseconds")
    return float(period)
