"""The command `moesaic train`."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from moesaic.argument_types import positive, seed
from moesaic.errors import UserError
from moesaic.model.commands.model_options import (
    CHECKPOINT,
    add_checkpoint,
    add_data_root,
    add_device,
    add_recipe,
    add_settings,
    add_threads,
    add_workers,
)


def expert_ranks(text: str) -> int | str:
    """A positive number, or the word node."""
    return text if text == "node" else positive(text)


class TrainCommand:
    """Trains a recipe's model and writes a checkpoint."""

    name = "train"
    help = "train a model and write a checkpoint; start it with torchrun to use several processes"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        add_recipe(parser)
        add_data_root(parser)
        add_settings(parser)
        add_checkpoint(parser, "where to write")
        parser.add_argument(
            "--run",
            type=Path,
            dest="folder",
            metavar="FOLDER",
            help="keep checkpoint, recipe, log and what it ran on together in a folder",
        )
        parser.add_argument("--steps", type=positive, help="train that many steps instead of the recipe's number")
        parser.add_argument("--pool", type=positive, help="render that many scenes instead of the recipe's number")
        parser.add_argument("--seed", type=seed, help="seed of weights, scenes and noise instead of the recipe's")
        parser.add_argument(
            "--resume",
            action="store_true",
            help="go on from the checkpoint, also to more steps than it was trained for",
        )
        parser.add_argument(
            "--stop-after", type=positive, help="leave after that many steps; --resume goes on from there"
        )
        parser.add_argument("--initialise-from", type=Path, metavar="CHECKPOINT", help="start from these weights")
        add_device(parser)
        parser.add_argument("--tensorboard", type=Path, metavar="DIRECTORY", help="where to write curves")
        parser.add_argument(
            "--log", type=Path, metavar="FILE", help="where to write curves as a table, NAME.csv or NAME.jsonl"
        )
        parser.add_argument(
            "--expert-ranks",
            type=expert_ranks,
            metavar="N",
            help="with experts_sharded, divide experts among groups of N processes, or `node`: those of a machine (default: all)",
        )
        add_workers(parser)
        add_threads(parser)

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        import torch
        from rich.console import Console

        from moesaic.model.input_pipeline.worker_processes import usual_workers
        from moesaic.model.recipes.settings import load_recipe_with
        from moesaic.model.training.distributed import joined_ranks
        from moesaic.model.training.run_folder import CHECKPOINT as OF_A_RUN
        from moesaic.model.training.run_folder import LOG
        from moesaic.model.training.train import best_path, train

        torch.set_num_threads(arguments.threads)
        recipe = load_recipe_with(arguments.recipe, arguments.settings)
        given = {key: getattr(arguments, key) for key in ("pool", "seed")}
        given["initialise_from"] = arguments.initialise_from and str(arguments.initialise_from)
        changes = {key: value for key, value in given.items() if value is not None}
        training = recipe.training.in_steps(arguments.steps or recipe.training.steps)
        recipe = dataclasses.replace(recipe, training=dataclasses.replace(training, **changes))
        path, log, folder = arguments.checkpoint, arguments.log, arguments.folder
        if folder is not None:
            if path != CHECKPOINT:
                raise UserError(f"--checkpoint {path} and --run {folder} both say where to write: leave one out")
            path, log = folder / OF_A_RUN, log or folder / LOG
        with joined_ranks(arguments.device) as ranks:
            group = arguments.expert_ranks
            train(
                recipe,
                path,
                resume=arguments.resume,
                stop_after=arguments.stop_after,
                data_root=arguments.data_root,
                ranks=ranks,
                log=arguments.tensorboard,
                table=log,
                folder=folder,
                expert_ranks=ranks.of_machine if group == "node" else group or 0,
                workers=usual_workers() if arguments.workers is None else arguments.workers,
            )
            if ranks.first:
                Console().print(f"checkpoint: {path}", soft_wrap=True)
                if recipe.training.validate_every:
                    Console().print(f"best by {recipe.training.select}: {best_path(path)}", soft_wrap=True)
        return 0
