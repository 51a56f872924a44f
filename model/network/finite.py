"""A check for infinite and NaN weights before anything is computed with them."""

from collections.abc import Mapping

import torch
from torch import Tensor

from moesaic.errors import UserError


def require_finite(weights: Mapping[str, Tensor], what: str, remedy: str) -> None:
    """Raise UserError if a floating-point weight has infinite or NaN values.

    The message names the first such weight and how many of its values are bad; it starts with `what` and ends with `remedy`.
    """
    for name, value in weights.items():
        if not value.is_floating_point():
            continue
        wrong = value.numel() - int(torch.isfinite(value if value.itemsize > 1 else value.float()).sum())
        if wrong:
            raise UserError(
                f"{what}: weight {name} has {wrong} of {value.numel()} values that are not finite; {remedy}"
            )
