"""Options shared by several commands of the model side."""

from __future__ import annotations

import argparse
from pathlib import Path

from moesaic.argument_types import natural, positive
from moesaic.model.recipes.recipe import recipe_names

CHECKPOINT = Path("build/model.safetensors")
HELD_OUT_SCENES = 128


def recipe_choices() -> str:
    """The recipes that come with the package, for help texts; those in a directory are summarised as directory/…."""
    names = recipe_names()
    groups = sorted({f"{name.partition('/')[0]}/…" for name in names if "/" in name})
    return ", ".join([*(name for name in names if "/" not in name), *groups])


def add_recipe(parser: argparse.ArgumentParser) -> None:
    """Add `--recipe`, demo by default."""
    parser.add_argument("--recipe", default="demo", help=f"one of {recipe_choices()} or a .toml file (default demo)")


def add_checkpoint(parser: argparse.ArgumentParser, what: str) -> None:
    """Add `--checkpoint`; what: its help text."""
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT, help=what)


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add `--set`, any number of times, for `moesaic.model.recipes.settings`."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="settings",
        metavar="SECTION.ENTRY=VALUE",
        help="set an entry of the recipe, such as training.batch=4 or model.tasks.edges.metric.tolerance=0.011; may be given again",
    )


def add_data_root(parser: argparse.ArgumentParser) -> None:
    """Add `--data-root`, None by default."""
    parser.add_argument("--data-root", type=Path, help="where the recipe's data set is; scenes need none")


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add `--device`, for `moesaic.model.training.distributed.choose_device`."""
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: a GPU if there is one"
    )


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Add `--threads`, the number of PyTorch's threads."""
    parser.add_argument(
        "--threads", type=positive, default=1, help="threads of PyTorch (default 1, fastest on few cores)"
    )


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Add `--workers`, the processes that read samples; None stands for `usual_workers`."""
    parser.add_argument(
        "--workers",
        type=natural,
        metavar="N",
        help="processes that read and augment samples, for each process of torchrun; 0: none (default: a core each, at most 8)",
    )
