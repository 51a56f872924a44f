"""The command `moesaic sensitivity`."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from moesaic.argument_types import positive
from moesaic.files import require_writable, write_file
from moesaic.model.commands.model_options import add_checkpoint, add_data_root, add_device, add_threads
from moesaic.model.commands.quantisation_options import add_settings, settings_of

_HELD_OUT = 32


class SensitivityCommand:
    """Measures how much each layer of a checkpoint loses in integers."""

    name = "sensitivity"
    help = "measure what each layer loses in integers, as a table and a chart"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        add_checkpoint(parser, "what to measure")
        add_data_root(parser)
        add_device(parser)
        add_threads(parser)
        add_settings(parser)
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

        from moesaic.model.experiments.sensitivity_page import (
            narrow_sensitivity_table,
            sensitivity_chart,
            sensitivity_markdown,
        )
        from moesaic.model.experiments.sensitivity_study import measure_sensitivity
        from moesaic.model.input_pipeline.held_out import calibration_images, open_validation
        from moesaic.model.quantisation.post_training import CALIBRATION_SCENES, calibrated, require_integer_form
        from moesaic.model.training import checkpoint
        from moesaic.model.training.distributed import choose_device
        from moesaic.pages.terminal import print_table

        torch.set_num_threads(arguments.threads)
        settings, root, console = settings_of(arguments), arguments.data_root, Console()
        device = choose_device(arguments.device)
        require_writable(arguments.output)
        state = checkpoint.load(arguments.checkpoint)
        recipe, model = state.recipe, state.build_model().eval().to(device)
        recipe = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, validation=arguments.samples))
        require_integer_form(recipe.model)
        seen = calibration_images(recipe, root, CALIBRATION_SCENES, arguments.pictures)
        rounded, scales = calibrated(model, seen, settings, console=console)
        held_out = open_validation(recipe, root)
        found = measure_sensitivity(
            model, rounded, scales, held_out, level=arguments.level, mode=arguments.mode, console=console
        )
        print_table(console, narrow_sensitivity_table(found), "sensitivity to integers")
        write_file(arguments.output / "sensitivity.svg", sensitivity_chart(found).to_svg().encode())
        write_file(arguments.output / "sensitivity.md", sensitivity_markdown(found).encode())
        console.print(f"sensitivity: {arguments.output / 'sensitivity.md'}", soft_wrap=True)
        return 0
