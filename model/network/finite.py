"""Weights that are no numbers, found before anything is computed with them."""

from collections.abc import Mapping

import torch
from torch import Tensor

from moesaic.errors import UserError


def require_finite(weights: Mapping[str, Tensor], what: str, remedy: str) -> None:
    """UserError that names the first weight with a value that is infinite or no number, and how many it has."""
    for name, value in weights.items():
        if not value.is_floating_point():
            continue
        wrong = value.numel() - int(torch.isfinite(value if value.itemsize > 1 else value.float()).sum())
        if wrong:
            raise UserError(
                f"{what}: weight {name} has {wrong} of {value.numel()} values that are not finite; {remedy}"
            )
