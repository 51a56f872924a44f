"""The commands `moesaic sensitivity` and `moesaic qat`."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from moesaic.argument_types import positive
from moesaic.errors import UserError
from moesaic.files import require_writable, write_file
from moesaic.model.commands.model_options import add_checkpoint, add_data_root, add_device, add_threads
from moesaic.model.quantisation.settings import add_settings, settings_of

if TYPE_CHECKING:
    from moesaic.model.network.vit import M3ViT
    from moesaic.model.quantisation.scales import Scales
    from moesaic.model.quantisation.settings import PtqSettings
    from moesaic.model.recipes.recipe import Recipe

_HELD_OUT = 32


def scales_path(checkpoint: Path) -> Path:
    """Where `moesaic qat` leaves the scales of the checkpoint that it writes."""
    return checkpoint.with_name(f"{checkpoint.stem}.scales{checkpoint.suffix}")


def _add_model(parser: argparse.ArgumentParser, what: str) -> None:
    add_checkpoint(parser, what)
    add_data_root(parser)
    add_device(parser)
    add_threads(parser)
    add_settings(parser)


def _choose_scales(model: M3ViT, recipe: Recipe, data_root: Path | None, settings: PtqSettings) -> Scales:
    """The scales of a model as `moesaic export` would choose them. UserError if it has no integer form."""
    from moesaic.model.data.image_sources import calibration_images
    from moesaic.model.export import CALIBRATION_SCENES, require_light_head
    from moesaic.model.quantisation.calibration import calibrate
    from moesaic.model.quantisation.scales import choose_scales

    require_light_head(recipe.model)
    seen = calibration_images(recipe, data_root, CALIBRATION_SCENES)
    return choose_scales(calibrate(model, seen), model.configuration, settings)


class SensitivityCommand:
    """A checkpoint with each of its layers in integers."""

    name = "sensitivity"
    help = "measure what each layer loses in integers, as a table and a chart"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        _add_model(parser, "what to measure")
        parser.add_argument(
            "--level",
            choices=("block", "layer"),
            default="block",
            help="attention and MLP, or each layer (default block)",
        )
        parser.add_argument(
            "--mode",
            choices=("alone", "without"),
            default="alone",
            help="each group alone in integers, or all but that one (default alone)",
        )
        parser.add_argument(
            "--samples", type=positive, default=_HELD_OUT, help=f"held-out samples (default {_HELD_OUT})"
        )
        parser.add_argument("--output", type=Path, default=Path("build/sensitivity"), help="directory to write")

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        import torch
        from rich.console import Console

        from moesaic.model.data.image_sources import open_validation
        from moesaic.model.quantisation.sensitivity import measure_sensitivity
        from moesaic.model.quantisation.sensitivity_page import chart, markdown, rich_table
        from moesaic.model.training import checkpoint
        from moesaic.model.training.distributed import choose_device

        torch.set_num_threads(arguments.threads)
        settings, root, console = settings_of(arguments), arguments.data_root, Console()
        device = choose_device(arguments.device)
        require_writable(arguments.output)
        state = checkpoint.load(arguments.checkpoint)
        recipe, model = state.recipe, state.build_model().eval().to(device)
        recipe = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, validation=arguments.samples))
        scales = _choose_scales(model, recipe, root, settings)
        held_out = open_validation(recipe, root)
        found = measure_sensitivity(
            model, scales, held_out, level=arguments.level, mode=arguments.mode, console=console
        )
        console.print(rich_table(found))
        write_file(arguments.output / "sensitivity.svg", chart(found).encode())
        write_file(arguments.output / "sensitivity.md", markdown(found).encode())
        console.print(f"sensitivity: {arguments.output / 'sensitivity.md'}")
        return 0


class QatCommand:
    """A checkpoint trained on in integers."""

    name = "qat"
    help = "train a checkpoint on in the integers that the machine runs"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        _add_model(parser, "what to start from")
        parser.add_argument("--steps", type=positive, default=200, help="steps to train (default 200)")
        parser.add_argument("--rate", type=float, help="part of the recipe's learning rates (default 0.02)")
        parser.add_argument(
            "--output",
            type=Path,
            default=Path("build/model.qat.safetensors"),
            help="checkpoint to write; its scales go beside it, for `moesaic export --scales`",
        )

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        import torch
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        from moesaic.model.quantisation.finetune import RATE, finetune_integers
        from moesaic.model.training import checkpoint
        from moesaic.model.training.distributed import choose_device

        torch.set_num_threads(arguments.threads)
        settings, output, console = settings_of(arguments), arguments.output, Console()
        device = choose_device(arguments.device)
        rate = RATE if arguments.rate is None else arguments.rate
        if not 0 < rate <= 1:
            raise UserError(f"--rate {rate:g} is not above 0 and up to 1: choose a part of the recipe's learning rates")
        require_writable(output.parent)
        state = checkpoint.load(arguments.checkpoint)
        model = state.build_model().eval().to(device)
        scales = _choose_scales(model, state.recipe, arguments.data_root, settings)
        columns = (TextColumn("training in integers"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, TextColumn("loss {task.fields[loss]:.3f}"), console=console) as progress:
            bar = progress.add_task("", total=arguments.steps, loss=float("nan"))
            finetune_integers(
                model,
                scales,
                state.recipe,
                arguments.steps,
                rate=rate,
                data_root=arguments.data_root,
                advance=lambda loss: progress.update(bar, advance=1, loss=loss),
            )
        scales.save(scales_path(output))
        checkpoint.save(output, dataclasses.replace(state, weights=model.state_dict(), optimizer={}, sampler={}))
        console.print(f"checkpoint: {output}, scales: {scales_path(output)}")
        return 0
