"""The command `moesaic import`."""

from __future__ import annotations

import argparse
from pathlib import Path

from moesaic.argument_types import image_size, natural, positive
from moesaic.errors import UserError
from moesaic.files import require_writable
from moesaic.model.commands.model_options import recipe_choices
from moesaic.model.recipes.recipe import load_recipe

_FORMATS = ("timm", "transformers", "deit", "dino", "dinov2", "m3vit", "onnx")
_NORMALISATIONS = ("imagenet", "half", "none")


class ImportCommand:
    """Converts another program's checkpoint to ours."""

    name = "import"
    help = "turn weights of timm, transformers, DeiT, DINO, DINOv2, upstream M3ViT or an ONNX file into a checkpoint"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "source",
            type=Path,
            help=".safetensors, .pth or .onnx file, a model directory of transformers, or M3ViT's of ranks (0.pth, 1.pth, ...)",
        )
        parser.add_argument(
            "--format",
            choices=_FORMATS,
            help="whose weights: a vision transformer of timm, transformers or the authors of DeiT, DINO or DINOv2, with its"
            " classifier; m3vit: a whole model; onnx: a vision transformer's graph (default for .onnx, else to be stated)",
        )
        parser.add_argument(
            "--recipe",
            help=f"{recipe_choices()} or a .toml file (default: the source's own sizes, its classifier or --features as tasks;"
            " m3vit needs one)",
        )
        parser.add_argument(
            "--size",
            type=image_size,
            metavar="HxW",
            help="image size without --recipe (default: that of the positions)",
        )
        parser.add_argument(
            "--features",
            type=_blocks,
            nargs="?",
            const=[None],
            metavar="BLOCKS",
            help="also give the normalised tokens of these blocks, such as 2,5,8,last (default: the last), for decoders on the"
            " host; with --backbone-only, instead of the recipe's tasks",
        )
        parser.add_argument(
            "--heads",
            type=positive,
            help="attention heads of the source, which weights do not tell (ViT-S of M3ViT 12, DeiT-small 6; default: what the"
            " config.json beside the file says)",
        )
        parser.add_argument(
            "--normalisation",
            choices=_NORMALISATIONS,
            help="of the source's images: mean and deviation of ImageNet, 0.5 (timm's augreg weights), or none (0..1); default:"
            " what the preprocessor_config.json beside the file says, else imagenet",
        )
        parser.add_argument(
            "--grid",
            type=image_size,
            metavar="RxC",
            help="patches of the source's positions, if they are no square and no config.json says so",
        )
        parser.add_argument(
            "--backbone-only",
            action="store_true",
            help="leave out the source's classifier, M3ViT's heads or what follows an ONNX graph's final norm: the recipe's heads"
            " are drawn at random",
        )
        parser.add_argument(
            "--checkpoint", type=Path, default=Path("build/imported.safetensors"), help="where to write"
        )

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        import dataclasses

        import torch
        from rich.console import Console
        from torch import Tensor

        from moesaic.model.importing.backbone import NORMALISATIONS, stated_grid, stated_normalisation
        from moesaic.model.importing.classifier import place_classifier
        from moesaic.model.importing.foreign_checkpoint import read_foreign_checkpoint
        from moesaic.model.importing.m3vit import convert_m3vit, with_features
        from moesaic.model.importing.onnx_graphs.checkpoint import read_onnx_checkpoint
        from moesaic.model.importing.plain_vit import convert_plain_vit, read_names, with_source_tokens
        from moesaic.model.importing.source_recipe import drop_blocks, feature_tasks, recipe_of_source
        from moesaic.model.network.upcycling import initialise
        from moesaic.model.network.vit import M3ViT
        from moesaic.model.training import checkpoint

        recipe, console = load_recipe(arguments.recipe) if arguments.recipe else None, Console()
        require_writable(arguments.checkpoint.parent)
        kind, backbone_only, features = _format(arguments), arguments.backbone_only, arguments.features or []
        if recipe is not None and arguments.size:
            raise UserError("--size is for imports without --recipe: leave one of them out")
        if kind == "onnx":
            size = (recipe.model.image_height, recipe.model.image_width) if recipe else arguments.size
            if size is None:
                raise UserError(f"{arguments.source} has no image size of its own: state --size or a --recipe")
            source = read_onnx_checkpoint(arguments.source, size, backbone_only)
        else:
            source = read_foreign_checkpoint(arguments.source)
        heads = _heads(arguments, source.settings)
        grid, named = arguments.grid or stated_grid(source), arguments.normalisation
        normalisation = NORMALISATIONS[named] if named else stated_normalisation(source)
        if kind == "m3vit":
            if recipe is None:
                raise UserError("the weights of M3ViT do not tell its tasks and experts: state them in a --recipe")
            if features:
                if features != [None] or not backbone_only:
                    raise UserError(
                        "features of M3ViT are those of its last block: state --backbone-only --features alone"
                    )
                recipe = dataclasses.replace(recipe, model=with_features(recipe.model))
            weights = convert_m3vit(
                source,
                recipe.model,
                heads=heads,
                normalisation=normalisation,
                grid=grid,
                backbone_only=backbone_only,
            )
        else:
            classifier = None if kind == "onnx" else read_names(source, kind, classifier=not backbone_only)
            extra = feature_tasks(source, features)
            head: dict[str, Tensor] = {}
            if recipe is None:
                tasks = ((classifier.task(),) if classifier else ()) + extra
                if not tasks:
                    raise UserError("nothing to run: the source has no classifier; state --features, or a --recipe")
                recipe = recipe_of_source(source, heads, tasks, arguments.size, grid)
                head = classifier.weights(classifier.task().name) if classifier else {}
            else:
                tasks = () if backbone_only and extra else recipe.model.tasks
                if classifier:
                    tasks, head = place_classifier(source, recipe.model, classifier)
                recipe = dataclasses.replace(recipe, model=with_source_tokens(source, recipe.model, tasks + extra))
            if arguments.recipe is None and (surplus := drop_blocks(source, recipe.model.depth)):
                console.print(f"left out: the last {surplus} blocks, which no task runs")
            weights = head | convert_plain_vit(
                source,
                recipe.model,
                heads=heads,
                library=kind,
                normalisation=normalisation,
                grid=grid,
            )
        torch.manual_seed(recipe.training.seed)
        model = M3ViT(recipe.model)
        fresh = initialise(model, weights, seed=recipe.training.seed)
        step = 0 if fresh else recipe.training.steps  # a complete model counts as trained
        checkpoint.save(arguments.checkpoint, checkpoint.Checkpoint(recipe, step, model.state_dict(), {}))
        if arguments.recipe and (prefix := recipe.model.prefix_tokens) != 1:
            console.print(f"prefix tokens: {prefix} (a recipe that starts from this needs prefix_tokens = {prefix})")
        if fresh:
            console.print(f"not in the source, so drawn at random: {len(fresh)} weights, {fresh[0]} the first of them")
            console.print(
                f"checkpoint: {arguments.checkpoint} (to be trained: moesaic train --initialise-from)", soft_wrap=True
            )
        else:
            console.print(f"checkpoint: {arguments.checkpoint} (a whole model)", soft_wrap=True)
        return 0


