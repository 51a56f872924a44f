"""The command `moesaic export`."""

from __future__ import annotations

import argparse
import dataclasses
import statistics
from pathlib import Path
from typing import TYPE_CHECKING

from moesaic.argument_types import image_size, names, positive, seed
from moesaic.errors import UserError
from moesaic.files import require_writable, write_file
from moesaic.model.commands.model_options import (
    CHECKPOINT,
    HELD_OUT_SCENES,
    add_data_root,
    add_device,
    add_threads,
    recipe_choices,
)
from moesaic.model.commands.quantisation_options import (
    add_quantisation,
    load_scales,
    quantisation_options,
    settings_of,
)
from moesaic.model.recipes.recipe import Recipe, load_recipe
from moesaic.pages.number_formats import decimals
from moesaic.pages.tables import Column, Table
from moesaic.spec.bundle import Bundle, pathways

if TYPE_CHECKING:
    from rich.console import Console

    from moesaic.model.training.checkpoint import Checkpoint

_OF_BUNDLES = ("experts_kept", "alternative", "fine_tune", "qdq", "samples")
_OF_TRAINED = ("checkpoint", "scales", "pictures", "rounding", "device", *_OF_BUNDLES)
_OF_UNTRAINED = ("recipe", "size", "tasks")


class ExportCommand:
    """Writes a bundle, or ONNX files, from a checkpoint or random weights."""

    name = "export"
    help = "quantise a checkpoint, or random weights of a recipe, and write a bundle; or ONNX files alone"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--checkpoint", type=Path, help="what to export (default build/model.safetensors, unless --random-weights)"
        )
        output = parser.add_mutually_exclusive_group()
        output.add_argument("--output", type=Path, default=Path("build/bundle"), help="directory to write")
        output.add_argument(
            "--onnx-only",
            type=Path,
            metavar="DIRECTORY",
            help="write the network in float as ONNX files there, for any head, and no bundle",
        )
        parser.add_argument("--name", help="name of the bundle (default: the directory's)")
        parser.add_argument(
            "--experts-kept",
            metavar="EXPERTS[xTOPK]",
            help="experts that each task keeps, by their usage, and experts per token, such as 8x2 (default: all)",
        )
        parser.add_argument(
            "--alternative",
            action="append",
            metavar="NAME=EXPERTS[xTOPK]",
            help="another pathway of every task on the same weights, such as fast=8x1; may be given more than once",
        )
        parser.add_argument(
            "--budget-scope",
            choices=("layer", "task"),
            default="layer",
            help="whether EXPERTS is for each MoE block or for all of a task together (default layer)",
        )
        parser.add_argument(
            "--fine-tune", type=positive, metavar="STEPS", help="train on first, with these pathways taking turns"
        )
        parser.add_argument(
            "--qdq",
            action="store_true",
            default=None,
            help="add the quantised network to the bundle as ONNX, model.TASK.qdq.onnx, for onnxruntime and Netron",
        )
        add_data_root(parser)
        parser.add_argument(
            "--samples", type=positive, help="held-out samples, scenes or images, for the figures (default 128)"
        )
        add_device(parser)
        parser.set_defaults(device=None)  # shows whether the option was given
        add_quantisation(parser)
        add_threads(parser)
        untrained = parser.add_argument_group("untrained networks, to measure speed")
        untrained.add_argument(
            "--random-weights",
            type=seed,
            metavar="SEED",
            help="weights drawn as training would leave them, not trained",
        )
        untrained.add_argument("--recipe", help=f"one of {recipe_choices()} or a .toml file (default demo)")
        untrained.add_argument("--size", type=image_size, metavar="HxW", help="image size instead of the recipe's")
        untrained.add_argument(
            "--tasks",
            type=names,
            metavar="TASK,…",
            help="only these tasks of the recipe, separated by commas (default: all)",
        )

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        random, onnx_only = arguments.random_weights is not None, arguments.onnx_only is not None
        if random:
            _refuse(arguments, ("onnx_only", *_OF_TRAINED), "exports without --random-weights")
        else:
            _refuse(arguments, _OF_UNTRAINED, "exports with --random-weights")
        if onnx_only:
            _refuse(arguments, ("name", "device", *_OF_BUNDLES), "exports without --onnx-only")
            if given := quantisation_options(arguments):
                raise UserError(f"{given[0]} is for exports without --onnx-only: leave one of them out")
        import torch

        torch.set_num_threads(arguments.threads)
        require_writable(arguments.onnx_only or arguments.output)
        if random:
            _export_random_weights(arguments)
        elif onnx_only:
            _export_onnx(arguments)
        else:
            _export_checkpoint(arguments)
        return 0


