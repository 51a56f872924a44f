"""The command `moesaic report`."""

from __future__ import annotations

import argparse
from pathlib import Path

from moesaic.argument_types import names, natural


class ReportCommand:
    """A report on an existing build."""

    name = "report"
    help = "run a build's tasks on all simulated machines, compare them, and write report.html and report.json"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("bundle", type=Path, help="bundle directory, from `moesaic export`")
        parser.add_argument("build", type=Path, help="build directory, from `moesaic generate` of that bundle")
        parser.add_argument("images", type=Path, nargs="*", help="pictures to run (default: two photographs)")
        parser.add_argument("--scenes", type=natural, default=1, help="rendered scenes, with ground truth (default 1)")
        parser.add_argument("--checkpoint", type=Path, help="the trained model, to show float predictions as well")
        parser.add_argument(
            "--executors",
            type=names,
            default=["emulator", "rtl"],
            metavar="EXECUTOR,…",
            help="machines to compare with the reference, separated by commas (default emulator,rtl)",
        )
        parser.add_argument("--output", type=Path, default=Path("build/report"), help="directory to write")

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        from rich.console import Console

        from moesaic.errors import InternalError, UserError
        from moesaic.files import require_writable
        from moesaic.hls.compiler.generate import generate
        from moesaic.sim.machines.simulated_executors import require_tools, simulated_executors
        from moesaic.sim.measurements.road.comparison import Subject, check_origin, measure
        from moesaic.sim.measurements.road.figures import disagreements
        from moesaic.sim.measurements.road.inputs import photographs, read_samples, rendered_scenes
        from moesaic.sim.measurements.road.road_report import write_report
        from moesaic.spec.build import load_build
        from moesaic.spec.bundle import load_bundle

        bundle, build = load_bundle(arguments.bundle), load_build(arguments.build)
        size = build.image_height, build.image_width
        seen = (*size, build.input)
        executors = simulated_executors(arguments.build, build.configuration, arguments.executors)
        check_origin(bundle, build)
        require_tools(arguments.executors)
        require_writable(arguments.output)
        samples = read_samples(arguments.images, *seen) if arguments.images else photographs(*seen)
        samples += rendered_scenes(arguments.scenes, *size)
        if not samples:
            raise UserError("a report needs at least one picture: name images or give --scenes a number above 0")
        network = _float_network(arguments.checkpoint) if arguments.checkpoint else None
        observed = generate(bundle, build.configuration, observe=True)
        subject = Subject(bundle, build, samples, observed, network)
        report = write_report(measure(subject, executors), arguments.output)
        problems = disagreements(report)
        if problems:
            raise InternalError(f"{'; '.join(problems)}: see {arguments.output / 'report.html'}")
        Console().print(f"report: {arguments.output / 'report.html'} and report.json", soft_wrap=True)
        return 0


def _float_network(path: Path):
    import torch

    from moesaic.model.training import checkpoint
    from moesaic.sim.measurements.road.float_network import float_network

    torch.set_num_threads(1)
    return float_network(checkpoint.load(path).build_model().eval())
