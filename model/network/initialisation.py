"""Initial weights as M3ViT's own code draws them, beside PyTorch's, with which every layer here starts.

The sources, in github.com/VITA-Group/M3ViT and github.com/laekov/fastmoe (commit 4edeccd, which its README names):
`VisionTransformerMoE.init_weights` in `models/vision_transformer_moe.py` draws linear layers from a normal distribution of deviation 0.02
and leaves the patch embedding, a convolution, as PyTorch draws it; `init_weights` in `models/vit_up_head.py` leaves the convolutions of
the heads likewise; `NoisyGate_VMoE.reset_parameters` in `models/gate_funs/noisy_gate_vmoe.py` and `FMoELinear.reset_parameters` in
`fmoe/linear.py` call `kaiming_uniform_(weight, a=sqrt(5))`, as PyTorch does for a linear layer, but with other shapes.

That function bounds a uniform distribution by 1 / sqrt(fan_in) and takes all dimensions but the first for the fan-in. A gate is stored as
[width, experts] there, so its fan-in is the number of experts instead of the width; on normalised tokens its logits have the deviation
sqrt(width / (3 * experts)), 2.83 for ViT-S with 16 experts, and the softmax is nearly all on few experts from the start. Experts are
stored as [experts, outputs, inputs], so their fan-in is outputs * inputs, and their weights are sqrt(outputs) times smaller than a
linear layer's, 19.6 times in ViT-S: they start near 0.
"""

import math

from torch import nn

from moesaic.model.network.moe import MoE
from moesaic.model.network.routers import Router
from moesaic.model.network.vit import M3ViT

_DEVIATION = 0.02  # of linear layers


def draw_as_m3vit(model: M3ViT) -> None:
    """Draw a model's weights anew, in place, from PyTorch's global generator; see above. Positions and class token stay as they are."""
    for module in model.modules():
        if isinstance(module, nn.Linear) and module is not model.patch_embedding:
            nn.init.trunc_normal_(module.weight, std=_DEVIATION)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in model.modules():  # routers are made of linear layers
        if isinstance(module, Router):
            for linear in (module.linear, module.noise_linear):
                if linear is not None:
                    bound = 1 / math.sqrt(linear.out_features)
                    nn.init.uniform_(linear.weight, -bound, bound)
        elif isinstance(module, MoE):
            for weight in (module.up_weight, module.down_weight):
                bound = 1 / math.sqrt(weight[0].numel())
                nn.init.uniform_(weight, -bound, bound)
