"""Sections of docs/results.md that compare networks: as they are, seed by seed, in other settings, and how rates were tuned."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from moesaic.model.experiments.paired import Estimate, estimate, holm
from moesaic.model.experiments.results_design import (
    DENSE,
    FACTORS,
    FEWEST_SEEDS,
    NETWORKS,
    REFERENCE,
    SEEDS,
    SETTINGS,
    SINGLES,
    TASKS,
    TUNING_SEEDS,
)
from moesaic.model.experiments.results_records import Study
from moesaic.model.experiments.results_words import (
    heading,
    interval,
    is_shown,
    probability,
    spread,
    stressed,
    table,
    too_few,
    worse,
)
from moesaic.model.recipes.recipe import load_recipe
from moesaic.pages.tables import Cell, Value

OPPONENTS = tuple(name for name in NETWORKS if name != REFERENCE and name not in SINGLES.values())
"""What the multi-gate network is compared with, beside the single-task networks."""


def networks_section(study: Study) -> list[str]:
    """Every network as it is, as lines of Markdown. Rows of networks without any seed have dashes."""
    rows: list[list[Value | Cell]] = []
    for name in (name for name in NETWORKS if name not in SINGLES.values()):
        seeds = study.seeds(name)
        mine = [study.runs[name, seed] for seed in seeds]
        macs, weights, seconds = _costs(mine)
        metrics = [spread([run["float"][task] for run in mine]) for task in TASKS]
        gains = spread(study.gains_over_singles(name), 2)
        rows.append(
            [NETWORKS[name].title, str(len(seeds)), _factor(study, name), macs, weights, *metrics, gains, seconds]
        )
    rows.append(_singles_row(study))
    heads = ["seeds", "rates", "MACs", "weights", *map(heading, TASKS), "Δm (%)", "s per run"]
    return [
        "Δm is the mean over the tasks of the relative gain over single-task networks of the same seed (Maninis et al. 2019), in percent."
        " MACs are those of",
        "one frame of one task, the mean over the tasks; routers count. Rates are the tuned factor of the recipe's learning rates, seconds"
        " those of a core.",
        "",
        table(["network"], heads, rows),
        "",
        _levels(study),
    ]


def paired_section(study: Study) -> list[str]:
    """The multi-gate network against each of the others, seed by seed, as lines of Markdown."""
    found = compared(study)
    adjusted = dict(zip(found, holm([each.p if each else None for each in found.values()])))
    rows: list[list[Value | Cell]] = []
    for name, each in found.items():
        title = "single-task ViTs" if name == _ALL_SINGLES else NETWORKS[name].title
        if each is None:
            rows.append([title, "0", *["–"] * (len(TASKS) + 3)])
            continue
        shown = is_shown(each, adjusted[name])
        gain = stressed(f"{each.mean:+.2f} ({interval(each)})" if each.low is not None else f"{each.mean:+.2f}", shown)
        rows.append(
            [
                title,
                str(each.count),
                *_task_gains(study, name),
                gain,
                probability(each.p),
                probability(adjusted[name]),
            ]
        )
    heads = ["seeds", *(f"{task} (%)" for task in TASKS), "mean (%), 95 % interval", "p", "p, corrected"]
    return [
        "The relative gain of the multi-gate network, positive where it is better; the networks of a seed saw the same scenes and are"
        " measured on the same ones. The",
        "interval and p are of a paired t-test on the mean over the tasks, p corrected by Holm for all rows. Bold: at least five seeds, the"
        " interval without 0, the",
        "corrected p below 0.05.",
        "",
        table(["against"], heads, rows),
        "",
        *verdicts(found, adjusted),
    ]


_ALL_SINGLES = "single-task"


def compared(study: Study) -> dict[str, Estimate | None]:
    """The gain of the multi-gate network over each opponent, None where there is no seed yet."""
    values = {name: study.gains(REFERENCE, name) for name in OPPONENTS}
    values[_ALL_SINGLES] = study.gains_over_singles(REFERENCE)
    return {name: estimate(each) if each else None for name, each in values.items()}


def verdicts(found: dict[str, Estimate | None], adjusted: dict[str, float | None]) -> list[str]:
    """What the comparisons show and do not show: sentences that depend on intervals and corrected p-values alone."""

    def sign(name: str) -> int | None:
        each = found.get(name)
        if each is None or each.count < FEWEST_SEEDS:
            return None
        return each.sign if is_shown(each, adjusted[name]) else 0

    lines = [_one_verdict(name, found.get(name), sign(name)) for name in OPPONENTS]
    work, same_time = sign(DENSE), sign("dense-time")
    if work is None:
        lines.append("Whether experts earn their place on these scenes is not known yet.")
    elif work > 0 and same_time is not None and same_time > 0:
        lines.append("Experts earn their place on these scenes, at equal work and at equal training time.")
    elif work > 0 and same_time is None:
        lines.append(
            "Experts earn their place at equal work of a frame; whether they do at equal training time is not known yet."
        )
    elif work > 0:
        lines.append(
            "Experts earn their place where the work of a frame is what counts. They do not where training time is: a dense network trained"
            f" for as long is {'better' if same_time else 'not shown to be worse'}."
        )
    else:
        lines.append(
            "Experts do not earn their place on these scenes: a dense network of equal work is "
            f"{'better' if work < 0 else 'not shown to be worse'}."
        )
    controls = [sign("position"), sign("random")]
    if None in controls:
        lines.append("What learned routing adds to having experts is not known yet.")
    elif min(each or 0 for each in controls) > 0:
        lines.append("Learned routing is better than both controls, so experts are not only more weights.")
    else:
        lines.append(
            "Learned routing is not shown to be better than both controls: what experts gain need not come from the choice of experts."
        )
    lines.append(
        "Nothing here shows what experts are worth on photographs, in larger networks, or with other optimisers."
    )
    return lines


def _one_verdict(name: str, found: Estimate | None, sign: int | None) -> str:
    title = NETWORKS[name].title
    if found is None or sign is None:
        return f"Against “{title}”: {too_few(found.count if found else 0)}"
    if sign:
        return f"Against “{title}”: {'better' if sign > 0 else 'worse'}, by {interval(found, unit=' %')}."
    return f"Against “{title}”: no difference is shown; {interval(found, unit=' %')} are not excluded."


def settings_section(study: Study) -> list[str]:
    """The comparisons in other settings, as lines of Markdown."""
    opponents = [name for name in next(iter(SETTINGS.values())).seconds if name != REFERENCE]
    cells = {
        (setting, name): study.gains(_in(setting, REFERENCE), _in(setting, name))
        for setting in (None, *SETTINGS)
        for name in opponents
    }
    found = {place: estimate(values) if values else None for place, values in cells.items()}
    adjusted = dict(zip(found, holm([each.p if each else None for each in found.values()])))
    rows: list[list[Value | Cell]] = []
    for setting in (None, *SETTINGS):
        recipe = load_recipe(f"results/{_in(setting, REFERENCE)}")
        title = "the main one" if setting is None else SETTINGS[setting].title
        row: list[Value | Cell] = [
            title,
            str(len(recipe.model.tasks)),
            f"{recipe.training.pool:,}",
            f"{recipe.training.steps:,}",
        ]
        for name in opponents:
            each = found[setting, name]
            if each is None:
                row.append("–")
                continue
            text = f"{interval(each)} ({each.count})"
            row.append(stressed(text, is_shown(each, adjusted[setting, name])))
        rows.append(row)
    heads = ["tasks", "scenes", "steps", *(NETWORKS[name].title for name in opponents)]
    return [
        "The gain of the multi-gate network over the others in percent, the mean over the tasks: its 95 % interval and, in brackets, the"
        " number of seeds. Learning rates are",
        "the ones tuned in the main setting; dense networks of equal training time are given the steps that take as long there. Bold as"
        " above, p corrected for the whole table.",
        "",
        table(["setting"], heads, rows),
        "",
        _where(found, adjusted),
    ]


def _where(
    found: dict[tuple[str | None, str], Estimate | None], adjusted: dict[tuple[str | None, str], float | None]
) -> str:
    """In which settings experts earn their place."""
    titles = {None: "the main setting", **{name: f"“{setting.title}”" for name, setting in SETTINGS.items()}}
    sentences = []
    for name, words in ((DENSE, "work"), ("dense-time", "training time"), ("dense-weights", "weights")):
        known = {s: each for (s, other), each in found.items() if other == name and each and each.count >= FEWEST_SEEDS}
        if not known:
            sentences.append(f"At equal {words} too few seeds are done in every setting.")
            continue
        better = [titles[s] for s, each in known.items() if each.sign > 0 and is_shown(each, adjusted[s, name])]
        sentences.append(
            f"At equal {words} the multi-gate network is shown to be better in {', '.join(better) or 'no setting'}"
            f" ({len(known)} of {len(titles)} settings have enough seeds)."
        )
    return " ".join([*sentences, "It does not show that more of either would go on helping."])


def tuning_section(study: Study) -> list[str]:
    """How the rates were tuned, as lines of Markdown."""
    order = sorted(FACTORS)
    rows: list[list[Value | Cell]] = []
    edges = []
    for name, network in NETWORKS.items():
        gains = study.tuning.get(name)
        factor = study.factor(name)
        rows.append([network.title, *(f"{gains[f]:+.2f}" if gains else "–" for f in order), _factor(study, name)])
        if factor in (order[0], order[-1]):
            edges.append(f"“{network.title}” (x {factor:g})")
    seeds = " and ".join(map(str, TUNING_SEEDS))
    edge = (
        f"At the edge of what was tried: {', '.join(edges)}."
        if edges
        else "No choice lies at the edge of what was tried."
    )
    done = len(study.tuning)
    return [
        f"Both learning rates of the recipe times a factor, in runs of full length on seeds {seeds}, which nothing else uses: the gain over"
        " the factor 1, the mean over",
        "tasks and seeds, in percent. Every network had the same three.",
        "",
        table(["network"], [*(f"x {factor:g}" for factor in order), "chosen"], rows),
        "",
        f"It shows which of three rates each network was given; {done} of {len(NETWORKS)} are tuned. It does not show the best rate: the"
        f" steps are wide and the seeds two. {edge if done else ''}".rstrip(),
    ]


def _in(setting: str | None, name: str) -> str:
    return name if setting is None else f"{setting}/{name}"


def _factor(study: Study, name: str) -> str:
    factor = study.factor(name)
    return "–" if factor is None else f"x {factor:g}"


def _task_gains(study: Study, name: str) -> list[str]:
    """The gain in each task, seed by seed."""
    if name == _ALL_SINGLES:
        seeds = study.seeds(REFERENCE, *SINGLES.values())
        other = [study.singles(seed) for seed in seeds]
    else:
        seeds = study.seeds(REFERENCE, name)
        other = [study.runs[name, seed]["float"] for seed in seeds]
    mine = [study.runs[REFERENCE, seed]["float"] for seed in seeds]
    return [spread([-worse(task, b[task], a[task]) for a, b in zip(mine, other)], 2) for task in TASKS]


def _costs(runs: Sequence[dict]) -> list[str]:
    """MACs, weights and seconds of a network's runs."""
    if not runs:
        return ["–", "–", "–"]
    seconds = [run["training_seconds"] for run in runs if run["training_seconds"] is not None]
    took = f"{statistics.mean(seconds):.0f}" if seconds else "–"
    return [f"{statistics.mean(runs[0]['macs'].values()) / 1e6:.2f} M", f"{runs[0]['parameters'] / 1e3:,.0f} k", took]


