"""The command `moesaic bench-training`."""

from __future__ import annotations

import argparse

from moesaic.argument_types import names, natural, positive
from moesaic.errors import UserError
from moesaic.model.commands.model_options import add_data_root, add_device, add_recipe, add_settings

PARTS = ("reading", "experts", "scaling")


class BenchTrainingCommand:
    """Times what feeds and divides a training."""

    name = "bench-training"
    help = "time reading by worker processes, the forms of the experts, and training steps on several processes of this machine"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        add_recipe(parser)
        add_settings(parser)
        add_data_root(parser)
        parser.add_argument(
            "--parts", type=names, default=list(PARTS), help=f"which tables, of {','.join(PARTS)} (default all)"
        )
        parser.add_argument(
            "--workers",
            type=_numbers(natural),
            default=[0, 1, 2, 4],
            help="worker processes to read by (default 0,1,2,4)",
        )
        parser.add_argument(
            "--processes", type=_numbers(positive), default=[1, 2, 4], help="processes to train on (default 1,2,4)"
        )
        parser.add_argument("--repeats", type=positive, default=20, help="steps and batches to time (default 20)")
        add_device(parser)

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        import torch
        from rich.console import Console

        from moesaic.model.experiments.timing_table import timing_table
        from moesaic.model.experiments.training_speed import expert_figures, reading_figures, scaling_figures
        from moesaic.model.recipes.settings import load_recipe_with
        from moesaic.pages.terminal import print_table

        if unknown := set(arguments.parts) - set(PARTS):
            raise UserError(f"there is no part {sorted(unknown)[0]!r}: choose {', '.join(PARTS)}")
        torch.set_num_threads(1)
        recipe, root, repeats = (
            load_recipe_with(arguments.recipe, arguments.settings),
            arguments.data_root,
            arguments.repeats,
        )
        console = Console()
        measured = {
            "reading": lambda: reading_figures(recipe, root, arguments.workers, repeats, console),
            "experts": lambda: expert_figures(recipe, recipe.training.batch, repeats, console),
            "scaling": lambda: scaling_figures(recipe, root, arguments.processes, repeats, arguments.device, console),
        }
        for part in arguments.parts:
            figures = measured[part]()
            print_table(console, timing_table({"columns": figures.columns, "rows": figures.rows}), figures.title)
        return 0


def _numbers(of_one):
    """A type of arguments: numbers separated by commas, each of the type `of_one`."""

    def numbers(text: str) -> list[int]:
        return [of_one(part) for part in text.split(",")]

    return numbers
