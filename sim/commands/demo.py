"""The command `moesaic demo`."""

from __future__ import annotations

import argparse
from pathlib import Path

from moesaic.argument_types import positive


class DemoCommand:
    """The whole road on a small model."""

    name = "demo"
    help = "the whole road on a small model: train, measure, export, generate, simulate, compare, report"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--recipe", default="demo", help="recipe of the model (default demo)")
        parser.add_argument("--config", default="tiny", help="hardware configuration (default tiny)")
        parser.add_argument("--output", type=Path, default=Path("build/demo"), help="directory to write")
        parser.add_argument(
            "--threads", type=positive, default=1, help="threads of PyTorch (default 1, fastest on few cores)"
        )

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        import torch
        from rich.console import Console

        from moesaic.files import require_writable
        from moesaic.model.recipes.recipe import load_recipe
        from moesaic.sim.machines.simulated_executors import require_tools
        from moesaic.sim.measurements.road.demo import Demo
        from moesaic.sim.measurements.road.inputs import photographs, rendered_scenes
        from moesaic.spec.configuration import load_configuration

        torch.set_num_threads(arguments.threads)
        recipe, configuration = load_recipe(arguments.recipe), load_configuration(arguments.config)
        require_tools()  # report what is missing before minutes of training, not after
        require_writable(arguments.output)
        size = recipe.model.image_height, recipe.model.image_width
        samples = photographs(*size, recipe.model.input) + rendered_scenes(1, *size)
        Demo(arguments.output, recipe, configuration, samples, Console()).run()
        return 0
