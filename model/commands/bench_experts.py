"""The command `moesaic bench-experts`."""

from __future__ import annotations

import argparse
from pathlib import Path

from moesaic.argument_types import positive
from moesaic.model.experiments.timing_settings import TimingSettings
from moesaic.model.recipes.recipe import recipe_names


class BenchExpertsCommand:
    """Times the mixture of experts in PyTorch."""

    name = "bench-experts"
    help = "time the mixture of experts in training and inference anew, and keep the figures for `moesaic results`"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        default = TimingSettings()
        parser.add_argument("--recipe", default=default.recipe, help=f"{', '.join(recipe_names())} or a .toml file")
        for name, what in (
            ("batch", "images of a training step"),
            ("repeats", "of which the median is taken"),
            ("threads", "threads of PyTorch"),
        ):
            value = getattr(default, name)
            parser.add_argument(f"--{name}", type=positive, default=value, help=f"{what} (default {value})")
        parser.add_argument("--output", type=Path, default=Path("build/results"), help="where the figures are kept")

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        from rich.console import Console

        from moesaic.model.experiments.expert_timing import measure_anew

        settings = TimingSettings(arguments.recipe, arguments.batch, arguments.repeats, arguments.threads)
        console = Console()
        measure_anew(settings, arguments.output, console)
        console.print(f"tables: {settings.path(arguments.output)}", soft_wrap=True)
        return 0
