"""Models by the names of the command line: recipes or bundle directories."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from moesaic.argument_types import image_size
from moesaic.errors import UserError
from moesaic.hls.compiler.exploration import Frame
from moesaic.model.recipes.recipe import load_recipe
from moesaic.spec.bundle import Architecture, Task, load_bundle, pathways


def network(name: str, size: tuple[int, int] | None) -> tuple[Architecture, dict[str, Task]]:
    """Architecture and tasks of a recipe, or of a bundle directory.

    size: height and width in pixels, instead of the recipe's. Raises UserError if neither is there or is broken.
    """
    if Path(name).is_dir():
        bundle = load_bundle(name)
        return bundle.architecture, pathways(bundle.tasks)
    model = load_recipe(name).model
    if size:
        model = replace(model, image_height=size[0], image_width=size[1])
    return model.architecture, {name: model.bundle_task(name, whole) for name, whole in model.whole_pathways.items()}


def frame_named(text: str) -> Frame:
    """The frame of RECIPE or RECIPE:HxW, with the model's first task. Raises UserError if it is not of that form or unknown."""
    name, colon, size = text.rpartition(":")
    try:
        architecture, tasks = network(name, image_size(size)) if colon else network(text, None)
    except argparse.ArgumentTypeError as error:
        raise UserError(f"model {text!r}: {error}; write RECIPE or RECIPE:HxW, such as m3vit_tiny:128x256") from None
    return Frame(text, architecture, tasks, next(iter(tasks)))
