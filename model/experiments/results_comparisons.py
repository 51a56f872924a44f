"""Sections of docs/results.md that compare networks: as they are, seed by seed, in other settings, and how rates were tuned."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

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
    SIGNIFICANT,
    bullets,
    heading,
    interval,
    is_shown,
    paragraph,
    probability,
    spread,
    stressed,
    table,
    worse,
)
from moesaic.model.recipes.recipe import load_recipe
from moesaic.pages.number_formats import signed
from moesaic.pages.tables import Cell, Value

OPPONENTS = tuple(name for name in NETWORKS if name != REFERENCE and name not in SINGLES.values())
"""What the multi-gate network is compared with, beside the single-task networks."""


def networks_section(study: Study) -> list[str]:
    """Every network as it is, as blocks of Markdown; networks without any seed have no row."""
    rows: list[list[Value | Cell]] = []
    for name in (name for name in NETWORKS if name not in SINGLES.values()):
        seeds = study.seeds(name)
        if not seeds:
            continue
        mine = [study.runs[name, seed] for seed in seeds]
        macs, weights, seconds = _costs(mine)
        metrics = [spread([run["float"][task] for run in mine]) for task in TASKS]
        gains = spread(study.gains_over_singles(name), 2)
        row = [NETWORKS[name].title, str(len(seeds)), _factor(study, name), macs, weights, *metrics, gains, seconds]
        rows.append([*row])
    if singles := study.seeds(*SINGLES.values()):
        rows.append(_singles_row(study, singles))
    steps = load_recipe("results/dense-time").training.steps
    heads = ["seeds", "rates", "MACs", "weights", *map(heading, TASKS), "Δm (%)", "s per run"]
    return [
        paragraph(
            "Δm is the mean over the tasks of the relative gain over single-task networks of the same seed (Maninis et al. 2019), in"
            " percent.",
            "MACs are those of one frame of one task, the mean over the tasks; routers count.",
            "Rates are the tuned factor of the recipe's learning rates, seconds those of a core.",
            f"The dense network of equal training time takes {steps:,} steps{_time_share(study)}.",
        ),
        *_table(["network"], heads, rows),
        _levels(study),
    ]


def paired_section(study: Study) -> list[str]:
    """The multi-gate network against each of the others, seed by seed, as blocks of Markdown."""
    found = compared(study)
    adjusted = dict(zip(found, holm([each.p if each else None for each in found.values()])))
    rows: list[list[Value | Cell]] = []
    for name, each in found.items():
        if each is None:
            continue
        text = signed(2)(each.mean) if each.low is None else f"{signed(2)(each.mean)} ({interval(each)})"
        gain = stressed(text, is_shown(each, adjusted[name]))
        p, corrected = probability(each.p), probability(adjusted[name])
        rows.append([_title(name), str(each.count), *_task_gains(study, name), gain, p, corrected])
    heads = ["seeds", *(f"{task} (%)" for task in TASKS), "mean (%), 95 % interval", "p", "p, corrected"]
    return [
        paragraph(
            "The relative gain of the multi-gate network, positive where it is better; the networks of a seed saw the same scenes and are"
            " measured on the same ones.",
            "The interval and p are of a paired t-test on the mean over the tasks, p corrected by Holm's method for all rows.",
            f"Bold: at least {FEWEST_SEEDS} seeds, the interval without 0, the corrected p below {SIGNIFICANT}.",
        ),
        *_table(["against"], heads, rows),
        bullets(verdicts(found, adjusted)),
    ]


_ALL_SINGLES = "single-task"


def _title(opponent: str) -> str:
    return "single-task ViTs" if opponent == _ALL_SINGLES else NETWORKS[opponent].title


def compared(study: Study) -> dict[str, Estimate | None]:
    """The gain of the multi-gate network over each opponent, None where there is no seed yet."""
    values = {name: study.gains(REFERENCE, name) for name in OPPONENTS}
    values[_ALL_SINGLES] = study.gains_over_singles(REFERENCE)
    return {name: estimate(each) if each else None for name, each in values.items()}


def verdicts(found: Mapping[str, Estimate | None], adjusted: Mapping[str, float | None]) -> list[str]:
    """What the comparisons show and do not show: sentences that depend on numbers of seeds, intervals and corrected p-values alone.

    found: by opponent, see `compared`; adjusted: its p-values corrected for their number.
    """

    def sign(name: str) -> int | None:
        """1 or -1 if a difference is shown, 0 if not, None with too few seeds."""
        each = found.get(name)
        if each is None or each.count < FEWEST_SEEDS:
            return None
        return each.sign if is_shown(each, adjusted[name]) else 0

    enough = [name for name in found if sign(name) is not None]
    lines = [_one_verdict(name, found[name], sign(name)) for name in enough]
    if len(enough) < len(found):
        waiting = [_title(name) for name in found if name not in enough]
        lines.append(f"Too few seeds for a statement, fewer than {FEWEST_SEEDS}: {'; '.join(waiting)}.")
    lines += [_place(sign(DENSE), sign("dense-time")), _routing(sign("position"), sign("random"))]
    lines.append(
        "Nothing here shows what experts are worth on photographs, in larger networks, or with other optimisers."
    )
    return lines


def _one_verdict(name: str, found: Estimate | None, sign: int | None) -> str:
    against = f"Against “{_title(name)}”"
    if found is None or not sign:
        rest = "" if found is None else f"; gains of {interval(found, unit=' %')} are not excluded"
        return f"{against} no difference is shown{rest}."
    return f"{against} it is {'better' if sign > 0 else 'worse'}: a gain of {interval(found, unit=' %')}."


def _place(work: int | None, same_time: int | None) -> str:
    """Whether experts earn their place. work, same_time: the signs against the dense networks of equal work and of equal time."""
    if work is None:
        return "Whether experts earn their place on these scenes is not known yet."
    if work <= 0:
        dense = "better" if work else "not shown to be worse"
        return f"Experts do not earn their place on these scenes: the dense network of equal work is {dense}."
    if same_time is None:
        return "Experts earn their place at equal work of a frame; whether they do at equal training time is not known yet."
    if same_time > 0:
        return "Experts earn their place on these scenes, both at equal work of a frame and at equal training time."
    dense = "better" if same_time else "not shown to be worse"
    return (
        "Experts earn their place where the work of a frame is what counts, but not where training time is: a dense network that is"
        f" trained for as long is {dense}."
    )


def _routing(position: int | None, random: int | None) -> str:
    """What learned routing is worth. position, random: the signs against the two controls."""
    if position is None or random is None:
        return "What learned routing adds to having experts is not known yet."
    if position > 0 and random > 0:
        return "Learned routing is better than both controls: experts are worth more than the weights that they add."
    return "Learned routing is not shown to be better than both controls: what experts gain need not come from how they are chosen."


def settings_section(study: Study) -> list[str]:
    """The comparisons in other settings, as blocks of Markdown."""
    opponents = [name for name in next(iter(SETTINGS.values())).seconds if name != REFERENCE]
    gains = {
        (setting, name): study.gains(_in(setting, REFERENCE), _in(setting, name))
        for setting in (None, *SETTINGS)
        for name in opponents
    }
    found = {place: estimate(values) if values else None for place, values in gains.items()}
    adjusted = dict(zip(found, holm([each.p if each else None for each in found.values()])))
    rows: list[list[Value | Cell]] = []
    for setting in (None, *SETTINGS):
        if not any(found[setting, name] for name in opponents):
            continue
        recipe = load_recipe(f"results/{_in(setting, REFERENCE)}")
        row: list[Value | Cell] = [
            "the main one" if setting is None else SETTINGS[setting].title,
            str(len(recipe.model.tasks)),
            f"{recipe.training.pool:,}",
            f"{recipe.training.steps:,}",
        ]
        for name in opponents:
            each = found[setting, name]
            shown = is_shown(each, adjusted[setting, name])
            row.append("–" if each is None else stressed(f"{interval(each)} ({each.count})", shown))
        rows.append(row)
    heads = ["tasks", "scenes", "steps", *(NETWORKS[name].title for name in opponents)]
    return [
        paragraph(
            "The gain of the multi-gate network over the others in percent, the mean over the tasks: its 95 % interval and, in brackets,"
            " the number of seeds.",
            "Learning rates are the ones tuned in the main setting; a dense network of equal training time has the steps that take as long"
            " as the multi-gate network's.",
            "Bold as above, p corrected for the whole table.",
        ),
        *_table(["setting"], heads, rows),
        paragraph(*_where(found, adjusted)),
    ]


_Place = tuple[str | None, str]


def _where(found: Mapping[_Place, Estimate | None], adjusted: Mapping[_Place, float | None]) -> list[str]:
    """In which settings experts earn their place, as sentences. Keys: setting (None is the main one) and opponent."""
    titles = {None: "the main setting", **{name: f"“{setting.title}”" for name, setting in SETTINGS.items()}}
    known = {place: each for place, each in found.items() if each is not None and each.count >= FEWEST_SEEDS}
    if not known:
        return ["In no setting are there enough seeds yet."]
    sentences = []
    for name, words in ((DENSE, "work of a frame"), ("dense-time", "training time"), ("dense-weights", "weights")):
        here = {setting: each for (setting, other), each in known.items() if other == name}
        if not here:
            sentences.append(f"At equal {words} there are not enough seeds yet.")
            continue
        better = [
            titles[setting]
            for setting, each in here.items()
            if each.sign > 0 and is_shown(each, adjusted[setting, name])
        ]
        sentences.append(
            f"At equal {words} the multi-gate network is shown to be better in {' and in '.join(better) or 'no setting'},"
            f" of {len(here)} that have enough seeds."
        )
    return [*sentences, "It does not show what any of this is on photographs, or beyond these settings."]


def tuning_section(study: Study) -> list[str]:
    """How the rates were tuned, as blocks of Markdown."""
    order = sorted({*FACTORS, *(factor for gains in study.tuning.values() for factor in gains)})
    rows: list[list[Value | Cell]] = []
    for name, network in NETWORKS.items():
        if (gains := study.tuning.get(name)) is None:
            continue
        tried = [signed(2)(gains[each]) if each in gains else None for each in order]
        rows.append([network.title, *tried, _factor(study, name)])
    return [
        paragraph(
            f"Both learning rates of the recipe times a factor, in runs of full length on seeds {' and '.join(map(str, TUNING_SEEDS))},"
            " which nothing else uses: the gain over the factor 1, the mean over tasks and seeds, in percent.",
            f"Every network has the same {len(FACTORS)} factors, and half or twice of the best one as long as that is the least or the"
            " greatest.",
        ),
        *_table(["network"], [*(f"x {factor:g}" for factor in order), "chosen"], rows),
        paragraph(
            f"It shows which rates each network was given; {len(study.tuning)} of {len(NETWORKS)} are tuned so far.",
            f"It does not show the best rates: the steps are wide, and the seeds {len(TUNING_SEEDS)}.",
        ),
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


def _time_share(study: Study) -> str:
    """How long the dense network of equal training time really took, as the end of a sentence; nothing if it is not known."""
    both = [_seconds([study.runs[name, seed] for seed in study.seeds(name)]) for name in ("dense-time", REFERENCE)]
    if None in both:
        return ""
    dense, experts = (each or 0.0 for each in both)
    return f", which took {100 * dense / experts:.0f} % of the multi-gate network's time"


def _seconds(runs: Sequence[dict]) -> float | None:
    """The mean time of the trainings that were not interrupted; None if there is none."""
    seconds = [run["training_seconds"] for run in runs if run["training_seconds"] is not None]
    return statistics.fmean(seconds) if seconds else None


def _costs(runs: Sequence[dict]) -> list[str]:
    """MACs, weights and seconds of a network's runs."""
    seconds = _seconds(runs)
    took = "–" if seconds is None else f"{seconds:.0f}"
    return [f"{statistics.mean(runs[0]['macs'].values()) / 1e6:.2f} M", f"{runs[0]['parameters'] / 1e3:,.0f} k", took]


