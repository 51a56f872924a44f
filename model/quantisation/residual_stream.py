"""What the residual stream holds without its readers' noticing: the mean of each token's position embedding."""

import torch.nn.functional as F
from torch import Tensor

from moesaic.model.network.vit import M3ViT


def whole_position(model: M3ViT) -> Tensor:
    """The position embedding [T, D], with the class token in its first row if there is one."""
    if model.class_token is None:
        return model.position
    return model.position + F.pad(model.class_token[None], (0, 0, 0, len(model.position) - 1))


def position_means(model: M3ViT) -> Tensor:
    """The mean over channels of each token's position embedding, [T, 1].

    Every reader of the stream is a layer norm, which takes the mean over channels away (as Ashkboos et al. 2024, "SliceGPT", section
    3.2, use it): the integer network does not add it, so that it takes no range.
    """
    return whole_position(model).mean(-1, keepdim=True)
