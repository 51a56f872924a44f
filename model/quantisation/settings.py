"""How integers are chosen, and the options of the command line for it. Without PyTorch, which takes seconds to import."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from moesaic.errors import UserError
from moesaic.spec.bundle import EXPERT_WEIGHT_BITS

METHODS = ("mse", "percentile")


@dataclass(frozen=True)
class PtqSettings:
    """How integers are chosen.

    method: of the activations' scales, "mse" for the least mean squared error, "percentile" for the magnitude that
    `percentile` percent of the values stay below. clip_weights: search a scale of least squared error for each row of
    weights, instead of its largest magnitude over the largest integer; rows of 4 bits are always searched. expert_bits: of
    the experts' weights, 8 or 4.
    """

    method: str = "mse"
    percentile: float = 99.9
    clip_weights: bool = False
    expert_bits: int = 8

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UserError(f"calibration method {self.method!r} is unknown: choose from {', '.join(METHODS)}")
        if not 50 < self.percentile <= 100:
            raise UserError(f"percentile {self.percentile:g} is not above 50 and up to 100: choose one such as 99.9")
        if self.expert_bits not in EXPERT_WEIGHT_BITS:
            choices = " or ".join(map(str, EXPERT_WEIGHT_BITS))
            raise UserError(f"expert weights of {self.expert_bits} bits are not supported: choose {choices}")


def add_settings(parser: argparse.ArgumentParser) -> None:
    """The options that `settings_of` reads."""
    group = parser.add_argument_group("integers")
    default = PtqSettings()
    group.add_argument(
        "--calibration",
        choices=METHODS,
        help=f"how scales of activations are chosen: least squared error, or a percentile (default {default.method})",
    )
    group.add_argument("--percentile", type=float, help=f"of magnitudes that fit (default {default.percentile:g})")
    group.add_argument(
        "--clip-weights", action="store_true", default=None, help="search the scale of weights by least squared error"
    )
    group.add_argument(
        "--expert-bits",
        type=int,
        choices=EXPERT_WEIGHT_BITS,
        help=f"of the experts' weights (default {default.expert_bits}; the machine does not run 4 yet)",
    )


def settings_of(arguments: argparse.Namespace) -> PtqSettings:
    """The settings that were asked for, the others by default. UserError for a percentile that is of no use."""
    method, percentile = arguments.calibration, arguments.percentile
    if percentile is not None and method != "percentile":
        raise UserError(
            f"--percentile {percentile:g} is of no use with the calibration by mse: add --calibration percentile"
        )
    given = {
        "method": method,
        "percentile": percentile,
        "clip_weights": arguments.clip_weights,
        "expert_bits": arguments.expert_bits,
    }
    return PtqSettings(**{name: value for name, value in given.items() if value is not None})


def options_given(arguments: argparse.Namespace) -> list[str]:
    """The options of `add_settings` that are on the command line."""
    names = ("calibration", "percentile", "clip_weights", "expert_bits")
    return [f"--{name.replace('_', '-')}" for name in names if getattr(arguments, name) is not None]
