"""The command `moesaic evaluate`."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from moesaic.argument_types import positive
from moesaic.errors import UserError
from moesaic.model.commands.model_options import (
    HELD_OUT_SCENES,
    add_checkpoint,
    add_data_root,
    add_device,
    add_settings,
    add_threads,
    add_workers,
)
from moesaic.model.commands.quantisation_options import (
    add_quantisation,
    load_scales,
    quantisation_options,
    settings_of,
)

if TYPE_CHECKING:  # it takes PyTorch, which help texts do without
    from moesaic.model.training.distributed import Ranks


class EvaluateCommand:
    """Measures a checkpoint's metrics."""

    name = "evaluate"
    help = "measure a checkpoint per task, in float and in integers; start it with torchrun to use several processes"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        add_checkpoint(parser, "what to measure")
        add_data_root(parser)
        parser.add_argument(
            "--samples",
            type=positive,
            help="held-out scenes, or images of the data set (default 128 scenes, or all images)",
        )
        add_settings(parser)
        parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to this file, too")
        parser.add_argument(
            "--predictions",
            type=Path,
            metavar="DIRECTORY",
            help="write every prediction to a file, at its image's own pixels",
        )
        parser.add_argument("--float-only", action="store_true", help="leave the integers out, which take longest")
        add_device(parser)
        add_quantisation(parser)
        add_workers(parser)
        add_threads(parser)

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        from moesaic.model.training.distributed import joined_ranks

        with joined_ranks(arguments.device) as ranks:
            return EvaluateCommand._run(arguments, ranks)

    @staticmethod
    def _run(arguments: argparse.Namespace, ranks: Ranks) -> int:
        import numpy as np
        import torch
        from rich.console import Console

        from moesaic.files import require_file_writable
        from moesaic.model.commands.layer_output import print_expert_bits, print_layers
        from moesaic.model.evaluation.accuracy_table import accuracy_table, split_classes
        from moesaic.model.evaluation.agreement import AGREEMENT_SCENES, top_k_agreement
        from moesaic.model.evaluation.evaluate import compare
        from moesaic.model.evaluation.figures_file import delta_figures, write_figures
        from moesaic.model.evaluation.layer_figures import FIGURE_PICTURES, measure_layers
        from moesaic.model.evaluation.prediction_files import PredictionFiles
        from moesaic.model.evaluation.share import Share
        from moesaic.model.input_pipeline.held_out import (
            calibration_images,
            first_images,
            open_validation,
            validation_title,
        )
        from moesaic.model.input_pipeline.worker_processes import usual_workers
        from moesaic.model.quantisation.post_training import CALIBRATION_SCENES, calibrated, integer_network
        from moesaic.model.recipes.settings import changed_recipe
        from moesaic.model.training import checkpoint
        from moesaic.pages.terminal import print_table

        torch.set_num_threads(arguments.threads)
        settings, device = settings_of(arguments), ranks.device
        if arguments.float_only and (given := quantisation_options(arguments)):
            raise UserError(f"{given[0]} is for integers: leave it or --float-only out")
        if arguments.json is not None:
            require_file_writable(arguments.json)
        state, root = checkpoint.load(arguments.checkpoint), arguments.data_root
        state.recipe = changed_recipe(state.recipe, arguments.settings)
        recipe, model, console = state.recipe, state.build_model().eval().to(device), Console(quiet=not ranks.first)
        count = arguments.samples or (HELD_OUT_SCENES if recipe.data.name == "scenes" else 0)
        recipe = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, validation=count))
        held_out, network = open_validation(recipe, root, arguments.pictures), None
        scales, seen = load_scales(arguments, recipe.model), np.empty(0)
        if recipe.model.has_integer_form and not arguments.float_only:
            seen = calibration_images(recipe, root, CALIBRATION_SCENES, arguments.pictures)
            rounded, scales = calibrated(model, seen, settings, scales=scales, console=console)
            network = integer_network(rounded, seen, scales=scales)
        keep = None
        if arguments.predictions is not None:
            experiment = f"{recipe.data.name}_{arguments.checkpoint.stem}"
            keep = PredictionFiles(arguments.predictions, recipe.model, held_out, experiment)
            ranks.wait()  # none writes before all have found the directory empty
        metrics = compare(
            model,
            network,
            held_out,
            console=console,
            everything=True,
            keep=keep,
            share=Share(ranks.rank, ranks.size),
            workers=usual_workers() if arguments.workers is None else arguments.workers,
        )
        title, whole, of_classes = validation_title(recipe, root, arguments.pictures), *split_classes(metrics)
        if metrics:
            print_table(console, accuracy_table(whole), title)
        if of_classes:
            print_table(console, accuracy_table(of_classes), f"IoU of each class: {title}")
        for which, change in delta_figures(recipe, metrics).items():
            console.print(f"delta_m of {which} against the recipe's reference: {change:+.2f} %")
        if arguments.json is not None and ranks.first:
            write_figures(arguments.json, arguments.checkpoint, state.step, recipe, len(held_out), metrics)
        if arguments.float_only or not ranks.first:
            return 0
        if network is None or scales is None:
            console.print(f"the head {recipe.model.head} has no integer form: only the network in float was measured")
        else:
            agreement = top_k_agreement(model, network, first_images(held_out, AGREEMENT_SCENES))
            judged = (seen if arguments.pictures else first_images(held_out, FIGURE_PICTURES))[:FIGURE_PICTURES]
            print_layers(console, measure_layers(model, network, scales, judged))
            print_expert_bits(console, network.architecture, network.tasks, scales.measured_bits)
            console.print(f"router top-k agreement: {agreement:.4f}")
        return 0
