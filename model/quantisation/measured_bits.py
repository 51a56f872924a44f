"""What the choice of experts for weights of 4 bits measured, as scales and bundles keep it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MeasuredBits:
    """Figures of `moesaic.model.quantisation.bit_choice`, all in decibels, on calibration pictures and before any training in integers.

    stated: the loss that was allowed. lost: that of the chosen mix. alone: by expert, blocks.I.experts.E, how much the noise of the
    integers with 8 bits grows by what this expert alone in 4 bits adds; experts to which no token went are missing. eight_bits, mixed:
    by pathway, the result's signal to noise with all weights in 8 bits and with the chosen mix. As JSON it is the dictionary of its
    fields.
    """

    stated: float
    lost: float
    alone: dict[str, float]
    eight_bits: dict[str, float]
    mixed: dict[str, float]
