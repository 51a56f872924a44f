"""The command line's train, evaluate and export, found through the entry points `moesaic.commands`.

PyTorch takes seconds to import, so only a command that runs does it.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
from pathlib import Path
from typing import TYPE_CHECKING

from moesaic.argument_types import image_size, positive, seed
from moesaic.errors import UserError
from moesaic.files import require_writable, write_file
from moesaic.model.commands.model_options import CHECKPOINT, add_checkpoint, add_data_root, add_device, add_threads
from moesaic.model.quantisation.settings import add_settings, options_given, settings_of
from moesaic.model.recipes.recipe import ModelConfiguration, Recipe, load_recipe, recipe_names
from moesaic.model.tasks.accuracy_table import accuracy_table
from moesaic.pages.number_formats import decimals
from moesaic.pages.tables import Column, Table
from moesaic.spec.bundle import pathways

if TYPE_CHECKING:
    from moesaic.model.quantisation.scales import Scales
    from moesaic.model.training.checkpoint import Checkpoint

_HELD_OUT_SCENES = 128


def _some_recipes() -> str:
    """Names of recipes for a line of help: those in a directory together."""
    names = recipe_names()
    groups = sorted({f"{name.partition('/')[0]}/…" for name in names if "/" in name})
    return ", ".join([*(name for name in names if "/" not in name), *groups])


def _add_integers(parser: argparse.ArgumentParser) -> None:
    add_settings(parser)
    parser.add_argument("--scales", type=Path, help="scales that `moesaic qat` left beside the checkpoint")


def _integer_options(arguments: argparse.Namespace) -> list[str]:
    """The options of `_add_integers` that are on the command line."""
    return [*options_given(arguments), *(["--scales"] if arguments.scales else [])]


def _load_scales(arguments: argparse.Namespace, configuration: ModelConfiguration) -> Scales | None:
    """The scales that were asked for. UserError if there are options for choosing some, too."""
    if arguments.scales is None:
        return None
    from moesaic.model.quantisation.scales import Scales

    if given := options_given(arguments):
        raise UserError(
            f"{given[0]} is for choosing scales, --scales {arguments.scales} has them: leave one of them out"
        )
    return Scales.load(arguments.scales, configuration)


class _Train:
    name = "train"
    help = "train a model and write a checkpoint; start it with torchrun to use several processes"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--recipe", default="demo", help=f"one of {_some_recipes()} or a .toml file (default demo)")
        add_data_root(parser)
        add_checkpoint(parser, "where to write")
        parser.add_argument("--steps", type=positive, help="train that many steps instead of the recipe's number")
        parser.add_argument("--pool", type=positive, help="render that many scenes instead of the recipe's number")
        parser.add_argument("--seed", type=seed, help="seed of weights, scenes and noise instead of the recipe's")
        parser.add_argument("--resume", action="store_true", help="go on from the checkpoint")
        parser.add_argument(
            "--stop-after", type=positive, help="leave after that many steps; --resume goes on from there"
        )
        parser.add_argument("--initialise-from", type=Path, metavar="CHECKPOINT", help="start from these weights")
        add_device(parser)
        parser.add_argument("--tensorboard", type=Path, metavar="DIRECTORY", help="where to write curves")
        add_threads(parser)

    def run(self, arguments: argparse.Namespace) -> int:
        import torch
        from rich.console import Console

        from moesaic.model.training.distributed import joined_ranks
        from moesaic.model.training.train import best_path, train

        torch.set_num_threads(arguments.threads)
        recipe = load_recipe(arguments.recipe)
        given = {key: getattr(arguments, key) for key in ("pool", "seed")}
        given["initialise_from"] = arguments.initialise_from and str(arguments.initialise_from)
        changes = {key: value for key, value in given.items() if value is not None}
        training = recipe.training.in_steps(arguments.steps or recipe.training.steps)
        recipe = dataclasses.replace(recipe, training=dataclasses.replace(training, **changes))
        path = arguments.checkpoint
        with joined_ranks(arguments.device) as ranks:
            train(
                recipe,
                path,
                resume=arguments.resume,
                stop_after=arguments.stop_after,
                data_root=arguments.data_root,
                ranks=ranks,
                log=arguments.tensorboard,
            )
            if ranks.first:
                Console().print(f"checkpoint: {path}")
                if recipe.training.validate_every:
                    Console().print(f"best by {recipe.training.select}: {best_path(path)}")
        return 0


class _Evaluate:
    name = "evaluate"
    help = "measure a checkpoint per task, in float and in integers"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        add_checkpoint(parser, "what to measure")
        add_data_root(parser)
        parser.add_argument(
            "--scenes",
            type=positive,
            help="held-out scenes, or images of the data set (default 128 scenes, or all images)",
        )
        parser.add_argument("--float-only", action="store_true", help="leave the integers out, which take longest")
        add_device(parser)
        _add_integers(parser)
        add_threads(parser)

    def run(self, arguments: argparse.Namespace) -> int:
        import torch
        from rich.console import Console

        from moesaic.model.data.image_sources import calibration_images, first_images, open_validation
        from moesaic.model.evaluate import compare, top_k_agreement
        from moesaic.model.export import AGREEMENT_SCENES, CALIBRATION_SCENES, integer_network
        from moesaic.model.training import checkpoint
        from moesaic.model.training.distributed import choose_device
        from moesaic.pages.terminal import print_table

        torch.set_num_threads(arguments.threads)
        settings, device = settings_of(arguments), choose_device(arguments.device)
        if arguments.float_only and (given := _integer_options(arguments)):
            raise UserError(f"{given[0]} is for integers: leave it or --float-only out")
        state, root = checkpoint.load(arguments.checkpoint), arguments.data_root
        recipe, model, console = state.recipe, state.build_model().eval().to(device), Console()
        count = arguments.scenes or (_HELD_OUT_SCENES if recipe.data.name == "scenes" else 0)
        recipe = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, validation=count))
        held_out, network = open_validation(recipe, root), None
        if recipe.model.head == "light" and not arguments.float_only:
            seen = calibration_images(recipe, root, CALIBRATION_SCENES)
            network = integer_network(model, seen, settings=settings, scales=_load_scales(arguments, recipe.model))
        metrics = compare(model, network, held_out, console=console)
        print_table(console, accuracy_table(metrics), "accuracy on held-out images")
        if arguments.float_only:
            return 0
        if network is None:
            console.print(f"the head {recipe.model.head} has no integer form: only the network in float was measured")
        else:
            agreement = top_k_agreement(model, network, first_images(held_out, AGREEMENT_SCENES))
            console.print(f"router top-k agreement: {agreement:.4f}")
        return 0


def expert_load_table(loads: dict[str, dict[str, list[int]]]) -> Table:
    """The tokens that each expert gets, as a random bundle's report has them."""
    columns = (
        Column("task"), Column("block"), Column("tokens per expert"), Column("spread / mean", decimals(2)),
    )  # fmt: skip
    rows = [
        (task, block, " ".join(map(str, load)), statistics.pstdev(load) / statistics.mean(load))
        for task, blocks in loads.items()
        for block, load in blocks.items()
    ]
    return Table(columns, rows)


