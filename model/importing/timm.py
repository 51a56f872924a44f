"""Vision transformers of timm and DeiT: a dense backbone, without heads for our tasks."""

from torch import Tensor

from moesaic.model.importing.backbone import require_heads, take_attention, take_embedding, take_mlp, take_norm
from moesaic.model.importing.foreign_checkpoint import ForeignCheckpoint
from moesaic.model.recipes.recipe import ModelConfiguration

_CLASSIFIERS = ("head.", "head_dist.", "pre_logits.", "fc_norm.")  # of images as a whole


def convert_timm(
    source: ForeignCheckpoint,
    configuration: ModelConfiguration,
    *,
    heads: int,
    normalisation: str = "imagenet",
    grid: tuple[int, int] | None = None,
) -> dict[str, Tensor]:
    """The backbone's weights under our names, its MLPs dense, for `moesaic.model.network.upcycling.initialise`.

    heads: attention heads of the source, which its weights do not tell. normalisation, grid: see `take_embedding`. The
    classifier is left out. UserError names the first weight that is missing, of another shape or unknown.
    """
    c = configuration
    require_heads(c, heads)
    source.drop(*_CLASSIFIERS)
    weights = take_embedding(source, c, normalisation, grid)
    for block in range(c.depth):
        weights |= take_attention(source, c, block) | take_mlp(source, c, block)
    norm = take_norm(source, "norm", "norm", c.width)
    source.finish()
    return weights | norm if c.head == "light" else weights  # heads of SETR-PUP have norms of their own
