"""The command line's import: a checkpoint of another program becomes one of ours."""

from __future__ import annotations

import argparse
from pathlib import Path

from moesaic.argument_types import image_size, positive
from moesaic.files import require_writable
from moesaic.model.recipes.recipe import load_recipe, recipe_names

_FORMATS = ("timm", "m3vit")
_NORMALISATIONS = ("imagenet", "half")


class ImportCommand:
    """`moesaic import`."""

    name = "import"
    help = "turn weights of timm, DeiT or upstream M3ViT into a checkpoint"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "source", type=Path, help=".safetensors or .pth file, or M3ViT's directory of ranks (0.pth, 1.pth, ...)"
        )
        parser.add_argument(
            "--format",
            choices=_FORMATS,
            required=True,
            help="timm: a vision transformer of timm or DeiT, without its classifier; m3vit: a whole model",
        )
        parser.add_argument("--recipe", required=True, help=f"{', '.join(recipe_names())} or a .toml file")
        parser.add_argument(
            "--heads",
            type=positive,
            required=True,
            help="attention heads of the source, which weights do not tell (ViT-S of M3ViT 12, DeiT-small 6)",
        )
        parser.add_argument(
            "--normalisation",
            choices=_NORMALISATIONS,
            default="imagenet",
            help="of the source's images: mean and deviation of ImageNet (default), or 0.5 (timm's augreg weights)",
        )
        parser.add_argument(
            "--grid", type=image_size, metavar="RxC", help="patches of the source's positions, if they are no square"
        )
        parser.add_argument(
            "--checkpoint", type=Path, default=Path("build/imported.safetensors"), help="where to write"
        )

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        import torch
        from rich.console import Console

        from moesaic.model.importing.foreign_checkpoint import read_foreign_checkpoint
        from moesaic.model.importing.m3vit import convert_m3vit
        from moesaic.model.importing.timm import convert_timm
        from moesaic.model.network.upcycling import initialise
        from moesaic.model.network.vit import M3ViT
        from moesaic.model.training import checkpoint

        recipe, console = load_recipe(arguments.recipe), Console()
        require_writable(arguments.checkpoint.parent)
        convert = convert_timm if arguments.format == "timm" else convert_m3vit
        weights = convert(
            read_foreign_checkpoint(arguments.source),
            recipe.model,
            heads=arguments.heads,
            normalisation=arguments.normalisation,
            grid=arguments.grid,
        )
        torch.manual_seed(recipe.training.seed)
        model = M3ViT(recipe.model)
        fresh = initialise(model, weights, seed=recipe.training.seed)
        step = 0 if fresh else recipe.training.steps  # a whole model is a trained one
        checkpoint.save(arguments.checkpoint, checkpoint.Checkpoint(recipe, step, model.state_dict(), {}))
        if fresh:
            console.print(f"not in the source, so drawn at random: {len(fresh)} weights, {fresh[0]} the first of them")
            console.print(f"checkpoint: {arguments.checkpoint} (to be trained: moesaic train --initialise-from)")
        else:
            console.print(f"checkpoint: {arguments.checkpoint} (a whole model)")
        return 0
