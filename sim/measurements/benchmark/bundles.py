"""The networks of the benchmark: random weights, exported like any other network, kept under a hash of what they depend on."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import torch

from moesaic.model.network.vit import M3ViT
from moesaic.model.pathways.budgets import Budget
from moesaic.model.quantisation.settings import PtqSettings
from moesaic.model.recipes.recipe import Recipe, load_recipe
from moesaic.sim.measurements.benchmark.cases import Frame
from moesaic.sim.measurements.benchmark.source_hashes import room_files
from moesaic.spec.bundle import Bundle, load_bundle

SEED = 1
# What an exported network depends on, besides its recipe.
_SOURCES = (*room_files("model/**/*.py"), *room_files("spec/arithmetic.py"), *room_files("spec/bundle.py"))


def frame_recipe(frame: Frame) -> Recipe:
    """The recipe of a frame's model, with the image size and the tasks of the frame."""
    recipe = load_recipe(frame.model)
    tasks = tuple(recipe.model.task(name) for name in frame.tasks)
    model = dataclasses.replace(recipe.model, image_height=frame.height, image_width=frame.width, tasks=tasks)
    return Recipe(model, recipe.training)


class Bundles:
    """The bundles of frames, made when first needed. directory: where they are kept."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._loaded: dict[Path, Bundle] = {}

    def get(self, frame: Frame) -> Bundle:
        """The bundle of a frame; making it takes a minute or more."""
        return self.of_recipe(
            f"{frame.model}-{frame.input}", frame_recipe(frame), frame.expert_bits, frame.experts_kept
        )

    def of_recipe(self, name: str, recipe: Recipe, expert_bits: int = 8, experts_kept: int | None = None) -> Bundle:
        """The bundle of a recipe with random weights, called `name`. expert_bits, experts_kept: as for a Frame."""
        path = self._directory / f"{name}-{_key(recipe, expert_bits, experts_kept)}"
        if path not in self._loaded:
            if not path.exists():
                self._make(name, recipe, expert_bits, experts_kept, path)
            self._loaded = {path: load_bundle(path)}  # only one at a time, as they are large
        return self._loaded[path]

    @staticmethod
    def float_network(frame: Frame) -> M3ViT:
        """The network of a frame in float32, in evaluation mode, with the weights that training would begin with."""
        torch.manual_seed(SEED)
        return M3ViT(frame_recipe(frame).model).eval()

    @staticmethod
    def _make(name: str, recipe: Recipe, expert_bits: int, experts_kept: int | None, path: Path) -> None:
        from moesaic.model.export.bundle_export import build_random_bundle

        torch.set_num_threads(1)  # the fastest on few cores
        budget = None if experts_kept is None else Budget(experts_kept)
        build_random_bundle(name, recipe, SEED, PtqSettings(expert_bits=expert_bits), budget).save(path)


def _key(recipe: Recipe, expert_bits: int, experts_kept: int | None) -> str:
    digest = hashlib.sha256(json.dumps([recipe.to_dict(), SEED, expert_bits, experts_kept], sort_keys=True).encode())
    for source in _SOURCES:
        digest.update(f"{source.name}\0{hashlib.sha256(source.read_bytes()).hexdigest()}\0".encode())
    return digest.hexdigest()[:16]
