"""Plain vision transformers from other libraries: a dense backbone, without heads for our tasks."""

import dataclasses

from torch import Tensor

from moesaic.errors import UserError
from moesaic.model.importing.backbone import (
    PLAIN,
    PositionResampling,
    count_prefix_tokens,
    fuse_query_key_value,
    require_heads,
    take_attention,
    take_embedding,
    take_mlp,
    take_norm,
)
from moesaic.model.importing.classifier import Classifier, take_classifier
from moesaic.model.importing.foreign_checkpoint import ForeignCheckpoint
from moesaic.model.importing.transformers_names import has_transformers_names, rename_to_timm
from moesaic.model.importing.unsupported import refuse_unsupported, refuse_unsupported_shapes
from moesaic.model.recipes.recipe import ModelConfiguration, TaskConfiguration

LIBRARIES = ("timm", "transformers", "deit", "dino", "dinov2")
"""The libraries whose files can be read; deit, dino and dinov2 are the authors' own files, which use timm's names."""

_ANTIALIASED, _WITH_OFFSET = PositionResampling(antialias=True), PositionResampling(offset=0.1)
_HEADS = ("head.", "head_dist.", "pre_logits.", "fc.", "attn_pool.")  # of whole images
_HEADS += ("classifier.", "cls_classifier.", "distillation_classifier.")
_BESIDE_HEADS = ("mask_token", "pooler.", "fc_norm.")  # no part of a head that runs, or taken with it
_PATCHES = "patch_embed.proj.weight"


def resampling_of(library: str, registers: bool) -> PositionResampling:
    """How a library interpolates positions; DINOv2 networks with registers do it differently from those without."""
    if library == "timm" or (registers and library in ("transformers", "dinov2")):
        return _ANTIALIASED
    return _WITH_OFFSET if library in ("dino", "dinov2") else PLAIN


def read_names(source: ForeignCheckpoint, library: str, classifier: bool = False) -> Classifier | None:
    """Give the backbone's weights timm's names, in place, whatever prefix they have; returns the source's classifier, if wanted.

    Whole-image classifiers and mask tokens are taken out. A norm that the source applies to the mean of all tokens becomes the norm of
    every token. UserError if the names are transformers' but `library` is another, if the source is more than a plain vision
    transformer, or if a classifier that is wanted, or another head in its place, cannot run.
    """
    refuse_unsupported(source)
    theirs = has_transformers_names(source)
    if theirs and library != "transformers":
        raise UserError(
            f"{source.path}: the names of its weights are transformers': import it with --format transformers"
        )
    if theirs:
        rename_to_timm(source)
    else:
        _unwrap(source)
    source.rename(lambda name: name.replace(".gamma_1", ".ls1.gamma").replace(".gamma_2", ".ls2.gamma"))
    source.rename(lambda name: {"register_tokens": "reg_token", "storage_tokens": "reg_token"}.get(name, name))
    refuse_unsupported_shapes(source)
    found = take_classifier(source) if classifier else None
    if "norm.weight" not in source.tensors:
        source.rename(lambda name: name.removeprefix("fc_") if name.startswith("fc_norm.") else name)
    if classifier and (left := next((name for name in source.tensors if name.startswith(_HEADS)), None)):
        raise UserError(
            f"{source.path}: the source has a head that is no linear layer of pooled tokens ({left}), which the machine does not"
            " run: leave it out with --backbone-only"
        )
    source.drop(*_BESIDE_HEADS, *_HEADS)
    return found


def _unwrap(source: ForeignCheckpoint) -> None:
    """Remove from all names the prefix of the patch embedding's name, such as "backbone."."""
    prefix = next((name.removesuffix(_PATCHES) for name in source.tensors if name.endswith(f".{_PATCHES}")), "")
    source.rename(lambda name: name.removeprefix(prefix))


def with_source_tokens(
    source: ForeignCheckpoint, c: ModelConfiguration, tasks: tuple[TaskConfiguration, ...] | None = None
) -> ModelConfiguration:
    """The configuration with the source's number of prefix tokens and, if its settings state it, its norm epsilon.

    tasks: those of the new configuration, by default its own.
    """
    epsilon = source.settings.get("layer_norm_eps", c.norm_epsilon)
    tasks = c.tasks if tasks is None else tasks
    return dataclasses.replace(c, prefix_tokens=count_prefix_tokens(source), norm_epsilon=epsilon, tasks=tasks)


def convert_plain_vit(
    source: ForeignCheckpoint,
    configuration: ModelConfiguration,
    *,
    heads: int,
    library: str = "timm",
    grid: tuple[int, int] | None = None,
) -> dict[str, Tensor]:
    """The backbone's weights, float32 by our names and with dense MLPs, for `moesaic.model.network.upcycling.initialise`.

    source: with timm's names, see `read_names`. heads: the source's number of attention heads, which its weights do not show.
    library: one of LIBRARIES; it decides how positions are interpolated. grid: see `take_embedding`. UserError if the
    number of heads is not the recipe's, or if a weight is missing, of another shape or unknown.
    """
    c = configuration
    require_heads(c, heads)
    resampling = resampling_of(library, registers="reg_token" in source.tensors)
    fuse_query_key_value(source, range(c.depth))
    weights = take_embedding(source, c, grid, resampling)
    for block in range(c.depth):
        weights |= take_attention(source, c, block) | take_mlp(source, c, block)
    norm = take_norm(source, "norm", "norm", c.width)
    source.finish()
    return weights | norm if c.head == "light" else weights  # heads of SETR-PUP have norms of their own