_OF_BUNDLES = ("experts_kept", "alternative", "fine_tune", "scenes")
_OF_TRAINED = ("checkpoint", "scales", "device", *_OF_BUNDLES)
_OF_UNTRAINED = ("recipe", "size", "tasks")


def _refuse(arguments: argparse.Namespace, names: tuple[str, ...], purpose: str) -> None:
    """UserError if one of these options, which are for another purpose, is on the command line."""
    for name in names:
        if getattr(arguments, name) is not None:
            raise UserError(f"--{name.replace('_', '-')} is for {purpose}: leave one of them out")


def _load_finished(path: Path) -> Checkpoint:
    """A checkpoint that has seen all of its training. UserError if it has not."""
    from moesaic.model.training import checkpoint

    state = checkpoint.load(path)
    if not state.finished:
        progress = f"{state.step} of {state.recipe.training.steps} steps"
        raise UserError(f"checkpoint {path} has seen {progress}: finish it with `moesaic train --resume`")
    return state


class _Export:
    name = "export"
    help = "quantise a checkpoint, or random weights of a recipe, and write a bundle; or ONNX files alone"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--checkpoint", type=Path, help="what to export (default build/model.safetensors, unless --random-weights)"
        )
        output = parser.add_mutually_exclusive_group()
        output.add_argument("--bundle", type=Path, default=Path("build/bundle"), help="directory to write")
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
        add_data_root(parser)
        parser.add_argument("--scenes", type=positive, help="held-out scenes or images for the figures (default 128)")
        add_device(parser)
        parser.set_defaults(device=None)  # so that it is known whether it was given
        _add_integers(parser)
        add_threads(parser)
        untrained = parser.add_argument_group("untrained networks, to measure speed")
        untrained.add_argument(
            "--random-weights",
            type=seed,
            metavar="SEED",
            help="weights drawn as training would leave them, not trained",
        )
        untrained.add_argument("--recipe", help=f"one of {_some_recipes()} or a .toml file (default demo)")
        untrained.add_argument("--size", type=image_size, metavar="HxW", help="image size instead of the recipe's")
        untrained.add_argument("--tasks", help="only these tasks of the recipe, separated by commas (default: all)")

    def run(self, arguments: argparse.Namespace) -> int:
        random, onnx_only = arguments.random_weights is not None, arguments.onnx_only is not None
        if random:
            _refuse(arguments, ("onnx_only", *_OF_TRAINED), "exports without --random-weights")
        else:
            _refuse(arguments, _OF_UNTRAINED, "exports with --random-weights")
        if onnx_only:
            _refuse(arguments, ("name", "device", *_OF_BUNDLES), "exports without --onnx-only")
            if given := _integer_options(arguments):
                raise UserError(f"{given[0]} is for exports without --onnx-only: leave one of them out")
        import torch

        torch.set_num_threads(arguments.threads)
        require_writable(arguments.onnx_only or arguments.bundle)
        if random:
            self._export_random_weights(arguments)
        elif onnx_only:
            self._export_onnx(arguments)
        else:
            self._export_checkpoint(arguments)
        return 0

    def _export_random_weights(self, arguments: argparse.Namespace) -> None:
        from rich.console import Console

        from moesaic.model.export import build_random_bundle
        from moesaic.pages.terminal import print_table

        recipe = load_recipe(arguments.recipe or "demo")
        model, changes = recipe.model, {}
        if arguments.size:
            changes |= {"image_height": arguments.size[0], "image_width": arguments.size[1]}
        if arguments.tasks:
            changes["tasks"] = tuple(model.task(name) for name in arguments.tasks.split(","))
        recipe = Recipe(dataclasses.replace(model, **changes), recipe.training)
        name, settings = arguments.name or arguments.bundle.name, settings_of(arguments)
        bundle = build_random_bundle(name, recipe, arguments.random_weights, settings)
        bundle.save(arguments.bundle)
        console = Console()
        print_table(console, expert_load_table(bundle.report["expert_load"]), "expert load of the golden image")
        layer, share = max(bundle.report["saturated_shares"].items(), key=lambda entry: entry[1], default=("any", 0))
        console.print(f"largest share of saturated values: {share:.4f}, in {layer}")
        console.print(f"bundle: {arguments.bundle} (random weights, not trained)")

    def _export_onnx(self, arguments: argparse.Namespace) -> None:
        from rich.console import Console

        from moesaic.model.export import onnx_files

        model = _load_finished(arguments.checkpoint or CHECKPOINT).build_model().eval()
        for name, content in onnx_files(model).items():
            write_file(arguments.onnx_only / name, content)
            Console().print(f"ONNX: {arguments.onnx_only / name}")

    def _export_checkpoint(self, arguments: argparse.Namespace) -> None:
        from rich.console import Console
        from rich.progress import Progress

        from moesaic.model.export import build_bundle
        from moesaic.model.pathways.alternatives import parse_alternatives
        from moesaic.model.pathways.budgets import Budget
        from moesaic.model.training.distributed import choose_device
        from moesaic.pages.terminal import print_table

        device = choose_device(arguments.device or "auto")
        scope, kept = arguments.budget_scope, arguments.experts_kept
        budget = Budget.parse(kept, scope) if kept else None
        alternatives = parse_alternatives(arguments.alternative or [], scope)
        state, console = _load_finished(arguments.checkpoint or CHECKPOINT), Console()
        with Progress(console=console) as progress:
            steps = arguments.fine_tune or 0
            bar = progress.add_task("fine-tuning", total=steps, visible=steps > 0)
            bundle = build_bundle(
                arguments.name or arguments.bundle.name,
                state.build_model().to(device),
                state.recipe,
                budget=budget,
                alternatives=alternatives,
                fine_tune_steps=steps,
                advance=lambda: progress.advance(bar),
                validation=arguments.scenes or _HELD_OUT_SCENES,
                data_root=arguments.data_root,
                settings=settings_of(arguments),
                scales=_load_scales(arguments, state.recipe.model),
            )
        bundle.save(arguments.bundle)
        metrics = {name: task.metrics for name, task in pathways(bundle.tasks).items()}
        print_table(console, accuracy_table(metrics), "accuracy on held-out images")
        console.print(f"router top-k agreement: {bundle.report['router_topk_agreement']:.4f}")
        console.print(f"bundle: {arguments.bundle}")


train_command = _Train()
evaluate_command = _Evaluate()
export_command = _Export()