def _singles_row(study: Study) -> list[Value | Cell]:
    seeds = study.seeds(*SINGLES.values())
    runs = {task: [study.runs[name, seed] for seed in seeds] for task, name in SINGLES.items()}
    metrics = [spread([run["float"][task] for run in runs[task]]) for task in TASKS]
    costs = [_costs(each) for each in runs.values()]
    factors = {_factor(study, name) for name in SINGLES.values()}
    title = f"{len(TASKS)} single-task ViTs"
    if not seeds:
        return [title, "0", ", ".join(sorted(factors)), "–", "–", *metrics, "–", "–"]
    took = [run["training_seconds"] for each in runs.values() for run in each]
    seconds = "–" if None in took else f"{sum(took) / len(seeds):.0f} in all"
    macs = f"{statistics.mean(run['macs'][task] for task, (run, *_) in runs.items()) / 1e6:.2f} M"
    return [
        title,
        str(len(seeds)),
        ", ".join(sorted(factors)),
        macs,
        f"{len(TASKS)} x {costs[0][1]}",
        *metrics,
        "0",
        seconds,
    ]


def _levels(study: Study) -> str:
    """What the table of networks shows and does not show."""
    seeds = study.seeds(REFERENCE, DENSE)
    if len(seeds) < FEWEST_SEEDS:
        return f"{too_few(len(seeds))} It does not show which network is better; the next table does, once there are enough."
    between = statistics.stdev(study.runs[REFERENCE, seed]["float"][TASKS[0]] for seed in seeds)
    paired = statistics.stdev(
        study.runs[REFERENCE, seed]["float"][TASKS[0]] - study.runs[DENSE, seed]["float"][TASKS[0]] for seed in seeds
    )
    return (
        f"It shows what each network reaches and costs, ± half of the 95 % interval over its seeds (of {len(SEEDS)}). It does not show which"
        f" is better: from seed to seed, whose scenes differ, the multi-gate network's {heading(TASKS[0])} varies by {between:.4f}, its"
        f" difference to the dense network of equal work by {paired:.4f} (standard deviations). The next table pairs by seed."
    )
