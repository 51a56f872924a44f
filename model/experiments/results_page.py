"""The page docs/results.md, written from the measurements of all runs."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from moesaic.files import write_file
from moesaic.model.experiments.timing_table import timing_table
from moesaic.model.pathways.budgets import Budget
from moesaic.model.quantisation.settings import AUTO, PtqSettings
from moesaic.model.recipes.recipe import load_recipe
from moesaic.model.tasks.delta import delta_m
from moesaic.pages.tables import Cell, Column, Table, Value

_TITLES = {
    "multi-gate": "M³ViT, multi-gate",
    "sampled-budgets": "M³ViT, multi-gate, sampled budgets",
    "task-conditioned": "M³ViT, task-conditioned gate",
    "single-gate": "M³ViT, single gate",
    "dense": "dense multi-task ViT",
}
_SINGLE = "single-task-"

HALF, FINE_TUNING_STEPS = "8x4", 600
"""The budget under which the multi-gate network is fine-tuned, and the number of steps."""
BUDGETS = ("16x4", "12x4", HALF, "4x4", "16x2", "8x2", "16x1", "8x1")
"""Budgets as experts kept x experts per token; the first is the whole network."""
BUDGETED = ("multi-gate", "sampled-budgets")
"""Networks measured under these budgets without further training."""
EXPERT_BITS = {
    "8": PtqSettings(),
    "4": PtqSettings(expert_bits=4),
    **{f"auto, {loss:g} dB": PtqSettings(expert_bits=AUTO, expert_bits_loss=loss) for loss in (0.5, 1.0, 2.0)},
}
"""Choices of bits for the experts of the multi-gate network, as the page names them; the first is what the others are compared with."""


def write_page(path: Path, results: list[dict], experts: dict) -> None:
    """Write the page. UserError if it cannot be written.

    results: of all runs, as returned by `moesaic.model.experiments.results_study.execute_all`. experts: as returned by
    `moesaic.model.experiments.expert_timing.measure`.
    """
    write_file(path, results_markdown(results, experts).encode())


def results_markdown(results: list[dict], experts: dict) -> str:
    """The page as Markdown; arguments as for `write_page`."""
    runs = {(result["name"], result["seed"]): result for result in results}
    seeds = sorted({seed for _, seed in runs})
    recipe = load_recipe("results/multi-gate")
    model, training = recipe.model, recipe.training
    singles = {seed: {task: runs[_SINGLE + task, seed]["float"][task] for task in model.task_names} for seed in seeds}
    numbers = ", ".join(map(str, seeds))
    lines = [
        "# Results on rendered scenes",
        "",
        "Written by `make results`, which trains what is missing and measures it; runs that are done are kept in `build/results`.",
        f"Recipes: `model/recipes/results/`. Seeds: {numbers}; a seed has its own weights, {training.pool:,} training scenes and",
        f"{recipe.data.validation} held-out scenes of {model.image_height}x{model.image_width} pixels. Every run takes {training.steps:,}"
        f" steps of {training.batch} images. Numbers are the mean",
        "over the seeds ± the standard deviation (of the sample); what is compared within a row was measured on the same scenes.",
        "What integers leave of a network that others trained, beside onnxruntime's, is in [real.md](real.md#what-is-measured).",
        "",
        "## Multi-task networks of equal work",
        "",
        "Δm is the mean over the tasks of the relative gain over single-task runs of the dense network with the same seed",
        "(Maninis et al. 2019), in percent. MACs are those of one frame of one task, the mean over the tasks; routers count.",
        "",
        _networks(runs, seeds, singles),
        "",
        "## Integers",
        "",
        "Post-training quantisation to int8 on 64 training scenes; the change is relative to float, positive when worse.",
        "",
        _integers(runs, seeds),
        "",
        *expert_bits_section([runs["multi-gate", seed] for seed in seeds]),
        "",
        "## Half of the experts",
        "",
        f"Each task of the multi-gate network keeps {_kept()} of {model.experts} experts in every MoE block, the most used by"
        " router score on",
        f'64 training scenes. "Trained on" is {FINE_TUNING_STEPS} more steps at a tenth of the learning rates, with these experts or'
        " with all. The change is",
        "relative to the column before it, positive when worse.",
        "",
        _pathways(runs, seeds),
        "",
        "## Budgets changed after training",
        "",
        "Experts kept by each task in every MoE block, and experts a token, changed without any training. One network was trained as"
        " usual, one with",
        f"sampled budgets (`least_experts = {load_recipe('results/sampled-budgets').training.least_experts}`). The change is relative to"
        " the network that was trained as usual and has",
        "all its experts, the mean over the tasks, in percent, positive when worse.",
        "",
        _budgets(runs, seeds),
        "",
        *_experts(experts),
    ]
    return "\n".join(lines) + "\n"


def _networks(runs: dict, seeds: list[int], singles: dict[int, dict[str, float]]) -> str:
    tasks = list(singles[seeds[0]])
    rows: list[list[Value | Cell]] = []
    for name, title in _TITLES.items():
        mine = [runs[name, seed] for seed in seeds]
        gains = [delta_m(run["float"], singles[run["seed"]]) for run in mine]
        metrics = [_spread([run["float"][task] for run in mine]) for task in tasks]
        seconds = f"{statistics.mean(run['training_seconds'] for run in mine):.0f}"
        rows.append([title, _macs(mine[0]), _weights(mine[0]), *metrics, Cell(_spread(gains, 2), "strong"), seconds])
    ones = [[runs[_SINGLE + task, seed] for seed in seeds] for task in tasks]
    metrics = [_spread([run["float"][task] for run in mine]) for task, mine in zip(tasks, ones)]
    each = [statistics.mean(run["training_seconds"] for run in mine) for mine in ones]
    macs = statistics.mean(run["macs"][task] for task, (run, *_) in zip(tasks, ones))
    weights = f"{len(tasks)} x {_weights(ones[0][0])}"
    rows.append(
        [f"{len(tasks)} single-task ViTs", f"{macs / 1e6:.2f} M", weights, *metrics, "0", f"{sum(each):.0f} in all"]
    )
    return _table(["network"], ["MACs", "weights", *map(_heading, tasks), "Δm (%)", "s per run"], rows)


def _integers(runs: dict, seeds: list[int]) -> str:
    rows = []
    for name, title in _TITLES.items():
        if "integer" in runs[name, seeds[0]]:
            rows += _changes(title, [(runs[name, seed]["float"], runs[name, seed]["integer"]) for seed in seeds])
    agreement = _spread([100 * runs["multi-gate", seed]["agreement"] for seed in seeds], 2)
    note = f"Router top-k agreement of integers with float: {agreement} %."
    return _table(["network", "task"], ["float", "int8", "change (%)"], rows, note)


def expert_bits_section(runs: list[dict]) -> list[str]:
    """The section on experts of 4 bits, as lines of Markdown. runs: of the multi-gate network, one for each seed."""
    rows: list[list[Value | Cell]] = []
    for name in EXPERT_BITS:
        found = [run["expert_bits"][name] for run in runs]
        lost = "–" if found[0]["lost"] is None else _spread([one["lost"] for one in found], 2)
        changes = [
            _spread([_worse(task, run["float"][task], one["integer"][task]) for run, one in zip(runs, found)], 2)
            for task in runs[0]["float"]
        ]
        share = _spread([100 * one["four_bit_share"] for one in found], 0)
        rows.append([name, share, _spread([one["dram_bytes"] / 1e3 for one in found], 0), lost, *changes])
    heads = [
        "4-bit experts (%)",
        "DRAM a frame (kB)",
        "dB lost",
        *(f"{_heading(task)} (%)" for task in runs[0]["float"]),
    ]
    return [
        "## Experts of 4 bits",
        "",
        "The multi-gate network's experts with weights of 8 bits, of 4, and chosen by `--expert-bits auto` with what `--expert-bits-loss`"
        " allows",
        "([how](quantisation.md#4-bit-expert-weights)). Columns of tasks have the change relative to float, in percent, positive when"
        " worse. The loss is the one",
        "measured on calibration pictures; bytes are those of `moesaic.spec.cost.dram_bytes`, the mean over the tasks.",
        "",
        _table(["experts' bits"], heads, rows),
    ]


def _pathways(runs: dict, seeds: list[int]) -> str:
    mine, kept = [runs["multi-gate", seed] for seed in seeds], f"{_kept()} experts"
    half = [run["budgets"][HALF] for run in mine]
    whole, trained_whole, trained_half = (
        [run[key] for run in mine] for key in ("float", "all_trained_on", "half_trained_on")
    )
    rows = [
        *_changes(f"all, {kept}", list(zip(whole, half))),
        *_changes(f"all, {kept} trained on", list(zip(whole, trained_half))),
        *_changes(f"all trained on, {kept} trained on", list(zip(trained_whole, trained_half))),
    ]
    return _table(["compared", "task"], ["before", "after", "change (%)"], rows)


def _budgets(runs: dict, seeds: list[int]) -> str:
    rows = []
    for budget in BUDGETS:
        cells = []
        for name in BUDGETED:
            pairs = [(runs["multi-gate", seed]["float"], runs[name, seed]["budgets"][budget]) for seed in seeds]
            cells.append(_spread([-delta_m(after, before) for before, after in pairs], 2))
        rows.append([budget.replace("x", ", "), *cells])
    return _table(["experts kept, a token"], [_TITLES[name] for name in BUDGETED], rows)


def _kept() -> int:
    return Budget.parse(HALF).experts


def _experts(measured: dict) -> list[str]:
    """The three sections on what the mixture of experts costs, as lines of Markdown."""
    threads = f"{measured['threads']} thread{'s' if measured['threads'] > 1 else ''}"

    def table(name: str) -> str:
        return timing_table(measured[name]).to_markdown()

    return [
        "## What experts cost in training",
        "",
        f"Times of this and the next two tables: `{measured['recipe']}`, weights not trained, {threads} of PyTorch {measured['torch']},"
        f" the median of {measured['repeats']}. What is compared",
        "takes turns in one process, so that other load falls on all of it alike.",
        "",
        f"{measured['training']['title']}. The dense network's MLPs have as many hidden units as a token's experts together. AdamW and",
        "Muon update every expert, whatever is active; Muon also orthogonalises its matrices.",
        "",
        table("training"),
        "",
        "## The expert layer and simpler forms of it",
        "",
        f"{measured['layer']['title']}, routing left out. The forms give the same result.",
        "",
        table("layer"),
        "",
        "## One task alone",
        "",
        f"{measured['tasks']['title']}. All tasks share what comes before the first choice of experts; experts are stored for every task"
        " until a budget",
        "prunes them ([pathways.md](pathways.md)).",
        "",
        table("tasks"),
    ]


def _changes(title: str, pairs: list[tuple[dict[str, float], dict[str, float]]]) -> list[list[str]]:
    """One row per task: the metric before, after, and by how many percent it got worse. pairs: (before, after), one per seed."""
    rows = []
    for task in pairs[0][0]:
        before, after = ([pair[side][task] for pair in pairs] for side in (0, 1))
        worse = [_worse(task, a, b) for a, b in zip(before, after)]
        rows.append([title, _heading(task), _spread(before), _spread(after), _spread(worse, 2)])
    return rows


def _worse(task: str, before: float, after: float) -> float:
    """By how many percent a task's metric got worse."""
    return (-100 if _definition(task).higher_is_better else 100) * (after - before) / before


def _definition(task: str):
    return load_recipe("results/multi-gate").model.task(task).definition()


def _heading(task: str) -> str:
    definition = _definition(task)
    return f"{task}, {definition.metric} {'↑' if definition.higher_is_better else '↓'}"


def _macs(run: dict) -> str:
    return f"{statistics.mean(run['macs'].values()) / 1e6:.2f} M"


def _weights(run: dict) -> str:
    return f"{run['parameters'] / 1e3:,.0f} k"


def _spread(values: list[float], digits: int = 4) -> str:
    mean = f"{statistics.mean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


def _table(names: list[str], figures: list[str], rows: Sequence[Sequence[Value | Cell]], *notes: str) -> str:
    """A Markdown table whose first columns hold names and whose other columns hold figures."""
    columns = (*map(Column, names), *(Column(heading, align="right") for heading in figures))
    return Table(columns, rows, notes).to_markdown()
