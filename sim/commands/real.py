"""The command `moesaic real`."""

from __future__ import annotations

import argparse
from pathlib import Path

from moesaic.argument_types import positive


class RealCommand:
    """A published backbone on photographs: in integers, with experts for four tasks, and in RTL."""

    name = "real"
    help = "a published DINOv2 on photographs: measure its integers, train four tasks on it, run whole frames in RTL"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--config", default="zcu104", help="hardware configuration (default zcu104)")
        parser.add_argument("--output", type=Path, default=Path("build/real"), help="directory to write")
        parser.add_argument(
            "--threads", type=positive, default=2, help="threads of PyTorch, and simulators (default 2)"
        )

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        import torch
        from rich.console import Console

        from moesaic.files import require_writable
        from moesaic.model.experiments.real.network import real_recipe
        from moesaic.model.experiments.real.saliency_package import network_file
        from moesaic.sim.machines.simulated_executors import require_tools
        from moesaic.sim.measurements.real.real import Real
        from moesaic.spec.configuration import load_configuration

        torch.set_num_threads(arguments.threads)
        recipe, configuration = real_recipe(), load_configuration(arguments.config)
        require_tools(["rtl"])  # report what is missing before minutes of training, not after
        require_writable(arguments.output)
        Real(arguments.output, recipe, configuration, network_file(), Console(), processes=arguments.threads).run()
        return 0
