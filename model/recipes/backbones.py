"""Sizes of the backbones that recipes can name: the vision transformers of DeiT and M3ViT.

DeiT (Touvron et al. 2021, table 1) and M3ViT (Fan et al. 2022) differ in the number of attention heads of `small`: DeiT has 6, M3ViT
follows an earlier ViT-S with 12. The shapes of the weights do not show the number of heads, so the two have separate names. M3ViT
has 16 experts, each as wide as a token, of which 4 are active, together as wide as the dense MLP; in `tiny`, 2 experts are active and
each is twice as wide.
"""

from moesaic.errors import UserError

_EXPERTS = ("experts", "top_k", "expert_hidden")


def _backbone(width: int, heads: int, top_k: int, expert_hidden: int) -> dict[str, int]:
    return {
        "patch": 16,
        "width": width,
        "depth": 12,
        "heads": heads,
        "mlp_hidden": 4 * width,
        "experts": 16,
        "top_k": top_k,
        "expert_hidden": expert_hidden,
    }


BACKBONES = {
    "tiny": _backbone(192, 3, 2, 384),
    "small": _backbone(384, 12, 4, 384),
    "small-deit": _backbone(384, 6, 4, 384),
    "base": _backbone(768, 12, 4, 768),
}


def with_backbone(entries: dict) -> dict:
    """A recipe's model section with the sizes of the backbone that it names, if any; sizes stated in the section take precedence.

    `experts = 0` makes the backbone dense. UserError for an unknown backbone.
    """
    entries = dict(entries)
    name = entries.pop("backbone", None)
    if name is None:
        return entries
    if name not in BACKBONES:
        raise UserError(f"backbone {name!r} is unknown: choose {', '.join(BACKBONES)}")
    sizes = dict(BACKBONES[name])
    if entries.get("experts") == 0:
        sizes |= dict.fromkeys(_EXPERTS, 0)
    return sizes | entries