def _singles_row(study: Study, seeds: Sequence[int]) -> list[Value | Cell]:
    """The single-task networks together, over the seeds for which all of them have been run."""
    runs = {task: [study.runs[name, seed] for seed in seeds] for task, name in SINGLES.items()}
    metrics = [spread([run["float"][task] for run in runs[task]]) for task in TASKS]
    factors = ", ".join(sorted({_factor(study, name) for name in SINGLES.values()}))
    macs = f"{statistics.mean(run['macs'][task] for task, (run, *_) in runs.items()) / 1e6:.2f} M"
    weights = f"{len(TASKS)} x {_costs(runs[TASKS[0]])[1]}"
    took = [run["training_seconds"] for each in runs.values() for run in each]
    seconds = "–" if None in took else f"{sum(took) / len(seeds):.0f} in all"
    return [f"{len(TASKS)} single-task ViTs", str(len(seeds)), factors, macs, weights, *metrics, "0", seconds]


def _table(names: Sequence[str], figures: Sequence[str], rows: Sequence[Sequence[Value | Cell]]) -> list[str]:
    """A table as a block; no block without rows."""
    return [table(names, figures, rows)] if rows else []


def _levels(study: Study) -> str:
    """What the table of networks shows and does not show."""
    seeds = study.seeds(REFERENCE, DENSE)
    if len(seeds) < FEWEST_SEEDS:
        return paragraph(
            f"It shows nothing yet: {len(seeds)} of {len(SEEDS)} seeds have both “{NETWORKS[REFERENCE].title}” and"
            f" “{NETWORKS[DENSE].title}”, and {FEWEST_SEEDS} are the least for a statement."
        )
    mine, dense = ([study.runs[name, seed]["float"][TASKS[0]] for seed in seeds] for name in (REFERENCE, DENSE))
    between, paired = statistics.stdev(mine), statistics.stdev(a - b for a, b in zip(mine, dense))
    return paragraph(
        "It shows what each network reaches and costs.",
        f"It does not show which is better: from seed to seed, whose scenes differ, the multi-gate network's {TASKS[0]} varies by"
        f" {between:.4f}, its difference to the dense network of equal work by {paired:.4f} (standard deviations).",
        "The next table therefore compares seed by seed.",
    )
