"""Renaming of ViT, DeiT, DINO and DINOv2 weights from their names in Hugging Face transformers to timm's.

Files use the names of its first releases; since release 5, models in memory have different ones. Both are recognised.
"""

import re

from moesaic.model.importing.foreign_checkpoint import ForeignCheckpoint

_PATCHES = re.compile(r"embeddings\.patch_embeddings\.(?:projection\.)?weight")
_NAMES = [
    (re.compile(pattern), name)
    for pattern, name in (
        (r"^embeddings\.cls_token$", "cls_token"),
        (r"^embeddings\.distillation_token$", "dist_token"),
        (r"^embeddings\.register_tokens$", "reg_token"),
        (r"^embeddings\.mask_token$", "mask_token"),
        (r"^embeddings\.position_embeddings$", "pos_embed"),
        (r"^embeddings\.patch_embeddings\.(?:projection\.)?(?=\w+$)", "patch_embed.proj."),
        (r"^(?:encoder\.)?layers?\.(\d+)\.", r"blocks.\1."),
        (r"(?<=\.)attention\.attention\.(q)uery\.", r"attn.\1."),
        (r"(?<=\.)attention\.attention\.(k)ey\.", r"attn.\1."),
        (r"(?<=\.)attention\.attention\.(v)alue\.", r"attn.\1."),
        (r"(?<=\.)attention\.([qkv])_proj\.", r"attn.\1."),
        (r"(?<=\.)attention\.(?:output\.dense|o_proj)\.", "attn.proj."),
        (r"(?<=\.)intermediate\.dense\.", "mlp.fc1."),
        (r"(?<=\d\.)output\.dense\.", "mlp.fc2."),
        (r"(?<=\.)layernorm_before\.", "norm1."),
        (r"(?<=\.)layernorm_after\.", "norm2."),
        (r"(?<=\.)layer_scale([12])\.lambda1$", r"ls\1.gamma"),
        (r"^layernorm\.", "norm."),
    )
]


def has_transformers_names(source: ForeignCheckpoint) -> bool:
    """Whether the patch embedding has its name in transformers."""
    return any(_PATCHES.search(name) for name in source.tensors)


def rename_to_timm(source: ForeignCheckpoint) -> None:
    """Give the backbone's weights timm's names, in place; other weights, such as a classifier's, keep theirs.

    The source must have transformers' names, see `has_transformers_names`.
    """
    prefix = next(name[: match.start()] for name in source.tensors if (match := _PATCHES.search(name)))

    def new_name(name: str) -> str:
        if not name.startswith(prefix):
            return name
        name = name.removeprefix(prefix)
        for pattern, replacement in _NAMES:
            name = pattern.sub(replacement, name)
        return name

    source.rename(new_name)
