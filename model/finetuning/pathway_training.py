"""Fine-tuning on chosen pathways, so that the experts they keep take over what the others did."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path

from moesaic.errors import UserError
from moesaic.model.input_pipeline.training_batches import open_training
from moesaic.model.input_pipeline.worker_processes import usual_workers
from moesaic.model.network.vit import M3ViT
from moesaic.model.pathways.pathway import Pathways, on_pathways
from moesaic.model.recipes.recipe import Recipe
from moesaic.model.training.distributed import DistributedModel, Ranks
from moesaic.model.training.optimizer import build_optimizers
from moesaic.model.training.train import require_trainable, training_step

_RATE = 0.1  # of the recipe's learning rates
_WARMUP = 0.05  # of the steps


def fine_tune_on_pathways(
    model: M3ViT,
    recipe: Recipe,
    pathways: Sequence[Pathways],
    steps: int,
    *,
    data_root: Path | None = None,
    advance: Callable[[], None] = lambda: None,
) -> None:
    """Train a model further on the given pathways, which take turns step by step. The model ends in evaluation mode.

    Trains as in the recipe, with a tenth of its learning rates, decaying to 0, on the batches that follow the recipe's own steps.
    steps: number of optimizer steps. data_root: directory of the data set's files, None for scenes. advance: called after each step.
    UserError if training diverges or there is nothing to train.
    """
    require_trainable(recipe)
    training = dataclasses.replace(
        recipe.training,
        steps=steps,
        warmup=min(math.ceil(_WARMUP * steps), steps - 1),
        learning_rate=_RATE * recipe.training.learning_rate,
        muon_learning_rate=_RATE * recipe.training.muon_learning_rate,
    )
    short, first = dataclasses.replace(recipe, training=training), recipe.training.steps
    optimizers = build_optimizers(model, training)
    alone = Ranks(device=model.device)
    distributed, source = DistributedModel(model, alone), open_training(recipe, data_root, workers=usual_workers())
    model.train()
    for step, batch in enumerate(source.batches(first, first + steps)):
        with on_pathways(model, pathways[step % len(pathways)]):
            losses = training_step(model, optimizers, short, batch, step, distributed=distributed)
        if not all(map(math.isfinite, losses.values())):
            raise UserError(f"fine-tuning diverged at step {step}: lower the recipe's learning rate")
        advance()
    model.eval()
