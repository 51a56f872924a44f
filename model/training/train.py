"""Training of every task on every batch, by one process or many; repeatable and resumable bit for bit on a CPU."""

import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from moesaic.errors import UserError
from moesaic.files import require_file_writable
from moesaic.model.data.samples import Batch, Dataset
from moesaic.model.evaluation.evaluate import measure_float
from moesaic.model.evaluation.share import Share
from moesaic.model.input_pipeline.held_out import open_validation
from moesaic.model.input_pipeline.training_batches import open_training, require_divisible
from moesaic.model.network.adaptation import adapted
from moesaic.model.network.initialisation import draw_as_m3vit
from moesaic.model.network.upcycling import initialise
from moesaic.model.network.vit import M3ViT, normalise
from moesaic.model.pathways.sampling import BudgetSampler
from moesaic.model.recipes.recipe import Recipe
from moesaic.model.training import checkpoint
from moesaic.model.training.distributed import DistributedModel, Ranks
from moesaic.model.training.optimizer import build_optimizers, learning_rate, set_learning_rate
from moesaic.model.training.precision import Precision
from moesaic.model.training.run_folder import write_run_folder
from moesaic.model.training.scalar_log import ScalarLog, largest_expert_loads
from moesaic.model.training.selection import Selection
from moesaic.model.training.weight_average import WeightAverage
from moesaic.model.training.weighting import Weighting, build_weighting, gradient_products

_NOISE_SEEDS = 1_000_003  # more than any run has steps
_RANK_SEEDS = 1 << 40  # more than any seed times that
_LOG_EVERY = 20


def training_step(
    model: M3ViT,
    optimizers: list[torch.optim.Optimizer],
    recipe: Recipe,
    batch: Batch,
    step: int,
    *,
    distributed: DistributedModel | None = None,
    precision: Precision | None = None,
    weighting: Weighting | None = None,
) -> dict[str, float]:
    """Update the weights once, from this rank's part of a batch; returns each task's loss and the balance loss, under "balance".

    The recipe's `accumulate` splits the batch into that many equal parts, whose gradients are averaged: memory is needed for one
    part only, but the balance loss is computed per part. distributed: the model as the ranks share it, a single process by
    default. precision: float32 by default. weighting: of the losses, fixed by default. The returned losses are means over all ranks.
    """
    training, distributed = recipe.training, distributed or DistributedModel(model)
    precision = precision or Precision()
    set_learning_rate(optimizers, training, step)
    noise = torch.Generator(distributed.ranks.device)
    noise.manual_seed(training.seed * _NOISE_SEEDS + step + distributed.ranks.rank * _RANK_SEEDS)
    model.zero_grad(set_to_none=True)
    size, sums = len(batch) // training.accumulate, dict[str, torch.Tensor]()
    for part in range(training.accumulate):
        with nullcontext() if part == training.accumulate - 1 else distributed.accumulating():
            images = batch[part * size : (part + 1) * size]
            losses, weighted, balance = _losses(distributed, recipe, images, noise, precision)
            if weighting is None:
                total = torch.stack(weighted).sum() + balance
            else:
                before, total = _weighed(distributed, weighting, weighted, step)
                total = total + balance
            precision.backward(total / training.accumulate if training.accumulate > 1 else total)
        sums = {name: loss.detach().double() + sums.get(name, 0.0) for name, loss in losses.items()}
    distributed.average_experts()
    if precision.scaled:
        distributed.share_overflow()
    precision.unscale(optimizers)
    if training.gradient_clip:
        distributed.clip_gradients(training.gradient_clip)
    precision.step(optimizers)
    if weighting is not None and weighting.needs_change:
        again = torch.Generator(distributed.ranks.device)
        again.manual_seed(noise.initial_seed())
        with torch.no_grad():
            _, after, _ = _losses(distributed, recipe, batch, again, precision)
        weighting.changed(before, np.array([loss.item() for loss in after]))
    totals = torch.stack(list(sums.values())).tolist()  # the host waits here for an accelerator, once in a step
    return distributed.mean({name: total / training.accumulate for name, total in zip(sums, totals)})


