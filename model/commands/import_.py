"""The command `moesaic import`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from moesaic.argument_types import image_size, natural, positive, share, three_numbers
from moesaic.errors import UserError
from moesaic.files import require_file_writable
from moesaic.model.commands.model_options import add_data_root, recipe_choices
from moesaic.model.commands.qat import scales_path
from moesaic.model.recipes.recipe import Recipe, load_recipe
from moesaic.spec.input_description import INTERPOLATIONS, MINUS_ONE_TO_ONE, RESIZES, InputDescription

if TYPE_CHECKING:
    from rich.console import Console
    from torch import Tensor

    from moesaic.model.importing.foreign_checkpoint import ForeignCheckpoint
    from moesaic.model.importing.onnx_graphs.file_ranges import FileRange
    from moesaic.model.network.vit import M3ViT

_FORMATS = ("timm", "transformers", "deit", "dino", "dinov2", "m3vit", "onnx")
_NORMALISATIONS = ("imagenet", "half", "none")
_OF_INPUT = ("mean", "deviation", "resize", "crop_ratio", "interpolation")


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
            help="--mean and --deviation by name: ImageNet's, 0.5 (timm's augreg weights), or none (0..1)",
        )
        group = parser.add_argument_group(
            "what the source takes as its image",
            "default: what the recipe's [model.input] says, else the preprocessor_config.json or timm's config.json beside the"
            " file, else what the source's authors published",
        )
        for name, channels in (("mean", "R,G,B"), ("deviation", "R,G,B")):
            group.add_argument(
                f"--{name}", type=three_numbers, metavar=channels, help=f"{name} of pixels in 0..1, such as 0.5,0.5,0.5"
            )
        group.add_argument("--resize", choices=RESIZES, help="how an image gets to the network's size")
        group.add_argument(
            "--crop-ratio",
            type=share,
            metavar="SHARE",
            help="share of the resized image that the network sees, such as 0.875",
        )
        group.add_argument("--interpolation", choices=INTERPOLATIONS, help="of resizing")
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
            "--checkpoint",
            type=Path,
            default=Path("build/imported.safetensors"),
            help="where to write; the scales of a quantised graph go beside it, for `moesaic export --scales`",
        )
        add_data_root(parser)
        parser.add_argument(
            "--pictures",
            type=Path,
            metavar="FOLDER",
            help="calibrate what a quantised graph does not state on the pictures in this folder instead of the recipe's data",
        )

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        import dataclasses

        import torch
        from rich.console import Console

        from moesaic.model.importing.backbone import stated_grid
        from moesaic.model.importing.foreign_checkpoint import read_foreign_checkpoint
        from moesaic.model.importing.m3vit import segmentation_classes
        from moesaic.model.importing.onnx_graphs.checkpoint import OnnxCheckpoint, read_onnx_checkpoint
        from moesaic.model.importing.source_input import source_input
        from moesaic.model.importing.source_recipe import RECIPE_DATA
        from moesaic.model.network.initialisation import draw_as_m3vit
        from moesaic.model.network.upcycling import initialise
        from moesaic.model.network.vit import M3ViT
        from moesaic.model.training import checkpoint

        recipe, console = load_recipe(arguments.recipe) if arguments.recipe else None, Console()
        require_file_writable(arguments.checkpoint)
        kind = _format(arguments)
        if recipe is not None and arguments.size:
            raise UserError("--size is for imports without --recipe: leave one of them out")
        if kind == "onnx":
            size = (recipe.model.image_height, recipe.model.image_width) if recipe else arguments.size
            source = read_onnx_checkpoint(arguments.source, size, arguments.backbone_only)
        else:
            source = read_foreign_checkpoint(arguments.source)
        ranges = source.ranges if isinstance(source, OnnxCheckpoint) else {}
        if arguments.pictures and not ranges:
            raise UserError(
                f"--pictures is for quantised graphs, {arguments.source} is none: leave it out, `moesaic export` takes it"
            )
        heads = _heads(arguments, source.settings)
        grid, given = arguments.grid or stated_grid(source), _given_input(arguments)
        described, origin = recipe.model.input if recipe else MINUS_ONE_TO_ONE, "the recipe's"
        if described == MINUS_ONE_TO_ONE:
            data = recipe.data if recipe else RECIPE_DATA
            found = source_input(source, kind, data.name, segmentation_classes(source))
            described, origin = found.description, found.origin
        described = dataclasses.replace(described, **given)
        if recipe is not None:
            recipe = dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, input=described))
        origin += ", but for the options given" if given else ""
        console.print(f"input: {described.formula}; {described.geometry} ({origin})", soft_wrap=True, markup=False)
        if kind == "m3vit":
            recipe, weights = _convert_m3vit(arguments, source, recipe, heads, grid)
        else:
            recipe, weights = _convert_plain_vit(arguments, source, kind, recipe, heads, grid, described, console)
        torch.manual_seed(recipe.training.seed)
        model = M3ViT(recipe.model)
        if recipe.training.initialisation == "m3vit":
            draw_as_m3vit(model)
        fresh = initialise(model, weights, seed=recipe.training.seed, upcycle=recipe.training.upcycle)
        step = 0 if fresh else recipe.training.steps  # a complete model counts as trained
        if ranges:
            _write_scales(arguments, recipe, model, ranges, console)
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


def _convert_m3vit(
    arguments: argparse.Namespace,
    source: ForeignCheckpoint,
    recipe: Recipe | None,
    heads: int,
    grid: tuple[int, int] | None,
) -> tuple[Recipe, dict[str, Tensor]]:
    """The recipe of the network and its weights, from upstream M3ViT."""
    import dataclasses

    from moesaic.model.importing.m3vit import convert_m3vit, with_features, with_source_outputs

    backbone_only, features = arguments.backbone_only, arguments.features
    if recipe is None:
        raise UserError("the weights of M3ViT do not tell its tasks and experts: state them in a --recipe")
    if features and not backbone_only:
        raise UserError("features of M3ViT take the place of its decoders: state --backbone-only, too")
    model = recipe.model
    if features:
        model = with_features(model, features)
    elif not backbone_only:
        model = with_source_outputs(model)
    weights = convert_m3vit(source, model, heads=heads, grid=grid, backbone_only=backbone_only)
    return dataclasses.replace(recipe, model=model), weights


def _convert_plain_vit(
    arguments: argparse.Namespace,
    source: ForeignCheckpoint,
    kind: str,
    recipe: Recipe | None,
    heads: int,
    grid: tuple[int, int] | None,
    described: InputDescription,
    console: Console,
) -> tuple[Recipe, dict[str, Tensor]]:
    """The recipe of the network and its weights, from a plain vision transformer. described: the source's input."""
    import dataclasses

    from moesaic.model.importing.classifier import place_classifier
    from moesaic.model.importing.onnx_graphs.checkpoint import OnnxCheckpoint
    from moesaic.model.importing.plain_vit import convert_plain_vit, read_names, with_source_tokens
    from moesaic.model.importing.source_recipe import drop_blocks, feature_tasks, recipe_of_source

    if isinstance(source, OnnxCheckpoint):
        classifier = source.classifier
    else:
        classifier = read_names(source, kind, classifier=not arguments.backbone_only)
    extra = feature_tasks(source, arguments.features or [])
    head: dict[str, Tensor] = {}
    if recipe is None:
        tasks = ((classifier.task(),) if classifier else ()) + extra
        if not tasks:
            raise UserError("nothing to run: the source has no classifier; state --features, or a --recipe")
        recipe = recipe_of_source(source, heads, tasks, described, arguments.size, grid)
        head = classifier.weights(classifier.task().name) if classifier else {}
        if surplus := drop_blocks(source, recipe.model.depth):
            console.print(f"left out: the last {surplus} blocks, which no task runs")
    else:
        tasks = () if arguments.backbone_only and extra else recipe.model.tasks
        if classifier:
            tasks, head = place_classifier(source, recipe.model, classifier)
        recipe = dataclasses.replace(recipe, model=with_source_tokens(source, recipe.model, tasks + extra))
    weights = convert_plain_vit(source, recipe.model, heads=heads, library=kind, grid=grid)
    return recipe, head | weights


