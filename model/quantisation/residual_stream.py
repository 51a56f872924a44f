"""The residual stream without its mean."""

from torch import Tensor


def centred(rows: Tensor) -> Tensor:
    """Values of the residual stream [..., D] without their mean over channels.

    Every reader of the stream is a layer norm, which takes the mean away: nobody needs to add it, so that it takes no range
    (Ashkboos et al. 2024, "SliceGPT", section 3.2).
    """
    return rows - rows.mean(-1, keepdim=True)
