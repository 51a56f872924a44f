"""Settings of post-training quantisation."""

import math
from dataclasses import dataclass

from moesaic.errors import UserError
from moesaic.spec.bundle import EXPERT_WEIGHT_BITS

METHODS = ("mse", "percentile")
FEEDBACK, NEAREST = "feedback", "nearest"
ROUNDINGS = (FEEDBACK, NEAREST)
AUTO = "auto"
EXPERT_BITS = (*EXPERT_WEIGHT_BITS, AUTO)


@dataclass(frozen=True)
class PtqSettings:
    """How integers are chosen.

    method: for the activations' scales, "mse" minimises the squared error of what reads a tensor, on pictures other than those that
    gave its range; "percentile" takes the range in which `percentile` percent of the values lie (above 50, up to 100: all of them).
    clip_weights: search for each weight row the scale with the
    least squared error, instead of dividing its largest magnitude by the largest integer; 4-bit rows are always searched.
    expert_bits: of the experts' weights, 8 or 4, or "auto": 4 in as many experts as a loss of expert_bits_loss decibels allows, see
    `moesaic.model.quantisation.bit_choice`. rounding: of weights, with "feedback" see
    `moesaic.model.quantisation.weight_rounding`, or to the "nearest" integer. UserError for any other setting.
    """

    method: str = "mse"
    percentile: float = 100.0
    clip_weights: bool = False
    expert_bits: int | str = 8
    expert_bits_loss: float = 1.0
    rounding: str = FEEDBACK

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UserError(f"calibration method {self.method!r} is unknown: choose from {', '.join(METHODS)}")
        if not 50 < self.percentile <= 100:
            raise UserError(f"percentile {self.percentile:g} is not above 50 and up to 100: choose one such as 99.99")
        if self.expert_bits not in EXPERT_BITS:
            choices = ", ".join(map(str, EXPERT_BITS))
            raise UserError(f"expert weights of {self.expert_bits} bits are not supported: choose from {choices}")
        if not 0 < self.expert_bits_loss < math.inf:
            raise UserError(
                f"a loss of {self.expert_bits_loss:g} dB for 4-bit experts is not above 0 and finite: choose one such as 1"
            )
        if self.rounding not in ROUNDINGS:
            raise UserError(f"rounding {self.rounding!r} is unknown: choose from {', '.join(ROUNDINGS)}")