def _weighed(
    distributed: DistributedModel, weighting: Weighting, weighted: list[torch.Tensor], step: int
) -> tuple[np.ndarray, torch.Tensor]:
    """The losses, means over all ranks, and their sum with the method's weights."""
    mean = distributed.mean({str(place): loss.item() for place, loss in enumerate(weighted)})
    losses, products = np.array(list(mean.values())), np.zeros((len(weighted), len(weighted)))
    if weighting.needs_products:
        products = gradient_products(weighted, [p for p in distributed.model.parameters() if p.requires_grad])
    weights = weighting.weights(losses, products, step)
    return losses, torch.stack([float(w) * loss for w, loss in zip(weights, weighted)]).sum()


def _losses(
    distributed: DistributedModel, recipe: Recipe, batch: Batch, noise: torch.Generator, precision: Precision
) -> tuple[dict[str, torch.Tensor], list[torch.Tensor], torch.Tensor]:
    """Each task's loss and the balance loss by name; then the tasks' losses and the balance loss with their fixed weights."""
    training, device = recipe.training, distributed.ranks.device
    with precision.autocast():
        names = tuple(task.name for task in recipe.model.tasks_with_truth)
        images = normalise(batch.images, recipe.model.input).to(device)
        predictions, balance = distributed.forward(images, names, noise)
    losses, weighted = {}, []
    for task in recipe.model.tasks_with_truth:
        definition = task.definition(training.losses, label_smoothing=training.label_smoothing)
        prediction = predictions[task.name].float()
        target = torch.from_numpy(np.ascontiguousarray(definition.target(batch, prediction.shape)))
        losses[task.name] = definition.loss(prediction, target.to(device))
        weighted.append(definition.weight * losses[task.name])
    return losses | {"balance": balance}, weighted, training.balance_weight * balance


@dataclass
class Run:
    """The state of a training run between two steps: everything that a checkpoint holds."""

    recipe: Recipe
    model: M3ViT
    distributed: DistributedModel
    optimizers: list[torch.optim.Optimizer]
    precision: Precision
    step: int = 0
    selection: Selection = field(default_factory=Selection)
    sampler: BudgetSampler | None = None
    weighting: Weighting | None = None
    average: WeightAverage | None = None

    @classmethod
    def start(
        cls, recipe: Recipe, ranks: Ranks, initial: dict[str, torch.Tensor] | None = None, expert_ranks: int = 0
    ) -> "Run":
        """A run before its first step, with the same weights on every rank: random, or from `initial` as far as they fit.

        expert_ranks: among how many ranks divided experts are divided, 0 for all. UserError if `initial` does not fit the recipe's model
        (see `initialise`) or the experts cannot be divided among the ranks.
        """
        torch.manual_seed(recipe.training.seed)
        training = recipe.training
        model = M3ViT(recipe.model)
        if training.initialisation == "m3vit":
            draw_as_m3vit(model)
        if initial is not None:
            initialise(model, initial, seed=training.seed, upcycle=training.upcycle)
        model.to(ranks.device)
        distributed = DistributedModel(model, ranks, training.experts_sharded, expert_ranks)
        precision = Precision(training.precision, ranks.device)
        sampler = None
        if training.least_experts:
            sampler = BudgetSampler(model, training.least_experts, training.seed, training.warmup)
        weighting = build_weighting(training, len(recipe.model.tasks_with_truth), ranks.size)
        return cls(
            recipe,
            model,
            distributed,
            build_optimizers(model, training),
            precision,
            sampler=sampler,
            weighting=weighting,
            average=WeightAverage(model, training.ema_decay) if training.ema_decay else None,
        )

    def restore(self, path: Path) -> None:
        """Continue from a checkpoint. UserError if it cannot be read or was trained with another recipe.

        The recipe may have more steps than the checkpoint's: then the run is lengthened, at the learning rate of the longer schedule.
        """
        state = checkpoint.load(path)
        if state.recipe != self.recipe and not _lengthened(state.recipe, self.recipe):
            raise UserError(f"checkpoint {path} {_difference(state.recipe, self.recipe)}: resume with the same recipe")
        checkpoint.load_weights(self.model, self.distributed.scattered(state.trained or state.weights))
        if self.average:
            self.average.restore(self.distributed.scattered(state.weights))
        checkpoint.restore_optimizers(self.model, self.optimizers, self.distributed.scattered(state.optimizer))
        self.precision.restore(state.scale)
        self.step, self.selection = state.step, state.selection
        if self.sampler:
            self.sampler.restore(state.sampler)
        if self.weighting:
            self.weighting.restore({name: value.numpy() for name, value in state.weighting.items()})

    def save(self, path: Path) -> None:
        """Write a checkpoint, whose contents do not depend on the number of ranks. All ranks must call it; the first one writes."""
        weights, trained = self.distributed.gathered(self.model.state_dict()), {}
        if self.average:
            weights, trained = self.distributed.gathered(self.average.weights), weights
        moments = self.distributed.gathered(checkpoint.optimizer_tensors(self.model, self.optimizers))
        if self.distributed.ranks.first:
            scale, selection = self.precision.state(), self.selection
            sampler = self.sampler.tensors() if self.sampler else {}
            own = self.weighting.state if self.weighting else {}
            weighting = {name: torch.from_numpy(value) for name, value in own.items()}
            others = sampler, weighting, trained
            checkpoint.save(
                path, checkpoint.Checkpoint(self.recipe, self.step, weights, moments, scale, selection, *others)
            )

    def whole_model(self) -> M3ViT:
        """A copy of the model with all experts, on the CPU, with the averaged weights if there are some. All ranks must call it."""
        model = M3ViT(self.recipe.model)
        own = self.average.weights if self.average else self.model.state_dict()
        model.load_state_dict(self.distributed.gathered(own))
        return model


