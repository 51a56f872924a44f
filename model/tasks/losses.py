"""The losses of the project's tasks; `moesaic.model.tasks.definitions` has the weights, for rendered scenes and from the multi-task papers.

Every dense loss takes a prediction [B, C, h, w] and a target [B, h, w] or [B, h, w, 3]; `moesaic.model.tasks.targets` defines targets
and invalid pixels. A loss is a float32 scalar, computed in float32 whatever the prediction's dtype. Its mean leaves invalid pixels
out; with no valid pixel it is 0 with a zero gradient.

The papers' losses and weights are those of ASTMT (Maninis et al., Attentive Single-Tasking of Multiple Tasks, CVPR 2019), MTI-Net
(Vandenhende et al., ECCV 2020) and M3ViT (Fan et al., NeurIPS 2022), taken from their code: `losses/loss_functions.py`,
`utils/common_config.py` and `configs/` in github.com/SimonVandenhende/Multi-Task-Learning-PyTorch and github.com/VITA-Group/M3ViT.
PASCAL-Context: segmentation 1, parts 2, saliency 5, edges 50, normals 10. NYUD-v2: segmentation 1, depth 1, normals 10, edges 50.
MTAN (Liu et al., CVPR 2019, `im2im_pred/utils.py` in github.com/lorenmt/mtan) and LibMTL take cross-entropy, L1 and the cosine,
each with weight 1. There are two differences from the former. That code counts invalid saliency pixels as salient, and it divides
the two binary losses by the number of all pixels, not only the valid ones. Its network outputs depth itself; one whose
`OutputDescription` says so has the same L1 loss with the same gradient, while one that outputs a logarithm, as by default, has a
gradient that grows with the predicted depth.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from moesaic.model.tasks.targets import INVALID_CLASS, INVALID_LABEL
from moesaic.spec.output_description import USUAL_OUTPUT, OutputDescription

NEAREST = 0.1
"""Metres below which the logarithm of a linear depth output is continued by its tangent."""
EDGE_WEIGHT = 0.95
"""Weight of edge pixels in the edges loss; all other pixels weigh 1 - EDGE_WEIGHT (`edge_w` in the papers' code)."""


def _mean(values: Tensor, valid: Tensor) -> Tensor:
    """Mean of the values at valid elements, both tensors [...]; 0 if there are none."""
    return torch.where(valid, values, 0).sum() / valid.sum().clamp(min=1)


def class_cross_entropy(prediction: Tensor, target: Tensor) -> Tensor:
    """Softmax cross-entropy. prediction [B, classes, h, w] logits, target integers [B, h, w]."""
    valid = (target != INVALID_LABEL).sum().clamp(min=1)
    return F.cross_entropy(prediction.float(), target.long(), ignore_index=INVALID_LABEL, reduction="sum") / valid


def _balanced_cross_entropy(prediction: Tensor, target: Tensor, positive: Tensor | float) -> Tensor:
    """Mean binary cross-entropy of a sigmoid; pixels of class 1 weigh `positive`, those of class 0 weigh 1 - `positive`."""
    label = (target == 1).float()
    entropy = F.binary_cross_entropy_with_logits(prediction[:, 0].float(), label, reduction="none")
    return _mean(torch.where(target == 1, positive, 1 - positive) * entropy, target != INVALID_LABEL)


def saliency_cross_entropy(prediction: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy in which each class is weighted by the other class's share of the batch's valid pixels.

    Xie and Tu, Holistically-Nested Edge Detection, ICCV 2015, equation 2, divided by the number of valid pixels.
    prediction [B, 1, h, w] logits, target uint8 [B, h, w].
    """
    valid = target != INVALID_LABEL
    return _balanced_cross_entropy(prediction, target, _mean((target == 0).float(), valid))


def edges_cross_entropy(prediction: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy with fixed weights, see EDGE_WEIGHT. prediction [B, 1, h, w] logits, target uint8 [B, h, w]."""
    return _balanced_cross_entropy(prediction, target, EDGE_WEIGHT)


def depth_log_l1(prediction: Tensor, target: Tensor, output: OutputDescription = USUAL_OUTPUT) -> Tensor:
    """L1 distance between logarithms of depth. prediction [B, 1, h, w] as `output` says, target [B, h, w] in metres.

    The logarithm of a linear output below NEAREST metres is continued by its tangent, which is defined at zero and below.
    """
    valid, unit, shown = target > 0, output.metres_per_unit, prediction[:, 0].float()
    if output.encoding == "linear":
        shown = shown * (unit / NEAREST)
        shown = torch.where(shown < 1, shown - 1, torch.log(shown.clamp(min=1))) + math.log(NEAREST / unit)
    return _mean((shown - torch.log(torch.where(valid, target, unit) / unit)).abs(), valid)


def depth_l1(prediction: Tensor, target: Tensor, output: OutputDescription = USUAL_OUTPUT) -> Tensor:
    """L1 distance between depths in metres. prediction [B, 1, h, w] as `output` says, target [B, h, w] in metres."""
    shown = prediction[:, 0].float()
    shown = output.metres_per_unit * (shown.exp() if output.encoding == "log" else shown)
    return _mean((shown - target).abs(), target > 0)


def _in_our_axes(prediction: Tensor, output: OutputDescription) -> Tensor:
    """Vectors [B, 3, h, w] with x right, y down, z into the picture, float32, from a prediction whose channels point as `output` says."""
    if output.axes == USUAL_OUTPUT.axes:
        return prediction.float()
    return torch.einsum(
        "dc,bchw->bdhw", torch.from_numpy(output.axis_matrix).to(prediction.device).float(), prediction.float()
    )


def normals_cosine(prediction: Tensor, target: Tensor, output: OutputDescription = USUAL_OUTPUT) -> Tensor:
    """Mean of 1 - cosine of the angle between normals.

    prediction [B, 3, h, w] of any length, with axes as `output` says, target unit vectors [B, h, w, 3].
    """
    prediction, valid = _in_our_axes(prediction, output), (target != 0).any(-1)
    length = prediction.square().sum(1).add(1e-12).sqrt()
    cosine = (prediction * target.permute(0, 3, 1, 2)).sum(1) / length
    return valid.any().float() - _mean(cosine, valid)


def normals_l1(prediction: Tensor, target: Tensor, output: OutputDescription = USUAL_OUTPUT) -> Tensor:
    """Mean absolute difference over pixels and axes, the prediction scaled to unit length.

    prediction [B, 3, h, w] of any length, with axes as `output` says, target unit vectors [B, h, w, 3].
    """
    prediction, valid = _in_our_axes(prediction, output), (target != 0).any(-1)
    length = prediction.square().sum(1, keepdim=True).add(1e-12).sqrt()
    return _mean((prediction / length - target.permute(0, 3, 1, 2)).abs().mean(1), valid)


def image_cross_entropy(prediction: Tensor, target: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Softmax cross-entropy of whole images. prediction [B, classes] logits, target integers [B].

    label_smoothing: part of the target's probability that is spread evenly over all classes (Szegedy et al., CVPR 2016, section 7).
    """
    valid = (target != INVALID_CLASS).sum().clamp(min=1)
    options = {"ignore_index": INVALID_CLASS, "reduction": "sum", "label_smoothing": label_smoothing}
    return F.cross_entropy(prediction.float(), target.long(), **options) / valid


@dataclass(frozen=True)
class WeightedLoss:
    """A loss and its weight in the sum over tasks that training minimises."""

    function: Callable[..., Tensor]
    weight: float = 1.0


def loss_sets(scenes: WeightedLoss, papers: WeightedLoss, mtan: WeightedLoss | None = None) -> dict[str, WeightedLoss]:
    """A kind's losses by the name of the set: for the rendered scenes, as in the papers, and as in MTAN and LibMTL on NYUv2."""
    return {"scenes": scenes, "papers": papers} | ({} if mtan is None else {"mtan": mtan})
