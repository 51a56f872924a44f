"""Sections of docs/results.md about the networks with experts themselves: integers, bits, budgets, and what experts cost."""

from __future__ import annotations

from collections.abc import Sequence

from moesaic.model.experiments.paired import Estimate, estimate
from moesaic.model.experiments.results_design import BUDGETED, NETWORKS, QUANTISED, REFERENCE
from moesaic.model.experiments.results_records import Study
from moesaic.model.experiments.results_words import heading, paragraph, spread, table, worse, written
from moesaic.model.experiments.timing_table import timing_table
from moesaic.model.pathways.budgets import Budget
from moesaic.model.quantisation.settings import AUTO, PtqSettings
from moesaic.model.recipes.recipe import load_recipe
from moesaic.model.tasks.delta import delta_m
from moesaic.pages.tables import Cell, Value

HALF, FINE_TUNING_STEPS = "8x4", 600
"""The budget under which the multi-gate network is fine-tuned, and the number of steps."""
BUDGETS = ("16x4", "12x4", HALF, "4x4", "16x2", "8x2", "16x1", "8x1")
"""Budgets as experts kept x experts per token; the first is the whole network."""
EXPERT_BITS = {
    "8": PtqSettings(),
    "4": PtqSettings(expert_bits=4),
    **{f"auto, {loss:g} dB": PtqSettings(expert_bits=AUTO, expert_bits_loss=loss) for loss in (0.5, 1.0, 2.0)},
}
"""Choices of bits for the experts of the multi-gate network, as the page names them; the first is what the others are compared with."""

TIMED = ("What experts cost in training", "The expert layer and simpler forms of it", "One task alone")
"""The titles of the sections on what experts cost."""

_Pair = tuple[dict[str, float], dict[str, float]]


def integers_section(study: Study, seeds: Sequence[int]) -> list[str]:
    """What int8 costs, as blocks of Markdown. seeds: those of which QUANTISED have been measured further."""
    rows, found = [], []
    for name in QUANTISED:
        mine = [study.further[name, seed] for seed in seeds]
        changes = _changes([(run["float"], run["integer"]) for run in mine])
        rows += [[NETWORKS[name].title, *row] for row in _change_rows(changes)]
        found += [change for _, _, change in changes.values()]
    agreement = spread([100 * study.further[REFERENCE, seed]["agreement"] for seed in seeds], 2)
    return [
        paragraph(
            "Post-training quantisation to int8 on 64 training scenes; the change is relative to float, positive when worse.",
            _number(seeds),
        ),
        table(["network", "task"], ["float", "int8", "change (%)"], rows),
        paragraph(
            f"Router top-k agreement of integers with float: {agreement} %.",
            _cost("int8", found),
            "It does not show what integers leave of a network that others trained ([real.md](real.md#what-is-measured) does).",
        ),
    ]


def bits_section(study: Study, seeds: Sequence[int]) -> list[str]:
    """What experts of 4 bits cost, as blocks of Markdown. seeds: those of which REFERENCE has been measured further."""
    runs = [study.further[REFERENCE, seed] for seed in seeds]
    tasks = list(runs[0]["float"])
    rows: list[list[Value | Cell]] = []
    for name in EXPERT_BITS:
        found = [run["expert_bits"][name] for run in runs]
        lost = "–" if found[0]["lost"] is None else spread([one["lost"] for one in found], 2)
        changes = [
            spread([worse(task, run["float"][task], one["integer"][task]) for run, one in zip(runs, found)], 2)
            for task in tasks
        ]
        share = spread([100 * one["four_bit_share"] for one in found], 0)
        rows.append([name, share, spread([one["dram_bytes"] / 1e3 for one in found], 0), lost, *changes])
    heads = ["4-bit experts (%)", "DRAM a frame (kB)", "dB lost", *(f"{heading(task)} (%)" for task in tasks)]
    extra = [
        estimate([worse(task, *(run["expert_bits"][bits]["integer"][task] for bits in ("8", "4"))) for run in runs])
        for task in tasks
    ]
    return [
        paragraph(
            "The multi-gate network's experts with weights of 8 bits, of 4, and chosen by `--expert-bits auto` with what"
            " `--expert-bits-loss` allows ([how](quantisation.md#4-bit-expert-weights)).",
            "Columns of tasks have the change relative to float, in percent, positive when worse.",
            "The loss is the one measured on calibration pictures; bytes are those of `moesaic.spec.cost.dram_bytes`, the mean over the"
            " tasks.",
            _number(seeds),
        ),
        table(["experts' bits"], heads, rows),
        paragraph(
            _cost("4 bits instead of 8", extra),
            "It does not show what 4 bits cost where experts are a larger part of the network.",
        ),
    ]