def _blocks(text: str) -> list[int | None]:
    """Indices of blocks, in order and each once; None for `last`."""
    return list(dict.fromkeys(None if part == "last" else natural(part) for part in text.split(",")))


def _format(arguments: argparse.Namespace) -> str:
    """The format given or, for an .onnx file, onnx. UserError if the two contradict, or neither tells."""
    is_onnx, given = arguments.source.suffix == ".onnx", arguments.format
    if given is None and not is_onnx:
        raise UserError(
            f"{arguments.source} does not tell whose weights it holds: state one of {', '.join(_FORMATS)} with --format"
        )
    if given is not None and is_onnx != (given == "onnx"):
        raise UserError(
            f"--format is {given}, the file {arguments.source}: --format onnx is for .onnx files, and no other is"
        )
    return given or "onnx"


def _heads(arguments: argparse.Namespace, settings: dict) -> int:
    """The source's number of attention heads, from the command line or the settings beside the file.

    UserError if neither states it, or if the two differ.
    """
    stated = settings.get("num_attention_heads")
    if type(stated) is not int:
        stated = None
    given = arguments.heads
    if given is not None and stated not in (None, given):
        raise UserError(f"--heads is {given}, the source's config.json says {stated}: leave --heads out")
    heads = stated if given is None else given
    if heads is None:
        raise UserError("the source's weights do not tell its attention heads: state them with --heads")
    return heads