def train(
    recipe: Recipe,
    path: Path,
    *,
    resume: bool = False,
    stop_after: int | None = None,
    save_every: int = 200,
    console: Console | None = None,
    data_root: Path | None = None,
    ranks: Ranks = Ranks(),  # noqa: B008 (immutable)
    log: Path | None = None,
    table: Path | None = None,
    folder: Path | None = None,
    workers: int = 0,
    expert_ranks: int = 0,
) -> M3ViT:
    """Train the recipe's model and return it; a checkpoint is saved to `path` every `save_every` steps and at the end.

    resume: continue from the checkpoint at `path`, which must have the same recipe, or the same with fewer steps. stop_after: stop
    after that many steps of the recipe's schedule; a later resume continues as if there had been no break. data_root: directory of the
    data set's files; None for scenes. log: directory for TensorBoard. table: file for the same curves, see `ScalarLog`. folder: of the
    run, see `write_run_folder`. workers: processes that read files for each rank, none if 0; they change nothing but time.
    expert_ranks: among how many ranks that follow one another experts are divided (`experts_sharded`), 0 for all. With
    `validate_every`, the best checkpoint so far is at `best_path(path)`.
    UserError before the first step if `path` cannot be written or the recipe cannot run here, and later if training diverges.
    """
    console = (console or Console()) if ranks.first else Console(quiet=True)
    recipe = recipe.for_processes(ranks.size)
    require_trainable(recipe)
    require_divisible(recipe, ranks.size)
    require_file_writable(path)
    initial = None
    if recipe.training.initialise_from and not resume:
        state = checkpoint.load(Path(recipe.training.initialise_from))
        initial = adapted(state.weights, state.recipe.model, recipe.model)
    if expert_ranks and not recipe.training.experts_sharded:
        raise UserError(f"--expert-ranks {expert_ranks} is for experts_sharded = true: set it in the recipe")
    run = Run.start(recipe, ranks, initial, expert_ranks)
    if resume:
        run.restore(path)
    if folder is not None and ranks.first:
        write_run_folder(folder, recipe, str(ranks.device), ranks.size, resume)
    last = min(recipe.training.steps, recipe.training.steps if stop_after is None else stop_after)
    with _progress(console) as progress, _log(log, table, ranks, run.step) as scalars:
        rendering = progress.add_task("rendering", total=recipe.training.pool, losses="", visible=False)
        source = open_training(
            recipe,
            data_root,
            rank=ranks.rank,
            ranks=ranks.size,
            workers=workers,
            advance=lambda count: progress.update(rendering, advance=count, visible=True),
        )
        held_out = open_validation(recipe, data_root) if recipe.training.validate_every else None
        bar = progress.add_task("training", total=recipe.training.steps, completed=run.step, losses="")
        for batch in source.batches(run.step, last):
            with run.sampler.step(run.step) if run.sampler else nullcontext():
                losses = training_step(
                    run.model,
                    run.optimizers,
                    recipe,
                    batch,
                    run.step,
                    distributed=run.distributed,
                    precision=run.precision,
                    weighting=run.weighting,
                )
            if not all(map(math.isfinite, losses.values())):
                raise UserError(f"training diverged at step {run.step}: lower the learning rate")
            if run.average:
                run.average.update(run.step)
            run.step += 1
            _write_log(scalars, run, losses, batch)
            if held_out is not None and (
                run.step % recipe.training.validate_every == 0 or run.step == recipe.training.steps
            ):
                _validate(run, held_out, path, scalars, workers)
            if run.step % save_every == 0 and run.step < last:
                run.save(path)
            progress.update(bar, advance=1, losses="  ".join(f"{name} {loss:.3f}" for name, loss in losses.items()))
    run.save(path)
    return run.whole_model()