def half_section(study: Study, seeds: Sequence[int]) -> list[str]:
    """What half of the experts are worth, as blocks of Markdown. seeds: those of which REFERENCE has been measured further."""
    mine, kept = [study.further[REFERENCE, seed] for seed in seeds], Budget.parse(HALF).experts
    half = [run["budgets"][HALF] for run in mine]
    whole, trained_whole, trained_half = (
        [run[key] for run in mine] for key in ("float", "all_trained_on", "half_trained_on")
    )
    compared: dict[str, list[_Pair]] = {
        f"all, {kept} experts": list(zip(whole, half)),
        f"all, {kept} experts trained on": list(zip(whole, trained_half)),
        f"all trained on, {kept} experts trained on": list(zip(trained_whole, trained_half)),
    }
    changes = {title: _changes(pairs) for title, pairs in compared.items()}
    rows = [[title, *row] for title, found in changes.items() for row in _change_rows(found)]
    untrained, _, alike = ([change for _, _, change in found.values()] for found in changes.values())
    experts = load_recipe(f"results/{REFERENCE}").model.experts
    return [
        paragraph(
            f"Each task of the multi-gate network keeps {kept} of {experts} experts in every MoE block, the most used by router score on"
            " 64 training scenes.",
            f'"Trained on" is {FINE_TUNING_STEPS} more steps at a tenth of the learning rates, with these experts or with all.',
            "The change is relative to the column before it, positive when worse.",
            _number(seeds),
        ),
        table(["compared", "task"], ["before", "after", "change (%)"], rows),
        paragraph(
            _cost("leaving out half of the experts without training", untrained),
            _cost("the same when both are trained on", alike),
            "It does not show that the network needs fewer experts from the start: none was trained with half of them.",
        ),
    ]


def budgets_section(study: Study, seeds: Sequence[int]) -> list[str]:
    """What changed budgets cost, as blocks of Markdown. seeds: those of which BUDGETED have been measured further."""
    rows, less, more = [], [], []
    for budget in BUDGETS:
        changes = []
        for name in BUDGETED:
            pairs = [(study.further[REFERENCE, s]["float"], study.further[name, s]["budgets"][budget]) for s in seeds]
            changes.append([-delta_m(after, before) for before, after in pairs])
        shown = budget.replace("x", ", ")
        rows.append([shown, *(spread(values, 2) for values in changes)])
        sign = estimate([usual - sampled for usual, sampled in zip(*changes)]).sign
        if sign:
            (less if sign > 0 else more).append(f"({shown})")
    least = load_recipe("results/sampled-budgets").training.least_experts
    return [
        paragraph(
            "Experts kept by each task in every MoE block, and experts a token, changed without any training.",
            f"One network was trained as usual, one with sampled budgets (`least_experts = {least}`).",
            "The change is relative to the network that was trained as usual and has all its experts, the mean over the tasks, in percent,"
            " positive when worse.",
            _number(seeds),
        ),
        table(["experts kept, a token"], [NETWORKS[name].title for name in BUDGETED], rows),
        paragraph(
            f"Seed by seed, the network with sampled budgets loses less at {', '.join(less) or 'no budget'}, and more at"
            f" {', '.join(more) or 'no budget'} (95 % intervals, not corrected for their number).",
            "It does not show what training for a single budget would give.",
        ),
    ]


def experts_sections(measured: dict) -> dict[str, list[str]]:
    """The three sections on what experts cost, by title. measured: see `moesaic.model.experiments.expert_timing.measure_once`."""
    threads = f"{measured['threads']} thread{'s' if measured['threads'] > 1 else ''}"

    def timings(name: str) -> str:
        return timing_table(measured[name]).to_markdown()

    return {
        TIMED[0]: [
            paragraph(
                f"Times of this and the next two tables: `{measured['recipe']}`, weights not trained, {threads} of PyTorch"
                f" {measured['torch']}, the median of {measured['repeats']}.",
                "What is compared takes turns in one process, so that other load falls on all of it alike.",
            ),
            paragraph(
                f"{measured['training']['title']}. The dense network's MLPs have as many hidden units as a token's experts together.",
                "AdamW and Muon update every expert, whatever is active; Muon also orthogonalises its matrices.",
            ),
            timings("training"),
            paragraph(
                "It shows times of one CPU. It does not show times of a GPU, where experts are computed in another way."
            ),
        ],
        TIMED[1]: [
            paragraph(f"{measured['layer']['title']}, routing left out. The forms give the same result."),
            timings("layer"),
            paragraph("It shows the layer alone. It does not show what a whole training step gains."),
        ],
        TIMED[2]: [
            paragraph(
                f"{measured['tasks']['title']}. All tasks share what comes before the first choice of experts; experts are stored for every"
                " task until a budget prunes them ([pathways.md](pathways.md)).",
            ),
            timings("tasks"),
            paragraph(
                "It shows the float network. It does not show times of the accelerator ([benchmark.md](benchmark.md))."
            ),
        ],
    }


def _changes(pairs: Sequence[_Pair]) -> dict[str, tuple[Estimate, Estimate, Estimate]]:
    """By task: the metric before, after, and by how many percent it got worse. pairs: (before, after), one per seed."""
    return {
        task: (
            estimate([before[task] for before, _ in pairs]),
            estimate([after[task] for _, after in pairs]),
            estimate([worse(task, before[task], after[task]) for before, after in pairs]),
        )
        for task in pairs[0][0]
    }


def _change_rows(changes: dict[str, tuple[Estimate, Estimate, Estimate]]) -> list[list[Value | Cell]]:
    return [
        [heading(task), written(before), written(after), written(change, 2)]
        for task, (before, after, change) in changes.items()
    ]


def _number(seeds: Sequence[int]) -> str:
    """How many seeds a table is of."""
    return f"Of {len(seeds)} seeds."


def _cost(what: str, changes: Sequence[Estimate]) -> str:
    """What something costs, by the intervals of the changes of all rows (%)."""
    highest = max(change.mean if change.high is None else change.high for change in changes)
    signs = [change.sign for change in changes]
    losing, gaining = sum(sign > 0 for sign in signs), sum(sign < 0 for sign in signs)
    gains = f", {gaining} to gain" if gaining else ""
    return (
        f"It shows that {what} costs at most {highest:.2f} % (upper ends of the intervals);"
        f" {losing} of {len(signs)} rows are shown to lose{gains}."
    )
