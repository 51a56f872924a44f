"""How post-training quantisation chooses integers."""

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
