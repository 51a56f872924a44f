"""The command `moesaic estimate`."""

from __future__ import annotations

import argparse
import gc
import json
from collections.abc import Iterator
from pathlib import Path

from moesaic.argument_types import image_size
from moesaic.errors import UserError
from moesaic.hls.commands.joint_options import add_joint_options, result_sets
from moesaic.hls.hardware.devices import device_of
from moesaic.hls.hardware.guidelines import NAMES, allowed
from moesaic.hls.hardware.resource_estimate import Resources, exceeded, judge
from moesaic.spec.board import clock_mhz
from moesaic.spec.bundle import EXPERT_WEIGHT_BITS
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.joint_programs import label, one_picture


class EstimateCommand:
    """Cycles, DRAM bytes and resources from sizes alone."""

    name = "estimate"
    help = "cycles per layer, DRAM bytes and resources of a model on a configuration, without simulation"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("recipe", help="recipe of the model, or a bundle directory")
        parser.add_argument("--config", default="zcu104", help="hardware configuration (default zcu104)")
        parser.add_argument("--size", type=image_size, metavar="HxW", help="image size instead of the recipe's")
        parser.add_argument(
            "--expert-bits",
            type=int,
            choices=EXPERT_WEIGHT_BITS,
            help="of the experts' weights of a recipe (default 8); those of a bundle are as it says",
        )
        parser.add_argument("--task", help="task, or TASK@ALTERNATIVE (default: the first)")
        add_joint_options(parser, several=False)
        parser.add_argument("--json", type=Path, help="also write the figures to this file")

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        from dataclasses import asdict, replace

        from rich.console import Console

        from moesaic.files import write_file
        from moesaic.hls.compiler.cycle_estimate import estimate_frame
        from moesaic.pages.number_formats import count, decimals
        from moesaic.pages.tables import Column, Table
        from moesaic.pages.terminal import print_table
        from moesaic.sim.measurements.exploration.frames import network
        from moesaic.spec.configuration import load_configuration

        configuration = load_configuration(arguments.config)
        architecture, tasks = network(arguments.recipe, arguments.size)
        if arguments.expert_bits is not None:
            if Path(arguments.recipe).is_dir():
                raise UserError(
                    f"--expert-bits is for recipes, {arguments.recipe} is a bundle, which says its own: leave it out"
                )
            if arguments.expert_bits == 4:
                architecture = replace(architecture, four_bit_experts=architecture.all_experts)
        task = arguments.task or next(iter(tasks))
        if task not in tasks:
            raise UserError(f"unknown task {task!r}: this model has {', '.join(tasks)}")
        if arguments.joint and (arguments.batch or arguments.task):
            raise UserError("--joint says which tasks of one image: leave --task and --batch out, or --joint")
        joint = [arguments.joint] if arguments.joint else None
        batch = [arguments.batch] if arguments.batch else None
        (run,) = result_sets([task] if batch else tasks, joint, batch) or [one_picture([task])]
        # A program is many thousands of small objects without reference cycles; collecting garbage would take a third of the time.
        gc.disable()
        e = estimate_frame(architecture, tasks, run, configuration)
        layers = [(name, cycles, 100 * cycles / e.cycles) for name, cycles in e.layers.items()]
        table = Table((Column("layer"), Column("cycles", count), Column("%", decimals(1))), layers)
        console = Console()
        print_table(console, table, f"{arguments.recipe}, {label(run)}, on {configuration.name}: estimate")
        waits = ", ".join(f"{name} {cycles:,.0f}" for name, cycles in e.waits.items())
        use = e.macs / (e.cycles * configuration.macs_per_cycle)
        r, mhz, pictures = e.resources, clock_mhz(configuration), arguments.batch or 1
        each = f", {e.encoder_cycles / pictures:,.0f} a picture" if pictures > 1 else ""
        console.print(
            f"{'frame' if pictures == 1 else f'{pictures} frames'} {e.cycles:,.0f} cycles ({e.cycles / (1e3 * mhz):.2f} ms at an assumed "
            f"{mhz:g} MHz), encoder {e.encoder_cycles:,.0f}" + each
        )
        console.print(
            f"array: {e.steps:,.0f} cycles at work, idle for {waits}; {100 * use:.1f} % of its multiplications are the network's"
        )
        console.print(f"DRAM: {e.read_bytes:,.0f} bytes read, {e.written_bytes:,.0f} written")
        for line in _held(configuration, r):
            console.print(line, soft_wrap=True)
        if arguments.json:
            write_file(arguments.json, json.dumps(asdict(e), indent=1).encode())
        return 0


def _held(configuration: HardwareConfiguration, need: Resources) -> Iterator[str]:
    """Whether the part holds the configuration, with each guideline and total beside the need, and then what is outside."""
    device, judgements = device_of(configuration), judge(configuration, need)
    amounts = need.to_dict()
    inside = "inside the guidelines" if all(judgement.kept for judgement in judgements) else "outside the guidelines"
    verdict = (
        f"{configuration.part} holds {configuration.name}, {inside}"
        if not exceeded(need, device)
        else f"{configuration.part} does not hold {configuration.name}"
    )
    figures = ", ".join(
        f"{amount:,} {NAMES[name]} (guideline {allowed(device, name):,}, device {getattr(device, name):,})"
        for name, amount in amounts.items()
    )
    yield f"{verdict}; before place and route: {figures}"
    yield from (str(judgement) for judgement in judgements if not judgement.kept)
