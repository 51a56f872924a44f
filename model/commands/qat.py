"""The command `moesaic qat`."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from moesaic.argument_types import positive
from moesaic.errors import UserError
from moesaic.files import require_file_writable
from moesaic.model.commands.model_options import add_checkpoint, add_data_root, add_device, add_threads
from moesaic.model.commands.quantisation_options import add_settings, settings_of


def scales_path(checkpoint: Path) -> Path:
    """Path of the scales that `moesaic qat` writes beside its checkpoint."""
    return checkpoint.with_name(f"{checkpoint.stem}.scales{checkpoint.suffix}")


class QatCommand:
    """Trains a checkpoint further in integers."""

    name = "qat"
    help = "train a checkpoint on in the integers that the machine runs"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        add_checkpoint(parser, "what to start from")
        add_data_root(parser)
        add_device(parser)
        add_threads(parser)
        add_settings(parser)
        parser.add_argument(
            "--distil",
            action="store_true",
            help="learn from the network in float what it gives for pictures, without labels: those of --pictures, or the recipe's",
        )
        parser.add_argument("--steps", type=positive, default=200, help="steps to train (default 200)")
        parser.add_argument(
            "--rate",
            type=float,
            help="part of the recipe's learning rates (default 0.02); with --distil, of each tensor's size (default 2e-05)",
        )
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

        from moesaic.model.finetuning.integer_training import (
            DISTILLED_PICTURES,
            DISTILLING_RATE,
            RATE,
            distil_in_integers,
            fine_tune_in_integers,
        )
        from moesaic.model.input_pipeline.held_out import calibration_images
        from moesaic.model.quantisation.post_training import CALIBRATION_SCENES, calibrated, require_integer_form
        from moesaic.model.training import checkpoint
        from moesaic.model.training.distributed import choose_device

        torch.set_num_threads(arguments.threads)
        settings, output, console = settings_of(arguments), arguments.output, Console()
        device = choose_device(arguments.device)
        usual = DISTILLING_RATE if arguments.distil else RATE
        rate = usual if arguments.rate is None else arguments.rate
        if not 0 < rate <= 1:
            raise UserError(
                f"--rate {rate:g} is not above 0 and up to 1: choose a part of what it says, such as {usual:g}"
            )
        require_file_writable(output)
        state = checkpoint.load(arguments.checkpoint)
        exact = state.build_model().eval().to(device)
        require_integer_form(state.recipe.model)
        count = DISTILLED_PICTURES if arguments.distil else CALIBRATION_SCENES
        seen = calibration_images(state.recipe, arguments.data_root, count, arguments.pictures)
        model, scales = calibrated(exact, seen[:: -(-len(seen) // CALIBRATION_SCENES)], settings, console=console)
        columns = (TextColumn("training in integers"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, TextColumn("loss {task.fields[loss]:.3f}"), console=console) as progress:
            bar = progress.add_task("", total=arguments.steps, loss=float("nan"))

            def advance(loss: float) -> None:
                progress.update(bar, advance=1, loss=loss)

            if arguments.distil:
                distil_in_integers(
                    model, scales, seen, state.recipe, arguments.steps, teacher=exact, rate=rate, advance=advance
                )
            else:
                root = arguments.data_root
                fine_tune_in_integers(
                    model, scales, state.recipe, arguments.steps, rate=rate, data_root=root, advance=advance
                )
        scales.save(scales_path(output))
        checkpoint.save(output, dataclasses.replace(state, weights=model.state_dict(), optimizer={}, sampler={}))
        console.print(f"checkpoint: {output}, scales: {scales_path(output)}", soft_wrap=True)
        return 0
