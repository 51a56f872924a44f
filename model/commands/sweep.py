"""The command `moesaic sweep`."""

from __future__ import annotations

import argparse
from pathlib import Path

from moesaic.campaign.options import add_worker_options, chosen_workers
from moesaic.errors import UserError
from moesaic.model.commands.model_options import add_data_root, add_recipe, add_settings


class SweepCommand:
    """Trains and measures a recipe with every combination of some settings."""

    name = "sweep"
    help = "train and measure a recipe with every combination of some settings, resumably"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        add_recipe(parser)
        parser.add_argument(
            "--vary",
            action="append",
            required=True,
            metavar="SECTION.ENTRY=VALUES",
            help="an entry of the recipe and its values, as in training.seed=0,1,2 or model.depth=[4, 6]; several make a grid",
        )
        add_settings(parser)
        add_data_root(parser)
        parser.add_argument(
            "--integers", action="store_true", help="measure each network in integers, too, which takes longer"
        )
        parser.add_argument("--output", type=Path, default=Path("build/sweep"), help="where runs and figures are kept")
        add_worker_options(parser)

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        from rich.console import Console

        from moesaic.model.experiments.sweep import axis, grid, sweep, sweep_table
        from moesaic.pages.terminal import print_table

        axes = [axis(text) for text in arguments.vary]
        entries = [settings[0].partition("=")[0] for settings in axes]
        if twice := [entry for entry in entries if entries.count(entry) > 1]:
            raise UserError(f"--vary {twice[0]} is given {entries.count(twice[0])} times: name all its values in one")
        trials, console = grid(arguments.recipe, arguments.settings, axes), Console()
        figures = sweep(
            trials,
            arguments.output,
            chosen_workers(arguments),
            console,
            integers=arguments.integers,
            data_root=arguments.data_root,
        )
        print_table(console, sweep_table(trials, figures), f"{len(trials)} trials of {arguments.recipe}")
        console.print(f"written: {arguments.output / 'sweep.csv'} and sweep.json", soft_wrap=True)
        return 0