def _export_random_weights(arguments: argparse.Namespace) -> None:
    from rich.console import Console

    from moesaic.model.export.bundle_export import build_random_bundle
    from moesaic.pages.terminal import print_table

    recipe = load_recipe(arguments.recipe or "demo")
    model, changes = recipe.model, {}
    if arguments.size:
        changes |= {"image_height": arguments.size[0], "image_width": arguments.size[1]}
    if arguments.tasks:
        changes["tasks"] = tuple(model.task(name) for name in arguments.tasks)
    recipe = Recipe(dataclasses.replace(model, **changes), recipe.training)
    name, settings = arguments.name or arguments.output.name, settings_of(arguments)
    bundle = build_random_bundle(name, recipe, arguments.random_weights, settings)
    bundle.save(arguments.output)
    console = Console()
    print_table(console, _expert_load_table(bundle.report["expert_load"]), "expert load of the golden image")
    layer, share = max(bundle.report["saturated_shares"].items(), key=lambda entry: entry[1], default=("any", 0))
    console.print(f"largest share of saturated values: {share:.4f}, in {layer}")
    _print_expert_bits(console, bundle)
    console.print(f"bundle: {arguments.output} (random weights, not trained)", soft_wrap=True)


def _export_onnx(arguments: argparse.Namespace) -> None:
    from rich.console import Console

    from moesaic.model.export.onnx_export import onnx_files

    model = _load(arguments.checkpoint or CHECKPOINT, Console()).build_model().eval()
    for name, content in onnx_files(model).items():
        write_file(arguments.onnx_only / name, content)
        Console().print(f"ONNX: {arguments.onnx_only / name}", soft_wrap=True)


def _export_checkpoint(arguments: argparse.Namespace) -> None:
    from rich.console import Console

    from moesaic.model.commands.layer_output import print_layers
    from moesaic.model.evaluation.accuracy_table import accuracy_table
    from moesaic.model.evaluation.layer_figures import LayerFigures
    from moesaic.model.export.bundle_export import build_bundle
    from moesaic.model.input_pipeline.held_out import validation_title
    from moesaic.model.pathways.alternatives import parse_alternatives
    from moesaic.model.pathways.budgets import Budget
    from moesaic.model.training.distributed import choose_device
    from moesaic.pages.terminal import print_table

    device = choose_device(arguments.device or "auto")
    scope, kept = arguments.budget_scope, arguments.experts_kept
    budget = Budget.parse(kept, scope) if kept else None
    alternatives = parse_alternatives(arguments.alternative or [], scope)
    console = Console()
    state = _load(arguments.checkpoint or CHECKPOINT, console)
    bundle = build_bundle(
        arguments.name or arguments.output.name,
        state.build_model().to(device),
        state.recipe,
        budget=budget,
        alternatives=alternatives,
        fine_tune_steps=arguments.fine_tune or 0,
        console=console,
        validation=arguments.samples or HELD_OUT_SCENES,
        data_root=arguments.data_root,
        settings=settings_of(arguments),
        scales=load_scales(arguments, state.recipe.model),
        pictures=arguments.pictures,
        qdq=bool(arguments.qdq),
    )
    bundle.save(arguments.output)
    metrics = {name: task.metrics for name, task in pathways(bundle.tasks).items()}
    if any(metrics.values()):
        title = validation_title(state.recipe, arguments.data_root, arguments.pictures)
        print_table(console, accuracy_table(metrics), title)
    print_layers(console, {name: LayerFigures(**values) for name, values in bundle.report["layers"].items()})
    _print_expert_bits(console, bundle)
    console.print(f"router top-k agreement: {bundle.report['router_topk_agreement']:.4f}")
    for task, decibels in bundle.report.get("qdq_decibels", {}).items():
        distance = "equal to" if decibels is None else f"{decibels:.1f} dB from"
        console.print(f"model.{task}.qdq.onnx: onnxruntime's outputs are {distance} the integers'", soft_wrap=True)
    console.print(f"bundle: {arguments.output}", soft_wrap=True)


def _print_expert_bits(console: Console, bundle: Bundle) -> None:
    from moesaic.model.commands.layer_output import print_expert_bits
    from moesaic.model.quantisation.measured_bits import MeasuredBits

    measured = bundle.report.get("expert_bits")
    print_expert_bits(console, bundle.architecture, bundle.tasks, MeasuredBits(**measured) if measured else None)


def _refuse(arguments: argparse.Namespace, names: tuple[str, ...], purpose: str) -> None:
    """Raise UserError if one of the named options is on the command line. purpose: what they are for, to complete the message."""
    for name in names:
        if getattr(arguments, name) is not None:
            raise UserError(f"--{name.replace('_', '-')} is for {purpose}: leave one of them out")


def _load(path: Path, console: Console) -> Checkpoint:
    """Load a checkpoint of any step, with a note on the console if it has not seen all steps of its recipe."""
    from moesaic.model.training import checkpoint

    state = checkpoint.load(path)
    if not state.finished:
        progress = f"{state.step} of {state.recipe.training.steps} steps"
        console.print(f"checkpoint {path} has seen {progress} of its recipe: exported as it is", soft_wrap=True)
    return state


def _expert_load_table(loads: dict[str, dict[str, list[int]]]) -> Table:
    """A table of the tokens that each expert gets. loads: by task and block, as in a random bundle's report."""
    rows = [
        (task, block, " ".join(map(str, load)), statistics.pstdev(load) / statistics.mean(load))
        for task, blocks in loads.items()
        for block, load in blocks.items()
    ]
    spread = Column("spread / mean", decimals(2))
    return Table((Column("task"), Column("block"), Column("tokens per expert"), spread), rows)
