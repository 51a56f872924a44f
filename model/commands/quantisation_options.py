"""Options, shared by several commands, for how integers are chosen."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from moesaic.errors import UserError
from moesaic.model.quantisation.settings import AUTO, EXPERT_BITS, METHODS, ROUNDINGS, PtqSettings
from moesaic.model.recipes.recipe import ModelConfiguration

if TYPE_CHECKING:
    from moesaic.model.quantisation.scales import Scales


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add the options that `settings_of` reads."""
    group = parser.add_argument_group("integers")
    default = PtqSettings()
    group.add_argument(
        "--calibration",
        choices=METHODS,
        help=f"how scales of activations are chosen: by the squared error of what reads them, or by a percentile (default"
        f" {default.method})",
    )
    group.add_argument(
        "--percentile", type=float, help=f"of values that fit (default {default.percentile:g}: all that were seen)"
    )
    group.add_argument(
        "--clip-weights", action="store_true", default=None, help="search the scale of weights by least squared error"
    )
    group.add_argument(
        "--rounding",
        choices=ROUNDINGS,
        help=f"of weights: each makes up for the errors of those before it, or to the nearest integer (default {default.rounding})",
    )
    group.add_argument(
        "--pictures",
        type=Path,
        metavar="FOLDER",
        help="calibrate on the pictures in this folder instead of the recipe's data; take some like those of use",
    )
    group.add_argument(
        "--expert-bits",
        type=_bits,
        choices=EXPERT_BITS,
        help="of the experts' weights, which DRAM holds two to a byte if they have 4; auto: 4 for the experts on which results depend"
        f" least (default {default.expert_bits})",
    )
    group.add_argument(
        "--expert-bits-loss",
        type=float,
        metavar="DB",
        help="with auto, decibels of signal to noise that 4-bit experts may take from a task's result, measured on calibration pictures"
        f" (default {default.expert_bits_loss:g})",
    )


def _bits(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def settings_of(arguments: argparse.Namespace) -> PtqSettings:
    """The settings chosen by the options, with defaults for the rest. UserError if one is invalid or would have no effect."""
    method, percentile = arguments.calibration, arguments.percentile
    bits, loss = arguments.expert_bits, arguments.expert_bits_loss
    if percentile is not None and method != "percentile":
        raise UserError(
            f"--percentile {percentile:g} is of no use with the calibration by mse: add --calibration percentile"
        )
    if loss is not None and bits != AUTO:
        raise UserError(
            f"--expert-bits-loss {loss:g} is of no use with a fixed number of bits: add --expert-bits {AUTO}"
        )
    given = {
        "method": method,
        "percentile": percentile,
        "clip_weights": arguments.clip_weights,
        "expert_bits": bits,
        "expert_bits_loss": loss,
        "rounding": arguments.rounding,
    }
    return PtqSettings(**{name: value for name, value in given.items() if value is not None})


def settings_options(arguments: argparse.Namespace) -> list[str]:
    """Those options of `add_settings` that are on the command line."""
    names = ("calibration", "percentile", "clip_weights", "expert_bits", "expert_bits_loss", "rounding", "pictures")
    return [f"--{name.replace('_', '-')}" for name in names if getattr(arguments, name) is not None]


def add_quantisation(parser: argparse.ArgumentParser) -> None:
    """Add the options of `add_settings`, and `--scales`, which replaces them by scales from fine-tuning in integers."""
    add_settings(parser)
    parser.add_argument("--scales", type=Path, help="scales that `moesaic qat` left beside the checkpoint")


def quantisation_options(arguments: argparse.Namespace) -> list[str]:
    """Those options of `add_quantisation` that are on the command line."""
    return [*settings_options(arguments), *(["--scales"] if arguments.scales else [])]


def load_scales(arguments: argparse.Namespace, configuration: ModelConfiguration) -> Scales | None:
    """The scales that `--scales` names, None without it.

    UserError if they cannot be read, or if options for choosing scales are given as well.
    """
    if arguments.scales is None:
        return None
    from moesaic.model.quantisation.scales import Scales

    if given := settings_options(arguments):
        raise UserError(
            f"{given[0]} is for choosing scales, --scales {arguments.scales} has them: leave one of them out"
        )
    return Scales.load(arguments.scales, configuration)