def require_trainable(recipe: Recipe) -> None:
    """Raise UserError unless the model's tasks can be trained with the recipe's losses, and nothing is left that no task trains."""
    model = recipe.model
    for task in model.tasks:
        task.definition(recipe.training.losses)
    if not model.tasks_with_truth:
        raise UserError(
            f"nothing to train in {', '.join(model.task_names)}: features have no ground truth; add another task to the recipe"
        )
    features = [task.name for task in model.tasks if not task.has_truth]
    if features and model.experts and model.gate != "single":
        raise UserError(
            f"features {features[0]} have routers of their own, which nothing trains: set gate = 'single', or leave them out"
        )


def best_path(path: Path) -> Path:
    """Path of the best checkpoint of a run whose last checkpoint is at `path`."""
    return path.with_name(f"{path.stem}.best{path.suffix}")


def _validate(run: Run, held_out: Dataset, path: Path, scalars: ScalarLog, workers: int = 0) -> None:
    with run.average.in_place() if run.average else nullcontext():
        run.distributed.share_buffers()
        share = Share(run.distributed.ranks.rank, run.distributed.ranks.size)
        metrics = measure_float(run.model.eval(), held_out, share=share, workers=workers)
    run.model.train()
    scalars.add("metric", metrics, run.step)
    better = run.selection.update(run.recipe, metrics, run.step)
    # What a GPU measures may differ from rank to rank where no share is divided, but either all or none must save.
    better, run.selection = run.distributed.from_first((better, run.selection))
    if better:
        run.save(best_path(path))


def _write_log(scalars: ScalarLog, run: Run, losses: dict[str, float], batch: Batch) -> None:
    """Log every _LOG_EVERY steps and after the last. All ranks take part: measuring the loads of sharded experts needs them all."""
    if not scalars or (run.step % _LOG_EVERY and run.step != run.recipe.training.steps):
        return
    scalars.add("loss", losses, run.step)
    scalars.add("learning rate", {"part of peak": learning_rate(run.recipe.training, run.step - 1)}, run.step)
    if run.recipe.model.experts:
        scalars.add("largest expert load", largest_expert_loads(run.model, batch.images), run.step)


@contextmanager
def _log(directory: Path | None, table: Path | None, ranks: Ranks, first_step: int) -> Iterator[ScalarLog]:
    log = ScalarLog(directory, first_step, writes=ranks.first, table=table)
    try:
        yield log
    finally:
        log.close()


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, TimeRemainingColumn(), TextColumn("{task.fields[losses]}"), console=console)


def _lengthened(found: Recipe, wanted: Recipe) -> bool:
    """Whether `wanted` is the recipe `found` with more steps."""
    before, after = found.to_dict(), wanted.to_dict()
    return before["training"].pop("steps") < after["training"].pop("steps") and before == after


def _difference(found: Recipe, wanted: Recipe) -> str:
    """The first entry in which two recipes differ, as part of a message."""
    for section, entries in found.to_dict().items():
        others = wanted.to_dict()[section]
        for name in entries | others:
            value, other = entries.get(name, "its default"), others.get(name, "its default")
            if value != other:
                return f"was trained with {section}.{name} = {value}, the recipe has {other}"
    raise ValueError("the recipes are equal")
