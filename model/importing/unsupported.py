"""Detection and refusal of features beyond a plain vision transformer, which the machine does not run."""

import re

from moesaic.errors import UserError
from moesaic.model.importing.foreign_checkpoint import ForeignCheckpoint

_BY_WEIGHT = [
    (re.compile(pattern), feature)
    for pattern, feature in (
        (r"\.(q_norm|k_norm|norm_q|norm_k|q_layernorm|k_layernorm|query_norm|key_norm)\.", "qk-norm"),
        (r"\.mlp\.(w12|w1|w2|w3|weights_in|weights_out|gate_proj|fc1_g|fc1_x)\.", "SwiGLU"),
        (r"(^|\.)(rope\w*|rotary\w*|freqs_cis|inv_freq|periods)(\.|$)", "rotary positions"),
        (r"patch_embed\.(backbone|conv\w*|proj\.\d+)\.", "a convolutional stem"),
        (r"(^|\.)layers\.\d+\.(blocks|downsample)\.", "windowed attention"),
        (r"relative_position|rel_pos|attention_biases", "relative positions"),
        (r"(^|\.)(norm_pre|ln_pre|pre_layrnorm|pre_layernorm)\.", "a norm before the first block"),
        (r"patch_embed\.norm\.", "a norm in the patch embedding"),
        (r"\.(attn|mlp)\.(norm|inner_attn_ln|sub_norm|ffn_ln)\.", "a norm inside attention or MLP"),
        (r"blocks\.\d+\.(attns|ffns)\.", "parallel branches in a block"),
    )
]
_BY_TYPE = {
    "beit": "relative positions",
    "data2vec-vision": "relative positions",
    "dinov3_vit": "rotary positions",
    "swin": "windowed attention",
    "swinv2": "windowed attention",
    "vitdet": "windowed attention",
}
_BY_SETTING = {
    "use_swiglu_ffn": "SwiGLU",
    "use_gated_mlp": "SwiGLU",
    "use_qk_norm": "qk-norm",
    "use_relative_position_bias": "relative positions",
    "use_relative_position_embeddings": "relative positions",
    "window_block_indices": "windowed attention",
    "residual_block_indices": "a convolutional block",
}
_ACTIVATIONS = ("gelu", None)


def refuse_unsupported(source: ForeignCheckpoint) -> None:
    """Raise UserError, which names the feature, if the source's weight names or settings show one that the machine does not run."""
    for pattern, feature in _BY_WEIGHT:
        if found := next(filter(pattern.search, source.tensors), None):
            raise _refusal(source, feature, f"weight {found}")
    settings = source.settings
    for name, feature in _BY_SETTING.items():
        if settings.get(name):
            raise _refusal(source, feature, f"{name} in config.json")
    if feature := _BY_TYPE.get(settings.get("model_type", "")):
        raise _refusal(source, feature, f"model_type {settings['model_type']} in config.json")
    if (activation := settings.get("hidden_act")) not in _ACTIVATIONS:
        raise _refusal(source, f"the activation {activation}", "hidden_act in config.json")


def refuse_unsupported_shapes(source: ForeignCheckpoint) -> None:
    """Raise UserError if the source's weights, under timm's names, show that it is not a plain vision transformer.

    The signs are an MLP whose first layer also has outputs for a gate, and a missing position embedding.
    """
    for name, up in source.tensors.items():
        down = source.tensors.get(name.replace("mlp.fc1", "mlp.fc2"))
        if not name.endswith("mlp.fc1.weight") or down is None or up.ndim != 2 or down.ndim != 2:
            continue
        if up.shape[0] == 2 * down.shape[1]:
            raise _refusal(source, "SwiGLU", f"weight {name} of {up.shape[0]} outputs for {down.shape[1]} hidden units")
    if "pos_embed" not in source.tensors and "patch_embed.proj.weight" in source.tensors:
        raise _refusal(source, "rotary or relative positions", "no weight pos_embed")


def _refusal(source: ForeignCheckpoint, feature: str, found: str) -> UserError:
    return UserError(
        f"{source.path}: the source has {feature} ({found}), which the machine does not run: choose a plain vision"
        " transformer (ViT, DeiT, DINO, DINOv2)"
    )