def _blocks(text: str) -> list[int | None]:
    """Indices of blocks, in order and each once; None for `last`."""
    return list(dict.fromkeys(None if part == "last" else natural(part) for part in text.split(",")))


def _write_scales(
    arguments: argparse.Namespace, recipe: Recipe, model: M3ViT, ranges: dict[str, FileRange], console: Console
) -> None:
    """Write the scales that a quantised graph's ranges give beside the checkpoint, and say which others are calibrated."""
    from moesaic.model.importing.onnx_graphs.file_ranges import points_of, with_file_ranges
    from moesaic.model.input_pipeline.held_out import calibration_images
    from moesaic.model.quantisation.post_training import (
        CALIBRATION_SCENES,
        DEFAULT_PTQ,
        require_integer_form,
        scales_for,
    )

    require_integer_form(recipe.model)
    seen = calibration_images(recipe, arguments.data_root, CALIBRATION_SCENES, arguments.pictures)
    scales = with_file_ranges(scales_for(model.eval(), seen, DEFAULT_PTQ), ranges)
    path = scales_path(arguments.checkpoint)
    scales.save(path)
    points, where = points_of(recipe.model.depth), "" if arguments.pictures else " of the recipe"
    others = [point for point in points if point not in ranges]
    console.print(
        f"scales: {path}, {len(points) - len(others)} of {len(points)} from the graph's ranges", soft_wrap=True
    )
    if others:
        console.print(f"calibrated on {len(seen)} images{where}, since the graph states no range: {', '.join(others)}")
    console.print(
        f"calibrated likewise, for the heads as they are now: outputs of {', '.join(recipe.model.task_names)}"
    )


def _given_input(arguments: argparse.Namespace) -> dict:
    """The entries of an input description that are on the command line; UserError if a normalisation is given twice."""
    from moesaic.model.importing.source_input import NORMALISATIONS

    given = {name: getattr(arguments, name) for name in _OF_INPUT if getattr(arguments, name) is not None}
    if (named := arguments.normalisation) is None:
        return given
    if given.keys() & {"mean", "deviation"}:
        raise UserError(f"--normalisation {named} states mean and deviation: leave --mean and --deviation out")
    return given | {"mean": NORMALISATIONS[named].mean, "deviation": NORMALISATIONS[named].deviation}


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
